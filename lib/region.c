// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The table is a sorted array that is never changed in place: a writer
 * copies it, publishes the copy and frees the old one after a grace period.
 */
#include "region.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "diagnose.h"
#include "internal.h"
#include "pages.h"
#include "rcu.h"
#include "uffd.h"

/* After so many questions a hint is forgotten, and looked for again. */
#define HINT_LASTS 256

/* What was seen in a region and saves looking; 0 where nothing was. */
struct hint {
	PMV_ATOMIC _Atomic unsigned int seen;
	PMV_ATOMIC _Atomic unsigned int left; /* questions until forgotten */
};

struct pagemv_region {
	struct pagemv *pv;
	uintptr_t start;
	uintptr_t end;
	struct hint kind; /* enum pmv_kind */
	struct hint huge; /* 1: huge pages may be made in it */
};

struct pmv_region_table {
	size_t n;
	struct pagemv_region *regions[];
};

/* The index of the first region that ends above addr. */
static size_t table_search(const struct pmv_region_table *t, uintptr_t addr)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->regions[mid]->end > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Pairs with the release in publish(). */
static const struct pmv_region_table *current_table(const struct pagemv *pv)
{
	return atomic_load_explicit(&pv->regions, memory_order_acquire);
}

/* The region that holds addr; the caller is in a read-side section. */
static struct pagemv_region *find(const struct pagemv *pv, uintptr_t addr)
{
	const struct pmv_region_table *t = current_table(pv);
	size_t i = table_search(t, addr);

	return i < t->n && t->regions[i]->start <= addr ? t->regions[i] : NULL;
}

bool pmv_region_holds(const struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	uintptr_t end = addr + bytes;
	const struct pagemv_region *r;

	pmv_rcu_read_lock();
	while (addr < end && (r = find(pv, addr)))
		addr = r->end;
	pmv_rcu_read_unlock((void *)&pv->regions);
	return addr >= end;
}

bool pmv_region_touches(const struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	const struct pmv_region_table *t;
	bool touches;
	size_t i;

	pmv_rcu_read_lock();
	t = current_table(pv);
	i = table_search(t, addr);
	touches = i < t->n && t->regions[i]->start < addr + bytes;
	pmv_rcu_read_unlock((void *)&pv->regions);
	return touches;
}

int pmv_region_rearm(struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	pmv_count(&pv->stats, PMV_REARMED, 1);
	return pmv_uffd_register(pv->sys, pv->uffd, addr, bytes, NULL);
}

/* Threads may lose a count to each other: only a hint. */
static unsigned int hint_ask(struct hint *h)
{
	unsigned int left =
		atomic_load_explicit(&h->left, memory_order_relaxed);

	if (!left)
		return 0;
	atomic_store_explicit(&h->left, left - 1, memory_order_relaxed);
	return atomic_load_explicit(&h->seen, memory_order_relaxed);
}

static void hint_learn(struct hint *h, unsigned int seen)
{
	atomic_store_explicit(&h->seen, seen, memory_order_relaxed);
	atomic_store_explicit(&h->left, HINT_LASTS, memory_order_relaxed);
}

enum pmv_kind pmv_region_kind(const struct pagemv *pv, uintptr_t addr)
{
	enum pmv_kind kind = PMV_KIND_UNKNOWN;
	struct pagemv_region *r;

	pmv_rcu_read_lock();
	r = find(pv, addr);
	if (r)
		kind = hint_ask(&r->kind);
	pmv_rcu_read_unlock((void *)&pv->regions);
	return kind;
}

void pmv_region_learn(const struct pagemv *pv, uintptr_t addr,
		      enum pmv_kind kind)
{
	struct pagemv_region *r;

	pmv_rcu_read_lock();
	r = find(pv, addr);
	if (r)
		hint_learn(&r->kind, kind);
	pmv_rcu_read_unlock((void *)&pv->regions);
}

bool pmv_region_gets_huge(const struct pagemv *pv, uintptr_t addr)
{
	struct pagemv_region *r;
	bool huge = false;

	pmv_rcu_read_lock();
	r = find(pv, addr);
	if (r)
		huge = hint_ask(&r->huge);
	pmv_rcu_read_unlock((void *)&pv->regions);
	return huge;
}

