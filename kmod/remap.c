// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving pages of private anonymous memory from one address to another of the
 * same process: the page itself goes, nothing is copied. This file has what all
 * forms of it share; ptes.c moves small pages, huge.c huge ones, swap.c what is
 * swapped out, vector.c many ranges, exchange.c two ranges for each other.
 *
 * Locks, in this order
 *
 *   mmap_lock, for reading. Keeps the mappings, their anon_vmas and all page
 *     tables; shuts out fork, munmap, mremap, mprotect and khugepaged. Dropped
 *     between two runs when somebody waits for it, and all is looked up again.
 *   MMU notifiers are told, in the form that may sleep, of all that is left of a
 *     range before its first entry is touched, and of the end after the flush.
 *   The anon_vma of src (its root), for writing.
 *   The locks of the two page tables, the one at the lower address first.
 *   Folio locks, tried only. When a try fails everything above but mmap_lock is
 *     dropped, what was moved is finished, the lock is waited for without any
 *     other being held, and the run begins again.
 *
 * Elsewhere a folio lock comes before the anon_vma's; who tries only can take
 * them in any order. Folios that a vector holds (below) are locked while anon_vma
 * locks are waited for: that is the usual order. They are unlocked before anything
 * waits for a folio, so two calls never wait for each other.
 *
 * What is looked at again
 *
 * An entry of a page is read, judged and taken out under both page table locks
 * at once, so there is nothing to compare afterwards. Three things cannot be
 * known then. A pin: gup_fast() takes no lock. It takes its reference, and then
 * looks whether the entry is still there; we take the entry out, and then look
 * for pins, with full barriers between on both sides. One of the two sees the
 * other. If it is us, the page goes back to where it was and is -EBUSY. A swap
 * entry's folio is found without locks: it is locked, asked whether it still is
 * that entry's, and the entry is compared under the locks. An entry of the upper
 * level that is not a table may change at any time: it is judged under its lock.
 *
 * Walkers of the reverse mapping
 *
 * Most hold the folio's lock, as we do. folio_referenced() and its like do not:
 * they come over the anon_vma that folio->mapping names, whose lock we hold for
 * writing until the folio is where it goes. A walker that has read folio->mapping
 * before us and locks after us finds the mapping changed (Linux 6.8 and later
 * look again, and a kernel with this built in; compat/keep.c for 6.1 to 6.7). One
 * that comes over the new anon_vma waits for the lock of dst's table.
 *
 * Translations that are left over
 *
 * A single range, and an exchange: entries are taken out, the TLBs flushed, and
 * only then do the pages show at dst, all under the locks. Once somebody can see
 * a page at dst, nobody reaches it at src. Nothing can free a page in between:
 * its entry is nowhere, and the lock that would be needed to remove it is ours.
 *
 * A vector has one flush for all: pages show at dst first, and some processor
 * may still use the old translation until the call ends (pmv_release()). Stores
 * through it are not lost, they go to the page. For that time its folio is
 *   - referenced: MADV_DONTNEED of dst cannot free it;
 *   - locked: not swapped out, migrated, merged or moved on. All of these would
 *     take it for unreachable after flushing dst;
 * and the process is counted in tlb_flush_pending: MADV_FREE, UFFDIO_WRITEPROTECT
 * and whatever else gathers flushes under mmap_lock flush everything then, also
 * src. What needs mmap_lock for writing waits, and we flush before we drop it.
 * At most PMV_HOLD_MAX folios; then there is a flush in between.
 *
 * Progress
 *
 * A round that moves nothing has lost a race (-EAGAIN) or cleared something away
 * (0). From the 17th on it sleeps with no lock held, and after the 256th in a row
 * the range ends with EAGAIN. A count is given only for what is at dst.
 */
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/userfaultfd_k.h>

#include "core.h"

/* Rounds without a page moved before a range ends with EAGAIN. */
#define TRIES_MAX	256
/* From then on each round sleeps, with no lock held. */
#define TRIES_AWAKE	16

/*
 * Page tables. mmap_lock, which is held for reading, keeps every table of an
 * anonymous mapping where it is: they are freed by munmap() and mremap(), and
 * given up to a huge page by khugepaged, which all hold it for writing. So an
 * entry that was seen to point to a table does so until the lock is dropped.
 */

/* NULL: there is no table of the level above. */
pmd_t *pmv_find_pmd(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	if (!pgd_present(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (!p4d_present(*p4d))
		return NULL;
	pud = pud_offset(p4d, addr);
	if (!pud_present(*pud))
		return NULL;
	return pmd_offset(pud, addr);
}

pmd_t *pmv_alloc_pmd(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(*pgd) && pmv_p4d_alloc(mm, pgd, addr))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(*p4d) && pmv_call(__pud_alloc)(mm, p4d, addr))
		return NULL;
	pud = pud_offset(p4d, addr);
	if (pud_none(*pud) && pmv_call(__pmd_alloc)(mm, pud, addr))
		return NULL;
	return pmd_offset(pud, addr);
}

