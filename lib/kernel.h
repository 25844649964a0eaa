/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds out, by trying, what this kernel and process can do, and why not.
 */
#ifndef PMV_KERNEL_H
#define PMV_KERNEL_H

#include <pagemv/base.h>

#include "sys.h"

struct pagemv;
struct pagemv_open_opts;

/*
 * Fills in everything about the kernel in pv: descriptors, facilities,
 * quirks, mechanisms and their reasons. pv->sys, log and page_bytes are set.
 * Returns 0, or -errno where not even the fallbacks can work (no memory, no
 * descriptors).
 */
int pmv_kernel_probe(struct pagemv *pv, const struct pagemv_open_opts *opts);

/* Why the handle has no userfaultfd; *error: the errno of it, or 0. */
enum pagemv_reason pmv_uffd_reason(const struct pagemv *pv, int *error);

/* What the error of a system call says about why something is not there. */
enum pagemv_reason pmv_lacking(int error);

/* Is there swap that is switched on? True where that cannot be told. */
bool pmv_swap_is_on(const struct pagemv *pv);

/* From what size on the companion is what AUTO takes: by the costs in force. */
void pmv_kernel_prefer(struct pagemv *pv);

/* Bytes of a huge page in a page table; 0: there are none. */
size_t pmv_kernel_huge_bytes(const struct pmv_sys *sys, size_t page_bytes);

/* Closes the descriptors. */
void pmv_kernel_close(struct pagemv *pv);

#endif /* PMV_KERNEL_H */