void pmv_region_learn_huge(const struct pagemv *pv, uintptr_t addr)
{
	struct pagemv_region *r;

	pmv_rcu_read_lock();
	r = find(pv, addr);
	if (r)
		hint_learn(&r->huge, 1);
	pmv_rcu_read_unlock((void *)&pv->regions);
}

/* Publishes a table and frees the old one. Needs region_lock. */
static void publish(struct pagemv *pv, struct pmv_region_table *t)
{
	struct pmv_region_table *old;

	/* Pairs with the acquire in current_table(). */
	old = atomic_exchange_explicit(&pv->regions, t, memory_order_acq_rel);
	pmv_rcu_synchronize(&pv->regions);
	free(old);
}

static struct pmv_region_table *table_new(size_t n)
{
	struct pmv_region_table *t;

	t = malloc(sizeof(*t) + n * sizeof(t->regions[0]));
	if (t)
		t->n = n;
	return t;
}

/* A copy of the table with r in it, for which there must be room. NULL where
 * there is no memory. */
static struct pmv_region_table *table_with(const struct pmv_region_table *old,
					   struct pagemv_region *r)
{
	size_t i = table_search(old, r->start);
	struct pmv_region_table *t = table_new(old->n + 1);

	if (!t)
		return NULL;
	memcpy(t->regions, old->regions, i * sizeof(r));
	t->regions[i] = r;
	memcpy(t->regions + i + 1, old->regions + i, (old->n - i) * sizeof(r));
	return t;
}

/*
 * Needs region_lock. The table is shortened in a copy; where there is no
 * memory for one, nothing changes.
 */
static int table_remove(struct pagemv *pv, struct pagemv_region *r)
{
	const struct pmv_region_table *old = current_table(pv);
	size_t i = table_search(old, r->start);
	struct pmv_region_table *t = table_new(old->n - 1);

	if (!t)
		return -ENOMEM;
	memcpy(t->regions, old->regions, i * sizeof(r));
	memcpy(t->regions + i, old->regions + i + 1, (t->n - i) * sizeof(r));
	publish(pv, t);
	return 0;
}

static enum pagemv_reason range_reason(const struct pagemv *pv, uintptr_t addr,
				       size_t bytes)
{
	enum pagemv_reason reason =
		pmv_argument_reason(pv->page_bytes, addr, addr, bytes);

	return reason ? reason : pmv_diagnose_range(pv, addr, bytes, NULL);
}

/* Registers with the kernel, where there is something to register with. */
static enum pagemv_reason arm(struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	int rc = 0;

	if (pmv_has(pv, PAGEMV_HAS_QUIET))
		rc = pmv_uffd_register(pv->sys, pv->uffd, addr, bytes, NULL);
	switch (rc) {
	case 0:
		pmv_pages_keep_small(pv, addr, bytes);
		return PAGEMV_REASON_NONE;
	case -EBUSY:
		return PAGEMV_REASON_FOREIGN_UFFD;
	case -ENOMEM:
		/* Perhaps half-way; all of it was found to be free. */
		pmv_uffd_unregister(pv->sys, pv->uffd, addr, bytes);
		return PAGEMV_REASON_NO_MEMORY;
	default:
		pmv_count(&pv->stats, PMV_UNEXPECTED, 1);
		return PAGEMV_REASON_UNEXPECTED;
	}
}

/* Needs region_lock. */
static enum pagemv_reason table_insert(struct pagemv *pv,
				       struct pagemv_region *r)
{
	const struct pmv_region_table *old = current_table(pv);
	size_t i = table_search(old, r->start);
	enum pagemv_reason reason;
	struct pmv_region_table *t;

	if (i < old->n && old->regions[i]->start < r->end)
		return PAGEMV_REASON_OVERLAP;
	t = table_with(old, r);
	if (!t)
		return PAGEMV_REASON_NO_MEMORY;
	reason = arm(pv, r->start, r->end - r->start);
	if (reason)
		free(t);
	else
		publish(pv, t);
	return reason;
}

