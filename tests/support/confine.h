/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking things away from the process that calls: use in a forked child, or
 * in a test (which is a process of its own).
 */
#ifndef TESTS_SUPPORT_CONFINE_H
#define TESTS_SUPPORT_CONFINE_H

#include <stdbool.h>

/*
 * From now on the system call nr fails with err and does nothing.
 * False where this kernel or an outer filter does not allow filters.
 */
bool t_refuse_syscall(long nr, int err);

/* From now on ioctl() fails with err where its request is this one. */
bool t_refuse_ioctl(unsigned long request, int err);

/*
 * From now on every system call but ioctl(), write(), futex() and the ends of
 * the process kills it with SIGSYS.
 */
bool t_only_ioctl(void);

/*
 * Becomes nobody, without any capability; false when not root, or only that of
 * a user namespace without others.
 */
bool t_become_nobody(void);

#endif /* TESTS_SUPPORT_CONFINE_H */
