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

#include "symbols.h"

#define PMV_CALL(nr) (1ULL << _IOC_NR(nr))

static long info(void __user *arg)
{
	struct pagemvio_info in, out = {
		.size = sizeof(out),
		.version = PAGEMVIO_VERSION,
		.calls = PMV_CALL(PAGEMVIO_INFO),
		.modes = PAGEMVIO_MODE_DONTWAKE | PAGEMVIO_MODE_ALLOW_SRC_HOLES,
	};
	u32 size;
	int ret;

	if (get_user(size, (u32 __user *)arg))
		return -EFAULT;
	if (size < offsetofend(struct pagemvio_info, flush_pages))
		return -EINVAL;
	ret = copy_struct_from_user(&in, sizeof(in), arg, size);
	if (ret)
		return ret;
	if (copy_to_user(arg, &out, min_t(u32, size, sizeof(out))))
		return -EFAULT;
	return 0;
}

static long pagemv_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	if (file->private_data != current->mm)
		return -EINVAL;

	switch (cmd) {
	case PAGEMVIO_INFO:
		return info((void __user *)arg);
	default:
		return -ENOTTY;
	}
}

static int pagemv_open(struct inode *inode, struct file *file)
{
	if (!current->mm)
		return -EINVAL;
	mmgrab(current->mm);
	file->private_data = current->mm;
	return 0;
}

static int pagemv_release(struct inode *inode, struct file *file)
{
	mmdrop(file->private_data);
	return 0;
}

static const struct file_operations pagemv_fops = {
	.owner = THIS_MODULE,
	.open = pagemv_open,
	.release = pagemv_release,
	.unlocked_ioctl = pagemv_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice pagemv_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "pagemv",
	.mode = 0600,
	.fops = &pagemv_fops,
};

static int __init pagemv_init(void)
{
	int ret = pmv_symbols_resolve();

	if (ret)
		return ret;
	return misc_register(&pagemv_device);
}

static void __exit pagemv_exit(void)
{
	misc_deregister(&pagemv_device);
}

module_init(pagemv_init);
module_exit(pagemv_exit);

MODULE_DESCRIPTION("Moving the pages of private anonymous memory");
MODULE_AUTHOR("The libpagemv maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("1");
