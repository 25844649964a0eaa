// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/pagemv: the protocol of uapi/linux/pagemv.h. What the calls do is in the
 * core (remap.c and its neighbours); here are user pointers and the descriptor.
 *
 * A descriptor belongs to the address space that opened it. A process that got
 * it from another one, by fork or over a socket, is refused: it would move its
 * own pages with the other one's permission to open the device.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <linux/pagemv.h>

#include "core.h"

#define MODES (PAGEMVIO_MODE_DONTWAKE | PAGEMVIO_MODE_ALLOW_SRC_HOLES)

/**
 * struct descriptor - an open /dev/pagemv
 * @mm: whose it is; only its address is used
 * @keep: see compat/keep.c
 */
struct descriptor {
	struct mm_struct *mm;
	struct pmv_keep *keep;
};

/* Since loaded, for PAGEMVIO_INFO. */
static struct {
	atomic64_t calls;
	atomic64_t pages;
	atomic64_t huge_pages;
	atomic64_t swap_entries;
	atomic64_t holes;
	atomic64_t splits;
	atomic64_t retries;
	atomic64_t flushes;
} totals;

static void add(atomic64_t *total, u64 n)
{
	if (n)
		atomic64_add(n, total);
}

/**
 * pmv_account() - add what a call did to what PAGEMVIO_INFO tells
 * @stats: of the call
 */
void pmv_account(const struct pmv_stats *stats)
{
	add(&totals.calls, 1);
	add(&totals.pages, stats->pages);
	add(&totals.huge_pages, stats->huge_pages);
	add(&totals.swap_entries, stats->swap_entries);
	add(&totals.holes, stats->holes);
	add(&totals.splits, stats->splits);
	add(&totals.retries, stats->retries);
	add(&totals.flushes, stats->flushes);
}

/*
 * What a call is about, in the order in which userfaultfd looks. A descriptor of
 * somebody else's is refused first.
 */
static int check(const struct descriptor *d, u64 dst, u64 src, u64 len)
{
	if (d->mm != current->mm)
		return -EINVAL;
	return pmv_check_range(d->mm, dst, len) ?:
	       pmv_check_range(d->mm, src, len);
}

