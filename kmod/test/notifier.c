// SPDX-License-Identifier: GPL-2.0-only
/*
 * A notifier that counts, sleeps and pins, see notifier.h.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>

#include "notifier.h"

/*
 * struct secondary - an open /dev/pagemv-notifier
 * @tlb: hears of flushes; later kernels do not let one notifier do both
 * @page: of the plan, with a reference; NULL if none
 */
struct secondary {
	struct mmu_notifier mn;
	struct mmu_notifier tlb;
	spinlock_t lock;	/* of what follows */
	struct pagemv_notifier_plan plan;
	struct pagemv_notifier_record record;
	struct page *page;
	bool pinned;
};

static struct secondary *secondary_of(struct mmu_notifier *mn)
{
	return container_of(mn, struct secondary, mn);
}

static bool concerns(const struct secondary *s, unsigned long start,
		     unsigned long end)
{
	return start < s->plan.high && end > s->plan.low;
}

static bool counts(const struct secondary *s,
		   const struct mmu_notifier_range *range)
{
	return concerns(s, range->start, range->end);
}

static void sleep_within(struct secondary *s, unsigned int ms, u64 where)
{
	if (!ms)
		return;
	spin_lock(&s->lock);
	s->record.sleeping = where;
	spin_unlock(&s->lock);
	msleep(ms);
	spin_lock(&s->lock);
	s->record.sleeping = 0;
	spin_unlock(&s->lock);
}

static int range_start(struct mmu_notifier *mn,
		       const struct mmu_notifier_range *range)
{
	struct secondary *s = secondary_of(mn);
	struct pagemv_notifier_record *r = &s->record;
	bool may_sleep = mmu_notifier_range_blockable(range);
	unsigned int ms = 0;

	spin_lock(&s->lock);
	if (counts(s, range)) {
		if (r->starts < PAGEMV_NOTIFIER_RANGES) {
			r->ranges[r->starts].start = range->start;
			r->ranges[r->starts].end = range->end;
		}
		r->starts++;
		r->open++;
		r->atomics += !may_sleep;
		ms = may_sleep ? s->plan.sleep_start_ms : 0;
	}
	spin_unlock(&s->lock);
	sleep_within(s, ms, 1);
	return 0;
}

static bool was_begun(const struct pagemv_notifier_record *r,
		      const struct mmu_notifier_range *range)
{
	u64 i;

	if (r->starts > PAGEMV_NOTIFIER_RANGES)
		return r->open > 0;
	for (i = 0; i < r->starts; i++)
		if (r->ranges[i].start == range->start &&
		    r->ranges[i].end == range->end)
			return true;
	return false;
}

static void range_end(struct mmu_notifier *mn,
		      const struct mmu_notifier_range *range)
{
	struct secondary *s = secondary_of(mn);
	struct pagemv_notifier_record *r = &s->record;
	unsigned int ms = 0;

	spin_lock(&s->lock);
	if (counts(s, range)) {
		r->ends++;
		r->unpaired += !was_begun(r, range);
		r->open -= r->open > 0;
		ms = mmu_notifier_range_blockable(range) ?
			s->plan.sleep_end_ms : 0;
	}
	spin_unlock(&s->lock);
	sleep_within(s, ms, 2);
}

static const struct mmu_notifier_ops secondary_ops = {
	.invalidate_range_start = range_start,
	.invalidate_range_end = range_end,
};

/* As pin_user_pages() counts; the page has a reference besides. */
static void pin(struct page *page, int pins)
{
	struct folio *folio = page_folio(page);

	if (folio_test_large(folio)) {
		folio_ref_add(folio, pins);
		atomic_add(pins, &folio->_pincount);
	} else {
		folio_ref_add(folio, pins * GUP_PIN_COUNTING_BIAS);
	}
}

/* Under the lock of a page table, with entries out. */
static void flushed(struct mmu_notifier *mn, struct mm_struct *mm,
		    unsigned long start, unsigned long end)
{
	struct secondary *s = container_of(mn, struct secondary, tlb);

	spin_lock(&s->lock);
	if (s->page && !s->pinned && concerns(s, start, end)) {
		pin(s->page, 1);
		s->pinned = true;
	}
	spin_unlock(&s->lock);
}

static const struct mmu_notifier_ops tlb_ops = {
#ifdef HAVE_SECONDARY_TLBS
	.arch_invalidate_secondary_tlbs = flushed,
#else
	.invalidate_range = flushed,
#endif
};

/* Another plan, and another page. */
static void set_plan(struct secondary *s,
		     const struct pagemv_notifier_plan *plan, struct page *page)
{
	spin_lock(&s->lock);
	swap(s->page, page);
	if (page && s->pinned)
		pin(page, -1);
	s->pinned = false;
	s->plan = *plan;
	memset(&s->record, 0, sizeof(s->record));
	spin_unlock(&s->lock);
	if (page)
		put_page(page);
}

static int notifier_open(struct inode *inode, struct file *file)
{
	struct secondary *s = kzalloc(sizeof(*s), GFP_KERNEL);
	int err;

	if (!s)
		return -ENOMEM;
	spin_lock_init(&s->lock);
	s->mn.ops = &secondary_ops;
	s->tlb.ops = &tlb_ops;
	err = mmu_notifier_register(&s->mn, current->mm);
	if (err)
		goto fail;
	err = mmu_notifier_register(&s->tlb, current->mm);
	if (err)
		goto fail_registered;
	file->private_data = s;
	return 0;
fail_registered:
	mmu_notifier_unregister(&s->mn, current->mm);
fail:
	kfree(s);
	return err;
}

static int notifier_release(struct inode *inode, struct file *file)
{
	const struct pagemv_notifier_plan none = { };
	struct secondary *s = file->private_data;

	set_plan(s, &none, NULL);
	mmu_notifier_unregister(&s->tlb, s->tlb.mm);
	mmu_notifier_unregister(&s->mn, s->mn.mm);
	kfree(s);
	return 0;
}

static ssize_t notifier_read(struct file *file, char __user *to, size_t size,
			     loff_t *at)
{
	struct secondary *s = file->private_data;
	struct pagemv_notifier_record *copy;
	ssize_t done = sizeof(*copy);

	if (size != sizeof(*copy))
		return -EINVAL;
	copy = kmalloc(sizeof(*copy), GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	spin_lock(&s->lock);
	*copy = s->record;
	spin_unlock(&s->lock);
	if (copy_to_user(to, copy, sizeof(*copy)))
		done = -EFAULT;
	kfree(copy);
	return done;
}

static ssize_t notifier_write(struct file *file, const char __user *from,
			      size_t size, loff_t *at)
{
	struct secondary *s = file->private_data;
	struct pagemv_notifier_plan plan;
	struct page *page = NULL;

	if (size != sizeof(plan))
		return -EINVAL;
	if (copy_from_user(&plan, from, sizeof(plan)))
		return -EFAULT;
	if (plan.pin && get_user_pages_fast(plan.pin, 1, FOLL_WRITE, &page) != 1)
		return -EFAULT;
	set_plan(s, &plan, page);
	return size;
}

static const struct file_operations notifier_fops = {
	.owner = THIS_MODULE,
	.open = notifier_open,
	.release = notifier_release,
	.read = notifier_read,
	.write = notifier_write,
	.llseek = noop_llseek,
};

static struct miscdevice notifier_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "pagemv-notifier",
	.fops = &notifier_fops,
	.mode = 0600,
};

module_misc_device(notifier_device);

MODULE_DESCRIPTION("Counts and sleeps when pages of a process are moved (tests)");
MODULE_LICENSE("GPL");
