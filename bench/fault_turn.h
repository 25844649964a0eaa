/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One turn of one kind: its threads touch so many pages each, and each touch
 * is timed alone.
 */
#ifndef BENCH_FAULT_TURN_H
#define BENCH_FAULT_TURN_H

#include "fault_case.h"

/* Timed touches of each thread: soon over, so that few turns are interrupted.
 */
#define FAULT_TOUCHES 64
#define FAULT_TIMED   (FAULT_MAX_THREADS * FAULT_TOUCHES)

struct fault_timed {
	size_t n;
	double ns[FAULT_TIMED];
	size_t wrong; /* pages that are not what they should be */
};

/* 0 or -errno, with *doing: what could not be done. */
int fault_turn(struct fault_case *c, struct fault_timed *timed,
	       const char **doing);

#endif /* BENCH_FAULT_TURN_H */
