/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every other header of the library needs: visibility, the handle, the
 * mechanisms, and the reasons that results and capabilities are told with.
 */
#ifndef PAGEMV_BASE_H
#define PAGEMV_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PAGEMV_API __attribute__((visibility("default")))
#else
#define PAGEMV_API
#endif

/* One user of the library: a userfaultfd, its regions, its counters. */
struct pagemv;

/* A range registered with a handle, see region.h. */
struct pagemv_region;

/*
 * The ways to bring pages from one address to another. AUTO picks the
 * cheapest one that the call's options and this kernel allow.
 */
enum pagemv_mechanism {
	PAGEMV_MECH_AUTO = 0,
	PAGEMV_MECH_MOVE,      /* UFFDIO_MOVE, Linux 6.8 and later */
	PAGEMV_MECH_REMAP,     /* mremap(FIXED|DONTUNMAP), Linux 5.7 and later */
	PAGEMV_MECH_COPY,      /* UFFDIO_COPY, or memcpy without userfaultfd */
	PAGEMV_MECH_COMPANION, /* the module pagemv.ko, by /dev/pagemv: pagemv(4) */
	PAGEMV_MECH_COUNT
};

/* The bit of mechanism m in masks (disabled mechanisms, mechanisms used). */
#define PAGEMV_MECH_BIT(m) (1u << (m))

/*
 * Why something is as it is: why a page was left, why an argument was
 * refused, why a mechanism is not available. New reasons are added at the
 * end; pagemv_reason_string() knows all of them.
 */
enum pagemv_reason {
	PAGEMV_REASON_NONE = 0,

	/* The arguments; nothing was touched. */
	PAGEMV_REASON_MISALIGNED,         /* address or length not of whole pages */
	PAGEMV_REASON_ZERO_LENGTH,
	PAGEMV_REASON_WRAPS,              /* the range leaves the address space */
	PAGEMV_REASON_OVERLAP,            /* ranges overlap where they must not */
	PAGEMV_REASON_BAD_OPTIONS,        /* unknown flag, value, or struct size */
	PAGEMV_REASON_FORKED,             /* the handle belongs to the parent process */

	/* The mappings; nothing was touched. */
	PAGEMV_REASON_UNMAPPED,
	PAGEMV_REASON_NOT_REGISTERED,     /* dst is not inside a region of this handle */
	PAGEMV_REASON_FOREIGN_UFFD,       /* registered with somebody else's userfaultfd */
	PAGEMV_REASON_FILE,               /* shared mapping of a file */
	PAGEMV_REASON_PRIVATE_FILE,       /* MAP_PRIVATE mapping of a file */
	PAGEMV_REASON_SHARED,             /* MAP_SHARED|MAP_ANONYMOUS */
	PAGEMV_REASON_SHMEM,              /* System V or POSIX shared memory, tmpfs */
	PAGEMV_REASON_MEMFD,
	PAGEMV_REASON_READ_ONLY,
	PAGEMV_REASON_NO_ACCESS,          /* PROT_NONE */
	PAGEMV_REASON_PROTECTION_DIFFERS, /* src and dst, or their protection keys */
	PAGEMV_REASON_LOCK_DIFFERS,       /* mlock on one side only */
	PAGEMV_REASON_HUGETLB,
	PAGEMV_REASON_SPECIAL,            /* device, vdso, shadow stack and the like */

	/* The pages. */
	PAGEMV_REASON_HOLE,               /* no page at src */
	PAGEMV_REASON_OCCUPIED,           /* a page at dst already */
	PAGEMV_REASON_PINNED,             /* under DMA, or otherwise held */
	PAGEMV_REASON_POISONED,           /* hardware error or poison marker */
	PAGEMV_REASON_RACED,              /* src and dst were refilled meanwhile, or
					   * may have been: both are as found */

	/* The kernel and the process. */
	PAGEMV_REASON_CHANGING,           /* mappings kept changing (EAGAIN) */
	PAGEMV_REASON_NO_MEMORY,
	PAGEMV_REASON_TOO_MANY_MAPPINGS,  /* vm.max_map_count */
	PAGEMV_REASON_INTERRUPTED,        /* a fatal signal is pending */
	PAGEMV_REASON_NO_MECHANISM,       /* none that is allowed is available */
	PAGEMV_REASON_LAYOUT,             /* needs PAGEMV_MOVE_MAY_REMAP */
	PAGEMV_REASON_NOT_IN_KERNEL,      /* this kernel does not have it */
	PAGEMV_REASON_NOT_PERMITTED,      /* privilege or sysctl (EPERM, EACCES) */
	PAGEMV_REASON_FILTERED,           /* refused as seccomp filters refuse */
	PAGEMV_REASON_KNOWN_BAD,          /* a known fault of this kernel release */
	PAGEMV_REASON_DISABLED,           /* by the caller of pagemv_open() */
	PAGEMV_REASON_NO_PROC,            /* /proc is not there or not readable */
	PAGEMV_REASON_UNEXPECTED,         /* an answer the library has no name for */

	PAGEMV_REASON_REPLACED,           /* of a region, but no longer registered:
					   * MAP_FIXED or mremap() over it */
	PAGEMV_REASON_OTHER_DEVICE,       /* /dev/pagemv is something else's */
	PAGEMV_REASON_OTHER_VERSION,      /* the module is older, or newer */
	PAGEMV_REASON_COUNT
};

/*
 * A sentence in English for a reason; never NULL, also for unknown values.
 * The string is static. MT-Safe, AS-Safe.
 */
PAGEMV_API const char *pagemv_reason_string(enum pagemv_reason reason);

/*
 * What a negative return value of this library means; err may be given
 * negative or positive. Never NULL, static. MT-Safe, AS-Safe.
 */
PAGEMV_API const char *pagemv_strerror(int err);

/* The name of a mechanism ("auto", "move", "remap", "copy", "companion"), or
 * "unknown". */
PAGEMV_API const char *pagemv_mechanism_name(enum pagemv_mechanism mechanism);

#ifdef __cplusplus
}
#endif

#endif /* PAGEMV_BASE_H */
