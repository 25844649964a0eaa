/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * userfaultfd for one process without threads, played in user space: write
 * protection registration, MOVE and COPY with the errors of the kernel's
 * page loop. Descriptors are of /dev/null.
 */
#ifndef TESTS_UNIT_FAKE_UFFD_H
#define TESTS_UNIT_FAKE_UFFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether this kernel and process have userfaultfd with UFFDIO_MOVE. */
bool fake_uffd_in_kernel(void);

int fake_uffd_open(void);
bool fake_uffd_owns(int fd);
void fake_uffd_close(int fd);
/* The mapping is another one now: munmap(), mremap() to there. */
void fake_uffd_gone(uintptr_t addr, size_t bytes);
int fake_uffd_ioctl(int fd, unsigned long request, void *arg);

#endif /* TESTS_UNIT_FAKE_UFFD_H */