/* A structure that begins with its size, of which @least is indispensable. */
static int get_sized(void *to, size_t known, size_t least,
		     const void __user *arg, u32 *size)
{
	if (get_user(*size, (const u32 __user *)arg))
		return -EFAULT;
	if (*size < least)
		return -EINVAL;
	/* No version of a structure is as long; nobody scans memory for zeros. */
	if (*size > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(to, known, arg, *size);
}

#define PMV_CALL(call) (1ULL << _IOC_NR(call))

static long info(void __user *arg)
{
	struct pagemvio_info in, out = {
		.version = PAGEMVIO_VERSION,
		.calls = PMV_CALL(PAGEMVIO_INFO) | PMV_CALL(PAGEMVIO_REMAP) |
			 PMV_CALL(PAGEMVIO_REMAPV) |
			 PMV_CALL(PAGEMVIO_EXCHANGE),
		.modes = MODES,
		.max_ranges = PAGEMVIO_REMAPV_MAX,
		.flush_pages = PMV_HOLD_MAX,
		.remap_calls = atomic64_read(&totals.calls),
		.pages = atomic64_read(&totals.pages),
		.huge_pages = atomic64_read(&totals.huge_pages),
		.swap_entries = atomic64_read(&totals.swap_entries),
		.holes = atomic64_read(&totals.holes),
		.splits = atomic64_read(&totals.splits),
		.retries = atomic64_read(&totals.retries),
		.flushes = atomic64_read(&totals.flushes),
	};
	u32 size;
	int ret = get_sized(&in, sizeof(in),
			    offsetofend(struct pagemvio_info, flush_pages),
			    arg, &size);

	if (ret)
		return ret;
	out.size = sizeof(out);
	if (copy_to_user(arg, &out, min_t(u32, size, sizeof(out))))
		return -EFAULT;
	return 0;
}

/* As userfaultfd ends a move: whole, in part, or not at all. */
static long result(s64 moved, u64 len)
{
	if (moved < 0)
		return moved;
	return moved == len ? 0 : -EAGAIN;
}

static long remap(struct descriptor *d, struct pagemvio_remap __user *arg)
{
	struct pagemvio_remap remap;
	struct pmv_stats stats;
	int ret;

	if (copy_from_user(&remap, arg, offsetof(struct pagemvio_remap, moved)))
		return -EFAULT;
	ret = check(d, remap.dst, remap.src, remap.len);
	if (ret)
		goto out;
	ret = -EINVAL;
	if (remap.mode & ~MODES)
		goto out;
	/* Told before anything moves: where it cannot be, nothing does. */
	if (put_user(0, &arg->moved))
		return -EFAULT;
	remap.moved = pmv_remap(d->mm, remap.dst, remap.src, remap.len,
				remap.mode, NULL, d->keep, &stats);
	pmv_account(&stats);
	if (put_user(remap.moved, &arg->moved))
		return -EFAULT;
	return result(remap.moved, remap.len);
out:
	return put_user(ret, &arg->moved) ? -EFAULT : ret;
}

/* moved of each range to the caller's vector, which may be anything by now. */
static int tell(struct pagemvio_range __user *to,
		const struct pagemvio_range *ranges, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (put_user(ranges[i].moved, &to[i].moved))
			return -EFAULT;
	return 0;
}

static long move_vector(struct descriptor *d, struct pagemvio_remapv *v,
			struct pagemvio_range *ranges)
{
	struct pagemvio_range __user *to = u64_to_user_ptr(v->ranges);
	struct pmv_stats stats = { };
	unsigned int i;
	int ret;

	for (i = 0; i < v->count; i++)
		ranges[i].moved = 0;
	/* As for a single range. */
	if (tell(to, ranges, v->count))
		return -EFAULT;
	ret = pmv_remapv(d->mm, ranges, v->count, v->flags, v->mode, d->keep,
			 &v->moved, &stats);
	pmv_account(&stats);
	v->flushes = stats.flushes;
	if (tell(to, ranges, v->count))
		return -EFAULT;
	return ret && v->moved ? -EAGAIN : ret;
}

static long remapv(struct descriptor *d, struct pagemvio_remapv __user *arg)
{
	struct pagemvio_range *ranges;
	struct pagemvio_remapv v;
	u32 size;
	long ret = get_sized(&v, sizeof(v), sizeof(v), arg, &size);

	if (ret)
		return ret;
	v.moved = 0;
	v.flushes = 0;
	if (put_user(v.moved, &arg->moved) || put_user(v.flushes, &arg->flushes))
		return -EFAULT;
	if (d->mm != current->mm || v.pad || v.mode & ~MODES ||
	    v.flags & ~PAGEMVIO_REMAPV_STOP ||
	    v.ranges % __alignof__(*ranges) ||
	    !v.count || v.count > PAGEMVIO_REMAPV_MAX)
		return -EINVAL;
	ranges = vmemdup_user(u64_to_user_ptr(v.ranges),
			      array_size(v.count, sizeof(*ranges)));
	if (IS_ERR(ranges))
		return PTR_ERR(ranges);
	ret = move_vector(d, &v, ranges);
	kvfree(ranges);
	if (put_user(v.moved, &arg->moved) || put_user(v.flushes, &arg->flushes))
		return -EFAULT;
	return ret;
}

static long exchange(struct descriptor *d, struct pagemvio_exchange __user *arg)
{
	struct pagemvio_exchange x;
	struct pmv_stats stats;
	u32 size;
	int ret = get_sized(&x, sizeof(x), sizeof(x), arg, &size);

	if (ret)
		return ret;
	ret = check(d, x.a, x.b, x.len);
	if (!ret && (x.flags || max(x.a, x.b) - min(x.a, x.b) < x.len))
		ret = -EINVAL;
	if (ret)
		return put_user(ret, &arg->moved) ? -EFAULT : ret;
	if (put_user(0, &arg->moved))
		return -EFAULT;
	x.moved = pmv_exchange(d->mm, x.a, x.b, x.len, d->keep, &stats);
	pmv_account(&stats);
	if (put_user(x.moved, &arg->moved))
		return -EFAULT;
	return result(x.moved, x.len);
}

static long pagemv_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct descriptor *d = file->private_data;
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case PAGEMVIO_INFO:
		return d->mm == current->mm ? info(user) : -EINVAL;
	case PAGEMVIO_REMAP:
		return remap(d, user);
	case PAGEMVIO_REMAPV:
		return remapv(d, user);
	case PAGEMVIO_EXCHANGE:
		return exchange(d, user);
	default:
		return -ENOTTY;
	}
}

static int pagemv_open(struct inode *inode, struct file *file)
{
	struct descriptor *d;

	if (!current->mm)
		return -EINVAL;
	d = kmalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	if (!d)
		return -ENOMEM;
	if (pmv_keep_open(&d->keep)) {
		kfree(d);
		return -ENOMEM;
	}
	/* So that no other address space can come to have this address. */
	mmgrab(current->mm);
	d->mm = current->mm;
	file->private_data = d;
	return 0;
}

static int pagemv_release(struct inode *inode, struct file *file)
{
	struct descriptor *d = file->private_data;

	pmv_keep_close(d->keep);
	mmdrop(d->mm);
	kfree(d);
	return 0;
}

static const struct file_operations pagemv_fops = {
	.owner = THIS_MODULE,
	.open = pagemv_open,
	.release = pagemv_release,
	.unlocked_ioctl = pagemv_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice pagemv_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "pagemv",
	.mode = 0600,
	.fops = &pagemv_fops,
};

static bool enabled __initdata = true;

#ifndef MODULE
/* pagemv=off: no device, so that there can be that of the module instead. */
static int __init pagemv_setup(char *arg)
{
	return kstrtobool(arg, &enabled);
}
early_param("pagemv", pagemv_setup);
#endif

static int __init pagemv_init(void)
{
	int ret;

	if (!enabled)
		return 0;
	ret = pmv_symbols_resolve();
	if (ret)
		return ret;
	ret = pmv_keep_init();
	if (ret)
		return ret;
	ret = misc_register(&pagemv_device);
	if (ret)
		pmv_keep_exit();
	return ret;
}

static void __exit pagemv_exit(void)
{
	misc_deregister(&pagemv_device);
	pmv_keep_exit();
}

module_init(pagemv_init);
module_exit(pagemv_exit);

MODULE_DESCRIPTION("Moving the pages of private anonymous memory");
MODULE_AUTHOR("The libpagemv maintainers");
MODULE_LICENSE("GPL");
#ifdef MODULE
/* Built in, it would make an entry in /sys/module, and no module could load. */
MODULE_VERSION("1");
#endif
