// SPDX-License-Identifier: LGPL-2.1-or-later
#include "advice.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define FIX_DEVICE                                            \
	"chmod 666 /dev/userfaultfd; to stay, the udev rule " \
	"KERNEL==\"userfaultfd\", MODE=\"0666\" in /etc/udev/rules.d/"
#define FIX_SYSCTL "sysctl -w vm.unprivileged_userfaultfd=1"
#define FIX_SECCOMP                                                    \
	"allow userfaultfd in the seccomp profile (docker run "        \
	"--security-opt seccomp=PROFILE.json), or hand in the device " \
	"(--device /dev/userfaultfd)"
#define FIX_KERNEL                                                             \
	"a newer kernel: apt install -t bookworm-backports linux-image-amd64 " \
	"(Debian 12), then reboot"
#define FIX_CONFIG                                                             \
	"a kernel built with CONFIG_USERFAULTFD=y, or a seccomp profile that " \
	"allows userfaultfd"

/* Of the companion module; the manual of the device is pagemv(4). */
#define FIX_BUILD                                                              \
	"apt install linux-headers-$(uname -r), make in kmod/ of the sources " \
	"(Linux 6.1 and 6.12), insmod kmod/pagemv.ko; by DKMS: see pagemv(4)"
#define FIX_GROUP                                                       \
	"chgrp GROUP /dev/pagemv; chmod 660 /dev/pagemv; to stay, the " \
	"udev rule that comes with the module"
#define FIX_VERSION                                                    \
	"rmmod pagemv, and the module built from the sources of this " \
	"library, "                                                    \
	"see pagemv(4)"
#define FIX_OTHER                                                           \
	"ls -l /dev/pagemv, and remove what made it; or a descriptor that " \
	"was "                                                              \
	"opened by this process"

static const char *const features[] = {
	"pagefault-flag-wp",
	"event-fork",
	"event-remap",
	"event-remove",
	"missing-hugetlbfs",
	"missing-shmem",
	"event-unmap",
	"sigbus",
	"thread-id",
	"minor-hugetlbfs",
	"minor-shmem",
	"exact-address",
	"wp-hugetlbfs-shmem",
	"wp-unpopulated",
	"poison",
	"wp-async",
	"move",
};

struct named {
	const char *name;
	const char *text;
};

static const struct named quirks[] = {
	{ "miscount",
	  "UFFDIO_MOVE moves pages that it does not count: the "
	  "library finds them in the page tables and corrects the counts" },
	{ "huge-move",
	  "moving whole huge pages can corrupt memory: the "
	  "library moves them in smaller pieces, which splits them" },
	{ "huge-pages", "huge pages and UFFDIO_MOVE do not go together: the "
			"library keeps its regions free of huge pages" },
	{ "swap", "UFFDIO_MOVE can corrupt pages that were swapped: the "
		  "library does not use it while swap is on" },
	{ "zero-page", "UFFDIO_MOVE refuses pages that were only read: the "
		       "library gives them memory of their own first" },
};

static const struct named facilities[] = {
	{ "userfaultfd", "needed for UFFDIO_MOVE and UFFDIO_COPY" },
	{ "quiet regions", "write-protect-only registration: faults cost "
			   "nothing extra" },
	{ "pagemap", "/proc/self/pagemap: counts are repaired from it" },
	{ "PAGEMAP_SCAN", "Linux 6.7: the same, faster" },
	{ "PROCMAP_QUERY", "Linux 6.11: reasons are found faster" },
	{ "POPULATE_WRITE", "Linux 5.14: pages shared by fork() can move" },
	{ "pin check", "pages under DMA are noticed before a copy" },
	{ "faults", "absent pages of regions can be filled on demand" },
	{ "POISON", "Linux 6.6: a page that cannot be filled stays so" },
	{ "async WP", "Linux 6.7: stores are tracked without a fault of ours" },
	{ "vectors", "companion: many ranges are one call and one TLB flush" },
	{ "exchange", "companion: two ranges change places in one call" },
};

static const char *const way_names[PAGEMV_UFFD_HOW_COUNT] = {
	[PAGEMV_UFFD_NONE] = "none",
	[PAGEMV_UFFD_USER_MODE] = "userfaultfd(UFFD_USER_MODE_ONLY)",
	[PAGEMV_UFFD_DEVICE] = "/dev/userfaultfd",
	[PAGEMV_UFFD_SYSCALL] = "userfaultfd()",
};

const char *advice_way_name(enum pagemv_uffd_how how)
{
	return how < PAGEMV_UFFD_HOW_COUNT ? way_names[how] : "unknown";
}

static struct advice advice_refused(enum pagemv_uffd_how how)
{
	switch (how) {
	case PAGEMV_UFFD_DEVICE:
		return (struct advice){ "the device is for other users only",
					FIX_DEVICE };
	case PAGEMV_UFFD_SYSCALL:
		return (struct advice){ "needs CAP_SYS_PTRACE, or "
					"vm.unprivileged_userfaultfd to be 1, "
					"or a seccomp filter refuses it",
					FIX_SYSCTL };
	default:
		return (struct advice){ "this way needs no privilege, so a "
					"seccomp filter or a security module "
					"refuses it",
					FIX_SECCOMP };
	}
}

