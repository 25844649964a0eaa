// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv top: from counters to what is shown.
 */
#include "top.h"

#include <time.h>

#define MIB 1048576.0

uint64_t top_now_ns(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_BOOTTIME, &now))
		return 0;
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The counters are read one by one while they are written: what was freed may
 * be seen before it was allocated. */
static uint64_t difference(uint64_t more, uint64_t less)
{
	int64_t n = (int64_t)(more - less);

	return n > 0 ? (uint64_t)n : 0;
}

static struct top_figures make(const struct pagemv_heap_counters *now,
			       const struct pagemv_heap_counters *before,
			       uint64_t ns)
{
#define SINCE(member) difference(now->member, before->member)
	struct top_figures figures = {
		.seconds = (double)ns / 1e9,
		.blocks = difference(now->allocs, now->frees),
		.live_bytes = difference(now->alloc_bytes, now->free_bytes),
		.calls = SINCE(allocs) + SINCE(frees) + SINCE(reallocs),
		.reallocs = SINCE(reallocs),
		.in_place = SINCE(in_place),
		.moves = SINCE(moves),
		.moved_bytes = SINCE(moved_bytes),
		.copied_bytes = SINCE(copied_bytes),
		.saved = difference(SINCE(moves), SINCE(remaps)),
		.given_back_bytes = SINCE(given_back_bytes),
		.misuses = SINCE(misuses),
		.failures = SINCE(failures),
	};
#undef SINCE

	return figures;
}

struct top_figures top_total(const struct top_process *process)
{
	return make(&process->now.sum, &process->inherited,
		    difference(process->now.at_ns, process->start_ns));
}

struct top_figures top_interval(const struct top_process *process)
{
	const struct top_sample *before =
		process->before.at_ns ? &process->before : &process->now;

	return make(&process->now.sum, &before->sum,
		    difference(process->now.at_ns, before->at_ns));
}

double top_speed(const struct top_figures *figures)
{
	if (figures->seconds <= 0)
		return 0;
	return (double)(figures->moved_bytes + figures->copied_bytes) / MIB /
	       figures->seconds;
}
