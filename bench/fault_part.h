/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The processes of `pagemv bench fault`.
 */
#ifndef BENCH_FAULT_PART_H
#define BENCH_FAULT_PART_H

#include "child.h"
#include "fault_turn.h"

struct fault_shared {
	struct bench_shared head;
	struct fault_timed timed;
	bool moves;
	double state_bytes;
};

/* Measures the struct fault_kind that it is begun with, a turn a turn. */
extern const struct bench_part fault_case_part;

/* Finds out what a page of a region costs, when it begins: state_bytes. */
extern const struct bench_part fault_state_part;

#endif /* BENCH_FAULT_PART_H */
