// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many ranges with one flush of the TLB. What is taken out shows at its new
 * place at once, and stays locked until the flush: see remap.c.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "core.h"

static unsigned int pages_of(const struct pagemvio_range *ranges,
			     unsigned int count)
{
	u64 pages = 0;

	while (count--)
		pages += ranges[count].len >> PAGE_SHIFT;
	return min_t(u64, pages, PMV_HOLD_MAX);
}

/* Everything that is held until the flush is remembered in these two. */
static int vector_init(struct pmv_call *c, const struct pagemvio_range *ranges,
		       unsigned int count)
{
	unsigned int pages = max(pages_of(ranges, count), 1U);

	c->held = kvmalloc_array(pages, sizeof(*c->held), GFP_KERNEL);
	if (!c->held)
		return -ENOMEM;
	c->max_held = pages;
	if (count > 1) {
		count = min_t(unsigned int, count, PMV_SPANS_MAX);
		c->spans = kmalloc_array(count, sizeof(*c->spans), GFP_KERNEL);
		if (!c->spans) {
			kvfree(c->held);
			return -ENOMEM;
		}
		c->max_spans = count;
	}
	if (pages > PMV_RUN_SMALL)
		pmv_call_long_runs(c);
	return 0;
}

static void vector_exit(struct pmv_call *c)
{
	pmv_call_end(c);
	kvfree(c->held);
	if (c->spans != &c->span)
		kfree(c->spans);
}

/**
 * pmv_remapv() - pmv_remap() for each of a vector of ranges
 * @mm: current->mm
 * @ranges: in the kernel's memory; moved of each is written
 * @count: of them, not 0
 * @flags: PAGEMVIO_REMAPV_*
 * @mode: PAGEMVIO_MODE_*
 * @keep: of the descriptor
 * @moved: bytes of all ranges
 * @stats: what was done
 *
 * Until this returns a page may be reached at its old address by whoever has
 * reached it there before, while it can be seen at the new one.
 *
 * Context: may sleep; takes mmap_lock for reading, and drops it now and then.
 * Return: 0 if all was moved, else the first errno (-EAGAIN for a range that was
 * moved in part).
 */
int pmv_remapv(struct mm_struct *mm, struct pagemvio_range *ranges,
	       unsigned int count, u32 flags, u64 mode, struct pmv_keep *keep,
	       s64 *moved, struct pmv_stats *stats)
{
	struct pmv_call c;
	unsigned int i;
	int ret;

	*moved = 0;
	pmv_call_init(&c, mm, mode);
	c.keep = keep;
	ret = vector_init(&c, ranges, count);
	if (ret)
		return ret;
	for (i = 0; i < count; i++) {
		struct pagemvio_range *r = &ranges[i];

		r->moved = pmv_check_range(mm, r->dst, r->len) ?:
			   pmv_check_range(mm, r->src, r->len);
		if (!r->moved)
			r->moved = pmv_move_range(&c, r->dst, r->src, r->len);
		if (r->moved > 0)
			*moved += r->moved;
		if (r->moved == r->len)
			continue;
		if (!ret)
			ret = r->moved < 0 ? r->moved : -EAGAIN;
		if (flags & PAGEMVIO_REMAPV_STOP || r->moved == -EINTR ||
		    fatal_signal_pending(current))
			break;
	}
	vector_exit(&c);
	*stats = c.stats;
	return ret;
}
