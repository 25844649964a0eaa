/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tests of the shim that are written in C. Such a program runs itself once for
 * each case, under the shim, and looks at how that ended and at what it said on
 * stderr. A case is a function; it calls t_check().
 */
#ifndef TESTS_PRELOAD_SHIM_TEST_H
#define TESTS_PRELOAD_SHIM_TEST_H

#include <stdbool.h>
#include <stddef.h>

#include "tap.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* Blocks of this and more are served: every case has "threshold=128k". */
#define LARGE (128 * KIB)

struct shim_case {
	const char *name;
	void (*run)(void);
	const char *conf;    /* further settings */
	const char *program; /* instead of this one, of the same directory */
	const char *says[3]; /* all of these are on stderr; none: nothing is */
	int signal;	     /* that it ends by; 0: it exits with 0 */
	bool without;	     /* the shim is not loaded */
};

/* main() of such a program; as its argument, the name of one case. */
int shim_test(int argc, char **argv, const struct shim_case *cases, size_t n);

/* Ends the case as failed, or as skipped. */
void t_fail(const char *file, int line, const char *what)
	__attribute__((noreturn));
void t_skip(const char *why) __attribute__((noreturn));

#define t_check(condition) \
	((condition) ? (void)0 : t_fail(__FILE__, __LINE__, #condition))

/* Whether the shim's heap has served it: what glibc's malloc() returns never
 * is at the beginning of a page. */
bool t_served(const void *ptr);

/* Bytes that tell where they belong. */
void t_fill(void *ptr, size_t bytes, unsigned int seed);
bool t_filled(const void *ptr, size_t bytes, unsigned int seed);
bool t_is_zero(const void *ptr, size_t bytes);

/* Path of the shim. */
const char *t_shim(void);

/* Waits for a child; true if it exited with 0. */
bool t_wait(int pid);

#endif /* TESTS_PRELOAD_SHIM_TEST_H */
