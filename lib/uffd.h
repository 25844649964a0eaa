/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The userfaultfd ioctls, and nothing else of the library issues them.
 *
 * The kernel tells progress in three ways: 0 for all done, EAGAIN with a
 * positive count for some done, any other errno for none done. Here all of
 * them become struct pmv_step.
 */
#ifndef PMV_UFFD_H
#define PMV_UFFD_H

#include "sys.h"

/* What one step of a mechanism did. */
struct pmv_step {
	size_t done; /* bytes that are at dst now, from the start of the span */
	size_t holes; /* part of done: absent at src, hence absent at dst */
	int error;    /* 0 when the whole span is done, else why it stopped:
		       * a negative errno that holds for src + done */
};

/* Opens a userfaultfd the given way (enum pagemv_uffd_how); dev_fd: an open
 * /dev/userfaultfd, or -1 to open it. Returns the descriptor. */
int pmv_uffd_open(const struct pmv_sys *sys, int how, int dev_fd);

/* Features, as UFFDIO_API knows them. */
#define PMV_UFFD_EVENT_FORK	(1ull << 1)
#define PMV_UFFD_EVENT_REMAP	(1ull << 2)
#define PMV_UFFD_EVENT_REMOVE	(1ull << 3)
#define PMV_UFFD_EVENT_UNMAP	(1ull << 6)
#define PMV_UFFD_SIGBUS		(1ull << 7)
#define PMV_UFFD_THREAD_ID	(1ull << 8)
#define PMV_UFFD_WP_UNPOPULATED (1ull << 13)
#define PMV_UFFD_CAN_POISON	(1ull << 14)
#define PMV_UFFD_WP_ASYNC	(1ull << 15)

/* The API handshake, once for each descriptor; features: those that are
 * wanted, and receives what the kernel reports: all that it has. */
int pmv_uffd_api(const struct pmv_sys *sys, int fd, uint64_t *features);

/* What is registered: bits. */
#define PMV_UFFD_MISSING (1u << 0)
#define PMV_UFFD_WP	 (1u << 1)

int pmv_uffd_register_for(const struct pmv_sys *sys, int fd, uintptr_t addr,
			  size_t bytes, uint32_t what, uint64_t *ioctls);

/* Registers for write protection only; ioctls: bits of what works there. */
int pmv_uffd_register(const struct pmv_sys *sys, int fd, uintptr_t addr,
		      size_t bytes, uint64_t *ioctls);
int pmv_uffd_unregister(const struct pmv_sys *sys, int fd, uintptr_t addr,
			size_t bytes);

/*
 * Gives up a write-protect-only registration without the walk over all pages
 * by which UNREGISTER clears protection bits: the mode is changed to MISSING
 * first, which needs no walk. Between the two calls an access to an absent
 * page waits (and is woken by the second), or fails with EFAULT when made by
 * the kernel: only for ranges that nobody uses meanwhile.
 */
int pmv_uffd_detach(const struct pmv_sys *sys, int fd, uintptr_t addr,
		    size_t bytes);

struct pmv_step pmv_uffd_move(const struct pmv_sys *sys, int fd, uintptr_t dst,
			      uintptr_t src, size_t bytes);
/* The same, and holes stay holes: they count as done. Nobody waits at dst. */
struct pmv_step pmv_uffd_move_sparse(const struct pmv_sys *sys, int fd,
				     uintptr_t dst, uintptr_t src,
				     size_t bytes);
struct pmv_step pmv_uffd_copy(const struct pmv_sys *sys, int fd, uintptr_t dst,
			      uintptr_t src, size_t bytes);
/*
 * Whether dst may be filled: it is registered with the descriptor, or at least
 * with one, and mappings are not changing. nowhere: a page without access.
 * Returns 0, -EINVAL where it is not or nothing is mapped, or -errno, as MOVE.
 */
int pmv_uffd_fills(const struct pmv_sys *sys, int fd, uintptr_t dst,
		   uintptr_t nowhere, size_t page_bytes);
/* Zero pages. */
struct pmv_step pmv_uffd_zero(const struct pmv_sys *sys, int fd, uintptr_t dst,
			      size_t bytes);
/* From then on an access ends in SIGBUS with BUS_MCEERR_AR. Linux 6.6. */
struct pmv_step pmv_uffd_poison(const struct pmv_sys *sys, int fd,
				uintptr_t dst, size_t bytes);
/* Sets or clears write protection; clearing wakes. Returns 0 or -errno: EAGAIN
 * where mappings change, ENOENT where part of it is not registered for it. */
int pmv_uffd_protect(const struct pmv_sys *sys, int fd, uintptr_t addr,
		     size_t bytes, bool protect);
int pmv_uffd_wake(const struct pmv_sys *sys, int fd, uintptr_t addr,
		  size_t bytes);

/* ---- messages ---- */

enum pmv_uffd_event {
	PMV_EVENT_FAULT, /* a page is absent */
	PMV_EVENT_WRITE, /* a store to a protected page */
	PMV_EVENT_FORK,	 /* fd: of the child */
	PMV_EVENT_REMAP, /* from, to, bytes */
	PMV_EVENT_GONE,	 /* from, bytes: thrown away, still mapped */
	PMV_EVENT_UNMAP, /* from, bytes */
	PMV_EVENT_OTHER, /* that the library did not ask for */
};

struct pmv_uffd_msg {
	enum pmv_uffd_event event;
	int fd;
	int tid; /* FAULT, WRITE: the thread; 0 where it was not asked for */
	uintptr_t from; /* FAULT, WRITE: the page */
	uintptr_t to;
	size_t bytes;
};

#define PMV_UFFD_MSGS 64

/* Reads up to PMV_UFFD_MSGS messages; how many, 0 where there is none, or
 * -errno. */
int pmv_uffd_read(const struct pmv_sys *sys, int fd, size_t page_bytes,
		  struct pmv_uffd_msg *msgs);

/* Whether MOVE, or COPY, is among the ioctl bits of a registration. */
bool pmv_uffd_has_move(uint64_t ioctls);
bool pmv_uffd_has_copy(uint64_t ioctls);

#endif /* PMV_UFFD_H */
