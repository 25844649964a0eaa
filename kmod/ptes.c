// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs of small pages: all that lies within one table of src and one of dst, up
 * to 512 pages under one pair of locks and with one flush of the TLB. remap.c
 * has the protocol.
 */
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/pagemap.h>
#include <linux/userfaultfd_k.h>

#include "core.h"

/*
 * struct run - entries of one table of either side
 * @nr: how many, at most
 * @present: how many were taken out that a TLB may know
 * @folio: of the first entry, where the run ended there: referenced, and for
 * RUN_LARGE locked
 */
struct run {
	const struct pmv_vmas *v;
	pte_t *dst_pte;
	pte_t *src_pte;
	unsigned long dst;
	unsigned long src;
	unsigned int nr;
	unsigned int present;
	struct folio *folio;
};

/* All callers take them by address, so no two wait for each other. */
void pmv_lock_pair(spinlock_t *a, spinlock_t *b)
	__acquires(a)
	__acquires(b)
{
	if (a > b)
		swap(a, b);
	spin_lock(a);
	if (a != b)
		spin_lock_nested(b, SINGLE_DEPTH_NESTING);
	else
		__acquire(b);
}

void pmv_unlock_pair(spinlock_t *a, spinlock_t *b)
	__releases(a)
	__releases(b)
{
	spin_unlock(a);
	if (a != b)
		spin_unlock(b);
	else
		__release(b);
}

/**
 * pmv_claim() - lock the folio of a page that is to leave its place
 * @c: the call
 * @vma: where it goes
 * @pte: its entry, present, whose lock is held
 *
 * Whether it is pinned has to be asked again when the entry is out.
 *
 * Return: 0 (exclusive, small and locked), RUN_LOCKED (not locked), RUN_LARGE
 * (locked, but large), RUN_FULL, -EAGAIN or -EBUSY (not locked).
 */
int pmv_claim(struct pmv_call *c, const struct vm_area_struct *vma, pte_t pte)
{
	struct page *page = pte_page(pte);
	struct folio *folio = page_folio(page);
	int ret = 0;

	if (!folio_test_anon(folio) || !PageAnonExclusive(page))
		return -EBUSY;
	/* No reference while a large one is waited for: it could not be split. */
	if (unlikely(!folio_trylock(folio)))
		return folio_test_large(folio) ? -EAGAIN : RUN_LOCKED;
	if (unlikely(folio_test_large(folio)))
		return RUN_LARGE;
	if (unlikely(folio_maybe_dma_pinned(folio)))
		ret = -EBUSY;
	else if (unlikely(!pmv_leave(c, folio, vma)))
		ret = RUN_FULL;
	if (unlikely(ret))
		folio_unlock(folio);
	return ret;
}

/**
 * pmv_stopped_at() - a run ends, at an entry that pmv_claim() refused
 * @i: which one of the run
 * @pte: the entry
 * @why: what pmv_claim() returned
 * @folio: if it is the first one, for pmv_make_way(): referenced, and for
 * RUN_LARGE still locked
 *
 * Return: @why.
 */
int pmv_stopped_at(unsigned int i, pte_t pte, int why, struct folio **folio)
{
	struct folio *mine;

	if (why != RUN_LOCKED && why != RUN_LARGE)
		return why;
	mine = page_folio(pte_page(pte));
	if (!i) {
		folio_get(mine);
		*folio = mine;
	} else if (why == RUN_LARGE) {
		folio_unlock(mine);
	}
	return why;
}

/*
 * Takes the entries out at src, as far as nothing is in the way; how many.
 * *why is what was in the way of the next one.
 */
static unsigned int take_out(struct pmv_call *c, struct run *r, int *why)
{
	const bool holes = c->mode & PAGEMVIO_MODE_ALLOW_SRC_HOLES;
	unsigned int i;

	for (i = 0; i < r->nr; i++) {
		pte_t pte = ptep_get(r->src_pte + i);

		*why = 0;
		if (unlikely(!pte_none(ptep_get(r->dst_pte + i))))
			*why = -EEXIST;
		else if (pte_none(pte))
			*why = holes ? 0 : -ENOENT;
		else if (!pte_present(pte))
			*why = RUN_ABSENT;
		else if (!pte_special(pte))
			*why = pmv_claim(c, r->v->dst, pte);
		else if (!is_zero_pfn(pte_pfn(pte)))
			*why = -EBUSY;
		if (unlikely(*why)) {
			*why = pmv_stopped_at(i, pte, *why, &r->folio);
			break;
		}
		c->old[i] = pte;
		if (pte_none(pte))
			continue;
		c->old[i] = ptep_get_and_clear(c->mm, r->src + i * PAGE_SIZE,
					       r->src_pte + i);
		r->present++;
	}
	return i;
}

