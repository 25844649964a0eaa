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

/* The API handshake; features: what the kernel reports. Once per fd. */
int pmv_uffd_api(const struct pmv_sys *sys, int fd, uint64_t *features);

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
struct pmv_step pmv_uffd_copy(const struct pmv_sys *sys, int fd, uintptr_t dst,
			      uintptr_t src, size_t bytes);
int pmv_uffd_wake(const struct pmv_sys *sys, int fd, uintptr_t addr,
		  size_t bytes);

/* Whether MOVE, or COPY, is among the ioctl bits of a registration. */
bool pmv_uffd_has_move(uint64_t ioctls);
bool pmv_uffd_has_copy(uint64_t ioctls);

#endif /* PMV_UFFD_H */