/* MMU notifiers. */

void pmv_announce(struct pmv_call *c, unsigned long start, unsigned long end)
{
	struct mmu_notifier_range range;

	c->announced = true;
	if (!mm_has_notifiers(c->mm))
		return;
	if (c->nr_spans == c->max_spans)
		pmv_release(c);
	c->announced = true;
	c->spans[c->nr_spans].start = start;
	c->spans[c->nr_spans++].end = end;
	pmv_notifier_init(&range, c->mm, start, end);
	pmv_notifier_start(&range);
}

static void denounce(struct pmv_call *c)
{
	struct mmu_notifier_range range;

	while (c->nr_spans) {
		const struct pmv_span *span = &c->spans[--c->nr_spans];

		pmv_notifier_init(&range, c->mm, span->start, span->end);
		pmv_notifier_end(&range);
	}
	c->announced = false;
}

/*
 * How many of @pages folios can be held until the flush; 0: none just now, and
 * the flush was done to make room. Before the locks of entries that are to be
 * taken out: who frees pages of this process meanwhile, or write-protects them,
 * finds tlb_flush_pending and flushes more than its own.
 */
unsigned int pmv_room(struct pmv_call *c, unsigned int pages)
{
	if (!c->held)
		return pages;
	if (c->nr_held == c->max_held) {
		pmv_release(c);
		return 0;
	}
	if (!c->counted) {
		inc_tlb_flush_pending(c->mm);
		c->counted = true;
	}
	return min(pages, c->max_held - c->nr_held);
}

/* Entries were taken out: flushed here and now, or with the others. */
void pmv_flush(struct pmv_call *c, unsigned long start, unsigned long end)
{
	if (!c->held) {
		pmv_flush_now(c, start, end);
		return;
	}
	if (c->flush_start == c->flush_end) {
		c->flush_start = start;
		c->flush_end = end;
		return;
	}
	c->flush_start = min(c->flush_start, start);
	c->flush_end = max(c->flush_end, end);
}

/* With the page table locks held, or from pmv_release(). */
void pmv_flush_now(struct pmv_call *c, unsigned long start, unsigned long end)
{
	pmv_call(flush_tlb_mm_range)(c->mm, start, end, PAGE_SHIFT, false);
	pmv_notifier_flush(c->mm, start, end);
	c->stats.flushes++;
}

/**
 * pmv_release() - finish what was moved so far
 * @c: the call; mmap_lock is held
 *
 * One flush for all that was taken out since the last one; then nothing reaches
 * a page through its old address, and the folios may go on with their lives.
 * Before anything that waits for a folio.
 */
void pmv_release(struct pmv_call *c)
{
	if (c->flush_start != c->flush_end) {
		pmv_flush_now(c, c->flush_start, c->flush_end);
		c->flush_start = 0;
		c->flush_end = 0;
	}
	if (c->counted) {
		dec_tlb_flush_pending(c->mm);
		c->counted = false;
	}
	denounce(c);
	while (c->nr_held) {
		struct folio *folio = c->held[--c->nr_held];

		folio_unlock(folio);
		folio_put(folio);
	}
}

static void leave(struct pmv_call *c)
{
	pmv_release(c);
	mmap_read_unlock(c->mm);
	c->locked = false;
}

/* Gives way: to a writer that waits for mmap_lock, to another task. */
void pmv_breathe(struct pmv_call *c)
{
	if (mmap_lock_is_contended(c->mm))
		leave(c);
	cond_resched();
}

void pmv_back_off(struct pmv_call *c, unsigned int tries)
{
	c->stats.retries++;
	pmv_release(c);
	if (tries <= TRIES_AWAKE)
		return;
	leave(c);
	schedule_timeout_killable(1);
}

static bool movable(const struct vm_area_struct *vma)
{
	return vma_is_anonymous((struct vm_area_struct *)vma) &&
	       !(vma->vm_flags & (VM_SHARED | VM_PFNMAP | VM_IO | VM_HUGETLB |
				  VM_MIXEDMAP | PMV_VM_SHADOW_STACK));
}

/* The rules of UFFDIO_MOVE, without that of the registration. */
static bool alike(const struct vm_area_struct *a,
		  const struct vm_area_struct *b)
{
	const vm_flags_t same = VM_ACCESS_FLAGS | VM_LOCKED;

	return !((a->vm_flags ^ b->vm_flags) & same) &&
	       pgprot_val(a->vm_page_prot) == pgprot_val(b->vm_page_prot) &&
	       a->vm_flags & VM_WRITE;
}

