/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The page move, apart from the device that asks for it: remap.c begins with
 * the protocol. Built in, this is all that userfaultfd needs.
 */
#ifndef PMV_CORE_H
#define PMV_CORE_H

#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/types.h>

#include <linux/pagemv.h>

#include "compat/keep.h"
#include "symbols.h"

/* Folios that a vector keeps locked until its one flush, at most. */
#define PMV_HOLD_MAX	4096
/* Ranges that a vector keeps announced to MMU notifiers until then. */
#define PMV_SPANS_MAX	64
/* Pages of one run without memory of its own for their old entries. */
#define PMV_RUN_SMALL	32

/**
 * struct pmv_guard - what a caller of the core wants looked at under mmap_lock
 * @check: 0, or the errno to end with; called whenever the mappings were looked
 * up, before anything of them is changed
 */
struct pmv_guard {
	int (*check)(const struct pmv_guard *guard, struct vm_area_struct *dst,
		     struct vm_area_struct *src);
};

struct pmv_stats {
	u64 pages;
	u64 huge_pages;
	u64 swap_entries;
	u64 holes;
	u64 splits;
	u64 retries;
	u64 flushes;
};

struct pmv_span {
	unsigned long start;
	unsigned long end;
};

/* The two mappings of a range; valid until mmap_lock is dropped. */
struct pmv_vmas {
	struct vm_area_struct *dst;
	struct vm_area_struct *src;
};

/**
 * struct pmv_call - one call, from its first lock to its last
 * @mm: current->mm
 * @mode: PAGEMVIO_MODE_*
 * @guard: see there, or NULL
 * @both: both ranges are taken out: exchange.c
 * @locked: mmap_lock is held for reading
 * @announced: the MMU notifiers know of the rest of the range
 * @counted: in mm->tlb_flush_pending; only where @held is
 * @flush_start: with @flush_end, the addresses whose entries were taken out and
 * whose translations were not flushed; empty where they are the same
 * @held: folios moved since the last flush, locked and referenced; NULL where
 * every run of pages flushes before it shows at dst
 * @old: entries as they were taken out at src, of one run
 * @keep: with @left, see compat/keep.h
 */
struct pmv_call {
	struct mm_struct *mm;
	u64 mode;
	const struct pmv_guard *guard;
	struct pmv_stats stats;

	bool both;
	bool locked;
	bool announced;
	bool counted;
	unsigned int split_tries;

	unsigned long flush_start;
	unsigned long flush_end;

	struct folio **held;
	unsigned int nr_held;
	unsigned int max_held;

	struct pmv_span *spans;
	unsigned int nr_spans;
	unsigned int max_spans;

	pte_t *old;
	unsigned int max_run;

	struct pmv_keep *keep;
	struct anon_vma *left[PMV_LEFT_MAX];
	unsigned int nr_left;

	struct pmv_span span;
	pte_t few[PMV_RUN_SMALL];
};

/* pagemv_main.c */
void pmv_account(const struct pmv_stats *stats);

/* remap.c: what callers of the core use. */
int pmv_check_range(struct mm_struct *mm, unsigned long start,
		    unsigned long len);
ssize_t pmv_remap(struct mm_struct *mm, unsigned long dst, unsigned long src,
		  unsigned long len, u64 mode, const struct pmv_guard *guard,
		  struct pmv_keep *keep, struct pmv_stats *stats);

/* vector.c */
int pmv_remapv(struct mm_struct *mm, struct pagemvio_range *ranges,
	       unsigned int count, u32 flags, u64 mode, struct pmv_keep *keep,
	       s64 *moved, struct pmv_stats *stats);

/* exchange.c */
long pmv_exchange_step(struct pmv_call *c, const struct pmv_vmas *v,
		       unsigned long a, unsigned long b, unsigned long bytes,
		       unsigned long len);
