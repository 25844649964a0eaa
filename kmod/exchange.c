// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two ranges exchange what they hold: pages, swapped out or not, zero pages and
 * nothing. Entry by entry both come out and both go in again under the locks of
 * both, so nobody who looks finds a page twice or nowhere. Otherwise it is two
 * moves, and remap.c has the protocol.
 */
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/pagemap.h>
#include <linux/swapops.h>

#include "core.h"

/*
 * struct side - what is exchanged of one of the ranges
 * @old: its entries, as they were taken out
 * @present: how many of them a TLB may know
 * @swapped: the first one was seen to be @seen, a swap entry held by @swap
 */
struct side {
	struct vm_area_struct *vma;
	pmd_t *pmd;
	pte_t *pte;
	unsigned long addr;
	pte_t *old;
	unsigned int present;
	bool swapped;
	pte_t seen;
	struct pmv_swap swap;
};

/*
 * struct pair - entries of one table of either range
 * @nr: how many
 * @folio: for pmv_make_way()
 */
struct pair {
	struct side a;
	struct side b;
	unsigned int nr;
	struct folio *folio;
};

static bool is_page(pte_t pte)
{
	return pte_present(pte) && !pte_special(pte);
}

static void unclaim(pte_t pte)
{
	if (is_page(pte))
		folio_unlock(page_folio(pte_page(pte)));
}

/* 0: entry @i, which is @pte, can be taken out to go to @to; as pmv_claim() otherwise. */
static int claim(struct pmv_call *c, struct side *s, unsigned int i, pte_t pte,
		 const struct vm_area_struct *to)
{
	if (pte_none(pte))
		return 0;
	if (is_page(pte))
		return pmv_claim(c, to, pte);
	if (pte_present(pte))
		return is_zero_pfn(pte_pfn(pte)) ? 0 : -EBUSY;
	if (!s->swapped || i)
		return RUN_ABSENT;
	if (!pte_same(pte, s->seen) || !pmv_swap_steady(&s->swap))
		return -EAGAIN;
	return pmv_swap_leave(c, &s->swap, to) ? 0 : RUN_FULL;
}

static int claim_both(struct pmv_call *c, struct pair *p, unsigned int i)
{
	pte_t a = ptep_get(p->a.pte + i);
	pte_t b = ptep_get(p->b.pte + i);
	int why = claim(c, &p->a, i, a, p->b.vma);

	if (why)
		return pmv_stopped_at(i, a, why, &p->folio);
	why = claim(c, &p->b, i, b, p->a.vma);
	if (why) {
		unclaim(a);
		return pmv_stopped_at(i, b, why, &p->folio);
	}
	return 0;
}

static void take_out(struct pmv_call *c, struct side *s, unsigned int i)
{
	s->old[i] = ptep_get(s->pte + i);
	if (pte_none(s->old[i]))
		return;
	s->old[i] = ptep_get_and_clear(c->mm, s->addr + i * PAGE_SIZE,
				       s->pte + i);
	s->present += pte_present(s->old[i]);
}

static void put_back(struct pmv_call *c, struct side *s, unsigned int i)
{
	if (pte_none(s->old[i]))
		return;
	set_pte_at(c->mm, s->addr + i * PAGE_SIZE, s->pte + i, s->old[i]);
	unclaim(s->old[i]);
}

static bool pinned(const struct side *s, unsigned int i)
{
	pte_t pte = s->old[i];

	return is_page(pte) && folio_maybe_dma_pinned(page_folio(pte_page(pte)));
}

static void put_in(struct pmv_call *c, struct side *from, struct side *to,
		   unsigned int i)
{
	unsigned long addr = to->addr + i * PAGE_SIZE;
	pte_t pte = from->old[i];

	if (pte_none(pte)) {
		c->stats.holes++;
		return;
	}
	if (!pte_present(pte)) {
		pmv_swap_rehome(&from->swap, to->vma, addr);
		set_pte_at(c->mm, addr, to->pte + i,
			   pmv_swap_pte(to->vma, pte));
		c->stats.swap_entries++;
		return;
	}
	c->stats.pages++;
	if (pte_special(pte)) {
		set_pte_at(c->mm, addr, to->pte + i,
			   pmv_moved_zero(to->vma, pte, addr));
		return;
	}
	pmv_rehome(page_folio(pte_page(pte)), to->vma, addr);
	set_pte_at(c->mm, addr, to->pte + i, pmv_moved_pte(to->vma, pte));
	unclaim(pte);
}

/* One flush for both, of all that lies between: mostly the whole TLB. */
static void flush(struct pmv_call *c, const struct pair *p, unsigned int nr)
{
	unsigned long bytes = nr * PAGE_SIZE;
	unsigned long start = min(p->a.addr, p->b.addr);
	unsigned long end = max(p->a.addr, p->b.addr) + bytes;

	if (!p->b.present)
		pmv_flush_now(c, p->a.addr, p->a.addr + bytes);
	else if (!p->a.present)
		pmv_flush_now(c, p->b.addr, p->b.addr + bytes);
	else
		pmv_flush_now(c, start, end);
}

