/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The functions of the kernel that modules are not given.
 *
 * A module finds each by name when it is loaded, and calls it through a static
 * call: the kernel writes a direct call into our text. No pointer is called, so
 * that a processor that checks the targets of indirect calls (IBT) is content
 * with functions whose landing pad the kernel has taken away, and there is no
 * retpoline on the way. Built in, the names are the functions.
 */
#ifndef PMV_SYMBOLS_H
#define PMV_SYMBOLS_H

#include <linux/rmap.h>

#include "compat/compat.h"

/* With four levels of page tables it does nothing, and is inline. */
#ifdef __PAGETABLE_P4D_FOLDED
#define PMV_P4D_FUNCTIONS(X)
#else
#define PMV_P4D_FUNCTIONS(X) X(__p4d_alloc)
#endif

#ifdef CONFIG_ARCH_WANT_BATCHED_UNMAP_TLB_FLUSH
#define PMV_BATCH_FUNCTIONS(X) X(flush_tlb_batched_pending)
#ifdef MODULE
void flush_tlb_batched_pending(struct mm_struct *mm); /* mm/internal.h */
#endif
#else
#define PMV_BATCH_FUNCTIONS(X)
#endif

#define PMV_FUNCTIONS(X)				\
	PMV_P4D_FUNCTIONS(X)				\
	PMV_BATCH_FUNCTIONS(X)				\
	X(__pud_alloc)					\
	X(__pmd_alloc)					\
	X(__pte_alloc)					\
	X(__anon_vma_prepare)				\
	X(__split_huge_pmd)				\
	X(PMV_SPLIT_FUNCTION)				\
	X(pgtable_trans_huge_deposit)			\
	X(pgtable_trans_huge_withdraw)			\
	X(migration_entry_wait)				\
	X(pmd_migration_entry_wait)			\
	X(get_swap_device)				\
	X(flush_tlb_mm_range)				\
	X(lru_add_drain_all)				\
	X(__mmu_notifier_invalidate_range_start)	\
	X(__mmu_notifier_invalidate_range_end)		\
	PMV_NOTIFIER_FUNCTIONS(X)			\
	PMV_KEEP_FUNCTIONS(X)

#ifdef MODULE
#include <linux/static_call.h>

#define PMV_PASTE(a, b) a##b
#define PMV_KEY(name) PMV_PASTE(pmv_fn_, name)
#define PMV_DECLARE(name) DECLARE_STATIC_CALL_OF(PMV_KEY(name), name);
#define DECLARE_STATIC_CALL_OF(key, name) DECLARE_STATIC_CALL(key, name)
PMV_FUNCTIONS(PMV_DECLARE)

#define PMV_STATIC_CALL(key) static_call(key)
#define pmv_call(name) PMV_STATIC_CALL(PMV_KEY(name))

extern struct address_space **pmv_swapper_spaces;
extern unsigned long *pmv_huge_zero_pfn;

int pmv_symbols_resolve(void);
#else
#include <asm/tlbflush.h>

#include "../internal.h"
#include "../swap.h"

#define pmv_call(name) name
#define pmv_swapper_spaces swapper_spaces
#define pmv_huge_zero_pfn (&huge_zero_pfn)
#define PMV_SWAP_SPACE_SHIFT SWAP_ADDRESS_SPACE_SHIFT

static inline int pmv_symbols_resolve(void)
{
	return 0;
}
#endif

static inline int pmv_p4d_alloc(struct mm_struct *mm, pgd_t *pgd,
				unsigned long addr)
{
#ifdef __PAGETABLE_P4D_FOLDED
	return 0;
#else
	return pmv_call(__p4d_alloc)(mm, pgd, addr);
#endif
}

/* What reclaim has unmapped and not flushed yet; under the lock of a table. */
static inline void pmv_flush_batched(struct mm_struct *mm)
{
#ifdef CONFIG_ARCH_WANT_BATCHED_UNMAP_TLB_FLUSH
	pmv_call(flush_tlb_batched_pending)(mm);
#endif
}

static inline struct address_space *pmv_swap_space(swp_entry_t entry)
{
	return &pmv_swapper_spaces[swp_type(entry)][swp_offset(entry) >>
						    PMV_SWAP_SPACE_SHIFT];
}

static inline bool pmv_is_huge_zero(pmd_t pmd)
{
	return pmd_present(pmd) && pmd_pfn(pmd) == READ_ONCE(*pmv_huge_zero_pfn);
}

/*
 * Start and end of an invalidation, in the form that may block. What stands in
 * the kernel's header as inline functions calls what modules are not given.
 */
static inline void pmv_notifier_start(struct mmu_notifier_range *range)
{
#ifdef MODULE
	might_sleep();
	pmv_call(__mmu_notifier_invalidate_range_start)(range);
#else
	mmu_notifier_invalidate_range_start(range);
#endif
}

static inline void pmv_notifier_end(struct mmu_notifier_range *range)
{
#ifndef MODULE
	mmu_notifier_invalidate_range_end(range);
#elif defined(PMV_HAVE_NOTIFIER_ONLY_END)
	pmv_call(__mmu_notifier_invalidate_range_end)(range, false);
#else
	pmv_call(__mmu_notifier_invalidate_range_end)(range);
#endif
}

/* A secondary TLB that shares our tables: from 6.6 on the flush includes it. */
static inline void pmv_notifier_flush(struct mm_struct *mm, unsigned long start,
				      unsigned long end)
{
#ifdef PMV_HAVE_NOTIFIER_RANGE
	if (mm_has_notifiers(mm))
		pmv_call(__mmu_notifier_invalidate_range)(mm, start, end);
#endif
}

#endif /* PMV_SYMBOLS_H */
