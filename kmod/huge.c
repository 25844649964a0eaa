// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages: whole where both sides allow it, else split. remap.c has the
 * protocol.
 */
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/swapops.h>
#include <linux/userfaultfd_k.h>

#include "core.h"

/* How often splitting a folio that others refer to is tried. */
#define SPLITS_MAX	64
/* When folios that wait to be put on the LRU lists are sent there. */
#define SPLITS_DRAIN	2

/*
 * struct huge - one huge page to be moved
 * @old: its entry, as it was taken out
 * @folio: NULL for the huge zero page
 */
struct huge {
	const struct pmv_vmas *v;
	pmd_t *dst_pmd;
	pmd_t *src_pmd;
	unsigned long dst;
	unsigned long src;
	pmd_t old;
	struct folio *folio;
};

/* What is done when the locks are dropped. */
enum {
	HUGE_MIGRATES = 1,
	HUGE_LOCKED,
	HUGE_FULL,
};

/* Or it migrates; anything else than a table. */
bool pmv_is_huge(pmd_t pmd)
{
	return pmd_trans_huge(pmd) || is_swap_pmd(pmd);
}

static bool fits(pmd_t dst, unsigned long dst_addr, unsigned long src_addr,
		 unsigned long len)
{
	return pmd_none(dst) && len >= HPAGE_PMD_SIZE &&
	       !((dst_addr | src_addr) & ~HPAGE_PMD_MASK);
}

/*
 * 0: exclusive, and the folio is locked now. For HUGE_LOCKED it is referenced.
 */
static int claim(struct pmv_call *c, struct huge *h, pmd_t pmd)
{
	struct page *page = pmd_page(pmd);
	struct folio *folio = page_folio(page);

	if (pmv_is_huge_zero(pmd))
		return 0;
	if (!folio_test_anon(folio) || !PageAnonExclusive(page))
		return -EBUSY;
	h->folio = folio;
	if (!folio_trylock(folio)) {
		folio_get(folio);
		return HUGE_LOCKED;
	}
	if (folio_maybe_dma_pinned(folio)) {
		folio_unlock(folio);
		return -EBUSY;
	}
	if (!pmv_leave(c, folio, h->v->dst)) {
		folio_unlock(folio);
		return HUGE_FULL;
	}
	return 0;
}

static pmd_t moved_pmd(const struct vm_area_struct *dst, pmd_t old)
{
	pmd_t pmd = pmd_mkhuge(mk_pmd(pmd_page(old), dst->vm_page_prot));

	if (!pmv_is_huge_zero(old)) {
		pmd = pmd_mksoft_dirty(pmv_pmd_mkwrite(pmd));
		if (pmd_dirty(old))
			pmd = pmd_mkdirty(pmd);
	}
	if (pmd_uffd_wp(old) && pmv_can_unprotect(dst))
		pmd = pmd_mkuffd_wp(pmd_wrprotect(pmd));
	return pmd;
}

/* Both sides of an exchange have a table to be split into, and keep it. */
static void set_moved(struct pmv_call *c, struct huge *h)
{
	if (h->folio)
		pmv_rehome(h->folio, h->v->dst, h->dst);
	set_pmd_at(c->mm, h->dst, h->dst_pmd, moved_pmd(h->v->dst, h->old));
	c->stats.huge_pages++;
}

/* The table that the entry would be split into goes with it. */
static void put_in(struct pmv_call *c, struct huge *h)
{
	struct mm_struct *mm = c->mm;
	pgtable_t table;

	set_moved(c, h);
	table = pmv_call(pgtable_trans_huge_withdraw)(mm, h->src_pmd);
	pmv_call(pgtable_trans_huge_deposit)(mm, h->dst_pmd, table);
	if (h->folio)
		pmv_let_go(c, h->folio);
}

