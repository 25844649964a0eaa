/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /dev/pagemv-notifier, of a module that is loaded in the lab only: a secondary
 * MMU that maps nothing, but keeps a record of what it is told to forget, and
 * sleeps while it is told.
 *
 * Opening it registers a notifier on the address space of the caller, closing
 * it ends that. read() gives a struct pagemv_notifier_record, whole; write() of
 * a struct pagemv_notifier_plan clears the record and says how long to sleep, and
 * which page is pinned at the next flush of the TLB: when its entry is out, and
 * has not come to another place, as gup_fast() might do it on another processor.
 */
#ifndef PAGEMV_TEST_NOTIFIER_H
#define PAGEMV_TEST_NOTIFIER_H

#include <linux/types.h>

#define PAGEMV_NOTIFIER_RANGES 128 /* that are remembered, the first ones */

struct pagemv_notifier_plan {
	__u64 low;		/* only what overlaps [low, high) counts */
	__u64 high;
	__u32 sleep_start_ms;	/* in each invalidate_range_start() */
	__u32 sleep_end_ms;	/* in each invalidate_range_end() */
	__u64 pin;		/* an address in that page, until the next plan; or 0 */
};

struct pagemv_notifier_range {
	__u64 start;
	__u64 end;
};

struct pagemv_notifier_record {
	__u64 starts;
	__u64 ends;
	__u64 atomics;		/* starts that were not allowed to sleep */
	__u64 unpaired;		/* ends without a start of the same range */
	__u64 open;		/* begun and not ended now */
	__u64 sleeping;		/* 1: in a start, 2: in an end, now */
	struct pagemv_notifier_range ranges[PAGEMV_NOTIFIER_RANGES];
};

#endif /* PAGEMV_TEST_NOTIFIER_H */
