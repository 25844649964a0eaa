/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads take pages out of a source that others store to all the time, by
 * every mechanism, pass them about in memory of their own, and write them
 * again into the source. In the end every page is found exactly once, and the
 * counters of all pages add up to all stores.
 *
 * PMV_SECONDS: how long each way to move is tried (0.4 s); PMV_SEED.
 */
#include "storm.h"
#include "tap.h"
#include "ways.h"

int main(void)
{
	static const struct storm_plan plan = { .ways = T_WAYS_LIVE };
	struct tap tap = { 0, 0 };

	storm_run(&tap, &plan);
	return tap_done(&tap);
}