static struct vm_area_struct *mapping_at(struct mm_struct *mm,
					 unsigned long addr)
{
	struct vm_area_struct *vma = find_vma(mm, addr);

	return vma && vma->vm_start <= addr ? vma : NULL;
}

/**
 * pmv_enter() - have mmap_lock and the two mappings of what is left of a range
 * @c: the call
 * @v: the mappings
 * @dst: where to
 * @src: where from
 * @len: bytes left
 *
 * Context: takes mmap_lock where @c does not have it; may sleep.
 * Return: 0, -ENOENT (not mapped), -EINVAL (not to be moved), -ENOMEM, -EINTR,
 * or what the guard says. On error mmap_lock may be held: pmv_call_end().
 */
int pmv_enter(struct pmv_call *c, struct pmv_vmas *v, unsigned long dst,
	      unsigned long src, unsigned long len)
{
	if (!c->locked) {
		if (mmap_read_lock_killable(c->mm))
			return -EINTR;
		c->locked = true;
	}
	v->dst = mapping_at(c->mm, dst);
	if (!v->dst)
		return -ENOENT;
	v->src = mapping_at(c->mm, src);
	if (!v->src)
		return -ENOENT;
	if (len > v->dst->vm_end - dst || len > v->src->vm_end - src ||
	    !movable(v->dst) || !movable(v->src) || !alike(v->dst, v->src))
		return -EINVAL;
	if (!v->dst->anon_vma && pmv_call(__anon_vma_prepare)(v->dst))
		return -ENOMEM;
	/* Its lock is to be there before the first page is. */
	if (!v->src->anon_vma && pmv_call(__anon_vma_prepare)(v->src))
		return -ENOMEM;
	return 0;
}

/* What of a range lies within one table of either side. */
static unsigned long within_tables(unsigned long dst, unsigned long src,
				   unsigned long len)
{
	return min3(len, PMD_SIZE - (dst & ~PMD_MASK),
		    PMD_SIZE - (src & ~PMD_MASK));
}

/* No table at src: only that dst is free has to be seen, and no table made. */
static long skip_hole(struct pmv_call *c, pmd_t *dst_pmd, unsigned long dst,
		      unsigned long bytes)
{
	unsigned long pages = bytes >> PAGE_SHIFT;
	unsigned long i = pages;

	pmd_t table = dst_pmd ? READ_ONCE(*dst_pmd) : __pmd(0);

	if (pmv_is_huge(table))
		return -EEXIST;
	if (!pmd_none(table)) {
		pte_t *pte = pte_offset_kernel(dst_pmd, dst);

		for (i = 0; i < pages; i++)
			if (!pte_none(ptep_get(pte + i)))
				break;
		if (!i)
			return -EEXIST;
	}
	c->stats.holes += i;
	return i << PAGE_SHIFT;
}

/*
 * Moves some of what is left: up to the end of a table of either side, or one
 * huge page. Returns the bytes, 0 (something is out of the way now: again),
 * -EAGAIN (lost a race: again, but not for ever) or another errno.
 */
static long step(struct pmv_call *c, const struct pmv_vmas *v,
		 unsigned long dst, unsigned long src, unsigned long len)
{
	const bool holes = c->mode & PAGEMVIO_MODE_ALLOW_SRC_HOLES;
	pmd_t *src_pmd = pmv_find_pmd(c->mm, src);
	pmd_t *dst_pmd = pmv_find_pmd(c->mm, dst);
	unsigned long bytes = within_tables(dst, src, len);

	if (c->both)
		return pmv_exchange_step(c, v, dst, src, bytes, len);
	if (!src_pmd && !holes)
		return -ENOENT;
	if (dst_pmd && pmv_is_huge(READ_ONCE(*dst_pmd)))
		return -EEXIST;
	if (!src_pmd || pmd_none(READ_ONCE(*src_pmd)))
		return holes ? skip_hole(c, dst_pmd, dst, bytes) : -ENOENT;
	if (!dst_pmd) {
		dst_pmd = pmv_alloc_pmd(c->mm, dst);
		if (!dst_pmd)
			return -ENOMEM;
	}
	if (pmv_is_huge(READ_ONCE(*src_pmd)))
		return pmv_move_huge(c, v, dst_pmd, src_pmd, dst, src, len);
	if (pmd_none(READ_ONCE(*dst_pmd)) &&
	    pmv_call(__pte_alloc)(c->mm, dst_pmd))
		return -ENOMEM;
	/* Huge pages may have come meanwhile, or come and gone. */
	if (!pmv_is_table(READ_ONCE(*dst_pmd)) ||
	    !pmv_is_table(READ_ONCE(*src_pmd)))
		return -EAGAIN;
	return pmv_move_ptes(c, v, dst_pmd, src_pmd, dst, src, bytes);
}

