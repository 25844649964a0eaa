/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A userfaultfd of the test's own, by bare system calls: the foreigner that
 * the library meets, and the measure of what the kernel does by itself.
 */
#ifndef TESTS_SUPPORT_RAWUFFD_H
#define TESTS_SUPPORT_RAWUFFD_H

#include <stddef.h>
#include <stdint.h>

/* An opened and initialised userfaultfd, or -errno. */
int t_uffd_open(void);

/* Registers for write protection (quiet) or missing pages; 0 or -errno. */
int t_uffd_register_wp(int fd, void *addr, size_t bytes);
int t_uffd_register_missing(int fd, void *addr, size_t bytes);

/*
 * One bare ioctl. Returns 0 or -errno; *done gets the kernel's count as it
 * is (negative: an error; 0 where the kernel did not write it).
 */
int t_uffd_move(int fd, void *dst, void *src, size_t bytes, int64_t *done);
int t_uffd_copy(int fd, void *dst, void *src, size_t bytes, int64_t *done);

/* The request number of UFFDIO_MOVE (for filters). */
unsigned long t_uffd_move_request(void);

/* Can this kernel and process UFFDIO_MOVE? Tried, not looked up: 0/-errno. */
int t_uffd_can_move(void);

#endif /* TESTS_SUPPORT_RAWUFFD_H */
