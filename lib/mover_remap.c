// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * mremap(MREMAP_FIXED|MREMAP_DONTUNMAP): page tables change hands, whole
 * ones where both sides agree modulo the size that one covers. The source
 * stays mapped and is empty then; what was mapped at the destination goes.
 *
 * ASSUME(mremap-uffd): without UFFD_FEATURE_EVENT_REMAP the new mapping is
 *   not registered any more, and a registered source moves entry by entry.
 *   mm/mremap.c; measured: doc/measurements.md
 * ASSUME(mremap-locked): the lock of mlock() is taken off the whole mapping
 *   that the pages were part of, and what that counts as locked (VmLck) is too
 *   much from then on. Seen on 6.1, 6.12, 6.16 to 6.18, not on 7.2
 *   (tests/vm/scenarios/mlock.c); on 6.16 to 6.18 the count is also wrong where
 *   all of a mapping moves. Hence pmv_remap().
 * ASSUME(mremap-unmaps): what is mapped at the destination may be unmapped
 *   before everything that can fail has been done, as when another thread has
 *   just made two mappings of the source. Inferred from a heap that had a hole
 *   after a storm of mlock() on 6.1; seen on 6.12 at the limit of a memory
 *   cgroup (tests/vm/scenarios/memcg.c).
 * ASSUME(mapping-freed-late): what the kernel has for a mapping that is
 *   unmapped is given back, also to a memory cgroup, when an RCU grace period
 *   is over: 6.4 to 6.14, kernel/fork.c, vm_area_free(). Inferred from 6.12,
 *   where neither mremap() nor mmap() had the memory for a mapping in the place
 *   of one that had just gone.
 */
#include <errno.h>
#include <sys/mman.h>

#include "blank.h"
#include "internal.h"
#include "mapping.h"
#include "mover.h"
#include "pages.h"
#include "region.h"

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
		run = pmv_blank_run(pv, span->dst, *len);
		if (run.populated)
			return -EEXIST;
		*len = run.bytes;
	}
	if (span->flags & PAGEMV_MOVE_HOLES)
		*holes = count_holes(pv, span->src, *len);
	return 0;
}

/* Whether there is a mapping at addr. */
static bool find(const struct pagemv *pv, uintptr_t addr, struct pmv_mapping *m)
{
	return pmv_mapping_find(pv, addr, m) == 1 && m->start <= addr;
}

/* Whether there is none, for certain: without memory it may not be told. */
static bool is_gone(const struct pagemv *pv, uintptr_t addr)
{
	struct pmv_mapping m;
	int rc = pmv_mapping_find(pv, addr, &m);

	return rc == 0 || (rc == 1 && m.start > addr);
}

/*
 * Where mremap() failed, nothing may be mapped at dst (ASSUME(mremap-unmaps)):
 * then maps there what was there, as far as src tells. Not over what another
 * thread has mapped there.
 */
static void map_again(struct pagemv *pv, uintptr_t dst, uintptr_t src,
		      size_t len, bool locked)
{
	struct pmv_mapping m;
	int prot = PROT_READ | PROT_WRITE, rc;
	bool unmapped;

	if (find(pv, src, &m))
		prot = pmv_mapping_prot(&m);
	rc = pv->sys->mmap_at(dst, len, prot);
	/* ASSUME(mapping-freed-late) */
	unmapped = rc == -ENOMEM && !find(pv, dst, &m);
	for (unsigned int i = 0; unmapped && rc == -ENOMEM && i < PMV_IDLE_MAX;
	     i++) {
		pmv_back_off(pv->sys, i);
		rc = pv->sys->mmap_at(dst, len, prot);
	}
	if (rc == 0 && locked)
		pv->sys->mlock_on_fault(dst, len);
}

/*
 * Locked pages are unlocked for the time of the call (ASSUME(mremap-locked)).
 * munlock() may fail where there is a hole or no room for a mapping more; so
 * does mremap() then.
 */
int pmv_remap(struct pagemv *pv, uintptr_t dst, uintptr_t src, size_t len,
	      bool locked)
{
	int rc;

	if (locked)
		pv->sys->munlock(src, len);
	rc = pv->sys->mremap(src, len, dst);
	if (rc < 0)
		map_again(pv, dst, src, len, locked);
	else if (locked)
		pv->sys->mlock_on_fault(dst, len);
	if (locked)
		pv->sys->mlock_on_fault(src, len);
	return rc;
}

/* The mapping at dst is a new one now, with what src was advised: huge pages,
 * perhaps, unless it comes from a region, too. */
static void keep_small(const struct pagemv *pv, const struct pmv_span *span,
		       size_t len, int error)
{
	if (pmv_pages_small_only(pv) &&
	    (error || !pmv_region_holds(pv, span->src, len)))
		pmv_pages_keep_small(pv, span->dst, len);
}

static struct pmv_step remap_step(struct pagemv *pv,
				  const struct pmv_span *span)
{
	struct pmv_step step = { 0 };
	bool locked = false;
	size_t len = 0;

	step.error = look(pv, span, &len, &step.holes);
	if (step.error)
		return step;
	/* Best effort: mremap does the same, only more slowly. */
	if (span->flags & PAGEMV_MOVE_QUIESCENT &&
	    len >= DETACH_PAGES * pv->page_bytes &&
	    pmv_has(pv, PAGEMV_HAS_QUIET))
		pmv_uffd_detach(pv->sys, pv->uffd, span->src, len);
	if (!(span->flags & PAGEMV_MOVE_UNCHECKED))
		locked = pmv_mapping_locked(pv, span->src) == 1;
	step.error = pmv_remap(pv, span->dst, span->src, len, locked);
	keep_small(pv, span, len, step.error);
	/* Several mappings, or none: what UFFDIO_MOVE says to it. */
	if (step.error == -EFAULT)
		step.error = -EINVAL;
	/* No memory, and no dst any more: that is worse. */
	if (step.error == -ENOMEM && is_gone(pv, span->dst))
		step.error = -ENOENT;
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
