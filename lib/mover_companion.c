// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The companion module: as UFFDIO_MOVE, but for the userfaultfd that dst is
 * registered with, which the module knows nothing of.
 *
 * dst need not be registered: what lies in regions is checked by the library,
 * and of those that faults are answered in, that the kernel still has them, as
 * the program may have mapped something else there. That is another call, and
 * not the same one: what the program does between the two is not seen. Nobody
 * is woken: that is done here. And there is no waiting for events, as
 * UFFDIO_MOVE does: pages do not go to regions with events by it.
 *
 * ASSUME(companion-overlap): as by UFFDIO_MOVE, a range may overlap the one it
 *   is moved to from above.
 */
#include "companion.h"
#include "internal.h"
#include "mover.h"

/* Where the library answers faults, not the kernel. */
static bool has_faults(const struct pagemv *pv, int uffd)
{
	return uffd >= 0 && uffd != pv->uffd;
}

/* Who faults at dst waits there, except where a signal comes instead. */
static bool has_waiters(const struct pagemv *pv, int uffd)
{
	return has_faults(pv, uffd) &&
	       uffd != pmv_channel_fd(&pv->channels[PMV_CHANNEL_SIGNAL]);
}

/* Those for whom a page has come, also if not all have. They see it: the wake
 * comes behind the call that mapped it, and it takes their queue's lock. */
static struct pmv_step move_and_wake(struct pagemv *pv, int uffd, uintptr_t dst,
				     uintptr_t src, size_t bytes)
{
	struct pmv_step step = { 0 };

	if (has_faults(pv, uffd))
		step.error = pmv_uffd_fills(pv->sys, uffd, dst, pv->nowhere,
					    pv->page_bytes);
	if (step.error)
		return step;
	step = pmv_companion_move(pv->sys, pv->companion, dst, src, bytes);
	if (step.done && has_waiters(pv, uffd))
		pmv_uffd_wake(pv->sys, uffd, dst, step.done);
	return step;
}

static PMV_HOT struct pmv_step companion_step(struct pagemv *pv,
					      const struct pmv_span *span)
{
	return move_and_wake(pv, span->uffd, span->dst, span->src, span->len);
}

const struct pmv_mover pmv_mover_companion = {
	.id = PAGEMV_MECH_COMPANION,
	.step = companion_step,
};

/* ---- whichever of the two there is ---- */

bool pmv_companion_fills(const struct pagemv *pv, int uffd)
{
	return pmv_available(pv, PAGEMV_MECH_COMPANION) &&
	       (uffd < 0 ||
		(uffd != pmv_channel_fd(&pv->channels[PMV_CHANNEL_EVENTS]) &&
		 uffd != pmv_channel_fd(&pv->channels[PMV_CHANNEL_INHERIT])));
}

enum pagemv_mechanism pmv_mover_to(const struct pagemv *pv, int uffd,
				   size_t bytes)
{
	bool move = uffd >= 0 && pmv_available(pv, PAGEMV_MECH_MOVE);

	if (uffd == pv->uffd && bytes >= pmv_companion_from(pv))
		return PAGEMV_MECH_COMPANION;
	/* It wakes by itself. */
	if (move)
		return PAGEMV_MECH_MOVE;
	return pmv_companion_fills(pv, uffd) ? PAGEMV_MECH_COMPANION
					     : PAGEMV_MECH_AUTO;
}

struct pmv_step pmv_move_to(struct pagemv *pv, int uffd, uintptr_t dst,
			    uintptr_t src, size_t bytes)
{
	if (pmv_mover_to(pv, uffd, bytes) == PAGEMV_MECH_MOVE)
		return pmv_uffd_move(pv->sys, uffd, dst, src, bytes);
	return move_and_wake(pv, uffd, dst, src, bytes);
}