bool pmv_lock_rmaps(const struct pmv_vmas *v);
void pmv_unlock_rmaps(const struct pmv_vmas *v);
ssize_t pmv_exchange(struct mm_struct *mm, unsigned long a, unsigned long b,
		     unsigned long len, struct pmv_keep *keep,
		     struct pmv_stats *stats);

/* remap.c: one call. */
void pmv_call_init(struct pmv_call *c, struct mm_struct *mm, u64 mode);
void pmv_call_long_runs(struct pmv_call *c);
void pmv_call_end(struct pmv_call *c);
ssize_t pmv_move_range(struct pmv_call *c, unsigned long dst, unsigned long src,
		       unsigned long len);
int pmv_enter(struct pmv_call *c, struct pmv_vmas *v, unsigned long dst,
	      unsigned long src, unsigned long len);
void pmv_announce(struct pmv_call *c, unsigned long start, unsigned long end);
void pmv_release(struct pmv_call *c);
void pmv_back_off(struct pmv_call *c, unsigned int tries);
void pmv_breathe(struct pmv_call *c);
unsigned int pmv_room(struct pmv_call *c, unsigned int pages);
void pmv_flush(struct pmv_call *c, unsigned long start, unsigned long end);
void pmv_flush_now(struct pmv_call *c, unsigned long start, unsigned long end);
pmd_t *pmv_find_pmd(struct mm_struct *mm, unsigned long addr);
pmd_t *pmv_alloc_pmd(struct mm_struct *mm, unsigned long addr);

/* ptes.c */
/* Why an entry cannot simply be taken out, where that is not an errno. */
enum {
	RUN_ABSENT = 1,	/* neither a page nor nothing: swap.c */
	RUN_LOCKED,	/* somebody else has the folio's lock */
	RUN_LARGE,	/* part of a large folio */
	RUN_FULL,	/* too many anon_vmas left: compat/keep.c */
};

int pmv_claim(struct pmv_call *c, const struct vm_area_struct *vma, pte_t pte);
int pmv_stopped_at(unsigned int i, pte_t pte, int why, struct folio **folio);
int pmv_make_way(struct pmv_call *c, struct folio *folio, int why);
long pmv_move_ptes(struct pmv_call *c, const struct pmv_vmas *v,
		   pmd_t *dst_pmd, pmd_t *src_pmd, unsigned long dst,
		   unsigned long src, unsigned long bytes);
void pmv_lock_pair(spinlock_t *a, spinlock_t *b)
	__acquires(a) __acquires(b);
void pmv_unlock_pair(spinlock_t *a, spinlock_t *b)
	__releases(a) __releases(b);

/* huge.c */
bool pmv_is_huge(pmd_t pmd);

/*
 * Whether an entry points to a table. Then it does so until mmap_lock is dropped.
 * All others may change between two looks, from nothing to a huge page and back
 * (faults, MADV_DONTNEED): of one value, read once, it has to be seen.
 */
static inline bool pmv_is_table(pmd_t pmd)
{
	return pmd_present(pmd) && !pmv_is_huge(pmd);
}

long pmv_exchange_huge(struct pmv_call *c, const struct pmv_vmas *v,
		       pmd_t *a_pmd, pmd_t *b_pmd, unsigned long a,
		       unsigned long b);
long pmv_move_huge(struct pmv_call *c, const struct pmv_vmas *v,
		   pmd_t *dst_pmd, pmd_t *src_pmd, unsigned long dst,
		   unsigned long src, unsigned long len);
int pmv_split_pmd(struct pmv_call *c, struct vm_area_struct *vma, pmd_t *pmd,
		  unsigned long addr);
int pmv_split_folio(struct pmv_call *c, struct folio *folio);

/* swap.c */
/**
 * struct pmv_swap - a swap entry that is being moved
 * @entry: it
 * @device: held, so that the device does not go
 * @folio: in the swap cache, locked and referenced; or NULL
 */
struct pmv_swap {
	swp_entry_t entry;
	struct swap_info_struct *device;
	struct folio *folio;
};