/* Under all locks; how many were exchanged. */
static unsigned int exchange(struct pmv_call *c, struct pair *p, int *why)
{
	unsigned int taken;
	unsigned int i;

	for (taken = 0; taken < p->nr; taken++) {
		*why = claim_both(c, p, taken);
		if (*why)
			break;
		take_out(c, &p->a, taken);
		take_out(c, &p->b, taken);
	}
	if (p->a.present || p->b.present)
		flush(c, p, taken);
	smp_mb(); /* pairs with gup_fast, as in ptes.c */
	for (i = 0; i < taken; i++) {
		if (pinned(&p->a, i) || pinned(&p->b, i))
			break;
		put_in(c, &p->a, &p->b, i);
		put_in(c, &p->b, &p->a, i);
	}
	if (i == taken)
		return taken;
	for (taken -= i; taken--;) {
		put_back(c, &p->a, i + taken);
		put_back(c, &p->b, i + taken);
	}
	*why = -EBUSY;
	return i;
}

/*
 * The second one is only tried: who registers an MMU notifier takes all of an
 * address space, in the order of its mappings, and after a fork they are ours.
 */
bool pmv_lock_rmaps(const struct pmv_vmas *v)
{
	struct anon_vma *a = v->dst->anon_vma;
	struct anon_vma *b = v->src->anon_vma;

	anon_vma_lock_write(a);
	if (a->root == b->root || down_write_trylock(&b->root->rwsem))
		return true;
	anon_vma_unlock_write(a);
	return false;
}

void pmv_unlock_rmaps(const struct pmv_vmas *v)
{
	struct anon_vma *a = v->dst->anon_vma;
	struct anon_vma *b = v->src->anon_vma;

	if (a->root != b->root)
		anon_vma_unlock_write(b);
	anon_vma_unlock_write(a);
}

static long exchange_locked(struct pmv_call *c, const struct pmv_vmas *v,
			    struct pair *p, int *why)
{
	spinlock_t *a = pte_lockptr(c->mm, p->a.pmd);
	spinlock_t *b = pte_lockptr(c->mm, p->b.pmd);
	unsigned int done;

	if (!pmv_lock_rmaps(v)) {
		*why = -EAGAIN;
		return 0;
	}
	pmv_lock_pair(a, b);
	if (p->a.swapped || p->b.swapped)
		pmv_flush_batched(c->mm);
	done = exchange(c, p, why);
	pmv_unlock_pair(a, b);
	pmv_unlock_rmaps(v);
	return (long)done << PAGE_SHIFT;
}

/* Holds the swap entry of one side, if it is one. */
static int hold_swapped(struct pmv_call *c, struct side *s, bool wait)
{
	int ret;

	s->seen = ptep_get(s->pte);
	if (pte_none(s->seen) || pte_present(s->seen))
		return 0;
	ret = pmv_absent(c, s->pmd, s->seen, s->addr);
	if (!ret)
		ret = pmv_swap_claim(c, s->seen, wait, &s->swap);
	s->swapped = !ret;
	return ret;
}

/* The first entries, of which at least one is neither a page nor nothing. */
static long exchange_absent(struct pmv_call *c, const struct pmv_vmas *v,
			    struct pair *p)
{
	long done = 0;
	int why;

	p->nr = 1;
	why = hold_swapped(c, &p->a, true);
	if (!why)
		why = hold_swapped(c, &p->b, false);
	if (!why)
		done = exchange_locked(c, v, p, &why);
	if (p->a.swapped)
		pmv_swap_let_go(&p->a.swap);
	if (p->b.swapped)
		pmv_swap_let_go(&p->b.swap);
	if (done)
		return done;
	return pmv_make_way(c, p->folio, why == RUN_ABSENT ? -EAGAIN : why);
}

static long exchange_ptes(struct pmv_call *c, const struct pmv_vmas *v,
			  pmd_t *a_pmd, pmd_t *b_pmd, unsigned long a,
			  unsigned long b, unsigned long bytes)
{
	const unsigned int half = c->max_run / 2;
	struct pair p = {
		.a = {
			.vma = v->dst,
			.pmd = a_pmd,
			.pte = pte_offset_kernel(a_pmd, a),
			.addr = a,
			.old = c->old,
		},
		.b = {
			.vma = v->src,
			.pmd = b_pmd,
			.pte = pte_offset_kernel(b_pmd, b),
			.addr = b,
			.old = c->old + half,
		},
		.nr = min_t(unsigned long, bytes >> PAGE_SHIFT, half),
	};
	int why = 0;
	long done = exchange_locked(c, v, &p, &why);

	if (done)
		return done;
	if (why == RUN_ABSENT)
		return exchange_absent(c, v, &p);
	return pmv_make_way(c, p.folio, why);
}

