/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where pages may be put: absent pages, and the zeros that the kernel puts
 * beside a page when it makes a huge page of it.
 */
#ifndef PMV_BLANK_H
#define PMV_BLANK_H

#include "pages.h"

/*
 * pmv_pages_run() for a destination: whether there is a page in the way at
 * addr, or up to where there is none. Without userfaultfd, a page of zeros
 * counts as none where a store to a neighbour may have made it. AS-Safe.
 */
struct pmv_run pmv_blank_run(const struct pagemv *pv, uintptr_t addr,
			     size_t bytes);

#endif /* PMV_BLANK_H */