static enum pagemv_reason region_add(struct pagemv *pv, uintptr_t addr,
				     size_t bytes, struct pagemv_region **out)
{
	struct pagemv_region *r = calloc(1, sizeof(*r));
	enum pagemv_reason reason;

	if (!r)
		return PAGEMV_REASON_NO_MEMORY;
	*r = (struct pagemv_region){ .pv = pv,
				     .start = addr,
				     .end = addr + bytes };
	pthread_mutex_lock(&pv->region_lock);
	reason = table_insert(pv, r);
	pthread_mutex_unlock(&pv->region_lock);
	if (reason)
		free(r);
	else
		*out = r;
	return reason;
}

static int region_register(struct pagemv *pv, uintptr_t addr, size_t bytes,
			   const struct pagemv_region_opts *opts,
			   struct pagemv_region **out,
			   enum pagemv_reason *reason)
{
	struct pagemv_region_opts o = { 0 };
	int rc = opts ? pmv_opts_copy(&o, sizeof(o), opts) : 0;

	*reason = PAGEMV_REASON_BAD_OPTIONS;
	if (rc < 0)
		return rc;
	if (!out || o.flags || o.reserved)
		return -EINVAL;
	if (!pmv_alive(pv)) {
		*reason = PAGEMV_REASON_FORKED;
		return -ESRCH;
	}
	*reason = range_reason(pv, addr, bytes);
	if (!*reason)
		*reason = region_add(pv, addr, bytes, out);
	/* An overlap with another region is a registration that exists. */
	if (*reason == PAGEMV_REASON_OVERLAP)
		return -EBUSY;
	return pmv_reason_errno(*reason);
}

int pagemv_region_register(struct pagemv *pv, void *addr, size_t len_bytes,
			   const struct pagemv_region_opts *opts,
			   struct pagemv_region **out,
			   enum pagemv_reason *reason)
{
	enum pagemv_reason why;
	int saved = errno, rc;

	if (!reason)
		reason = &why;
	*reason = PAGEMV_REASON_BAD_OPTIONS;
	if (!pv)
		return -EINVAL;
	rc = region_register(pv, (uintptr_t)addr, len_bytes, opts, out, reason);
	errno = saved;
	return rc;
}

int pagemv_region_unregister(struct pagemv_region *region)
{
	struct pagemv *pv;
	int saved = errno, rc;

	if (!region)
		return 0;
	pv = region->pv;
	if (!pmv_alive(pv))
		return -ESRCH;
	pthread_mutex_lock(&pv->region_lock);
	rc = table_remove(pv, region);
	if (rc == 0 && pmv_has(pv, PAGEMV_HAS_QUIET))
		pmv_uffd_unregister(pv->sys, pv->uffd, region->start,
				    region->end - region->start);
	pthread_mutex_unlock(&pv->region_lock);
	if (rc == 0)
		free(region);
	errno = saved;
	return rc;
}

static PMV_ATOMIC _Atomic unsigned int forks;

unsigned int pmv_forks(void)
{
	return atomic_load_explicit(&forks, memory_order_relaxed);
}

/* liburcu lets one thread through at a time. */
static void before_fork(void)
{
	PMV_RCU_BEFORE_FORK();
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void after_fork_parent(void)
{
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
	PMV_RCU_AFTER_FORK_PARENT();
}

static void after_fork_child(void)
{
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
	PMV_RCU_AFTER_FORK_CHILD();
}

/* Threads that were in a read-side section are not in the child. */
static void survive_fork(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

int pmv_regions_open(struct pagemv *pv, bool atfork)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct pmv_region_table *t;

	if (atfork)
		pthread_once(&once, survive_fork);
	t = table_new(0);
	if (!t)
		return -ENOMEM;
	atomic_init(&pv->regions, t);
	pthread_mutex_init(&pv->region_lock, NULL);
	return 0;
}

void pmv_regions_close(struct pagemv *pv)
{
	struct pmv_region_table *t = atomic_load(&pv->regions);

	/* Closing the userfaultfd is not enough: a child may have it open. */
	for (size_t i = 0; i < t->n; i++) {
		struct pagemv_region *r = t->regions[i];

		if (pv->uffd >= 0 && pmv_alive(pv))
			pmv_uffd_unregister(pv->sys, pv->uffd, r->start,
					    r->end - r->start);
		free(r);
	}
	free(t);
	pthread_mutex_destroy(&pv->region_lock);
}
