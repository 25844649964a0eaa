/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A row of `pagemv bench gc`, in a process of its own: a heap with mutators,
 * and a collection each turn.
 */
#ifndef BENCH_GC_CASE_H
#define BENCH_GC_CASE_H

#include <stdint.h>

#include "child.h"
#include "gc_kind.h"

/* What a turn has measured. */
struct gc_shared {
	struct bench_shared head;
	unsigned int wrong; /* things that were not what they should be */
	/* ns: the stop of all threads, without marking; and marking. */
	double pause_ns;
	double mark_ns;
	double compact_ns;
	/* Reads that took long while it was compacted, by whatever cause; with
	 * those in which the thread had lost its CPU to another one, and
	 * without. */
	double stall_p99_ns;
	double stall_max_ns;
	double own_max_ns;
	double ops_per_s; /* reads of all mutators meanwhile */
	double peak_rss_bytes;
	double live_bytes;
};

/* Its argument is a struct gc_kind. */
extern const struct bench_part gc_case_part;

#endif /* BENCH_GC_CASE_H */
