/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What this kernel and this process can do, and why not.
 */
#ifndef PAGEMV_CAPS_H
#define PAGEMV_CAPS_H

#include <pagemv/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the handle's userfaultfd was opened. */
enum pagemv_uffd_how {
	PAGEMV_UFFD_NONE = 0,
	PAGEMV_UFFD_USER_MODE,  /* userfaultfd(UFFD_USER_MODE_ONLY) */
	PAGEMV_UFFD_DEVICE,     /* /dev/userfaultfd */
	PAGEMV_UFFD_SYSCALL,    /* userfaultfd() with kernel faults */
	PAGEMV_UFFD_HOW_COUNT
};

/*
 * Known faults of kernel releases and what the library does about them
 * (pagemv(7), KNOWN-BAD KERNELS). A quirk that pagemv_open_opts.trusted
 * names is taken as absent, and one that its distrusted names as there.
 */
#define PAGEMV_QUIRK_MISCOUNT    (1u << 0) /* 6.18-: moved pages not counted; repaired */
#define PAGEMV_QUIRK_HUGE_MOVE   (1u << 1) /* whole huge pages must not be moved */
#define PAGEMV_QUIRK_HUGE_PAGES  (1u << 2) /* regions must have no huge pages */
#define PAGEMV_QUIRK_SWAP        (1u << 3) /* no UFFDIO_MOVE while swap is on */
#define PAGEMV_QUIRK_ZERO_PAGE   (1u << 4) /* zero pages give EBUSY (6.8) */
#define PAGEMV_QUIRKS_ALL        31u

/* pagemv_caps.facilities: what else the kernel offers to the library. */
#define PAGEMV_HAS_UFFD           (1u << 0)
#define PAGEMV_HAS_QUIET          (1u << 1) /* write-protect-only registration */
#define PAGEMV_HAS_PAGEMAP        (1u << 2) /* /proc/self/pagemap */
#define PAGEMV_HAS_PAGEMAP_SCAN   (1u << 3) /* ioctl, Linux 6.7 */
#define PAGEMV_HAS_PROCMAP_QUERY  (1u << 4) /* ioctl, Linux 6.11 */
#define PAGEMV_HAS_POPULATE_WRITE (1u << 5) /* madvise, Linux 5.14 */
#define PAGEMV_HAS_PIN_CHECK      (1u << 6) /* pinned pages are noticed before a copy */
#define PAGEMV_HAS_FAULTS         (1u << 7) /* faulting regions, by SIGBUS or threads */
#define PAGEMV_HAS_POISON         (1u << 8) /* UFFDIO_POISON, Linux 6.6 */
#define PAGEMV_HAS_ASYNC_WP       (1u << 9) /* the kernel tracks stores, Linux 6.7 */
#define PAGEMV_HAS_VECTORS        (1u << 10) /* the companion: many ranges a call */
#define PAGEMV_HAS_EXCHANGE       (1u << 11) /* the companion: exchange in a call */

/* One mechanism: whether it works here, and what it costs. */
struct pagemv_mech_caps {
	uint32_t available;    /* 1 or 0 */
	uint32_t reason;       /* enum pagemv_reason: why not, or NONE */
	int32_t error;         /* the negative errno the kernel gave, or 0 */
	uint32_t calibrated;   /* 1: the costs were measured by this handle */
	/* Expected cost of one call on n pages: call_ns + n * page_ns. */
	double call_ns;
	double page_ns;        /* a base page */
	double huge_page_ns;   /* a base page's share of a huge page moved whole */
};

struct pagemv_caps {
	size_t size;           /* in: sizeof(struct pagemv_caps) */
	uint32_t uffd_how;     /* enum pagemv_uffd_how */
	uint32_t facilities;   /* PAGEMV_HAS_* */
	/* What each way of opening answered: 0, -errno, or 1 = not tried. */
	int32_t uffd_errors[PAGEMV_UFFD_HOW_COUNT];
	uint64_t uffd_features; /* as UFFDIO_API reported them */
	uint32_t quirks;       /* PAGEMV_QUIRK_* that are in force */
	uint32_t trusted;      /* PAGEMV_QUIRK_* the table names but the caller trusts */
	uint64_t page_bytes;
	uint64_t huge_page_bytes; /* of a huge page in a page table; 0: none */
	struct pagemv_mech_caps mech[PAGEMV_MECH_COUNT];
	char kernel_release[72];
};

/*
 * Tells what the handle found out when it was opened.
 *
 * caps: caps->size says how much the caller knows; no more is written.
 * Returns 0, -EINVAL (NULL or size 0), -ESRCH (forked). MT-Safe, AS-Safe.
 * Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_caps(const struct pagemv *pv, struct pagemv_caps *caps);

#ifdef __cplusplus
}
#endif

#endif /* PAGEMV_CAPS_H */
