// SPDX-License-Identifier: GPL-2.0-only
/*
 * A notifier that counts and sleeps, see notifier.h.
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

struct secondary {
	struct mmu_notifier mn;
	spinlock_t lock;	/* of plan and record */
	struct pagemv_notifier_plan plan;
	struct pagemv_notifier_record record;
};

static struct secondary *secondary_of(struct mmu_notifier *mn)
{
	return container_of(mn, struct secondary, mn);
}

static bool counts(const struct secondary *s,
		   const struct mmu_notifier_range *range)
{
	return range->start < s->plan.high && range->end > s->plan.low;
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

static int notifier_open(struct inode *inode, struct file *file)
{
	struct secondary *s = kzalloc(sizeof(*s), GFP_KERNEL);
	int err;

	if (!s)
		return -ENOMEM;
	spin_lock_init(&s->lock);
	s->mn.ops = &secondary_ops;
	err = mmu_notifier_register(&s->mn, current->mm);
	if (err) {
		kfree(s);
		return err;
	}
	file->private_data = s;
	return 0;
}

static int notifier_release(struct inode *inode, struct file *file)
{
	struct secondary *s = file->private_data;

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

	if (size != sizeof(plan))
		return -EINVAL;
	if (copy_from_user(&plan, from, sizeof(plan)))
		return -EFAULT;
	spin_lock(&s->lock);
	s->plan = plan;
	memset(&s->record, 0, sizeof(s->record));
	spin_unlock(&s->lock);
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
