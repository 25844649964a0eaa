/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the kernel's EINVAL, which has a dozen causes, to the reason; and the
 * same checks beforehand for mechanisms whose system calls check less.
 */
#ifndef PMV_DIAGNOSE_H
#define PMV_DIAGNOSE_H

#include <pagemv/base.h>

#include "mapping.h"

/* Why pages in this mapping cannot be moved; NONE if they can. */
enum pagemv_reason pmv_mapping_reason(const struct pmv_mapping *m);

/*
 * Why pages cannot be moved from src to dst, by a deep look at all mappings
 * of both; NONE if nothing is wrong with them. Does not know of regions.
 */
enum pagemv_reason pmv_diagnose(const struct pagemv *pv, uintptr_t dst,
				uintptr_t src, size_t bytes);

/* The same for one range by itself. registered: NULL, or receives whether
 * some userfaultfd has part of it. */
enum pagemv_reason pmv_diagnose_range(const struct pagemv *pv, uintptr_t addr,
				      size_t bytes, bool *registered);

/* The same, by a quick look where that is enough: no deep one for each of many
 * regions. */
enum pagemv_reason pmv_check_range(const struct pagemv *pv, uintptr_t addr,
				   size_t bytes);

/*
 * The quick look, for remap and copy: NONE if both ranges are plain memory,
 * locked alike. several: receives whether either has several mappings.
 */
enum pagemv_reason pmv_check(struct pagemv *pv, uintptr_t dst, uintptr_t src,
			     size_t bytes, bool *several);

/* How many of the bytes come before a border of mappings on either side; all
 * where that cannot be told. */
size_t pmv_piece(const struct pagemv *pv, uintptr_t dst, uintptr_t src,
		 size_t bytes);

#endif /* PMV_DIAGNOSE_H */