/* A pin came between: this page and all behind it stay where they are. */
static void put_back(struct pmv_call *c, struct run *r, unsigned int i,
		     unsigned int taken)
{
	for (; i < taken; i++) {
		pte_t pte = c->old[i];

		if (pte_none(pte))
			continue;
		set_pte_at(c->mm, r->src + i * PAGE_SIZE, r->src_pte + i, pte);
		if (!pte_special(pte))
			folio_unlock(page_folio(pte_page(pte)));
	}
}

/*
 * Puts what was taken out in at dst; how many, fewer than @taken where a folio
 * has got pinned.
 */
static unsigned int put_in(struct pmv_call *c, struct run *r,
			   unsigned int taken)
{
	struct vm_area_struct *vma = r->v->dst;
	unsigned int holes = 0;
	unsigned int i;

	for (i = 0; i < taken; i++) {
		unsigned long addr = r->dst + i * PAGE_SIZE;
		pte_t old = c->old[i];
		struct folio *folio;

		if (pte_none(old)) {
			holes++;
			continue;
		}
		if (unlikely(pte_special(old))) {
			set_pte_at(c->mm, addr, r->dst_pte + i,
				   pmv_moved_zero(vma, old, addr));
			continue;
		}
		folio = page_folio(pte_page(old));
		if (unlikely(folio_maybe_dma_pinned(folio))) {
			put_back(c, r, i, taken);
			break;
		}
		pmv_rehome(folio, vma, addr);
		set_pte_at(c->mm, addr, r->dst_pte + i, pmv_moved_pte(vma, old));
		pmv_let_go(c, folio);
	}
	c->stats.holes += holes;
	c->stats.pages += i - holes;
	return i;
}

/* Under both locks. */
static unsigned int move_run(struct pmv_call *c, struct run *r, int *why)
{
	unsigned int taken = take_out(c, r, why);
	unsigned long end = r->src + taken * PAGE_SIZE;
	unsigned int moved;

	if (r->present)
		pmv_flush(c, r->src, end);
	/*
	 * Pairs with gup_fast, which takes its reference and then looks at the
	 * entry again: either it finds the entry gone or we find the pin.
	 */
	smp_mb();
	moved = put_in(c, r, taken);
	if (moved < taken)
		*why = -EBUSY;
	return moved;
}

/**
 * pmv_make_way() - do what pmv_claim() could not under the locks
 * @c: the call; no spinlock is held
 * @folio: for RUN_LOCKED and RUN_LARGE: referenced, and not any more on return
 * @why: what it returned
 *
 * Return: 0 (again), or an errno.
 */
int pmv_make_way(struct pmv_call *c, struct folio *folio, int why)
{
	int ret;

	switch (why) {
	case RUN_LOCKED:
		pmv_release(c);
		ret = folio_wait_locked_killable(folio);
		folio_put(folio);
		return ret ?: -EAGAIN;
	case RUN_LARGE:
		return pmv_split_folio(c, folio);
	case RUN_FULL:
		pmv_hand_over(c);
		return 0;
	default:
		return why;
	}
}

/* The first entry of a run is not one that can simply be taken. */
static long out_of_the_way(struct pmv_call *c, struct run *r, pmd_t *dst_pmd,
			   pmd_t *src_pmd, int why)
{
	if (why == RUN_ABSENT)
		return pmv_move_absent(c, r->v, dst_pmd, src_pmd, r->dst,
				       r->src);
	return pmv_make_way(c, r->folio, why);
}

/**
 * pmv_move_ptes() - move pages within one table of src and one of dst
 * @c: the call
 * @v: the mappings
 * @dst_pmd: points to the table of @dst
 * @src_pmd: points to the table of @src
 * @dst: where to
 * @src: where from
 * @bytes: at most
 *
 * Return: as step() in remap.c.
 */
long pmv_move_ptes(struct pmv_call *c, const struct pmv_vmas *v,
		   pmd_t *dst_pmd, pmd_t *src_pmd, unsigned long dst,
		   unsigned long src, unsigned long bytes)
{
	spinlock_t *dst_ptl = pte_lockptr(c->mm, dst_pmd);
	spinlock_t *src_ptl = pte_lockptr(c->mm, src_pmd);
	struct run r = {
		.v = v,
		.dst_pte = pte_offset_kernel(dst_pmd, dst),
		.src_pte = pte_offset_kernel(src_pmd, src),
		.dst = dst,
		.src = src,
		.nr = min_t(unsigned long, bytes >> PAGE_SHIFT, c->max_run),
	};
	unsigned int moved;
	int why = 0;

	r.nr = pmv_room(c, r.nr);
	if (!r.nr)
		return 0;
	pmv_lock_rmap(v->src);
	pmv_lock_pair(dst_ptl, src_ptl);
	moved = move_run(c, &r, &why);
	pmv_unlock_pair(dst_ptl, src_ptl);
	pmv_unlock_rmap(v->src);
	if (moved)
		return (long)moved << PAGE_SHIFT;
	return out_of_the_way(c, &r, dst_pmd, src_pmd, why);
}
