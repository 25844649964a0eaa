// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * mremap(MREMAP_FIXED|MREMAP_DONTUNMAP): page tables change hands, whole
 * ones where both sides agree modulo the size that one covers. The source
 * stays mapped and is empty then; what was mapped at the destination goes.
 *
 * ASSUME(mremap-uffd): without UFFD_FEATURE_EVENT_REMAP the new mapping is
 *   not registered any more, and a registered source moves entry by entry.
 *   mm/mremap.c; measured: doc/measurements.md
 */
#include <errno.h>

#include "internal.h"
#include "mover.h"
#include "pages.h"

/* From here on, giving up the registration costs less than moving page
 * table entries one by one (9 ns each against 1.2 us). */
#define DETACH_PAGES 256

static size_t count_holes(const struct pagemv *pv, uintptr_t addr, size_t len)
{
	size_t holes = 0;

	for (size_t off = 0; off < len;) {
		struct pmv_run run = pmv_pages_run(pv, addr + off, len - off);

		holes += run.populated || !run.known ? 0 : run.bytes;
		off += run.bytes;
	}
	return holes;
}

/*
 * How much of the span may be moved at once: as far as there are pages at
 * src and none at dst. In *holes how many are missing where that is allowed.
 * Returns 0 or -errno for the first page.
 */
static int look(const struct pagemv *pv, const struct pmv_span *span,
		size_t *len, size_t *holes)
{
	struct pmv_run run;

	*len = span->len;
	if (span->flags & PAGEMV_MOVE_UNCHECKED)
		return 0;
	if (!(span->flags & PAGEMV_MOVE_HOLES)) {
		run = pmv_pages_run(pv, span->src, *len);
		if (!run.populated)
			return -ENOENT;
		*len = run.bytes;
	}
	if (!(span->flags & PAGEMV_MOVE_REPLACE)) {
		run = pmv_pages_run(pv, span->dst, *len);
		if (run.populated)
			return -EEXIST;
		*len = run.bytes;
	}
	if (span->flags & PAGEMV_MOVE_HOLES)
		*holes = count_holes(pv, span->src, *len);
	return 0;
}

static struct pmv_step remap_step(struct pagemv *pv,
				  const struct pmv_span *span)
{
	struct pmv_step step = { 0 };
	size_t len = 0;

	step.error = look(pv, span, &len, &step.holes);
	if (step.error)
		return step;
	/* Best effort: mremap does the same, only more slowly. */
	if (span->flags & PAGEMV_MOVE_QUIESCENT &&
	    len >= DETACH_PAGES * pv->page_bytes &&
	    pmv_has(pv, PAGEMV_HAS_QUIET))
		pmv_uffd_detach(pv->sys, pv->uffd, span->src, len);
	step.error = pv->sys->mremap(span->src, len, span->dst);
	/* Several mappings, or none: what UFFDIO_MOVE says to it. */
	if (step.error == -EFAULT)
		step.error = -EINVAL;
	/* The limit on locked memory. */
	if (step.error == -EAGAIN)
		step.error = -ENOMEM;
	if (step.error)
		step.holes = 0;
	else
		step.done = len;
	return step;
}

const struct pmv_mover pmv_mover_remap = {
	.id = PAGEMV_MECH_REMAP,
	.step = remap_step,
};