int pmv_absent(struct pmv_call *c, pmd_t *pmd, pte_t pte, unsigned long addr);
int pmv_swap_claim(struct pmv_call *c, pte_t pte, bool wait,
		   struct pmv_swap *s);
void pmv_swap_let_go(struct pmv_swap *s);
bool pmv_swap_steady(const struct pmv_swap *s);
bool pmv_swap_leave(struct pmv_call *c, const struct pmv_swap *s,
		    const struct vm_area_struct *vma);
void pmv_swap_rehome(const struct pmv_swap *s, struct vm_area_struct *vma,
		     unsigned long addr);
pte_t pmv_swap_pte(const struct vm_area_struct *dst, pte_t pte);
long pmv_move_absent(struct pmv_call *c, const struct pmv_vmas *v,
		     pmd_t *dst_pmd, pmd_t *src_pmd, unsigned long dst,
		     unsigned long src);

/*
 * Against whoever walks the reverse mapping of a folio without its lock: over
 * src, since it is there that the folio is found until its mapping is changed.
 * All anon_vmas over which a page of a mapping can be reached have one root, and
 * mmap_lock keeps them: none is looked up, and no reference is needed.
 */
static inline void pmv_lock_rmap(struct vm_area_struct *src)
{
	anon_vma_lock_write(src->anon_vma);
}

static inline void pmv_unlock_rmap(struct vm_area_struct *src)
{
	anon_vma_unlock_write(src->anon_vma);
}

/*
 * A folio goes to another anon_vma. Its lock, the write lock of the anon_vma
 * that it leaves and the lock of its entry are held. Whoever comes over the new
 * anon_vma sees the new index: it is written first.
 */
static inline void pmv_rehome(struct folio *folio, struct vm_area_struct *vma,
			      unsigned long addr)
{
	folio->index = linear_page_index(vma, addr);
	smp_wmb(); /* pairs with the walker's down_read() of the new anon_vma */
	WRITE_ONCE(folio->mapping,
		   (void *)vma->anon_vma + PAGE_MAPPING_ANON);
}

/* It is where it goes: unlocked now, or where one flush is for all, after that. */
static inline void pmv_let_go(struct pmv_call *c, struct folio *folio)
{
	if (!c->held) {
		folio_unlock(folio);
		return;
	}
	folio_get(folio);
	c->held[c->nr_held++] = folio;
}

/* userfaultfd_wp() does not take a const one everywhere. */
static inline bool pmv_can_unprotect(const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_UFFD_WP;
}

/*
 * What stands at dst. Soft-dirty, so that whoever watches dst sees that it
 * changed. Write-protected by userfaultfd only where dst has somebody who can
 * lift it.
 */
static inline pte_t pmv_moved_pte(const struct vm_area_struct *dst, pte_t old)
{
	pte_t pte = mk_pte(pte_page(old), dst->vm_page_prot);

	/* Writable first: a dirty entry that is not has another form. */
	pte = pte_mksoft_dirty(pmv_pte_mkwrite(pte));
	if (pte_dirty(old))
		pte = pte_mkdirty(pte);
	if (unlikely(pte_uffd_wp(old)) && pmv_can_unprotect(dst))
		pte = pte_mkuffd_wp(pte_wrprotect(pte));
	return pte;
}

static inline pte_t pmv_moved_zero(const struct vm_area_struct *dst, pte_t old,
				   unsigned long addr)
{
	pte_t pte = pte_mkspecial(pfn_pte(my_zero_pfn(addr),
					  dst->vm_page_prot));

	/* From 6.9 on so those that KSM made are told, and counted. */
	if (pte_dirty(old))
		pte = pte_mkdirty(pte);
	if (pte_uffd_wp(old) && pmv_can_unprotect(dst))
		pte = pte_mkuffd_wp(pte_wrprotect(pte));
	return pte;
}

#endif /* PMV_CORE_H */