/* Under both locks: 0, HUGE_* or an errno. */
static int move_whole(struct pmv_call *c, struct huge *h)
{
	pmd_t pmd = *h->src_pmd;
	int ret;

	if (!pmd_none(*h->dst_pmd))
		return -EAGAIN;
	if (is_pmd_migration_entry(pmd))
		return HUGE_MIGRATES;
	if (!pmd_trans_huge(pmd))
		return -EAGAIN;
	ret = claim(c, h, pmd);
	if (ret)
		return ret;
	h->old = pmdp_huge_get_and_clear(c->mm, h->src, h->src_pmd);
	pmv_flush(c, h->src, h->src + HPAGE_PMD_SIZE);
	smp_mb(); /* pairs with gup_fast, as in ptes.c */
	if (h->folio && folio_maybe_dma_pinned(h->folio)) {
		set_pmd_at(c->mm, h->src, h->src_pmd, h->old);
		folio_unlock(h->folio);
		return -EBUSY;
	}
	put_in(c, h);
	return 0;
}

static long out_of_the_way(struct pmv_call *c, struct huge *h, int why)
{
	int ret;

	switch (why) {
	case HUGE_MIGRATES:
		pmv_release(c);
		pmv_call(pmd_migration_entry_wait)(c->mm, h->src_pmd);
		return -EAGAIN;
	case HUGE_LOCKED:
		pmv_release(c);
		ret = folio_wait_locked_killable(h->folio);
		folio_put(h->folio);
		return ret ?: -EAGAIN;
	case HUGE_FULL:
		pmv_hand_over(c);
		return 0;
	default:
		return why;
	}
}

/**
 * pmv_split_pmd() - have a table where a huge page is, at one address
 * @c: the call
 * @vma: the mapping
 * @pmd: its entry, seen to be huge
 * @addr: in it
 *
 * The folio stays large, and is split when its first page is met.
 *
 * Return: 0 (again), -EAGAIN (a race: again), -EBUSY (shared).
 */
int pmv_split_pmd(struct pmv_call *c, struct vm_area_struct *vma, pmd_t *pmd,
		  unsigned long addr)
{
	spinlock_t *ptl = pmd_lock(c->mm, pmd);
	bool huge = pmd_trans_huge(*pmd);
	bool migrates = is_pmd_migration_entry(*pmd);
	bool zero = huge && pmv_is_huge_zero(*pmd);
	bool shared = huge && !zero && !PageAnonExclusive(pmd_page(*pmd));

	spin_unlock(ptl);
	if (shared)
		return -EBUSY;
	if (!huge && !migrates)
		return -EAGAIN;
	pmv_release(c);
	if (migrates) {
		pmv_call(pmd_migration_entry_wait)(c->mm, pmd);
		return -EAGAIN;
	}
	pmv_call(__split_huge_pmd)(vma, pmd, addr, false, NULL);
	c->stats.splits += zero;
	return 0;
}

/**
 * pmv_split_folio() - have small folios where one page of a large one was met
 * @c: the call; mmap_lock is held
 * @folio: locked and referenced; neither any more on return
 *
 * Others that refer to it make it fail: mostly the lists of folios that wait to
 * be put on the LRU, else whoever looks at it just now, but also a pin.
 *
 * Return: 0 or -EAGAIN (again), -EBUSY (not to be split).
 */
int pmv_split_folio(struct pmv_call *c, struct folio *folio)
{
	bool pinned = folio_maybe_dma_pinned(folio);
	int ret = -EBUSY;

	pmv_release(c);
	if (!pinned)
		ret = pmv_call(PMV_SPLIT_FUNCTION)(PMV_SPLIT_ARGS(folio));
	folio_unlock(folio);
	folio_put(folio);
	if (!ret) {
		c->stats.splits++;
		c->split_tries = 0;
		return 0;
	}
	if (pinned || (ret != -EAGAIN && ret != -EBUSY))
		return ret;
	if (++c->split_tries == SPLITS_DRAIN)
		pmv_call(lru_add_drain_all)();
	return c->split_tries < SPLITS_MAX ? -EAGAIN : -EBUSY;
}

/**
 * pmv_move_huge() - move a huge page, or make it smaller
 * @c: the call
 * @v: the mappings
 * @dst_pmd: entry of @dst
 * @src_pmd: entry of @src, seen to be huge or migrating
 * @dst: where to
 * @src: where from
 * @len: bytes left
 *
 * Return: as step() in remap.c.
 */