/**
 * pmv_move_range() - move one range
 * @c: the call
 * @dst: where to, whole pages like the rest
 * @src: where from
 * @len: bytes
 *
 * Context: may sleep, takes and drops mmap_lock; returns with it or without.
 * What was moved is finished only when pmv_release() or pmv_call_end() was
 * called.
 * Return: bytes moved, from the start and without a gap; where that is none,
 * the errno.
 */
ssize_t pmv_move_range(struct pmv_call *c, unsigned long dst, unsigned long src,
		       unsigned long len)
{
	unsigned long done = 0;
	unsigned int tries = 0;
	struct pmv_vmas v;
	bool known = false;
	long ret = 0;

	c->announced = false;
	c->split_tries = 0;
	while (done < len) {
		if (!c->locked || !known) {
			ret = pmv_enter(c, &v, dst + done, src + done,
					len - done);
			if (ret)
				break;
			known = true;
		}
		ret = c->guard ? c->guard->check(c->guard, v.dst, v.src) : 0;
		if (ret)
			break;
		if (!c->announced) {
			pmv_announce(c, src + done, src + len);
			if (c->both)
				pmv_announce(c, dst + done, dst + len);
		}
		ret = step(c, &v, dst + done, src + done, len - done);
		if (ret > 0) {
			done += ret;
			tries = 0;
			c->split_tries = 0;
		} else if ((ret && ret != -EAGAIN) || ++tries > TRIES_MAX) {
			ret = ret ?: -EAGAIN;
			break;
		}
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		if (ret == -EAGAIN)
			pmv_back_off(c, tries);
		else
			pmv_breathe(c);
	}
	return done ? done : ret;
}

void pmv_call_init(struct pmv_call *c, struct mm_struct *mm, u64 mode)
{
	memset(c, 0, offsetof(struct pmv_call, few));
	c->mm = mm;
	c->mode = mode;
	c->old = c->few;
	c->max_run = PMV_RUN_SMALL;
	c->spans = &c->span;
	c->max_spans = 1;
}

/* Runs of a whole table; where there is no memory for it, shorter ones. */
void pmv_call_long_runs(struct pmv_call *c)
{
	pte_t *old = kmalloc_array(PTRS_PER_PTE, sizeof(*old), GFP_KERNEL);

	if (!old)
		return;
	c->old = old;
	c->max_run = PTRS_PER_PTE;
}

void pmv_call_end(struct pmv_call *c)
{
	if (c->locked)
		leave(c);
	pmv_hand_over(c);
	if (c->old != c->few)
		kfree(c->old);
}

/**
 * pmv_check_range() - is this a range of whole pages of user memory
 * @mm: the address space
 * @start: its first byte
 * @len: bytes
 *
 * Return: 0 or -EINVAL.
 */
int pmv_check_range(struct mm_struct *mm, unsigned long start,
		    unsigned long len)
{
	if ((start | len) & ~PAGE_MASK || !len || len > mm->task_size ||
	    start > mm->task_size - len)
		return -EINVAL;
	return 0;
}

/**
 * pmv_remap() - UFFDIO_MOVE, but for the wake
 * @mm: current->mm
 * @dst: where to, checked by pmv_check_range() like @src
 * @src: where from
 * @len: bytes
 * @mode: PAGEMVIO_MODE_*
 * @guard: what else to look at, or NULL
 * @keep: of the descriptor, see compat/keep.c; NULL built in
 * @stats: what was done
 *
 * Nothing reaches a page at @src once it can be seen at @dst.
 *
 * Context: may sleep; takes mmap_lock for reading, and drops it now and then.
 * Return: bytes moved, or the errno where none was.
 */
ssize_t pmv_remap(struct mm_struct *mm, unsigned long dst, unsigned long src,
		  unsigned long len, u64 mode, const struct pmv_guard *guard,
		  struct pmv_keep *keep, struct pmv_stats *stats)
{
	struct pmv_call c;
	ssize_t ret;

	pmv_call_init(&c, mm, mode);
	c.guard = guard;
	c.keep = keep;
	if (len > PMV_RUN_SMALL * PAGE_SIZE)
		pmv_call_long_runs(&c);
	ret = pmv_move_range(&c, dst, src, len);
	pmv_call_end(&c);
	*stats = c.stats;
	return ret;
}
