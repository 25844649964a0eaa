/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Keeping anon_vmas that folios have left, for kernels whose walkers of the
 * reverse mapping do not look twice. keep.c says why.
 */
#ifndef PMV_KEEP_H
#define PMV_KEEP_H

#include <linux/rmap.h>

#include "compat/compat.h"

/* anon_vmas that one call can leave before it hands them over. */
#define PMV_LEFT_MAX	4

struct pmv_call;
struct pmv_keep;

#if PMV_RMAP_IS_BLIND
int pmv_keep_open(struct pmv_keep **out);
void pmv_keep_close(struct pmv_keep *keep);
int pmv_keep_init(void);
void pmv_keep_exit(void);

bool pmv_leave(struct pmv_call *c, struct folio *folio,
	       const struct vm_area_struct *vma);
void pmv_hand_over(struct pmv_call *c);
#else
static inline int pmv_keep_open(struct pmv_keep **out)
{
	*out = NULL;
	return 0;
}

static inline void pmv_keep_close(struct pmv_keep *keep) { }

static inline int pmv_keep_init(void)
{
	return 0;
}

static inline void pmv_keep_exit(void) { }

static inline bool pmv_leave(struct pmv_call *c, struct folio *folio,
			     const struct vm_area_struct *vma)
{
	return true;
}

static inline void pmv_hand_over(struct pmv_call *c) { }
#endif

#endif /* PMV_KEEP_H */
