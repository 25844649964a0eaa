/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All that differs between the kernels this is built for, and nothing else.
 * What the headers can answer, probe.sh has asked them (probed.h); a version is
 * named only for what they do not show.
 */
#ifndef PMV_COMPAT_H
#define PMV_COMPAT_H

#include <linux/huge_mm.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/version.h>

#include "compat/probed.h"

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "pagemv: tried on Linux 6.1 to 6.12, not on older ones"
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#error "pagemv: tried on Linux 6.1 to 6.12, not on newer ones"
#endif
#ifndef CONFIG_X86_64
#error "pagemv: tried on x86-64 alone"
#endif

/*
 * Up to 6.7 a walker of the reverse mapping that holds no folio lock does not
 * look again whose anon_vma the folio is once it has locked it: see keep.c. A
 * kernel with the page move built in has the check in mm/rmap.c.
 */
#if defined(MODULE) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define PMV_RMAP_IS_BLIND 1
#else
#define PMV_RMAP_IS_BLIND 0
#endif

/* mm/swap.h is not among the headers that modules see. */
#ifdef MODULE
extern struct address_space *swapper_spaces[];
#define PMV_SWAP_SPACE_SHIFT	14
#endif

/* From 6.11 on the index within one of the spaces, before in all of them. */
static inline pgoff_t pmv_swap_index(swp_entry_t entry)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
	return swp_offset(entry) & ((1UL << 14) - 1);
#else
	return swp_offset(entry);
#endif
}

static inline unsigned long pmv_folio_swap(struct folio *folio)
{
#ifdef PMV_HAVE_FOLIO_SWAP
	return folio->swap.val;
#else
	return (unsigned long)folio_get_private(folio);
#endif
}

static inline pte_t pmv_pte_mkwrite(pte_t pte)
{
#ifdef PMV_HAVE_MKWRITE_NOVMA
	return pte_mkwrite_novma(pte);
#else
	return pte_mkwrite(pte);
#endif
}

static inline pmd_t pmv_pmd_mkwrite(pmd_t pmd)
{
#ifdef PMV_HAVE_MKWRITE_NOVMA
	return pmd_mkwrite_novma(pmd);
#else
	return pmd_mkwrite(pmd);
#endif
}

/* In the form that may block, from the start to the end. */
static inline void pmv_notifier_init(struct mmu_notifier_range *range,
				     struct mm_struct *mm,
				     unsigned long start, unsigned long end)
{
#ifdef PMV_HAVE_NOTIFIER_RANGE_VMA
	mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, NULL, mm, start,
				end);
#else
	mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, start, end);
#endif
	range->flags |= MMU_NOTIFIER_RANGE_BLOCKABLE;
}

/* x86 hides it from modules. */
#ifdef MODULE
void flush_tlb_mm_range(struct mm_struct *mm, unsigned long start,
			unsigned long end, unsigned int stride_shift,
			bool freed_tables);
#endif

#ifdef VM_SHADOW_STACK
#define PMV_VM_SHADOW_STACK VM_SHADOW_STACK
#else
#define PMV_VM_SHADOW_STACK 0
#endif

#ifdef PMV_HAVE_SPLIT_TO_ORDER
#define PMV_SPLIT_FUNCTION split_huge_page_to_list_to_order
#define PMV_SPLIT_ARGS(folio) &(folio)->page, NULL, 0
#else
#define PMV_SPLIT_FUNCTION split_huge_page_to_list
#define PMV_SPLIT_ARGS(folio) &(folio)->page, NULL
#endif

#ifdef PMV_HAVE_NOTIFIER_RANGE
#define PMV_NOTIFIER_FUNCTIONS(X) X(__mmu_notifier_invalidate_range)
#else
#define PMV_NOTIFIER_FUNCTIONS(X)
#endif

#if PMV_RMAP_IS_BLIND
#define PMV_KEEP_FUNCTIONS(X) X(__put_anon_vma)
#else
#define PMV_KEEP_FUNCTIONS(X)
#endif

#endif /* PMV_COMPAT_H */
