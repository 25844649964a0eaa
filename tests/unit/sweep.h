/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fails every system call of an operation, one after the other: the nth call
 * of all, once with each of ten errors, and three times in a row with some of
 * them; and of each kind, all from the nth on.
 */
#ifndef TESTS_UNIT_SWEEP_H
#define TESTS_UNIT_SWEEP_H

#include "scene.h"

/*
 * The operation: sets up its pages, calls the library, then fake_behave(),
 * and returns NULL, or what is wrong now (static).
 */
typedef const char *sweep_fn(void *arg);

/* Runs them all; expects that none is wrong. */
void sweep(const char *name, sweep_fn *run, void *arg);

/* Whether a move may return this at all (move.h). */
bool sweep_known_error(int rc);

/*
 * Whether pages could be discarded at neither of two places. Each takes two
 * calls, of which the last may fail by itself, before Linux 5.18.
 */
bool sweep_stuck(void);

/*
 * Pages 1.. of src, wherever they are now: each once, in any of the ranges.
 * hole: an id that may be nowhere, or 0.
 */
struct sweep_place {
	const void *addr;
	size_t pages;
};
const char *sweep_lost(const struct sweep_place *places, size_t n, size_t ids,
		       size_t hole);

#endif /* TESTS_UNIT_SWEEP_H */
