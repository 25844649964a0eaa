// SPDX-License-Identifier: GPL-2.0-only
/*
 * UFFDIO_REMAP, for fs/userfaultfd.c of a kernel that this is built into. See
 * patches/.
 */
#include <linux/userfaultfd_k.h>

#include "core.h"

struct uffd_guard {
	struct pmv_guard guard;
	const struct userfaultfd_ctx *ctx;
	const atomic_t *mmap_changing;
};

/*
 * An event of mappings that change is announced before they do, and counted
 * until it has been read; a page that came meanwhile might be taken for one of
 * before the event.
 */
static int uffd_check(const struct pmv_guard *guard,
		      struct vm_area_struct *dst, struct vm_area_struct *src)
{
	const struct uffd_guard *uffd =
		container_of(guard, struct uffd_guard, guard);

	if (atomic_read(uffd->mmap_changing))
		return -EAGAIN;
	if (dst->vm_userfaultfd_ctx.ctx != uffd->ctx)
		return -EINVAL;
	return 0;
}

/**
 * pagemv_uffd_remap() - move pages into a range registered with a userfaultfd
 * @ctx: of the userfaultfd
 * @mm: of the caller, who holds it
 * @remap: what to move; addresses and modes have been checked
 * @mmap_changing: not 0 while an event waits to be read
 *
 * Context: may sleep; takes mmap_lock.
 * Return: bytes moved, or -errno where there were none. Nobody is woken.
 */
ssize_t pagemv_uffd_remap(struct userfaultfd_ctx *ctx, struct mm_struct *mm,
			  const struct uffdio_remap *remap,
			  atomic_t *mmap_changing)
{
	const struct uffd_guard uffd = {
		.guard.check = uffd_check,
		.ctx = ctx,
		.mmap_changing = mmap_changing,
	};
	struct pmv_stats stats;
	ssize_t moved;

	moved = pmv_remap(mm, remap->dst, remap->src, remap->len, remap->mode,
			  &uffd.guard, NULL, &stats);
	pmv_account(&stats);
	return moved;
}
