// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>

#include <pagemv/pagemv.h>

#include "base.h"
#include "config.h"

static const char *const reasons[PAGEMV_REASON_COUNT] = {
	[PAGEMV_REASON_NONE] = "nothing is wrong",
	[PAGEMV_REASON_MISALIGNED] =
		"an address or the length is not a multiple of the page size",
	[PAGEMV_REASON_ZERO_LENGTH] = "the length is zero",
	[PAGEMV_REASON_WRAPS] = "a range wraps around the address space",
	[PAGEMV_REASON_OVERLAP] = "the ranges overlap",
	[PAGEMV_REASON_BAD_OPTIONS] = "an unknown flag or value in the "
				      "options, or a wrong struct size",
	[PAGEMV_REASON_FORKED] = "the handle belongs to the parent process: "
				 "open one in the child",
	[PAGEMV_REASON_UNMAPPED] = "part of a range is not mapped",
	[PAGEMV_REASON_NOT_REGISTERED] =
		"the destination is not inside a region of this handle",
	[PAGEMV_REASON_FOREIGN_UFFD] =
		"the range is registered with another userfaultfd",
	[PAGEMV_REASON_FILE] = "a range is a shared mapping of a file",
	[PAGEMV_REASON_PRIVATE_FILE] = "a range is a private mapping of a file",
	[PAGEMV_REASON_SHARED] = "a range is shared anonymous memory",
	[PAGEMV_REASON_SHMEM] = "a range is System V or POSIX shared memory",
	[PAGEMV_REASON_MEMFD] = "a range is a mapping of a memfd",
	[PAGEMV_REASON_READ_ONLY] = "a range is not writable",
	[PAGEMV_REASON_NO_ACCESS] = "a range is PROT_NONE",
	[PAGEMV_REASON_PROTECTION_DIFFERS] =
		"source and destination differ in protection or protection key",
	[PAGEMV_REASON_LOCK_DIFFERS] =
		"only one of source and destination is locked by mlock",
	[PAGEMV_REASON_HUGETLB] = "a range is hugetlb memory",
	[PAGEMV_REASON_SPECIAL] =
		"a range is a special mapping (device, vdso, shadow stack)",
	[PAGEMV_REASON_HOLE] = "there is no page at the source",
	[PAGEMV_REASON_OCCUPIED] = "there is a page at the destination already",
	[PAGEMV_REASON_PINNED] = "the page is pinned, as for DMA",
	[PAGEMV_REASON_POISONED] =
		"the page is poisoned or has a hardware error",
	[PAGEMV_REASON_RACED] =
		"source and destination were both filled anew meanwhile",
	[PAGEMV_REASON_CHANGING] =
		"the kernel kept asking to try again while mappings changed",
	[PAGEMV_REASON_NO_MEMORY] = "the kernel has no memory",
	[PAGEMV_REASON_TOO_MANY_MAPPINGS] =
		"no room for another mapping (vm.max_map_count, RLIMIT_AS)",
	[PAGEMV_REASON_INTERRUPTED] = "a fatal signal is pending",
	[PAGEMV_REASON_NO_MECHANISM] =
		"no mechanism that the options allow is available",
	[PAGEMV_REASON_LAYOUT] =
		"mremap would be needed, which PAGEMV_MOVE_MAY_REMAP allows",
	[PAGEMV_REASON_NOT_IN_KERNEL] = "this kernel does not have it",
	[PAGEMV_REASON_NOT_PERMITTED] = "not permitted to this process",
	[PAGEMV_REASON_FILTERED] = "refused, probably by a seccomp filter",
	[PAGEMV_REASON_KNOWN_BAD] =
		"a known fault of this kernel release makes it unsafe",
	[PAGEMV_REASON_DISABLED] = "disabled when the handle was opened",
	[PAGEMV_REASON_NO_PROC] = "/proc is not readable",
	[PAGEMV_REASON_UNEXPECTED] =
		"the kernel gave an answer that is not documented",
	[PAGEMV_REASON_REPLACED] =
		"part of a region is no longer registered: something else was "
		"mapped there",
	[PAGEMV_REASON_OTHER_DEVICE] =
		"/dev/pagemv is not the companion module's, or was opened by "
		"another process",
	[PAGEMV_REASON_OTHER_VERSION] =
		"the companion module is of a version that this library does "
		"not know",
};

const char *pagemv_reason_string(enum pagemv_reason reason)
{
	unsigned int n = (unsigned int)reason;

	if (n >= PAGEMV_REASON_COUNT || !reasons[n])
		return "unknown reason";
	return reasons[n];
}

const char *pagemv_strerror(int err)
{
	switch (err < 0 ? -(unsigned int)err : (unsigned int)err) {
	case 0:
		return "success";
	case EINVAL:
		return "invalid arguments or unsuitable mappings";
	case E2BIG:
		return "options from a newer version of the library";
	case ENOENT:
		return "no page at the source, or nothing mapped";
	case EEXIST:
		return "a page at the destination already";
	case EBUSY:
		return "pinned pages, or memory registered elsewhere";
	case EAGAIN:
		return "mappings kept changing";
	case ENOMEM:
		return "out of memory or of mappings";
	case EFAULT:
		return "a poisoned page";
	case EINTR:
		return "a fatal signal is pending";
	case EDEADLK:
		return "called by a callback that it would have to wait for";
	case EOPNOTSUPP:
		return "not available here";
	case ESRCH:
		return "the handle belongs to the parent process";
	case EMFILE:
	case ENFILE:
		return "no file descriptor left";
	case EIO:
		return "an undocumented answer of the kernel";
	default:
		return "unknown error";
	}
}

const char *pagemv_mechanism_name(enum pagemv_mechanism mechanism)
{
	switch (mechanism) {
	case PAGEMV_MECH_AUTO:
		return "auto";
	case PAGEMV_MECH_MOVE:
		return "move";
	case PAGEMV_MECH_REMAP:
		return "remap";
	case PAGEMV_MECH_COPY:
		return "copy";
	case PAGEMV_MECH_COMPANION:
		return "companion";
	case PAGEMV_MECH_COUNT:
		break;
	}
	return "unknown";
}

const char *pagemv_version(void)
{
	return PACKAGE_VERSION;
}