long pmv_move_huge(struct pmv_call *c, const struct pmv_vmas *v,
		   pmd_t *dst_pmd, pmd_t *src_pmd, unsigned long dst,
		   unsigned long src, unsigned long len)
{
	struct huge h = {
		.v = v,
		.dst_pmd = dst_pmd,
		.src_pmd = src_pmd,
		.dst = dst,
		.src = src,
	};
	spinlock_t *dst_ptl = pmd_lockptr(c->mm, dst_pmd);
	spinlock_t *src_ptl = pmd_lockptr(c->mm, src_pmd);
	int why;

	if (!fits(READ_ONCE(*dst_pmd), dst, src, len))
		return pmv_split_pmd(c, v->src, src_pmd, src);
	if (!pmv_room(c, 1))
		return 0;
	pmv_lock_rmap(v->src);
	pmv_lock_pair(dst_ptl, src_ptl);
	why = move_whole(c, &h);
	pmv_unlock_pair(dst_ptl, src_ptl);
	pmv_unlock_rmap(v->src);
	return why ? out_of_the_way(c, &h, why) : HPAGE_PMD_SIZE;
}

static void unclaim(struct huge *h)
{
	if (h->folio)
		folio_unlock(h->folio);
}

static bool pinned(const struct huge *h)
{
	return h->folio && folio_maybe_dma_pinned(h->folio);
}

static int claim_seen(struct pmv_call *c, struct huge *h)
{
	pmd_t pmd = *h->src_pmd;

	if (is_pmd_migration_entry(pmd))
		return HUGE_MIGRATES;
	return pmd_trans_huge(pmd) ? claim(c, h, pmd) : -EAGAIN;
}

/* Under all locks, both claimed: 0 or -EBUSY. */
static int exchange_whole(struct pmv_call *c, struct huge *x, struct huge *y)
{
	int ret = 0;

	x->old = pmdp_huge_get_and_clear(c->mm, x->src, x->src_pmd);
	y->old = pmdp_huge_get_and_clear(c->mm, y->src, y->src_pmd);
	pmv_flush_now(c, min(x->src, y->src),
		      max(x->src, y->src) + HPAGE_PMD_SIZE);
	smp_mb(); /* pairs with gup_fast, as in ptes.c */
	if (pinned(x) || pinned(y)) {
		set_pmd_at(c->mm, x->src, x->src_pmd, x->old);
		set_pmd_at(c->mm, y->src, y->src_pmd, y->old);
		ret = -EBUSY;
	} else {
		set_moved(c, x);
		set_moved(c, y);
	}
	unclaim(x);
	unclaim(y);
	return ret;
}

/**
 * pmv_exchange_huge() - exchange two huge pages
 * @c: the call
 * @v: the mappings, of @a as dst and of @b as src
 * @a_pmd: entry of @a, seen to be huge or migrating like the other
 * @b_pmd: entry of @b
 * @a: whole huge pages
 * @b: the other
 *
 * Return: as step() in remap.c.
 */
long pmv_exchange_huge(struct pmv_call *c, const struct pmv_vmas *v,
		       pmd_t *a_pmd, pmd_t *b_pmd, unsigned long a,
		       unsigned long b)
{
	const struct pmv_vmas back = { .dst = v->src, .src = v->dst };
	struct huge x = {
		.v = v, .dst_pmd = a_pmd, .src_pmd = b_pmd, .dst = a, .src = b,
	};
	struct huge y = {
		.v = &back, .dst_pmd = b_pmd, .src_pmd = a_pmd, .dst = b,
		.src = a,
	};
	spinlock_t *a_ptl = pmd_lockptr(c->mm, a_pmd);
	spinlock_t *b_ptl = pmd_lockptr(c->mm, b_pmd);
	struct huge *way = &x;
	int why;

	if (!pmv_lock_rmaps(v))
		return -EAGAIN;
	pmv_lock_pair(a_ptl, b_ptl);
	why = claim_seen(c, &x);
	if (!why) {
		way = &y;
		why = claim_seen(c, &y);
		if (why)
			unclaim(&x);
		else
			why = exchange_whole(c, &x, &y);
	}
	pmv_unlock_pair(a_ptl, b_ptl);
	pmv_unlock_rmaps(v);
	return why ? out_of_the_way(c, way, why) : HPAGE_PMD_SIZE;
}
