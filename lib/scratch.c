// SPDX-License-Identifier: LGPL-2.1-or-later
#include "scratch.h"

#include <sys/mman.h>

#include <pagemv/region.h>

#include "internal.h"

static size_t slot_bytes(const struct pagemv *pv)
{
	return PAGEMV_AROUND_MAX * pv->page_bytes;
}

static int map(struct pagemv *pv, size_t slots, uintptr_t *base)
{
	size_t bytes = slots * slot_bytes(pv);
	int rc = pv->sys->mmap(base, bytes, PROT_READ | PROT_WRITE);

	/* Regions have no huge pages; a scratch page is moved by itself. */
	if (rc == 0)
		pv->sys->madvise(*base, bytes, MADV_NOHUGEPAGE);
	return rc;
}

int pmv_scratch_open(struct pagemv *pv)
{
	uintptr_t base;
	int rc;

	if (atomic_load_explicit(&pv->scratch, memory_order_relaxed))
		return 0;
	rc = map(pv, PMV_SCRATCH_SLOTS, &base);
	/* Pairs with the acquire in pmv_scratch_take(). */
	if (rc == 0)
		atomic_store_explicit(&pv->scratch, base, memory_order_release);
	return rc;
}

void pmv_scratch_close(struct pagemv *pv)
{
	uintptr_t base =
		atomic_load_explicit(&pv->scratch, memory_order_relaxed);

	if (base)
		pv->sys->munmap(base, PMV_SCRATCH_SLOTS * slot_bytes(pv));
}

int pmv_scratch_take(struct pagemv *pv, struct pmv_scratch *out)
{
	uintptr_t pool =
		atomic_load_explicit(&pv->scratch, memory_order_acquire);
	uint32_t taken =
		atomic_load_explicit(&pv->scratch_taken, memory_order_relaxed);

	/* The acquire pairs with the release in pmv_scratch_give(). */
	while (~taken) {
		int slot = __builtin_ctz(~taken);

		if (!atomic_compare_exchange_weak_explicit(
			    &pv->scratch_taken, &taken, taken | 1u << slot,
			    memory_order_acquire, memory_order_relaxed))
			continue;
		out->slot = slot;
		out->base = pool + (size_t)slot * slot_bytes(pv);
		return 0;
	}
	out->slot = -1;
	return map(pv, 1, &out->base);
}

void pmv_scratch_give(struct pagemv *pv, const struct pmv_scratch *s)
{
	if (s->slot < 0)
		pv->sys->munmap(s->base, slot_bytes(pv));
	else
		atomic_fetch_and_explicit(&pv->scratch_taken, ~(1u << s->slot),
					  memory_order_release);
}