/* 0: there is a table now, or something huge. */
static int have_table(struct pmv_call *c, pmd_t **pmd, unsigned long addr)
{
	if (!*pmd)
		*pmd = pmv_alloc_pmd(c->mm, addr);
	if (!*pmd)
		return -ENOMEM;
	if (pmd_none(READ_ONCE(**pmd)) && pmv_call(__pte_alloc)(c->mm, *pmd))
		return -ENOMEM;
	return 0;
}

static pmd_t seen(pmd_t *pmd)
{
	return pmd ? READ_ONCE(*pmd) : __pmd(0);
}

/* At least one side was seen to be huge; where there is no entry, nothing. */
static long exchange_huge(struct pmv_call *c, const struct pmv_vmas *v,
			  pmd_t *a_pmd, pmd_t a_seen, pmd_t *b_pmd,
			  pmd_t b_seen, unsigned long a, unsigned long b,
			  unsigned long len)
{
	const struct pmv_vmas back = { .dst = v->src, .src = v->dst };

	if ((a | b) & ~HPAGE_PMD_MASK || len < HPAGE_PMD_SIZE)
		goto split;
	if (pmd_none(a_seen)) {
		a_pmd = a_pmd ?: pmv_alloc_pmd(c->mm, a);
		return a_pmd ? pmv_move_huge(c, v, a_pmd, b_pmd, a, b, len) :
			       -ENOMEM;
	}
	if (pmd_none(b_seen)) {
		b_pmd = b_pmd ?: pmv_alloc_pmd(c->mm, b);
		return b_pmd ? pmv_move_huge(c, &back, b_pmd, a_pmd, b, a, len) :
			       -ENOMEM;
	}
	if (pmv_is_huge(a_seen) && pmv_is_huge(b_seen))
		return pmv_exchange_huge(c, v, a_pmd, b_pmd, a, b);
split:
	if (pmv_is_huge(a_seen))
		return pmv_split_pmd(c, v->dst, a_pmd, a);
	return pmv_split_pmd(c, v->src, b_pmd, b);
}

/**
 * pmv_exchange_step() - exchange some of what is left
 * @c: the call
 * @v: the mappings, of @a as dst and of @b as src
 * @a: the one
 * @b: the other
 * @bytes: to the end of a table of either side
 * @len: to the end of the ranges
 *
 * Return: as step() in remap.c.
 */
long pmv_exchange_step(struct pmv_call *c, const struct pmv_vmas *v,
		       unsigned long a, unsigned long b, unsigned long bytes,
		       unsigned long len)
{
	pmd_t *a_pmd = pmv_find_pmd(c->mm, a);
	pmd_t *b_pmd = pmv_find_pmd(c->mm, b);
	pmd_t a_seen = seen(a_pmd);
	pmd_t b_seen = seen(b_pmd);

	if (pmd_none(a_seen) && pmd_none(b_seen)) {
		c->stats.holes += 2 * (bytes >> PAGE_SHIFT);
		return bytes;
	}
	if (pmv_is_huge(a_seen) || pmv_is_huge(b_seen))
		return exchange_huge(c, v, a_pmd, a_seen, b_pmd, b_seen, a, b,
				     len);
	if (have_table(c, &a_pmd, a) || have_table(c, &b_pmd, b))
		return -ENOMEM;
	if (!pmv_is_table(READ_ONCE(*a_pmd)) ||
	    !pmv_is_table(READ_ONCE(*b_pmd)))
		return -EAGAIN;
	return exchange_ptes(c, v, a_pmd, b_pmd, a, b, bytes);
}

/**
 * pmv_exchange() - exchange the pages of two ranges
 * @mm: current->mm
 * @a: the one, checked by pmv_check_range() like @b
 * @b: the other; they do not overlap
 * @len: bytes of each
 * @keep: of the descriptor
 * @stats: what was done
 *
 * Context: may sleep; takes mmap_lock for reading, and drops it now and then.
 * Return: bytes from the start that changed places, or the errno where none did.
 */
ssize_t pmv_exchange(struct mm_struct *mm, unsigned long a, unsigned long b,
		     unsigned long len, struct pmv_keep *keep,
		     struct pmv_stats *stats)
{
	struct pmv_span spans[2];
	struct pmv_call c;
	ssize_t ret;

	pmv_call_init(&c, mm, PAGEMVIO_MODE_ALLOW_SRC_HOLES);
	c.keep = keep;
	c.both = true;
	c.spans = spans;
	c.max_spans = ARRAY_SIZE(spans);
	if (len > PMV_RUN_SMALL / 2 * PAGE_SIZE)
		pmv_call_long_runs(&c);
	ret = pmv_move_range(&c, a, b, len);
	pmv_call_end(&c);
	*stats = c.stats;
	return ret;
}
