// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entries that are neither a page nor nothing: pages that are swapped out move
 * without being read in, those that migrate are waited for. remap.c has the
 * protocol.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/userfaultfd_k.h>

#include "core.h"

/**
 * pmv_swap_claim() - take hold of what a swap entry stands for
 * @c: the call; no spinlock is held
 * @pte: an exclusive swap entry, seen a moment ago
 * @wait: for the folio's lock; not where another one is held
 * @s: what is held on success: the device, and the folio in the swap cache,
 * locked, where there is one
 *
 * Return: 0, -EAGAIN (a race: again), -EBUSY (a large folio in the swap cache),
 * -EINTR.
 */
int pmv_swap_claim(struct pmv_call *c, pte_t pte, bool wait,
		   struct pmv_swap *s)
{
	struct folio *folio;
	int ret;

	s->entry = pte_to_swp_entry(pte);
	s->folio = NULL;
	s->device = pmv_call(get_swap_device)(s->entry);
	if (!s->device)
		return -EAGAIN;
	folio = filemap_get_folio(pmv_swap_space(s->entry),
				  pmv_swap_index(s->entry));
	if (IS_ERR_OR_NULL(folio))
		return 0;

	ret = -EBUSY;
	if (folio_test_large(folio))
		goto fail;
	if (!folio_trylock(folio)) {
		pmv_release(c);
		ret = wait ? folio_wait_locked_killable(folio) : 0;
		ret = ret ?: -EAGAIN;
		goto fail;
	}
	/* It was not locked when it was found. */
	if (folio_test_swapcache(folio) &&
	    pmv_folio_swap(folio) == s->entry.val) {
		s->folio = folio;
		return 0;
	}
	folio_unlock(folio);
	ret = -EAGAIN;
fail:
	folio_put(folio);
	put_swap_device(s->device);
	return ret;
}

void pmv_swap_let_go(struct pmv_swap *s)
{
	if (s->folio) {
		folio_unlock(s->folio);
		folio_put(s->folio);
	}
	put_swap_device(s->device);
}

/*
 * Under the lock of the entry, seen to be unchanged. Where no folio was found in
 * the swap cache one may have come since; it cannot as long as the lock is held,
 * and the count of the swap slot tells.
 */
bool pmv_swap_steady(const struct pmv_swap *s)
{
	const unsigned char *map = s->device->swap_map;

	return s->folio ||
	       !(READ_ONCE(map[swp_offset(s->entry)]) & SWAP_HAS_CACHE);
}

/* As pmv_leave(), of the folio if there is one. */
bool pmv_swap_leave(struct pmv_call *c, const struct pmv_swap *s,
		    const struct vm_area_struct *vma)
{
	return !s->folio || !folio_test_anon(s->folio) ||
	       pmv_leave(c, s->folio, vma);
}

/* A folio that was read ahead has no place yet: its first fault gives it one. */
void pmv_swap_rehome(const struct pmv_swap *s, struct vm_area_struct *vma,
		     unsigned long addr)
{
	if (s->folio && folio_test_anon(s->folio))
		pmv_rehome(s->folio, vma, addr);
}

pte_t pmv_swap_pte(const struct vm_area_struct *dst, pte_t pte)
{
	pte = pte_swp_mksoft_dirty(pte);
	if (pte_swp_uffd_wp(pte) && !pmv_can_unprotect(dst))
		pte = pte_swp_clear_uffd_wp(pte);
	return pte;
}

/*
 * Under both locks. No TLB is to know of an entry that is not present; where
 * reclaim has put off the flush (TTU_BATCH_FLUSH) one may, and a page that did not
 * go out in the end would be reached at both places.
 */
static int move_swapped(struct pmv_call *c, const struct pmv_vmas *v,
			struct pmv_swap *s, pte_t *dst_pte, pte_t *src_pte,
			pte_t seen, unsigned long dst, unsigned long src)
{
	if (!pte_none(ptep_get(dst_pte)))
		return -EEXIST;
	if (!pte_same(ptep_get(src_pte), seen) || !pmv_swap_steady(s))
		return -EAGAIN;
	if (!pmv_swap_leave(c, s, v->dst))
		return RUN_FULL;
	pmv_flush_batched(c->mm);
	pmv_swap_rehome(s, v->dst, dst);
	ptep_get_and_clear(c->mm, src, src_pte);
	set_pte_at(c->mm, dst, dst_pte, pmv_swap_pte(v->dst, seen));
	c->stats.swap_entries++;
	return 0;
}

/**
 * pmv_absent() - what an entry is that is neither present nor none
 * @c: the call; no spinlock is held
 * @pmd: points to its table
 * @pte: the entry
 * @addr: its address
 *
 * Return: 0 (an exclusive swap entry), -EAGAIN (a page that migrated, waited
 * for), -EBUSY (swapped out, and shared), -EFAULT (anything else).
 */
int pmv_absent(struct pmv_call *c, pmd_t *pmd, pte_t pte, unsigned long addr)
{
	swp_entry_t entry = pte_to_swp_entry(pte);

	if (is_migration_entry(entry)) {
		pmv_release(c);
		pmv_call(migration_entry_wait)(c->mm, pmd, addr);
		return -EAGAIN;
	}
	if (non_swap_entry(entry))
		return -EFAULT;
	return pte_swp_exclusive(pte) ? 0 : -EBUSY;
}

/**
 * pmv_move_absent() - move one entry that is neither present nor none
 * @c: the call
 * @v: the mappings
 * @dst_pmd: points to the table of @dst
 * @src_pmd: points to the table of @src
 * @dst: where to
 * @src: where from
 *
 * Return: as step() in remap.c.
 */
long pmv_move_absent(struct pmv_call *c, const struct pmv_vmas *v,
		     pmd_t *dst_pmd, pmd_t *src_pmd, unsigned long dst,
		     unsigned long src)
{
	spinlock_t *dst_ptl = pte_lockptr(c->mm, dst_pmd);
	spinlock_t *src_ptl = pte_lockptr(c->mm, src_pmd);
	pte_t *dst_pte = pte_offset_kernel(dst_pmd, dst);
	pte_t *src_pte = pte_offset_kernel(src_pmd, src);
	pte_t seen = ptep_get(src_pte);
	struct pmv_swap s;
	int ret;

	if (pte_none(seen) || pte_present(seen))
		return -EAGAIN;
	ret = pmv_absent(c, src_pmd, seen, src);
	if (ret)
		return ret;
	ret = pmv_swap_claim(c, seen, true, &s);
	if (ret)
		return ret;
	pmv_lock_pair(dst_ptl, src_ptl);
	ret = move_swapped(c, v, &s, dst_pte, src_pte, seen, dst, src);
	pmv_unlock_pair(dst_ptl, src_ptl);
	pmv_swap_let_go(&s);
	return ret ? pmv_make_way(c, NULL, ret) : PAGE_SIZE;
}
