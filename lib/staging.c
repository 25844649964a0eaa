// SPDX-License-Identifier: LGPL-2.1-or-later
#include "staging.h"

#include <sys/mman.h>

#include "internal.h"
#include "mapping.h"
#include "pages.h"
#include "uffd.h"

static void unmap(struct pagemv *pv, uintptr_t from, uintptr_t to)
{
	if (from < to)
		pv->sys->munmap(from, to - from);
}

static int map_aligned(struct pagemv *pv, int prot, uintptr_t *base)
{
	uintptr_t start, aligned, end;
	int rc = pv->sys->mmap(&start, 2 * PMV_STAGING_BYTES, prot);

	if (rc < 0)
		return rc;
	end = start + 2 * PMV_STAGING_BYTES;
	aligned = pmv_round_up(start, PMV_STAGING_BYTES);
	unmap(pv, start, aligned);
	unmap(pv, aligned + PMV_STAGING_BYTES, end);
	pmv_pages_keep_small(pv, aligned, PMV_STAGING_BYTES);
	*base = aligned;
	return 0;
}

/* A new one, that differs from a plain one by prot or lock. */
static int map_like(struct pagemv *pv, int prot, bool locked, uintptr_t *base)
{
	int rc = map_aligned(pv, prot, base);

	if (rc == 0 && locked)
		rc = pv->sys->mlock_on_fault(*base, PMV_STAGING_BYTES);
	else if (rc < 0)
		return rc;
	if (rc == 0 && pmv_available(pv, PAGEMV_MECH_MOVE))
		rc = pmv_uffd_register(pv->sys, pv->uffd, *base,
				       PMV_STAGING_BYTES, NULL);
	if (rc < 0)
		unmap(pv, *base, *base + PMV_STAGING_BYTES);
	return rc;
}

/*
 * Whether a range that was kept is still as it was: mlockall() of the program
 * locks it, and fills it with pages.
 */
static bool is_fresh(const struct pagemv *pv, uintptr_t base)
{
	struct pmv_run run = pmv_pages_run(pv, base, PMV_STAGING_BYTES);

	return !run.populated && run.bytes == PMV_STAGING_BYTES &&
	       pmv_mapping_locked(pv, base) != 1;
}

int pmv_staging_take(struct pagemv *pv, uintptr_t like, struct pmv_staging *out)
{
	bool locked = pmv_mapping_locked(pv, like) == 1;
	int prot = PROT_READ | PROT_WRITE;
	struct pmv_mapping m;

	if (pmv_mapping_find(pv, like, &m) == 1 && m.start <= like)
		prot = pmv_mapping_prot(&m);
	out->locked = locked;
	out->plain = prot == (PROT_READ | PROT_WRITE) && !locked;
	/* Pairs with the release in pmv_staging_give(). */
	out->base = out->plain ? atomic_exchange_explicit(&pv->staging, 0,
							  memory_order_acquire)
			       : 0;
	if (out->base && is_fresh(pv, out->base))
		return 0;
	if (out->base)
		unmap(pv, out->base, out->base + PMV_STAGING_BYTES);
	return map_like(pv, prot, locked, &out->base);
}

void pmv_staging_give(struct pagemv *pv, const struct pmv_staging *s,
		      bool fresh)
{
	uintptr_t none = 0;

	/* Pairs with the acquire in pmv_staging_take(). */
	if (fresh && s->plain &&
	    atomic_compare_exchange_strong_explicit(
		    &pv->staging, &none, s->base, memory_order_release,
		    memory_order_relaxed))
		return;
	unmap(pv, s->base, s->base + PMV_STAGING_BYTES);
}

void pmv_staging_hand_over(struct pagemv *pv, const struct pmv_staging *s,
			   uintptr_t addr, size_t bytes)
{
	unmap(pv, s->base, addr);
	unmap(pv, addr + bytes, s->base + PMV_STAGING_BYTES);
	pmv_count(&pv->stats, PMV_STRAYS, 1);
}

void pmv_staging_close(struct pagemv *pv)
{
	uintptr_t base =
		atomic_exchange_explicit(&pv->staging, 0, memory_order_acquire);

	if (base)
		unmap(pv, base, base + PMV_STAGING_BYTES);
}
