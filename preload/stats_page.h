/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The statistics page: where a process under the shim keeps its heap's counters
 * so that pagemv-top(1) finds and reads them from outside, at no cost for the
 * process.
 *
 * It is private memory with a name in /proc/PID/maps, read through
 * /proc/PID/mem. Not shared memory: a forked child then has a page of its own,
 * as it was at the fork, without a system call, and no file descriptor is ever
 * visible to a program that counts its own.
 */
#ifndef PRELOAD_STATS_PAGE_H
#define PRELOAD_STATS_PAGE_H

#include <stdint.h>

#include <pagemv/heap.h>

/* The mapping is "[anon:NAME]", or "/memfd:NAME (deleted)" where the kernel has
 * no names for anonymous memory. */
#define PMV_STATS_PAGE_NAME    "pagemv-stats"
#define PMV_STATS_PAGE_MAGIC   "pagemv\r\n"
#define PMV_STATS_PAGE_VERSION 1

/*
 * Read by programs of another version, and perhaps of another word size: types
 * are of fixed width, and nothing before the counters moves as long as the
 * version is the same. The counters may come to have more members.
 */
struct pmv_stats_page {
	char magic[8];
	uint32_t version;
	uint32_t page_bytes;	/* of all of it */
	uint32_t counters_off;	/* of counters[] */
	uint32_t counters;	/* so many */
	uint32_t counter_bytes; /* of one of them */
	uint32_t pid;		/* as the process itself knows it */
	uint64_t start_ns;	/* CLOCK_BOOTTIME, of the start or the fork */
	char library[24];	/* its version */
	char settings[512];	/* as they came to be */
	/* What the sum was at the fork: nothing that this process has done. */
	_Alignas(64) struct pagemv_heap_counters inherited;
	/* Written by the heap, with relaxed atomics. */
	_Alignas(64) struct pagemv_heap_counters counter[PAGEMV_HEAP_COUNTERS];
};

/*
 * A page with zeroed counters, for pagemv_heap_opts.counters; it stays until
 * the process ends. settings: as text, cut if it is long. NULL where it cannot
 * be had, or nobody could find it. Calls no malloc; errno is as before.
 */
struct pmv_stats_page *pmv_stats_page_make(const char *settings);

/* The page is the calling process's from now on: call in a forked child before
 * anything is counted there. page may be NULL. AS-Safe. */
void pmv_stats_page_child(struct pmv_stats_page *page);

#endif /* PRELOAD_STATS_PAGE_H */
