// SPDX-License-Identifier: LGPL-2.1-or-later
#include "staging.h"

#include <sys/mman.h>

#include "internal.h"
#include "uffd.h"

static void unmap(struct pagemv *pv, uintptr_t from, uintptr_t to)
{
	if (from < to)
		pv->sys->munmap(from, to - from);
}

static int map_aligned(struct pagemv *pv, uintptr_t *base)
{
	uintptr_t start, aligned, end;
	int rc = pv->sys->mmap(&start, 2 * PMV_STAGING_BYTES,
			       PROT_READ | PROT_WRITE);

	if (rc < 0)
		return rc;
	end = start + 2 * PMV_STAGING_BYTES;
	aligned = pmv_round_up(start, PMV_STAGING_BYTES);
	unmap(pv, start, aligned);
	unmap(pv, aligned + PMV_STAGING_BYTES, end);
	*base = aligned;
	return 0;
}

int pmv_staging_take(struct pagemv *pv, uintptr_t *base)
{
	int rc;

	/* Pairs with the release in pmv_staging_give(). */
	*base = atomic_exchange_explicit(&pv->staging, 0,
					 memory_order_acquire);
	if (*base)
		return 0;
	rc = map_aligned(pv, base);
	if (rc < 0 || !pmv_available(pv, PAGEMV_MECH_MOVE))
		return rc;
	rc = pmv_uffd_register(pv->sys, pv->uffd, *base, PMV_STAGING_BYTES,
			       NULL);
	if (rc < 0)
		unmap(pv, *base, *base + PMV_STAGING_BYTES);
	return rc;
}

void pmv_staging_give(struct pagemv *pv, uintptr_t base, bool fresh)
{
	uintptr_t none = 0;

	/* Pairs with the acquire in pmv_staging_take(). */
	if (fresh &&
	    atomic_compare_exchange_strong_explicit(&pv->staging, &none, base,
						    memory_order_release,
						    memory_order_relaxed))
		return;
	unmap(pv, base, base + PMV_STAGING_BYTES);
}

void pmv_staging_hand_over(struct pagemv *pv, uintptr_t base, uintptr_t addr,
			   size_t bytes)
{
	unmap(pv, base, addr);
	unmap(pv, addr + bytes, base + PMV_STAGING_BYTES);
	pmv_count(pv->stats, PMV_STRAYS, 1);
}

void pmv_staging_close(struct pagemv *pv)
{
	uintptr_t base = atomic_exchange_explicit(&pv->staging, 0,
						  memory_order_acquire);

	if (base)
		unmap(pv, base, base + PMV_STAGING_BYTES);
}