struct advice advice_way(enum pagemv_uffd_how how, int32_t error)
{
	if (error == 1)
		return (struct advice){ "not tried, another way worked", NULL };
	switch (-error) {
	case 0:
		return (struct advice){ "works", NULL };
	case EPERM:
	case EACCES:
		return advice_refused(how);
	case ENOSYS:
		return (struct advice){ "the kernel is built without "
					"userfaultfd, or a seccomp filter "
					"hides it",
					FIX_CONFIG };
	case ENOENT:
		return (struct advice){ "there is no such device: Linux before "
					"6.1, or a container without it",
					FIX_SECCOMP };
	case EINVAL:
		return (struct advice){ "the kernel is older than 5.11",
					FIX_KERNEL };
	default:
		return (struct advice){ strerror(-error), NULL };
	}
}

static bool kernel_before(const struct pagemv_caps *caps, int major, int minor)
{
	int found_major, found_minor;

	if (sscanf(caps->kernel_release, "%d.%d", &found_major, &found_minor) !=
	    2)
		return false;
	return found_major < major ||
	       (found_major == major && found_minor < minor);
}

static const char *fix_move(const struct pagemv_caps *caps,
			    enum pagemv_reason reason)
{
	switch (reason) {
	case PAGEMV_REASON_NOT_IN_KERNEL:
		if (kernel_before(caps, 6, 8))
			return FIX_KERNEL;
		return caps->uffd_how == PAGEMV_UFFD_NONE
			       ? FIX_CONFIG
			       : "a kernel with UFFDIO_MOVE (Linux 6.8 and "
				 "later)";
	case PAGEMV_REASON_NOT_PERMITTED:
		return FIX_SYSCTL "; or " FIX_DEVICE;
	case PAGEMV_REASON_FILTERED:
		return FIX_SECCOMP;
	case PAGEMV_REASON_KNOWN_BAD:
		return caps->quirks & PAGEMV_QUIRK_SWAP
			       ? "swapoff -a; or " FIX_KERNEL
			       : FIX_KERNEL;
	case PAGEMV_REASON_NO_PROC:
		return "mount -t proc proc /proc";
	default:
		return NULL;
	}
}

static const char *fix_remap(enum pagemv_reason reason)
{
	switch (reason) {
	case PAGEMV_REASON_NOT_IN_KERNEL:
		return "Linux 5.7 or later";
	case PAGEMV_REASON_NOT_PERMITTED:
	case PAGEMV_REASON_FILTERED:
		return "allow mremap in the seccomp profile";
	default:
		return NULL;
	}
}

static const char *fix_companion(enum pagemv_reason reason)
{
	switch (reason) {
	case PAGEMV_REASON_NOT_IN_KERNEL:
		return FIX_BUILD;
	case PAGEMV_REASON_NOT_PERMITTED:
		return FIX_GROUP;
	case PAGEMV_REASON_OTHER_DEVICE:
		return FIX_OTHER;
	case PAGEMV_REASON_OTHER_VERSION:
		return FIX_VERSION;
	case PAGEMV_REASON_FILTERED:
		return "allow ioctl on /dev/pagemv in the seccomp profile";
	default:
		return NULL;
	}
}

/* For the companion it is a device that the kernel does not have. */
static const char *why(enum pagemv_mechanism mechanism,
		       enum pagemv_reason reason)
{
	if (mechanism != PAGEMV_MECH_COMPANION)
		return pagemv_reason_string(reason);
	switch (reason) {
	case PAGEMV_REASON_NOT_IN_KERNEL:
		return "the module is not loaded: there is no /dev/pagemv";
	case PAGEMV_REASON_NOT_PERMITTED:
		return "/dev/pagemv is for other users only";
	default:
		return pagemv_reason_string(reason);
	}
}

struct advice advice_mechanism(enum pagemv_mechanism mechanism,
			       const struct pagemv_caps *caps)
{
	enum pagemv_reason reason = caps->mech[mechanism].reason;
	struct advice advice = { why(mechanism, reason), NULL };

	if (mechanism == PAGEMV_MECH_MOVE)
		advice.fix = fix_move(caps, reason);
	else if (mechanism == PAGEMV_MECH_REMAP)
		advice.fix = fix_remap(reason);
	else if (mechanism == PAGEMV_MECH_COMPANION)
		advice.fix = fix_companion(reason);
	return advice;
}

const char *advice_feature_name(unsigned int i)
{
	return i < COUNT(features) ? features[i] : NULL;
}

const char *advice_quirk_name(unsigned int i)
{
	return i < COUNT(quirks) ? quirks[i].name : NULL;
}

const char *advice_quirk_action(unsigned int i)
{
	return i < COUNT(quirks) ? quirks[i].text : NULL;
}

const char *advice_facility_name(unsigned int i)
{
	return i < COUNT(facilities) ? facilities[i].name : NULL;
}

const char *advice_facility_use(unsigned int i)
{
	return i < COUNT(facilities) ? facilities[i].text : NULL;
}
