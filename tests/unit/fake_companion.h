/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The companion module for one process without threads, played in user space:
 * its four calls, with the errors of its page loop. Descriptors are of
 * /dev/null.
 */
#ifndef TESTS_UNIT_FAKE_COMPANION_H
#define TESTS_UNIT_FAKE_COMPANION_H

#include <stdbool.h>
#include <stdint.h>

/* Whether this kernel has the module and this process may use it. */
bool fake_companion_in_kernel(void);

int fake_companion_open(void);
bool fake_companion_owns(int fd);
/* The same file once more. */
void fake_companion_dup(int fd);
void fake_companion_close(int fd);
int fake_companion_ioctl(int fd, unsigned long request, void *arg);

/* What INFO answers, where it is played. */
void fake_companion_version(uint32_t version, uint64_t calls);

#endif /* TESTS_UNIT_FAKE_COMPANION_H */
