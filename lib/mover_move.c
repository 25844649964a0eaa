// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * UFFDIO_MOVE. Everything is checked by the kernel, before any page moves;
 * pages keep being huge where both sides are aligned and whole.
 */
#include <errno.h>

#include "internal.h"
#include "mover.h"
#include "pages.h"

/* Where whole huge pages must not move: none fits into half of one. */
static struct pmv_step move_part(struct pagemv *pv, const struct pmv_span *span)
{
	size_t len = pmv_min(pmv_min(span->len, pv->huge_bytes / 2),
			     pmv_pages_huge_left(pv, span->src));

	if (pmv_pages_held_huge(pv, span->src))
		return (struct pmv_step){ .error = -EBUSY };
	return pmv_uffd_move(pv->sys, span->uffd, span->dst, span->src, len);
}

static PMV_HOT struct pmv_step move_step(struct pagemv *pv,
					 const struct pmv_span *span)
{
	if (pmv_unlikely(pv->quirks & PAGEMV_QUIRK_HUGE_MOVE) && pv->huge_bytes)
		return move_part(pv, span);
	return pmv_uffd_move(pv->sys, span->uffd, span->dst, span->src,
			     span->len);
}

const struct pmv_mover pmv_mover_move = {
	.id = PAGEMV_MECH_MOVE,
	.step = move_step,
};

const struct pmv_mover *const pmv_movers[PAGEMV_MECH_COUNT] = {
	[PAGEMV_MECH_MOVE] = &pmv_mover_move,
	[PAGEMV_MECH_REMAP] = &pmv_mover_remap,
	[PAGEMV_MECH_COPY] = &pmv_mover_copy,
	[PAGEMV_MECH_COMPANION] = &pmv_mover_companion,
};
