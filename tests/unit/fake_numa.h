/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A machine with NUMA nodes, as far as libnuma's system calls tell of it. They
 * are put in its place when it is loaded: link with FAKE_NUMA_WRAPS.
 */
#ifndef TESTS_UNIT_FAKE_NUMA_H
#define TESTS_UNIT_FAKE_NUMA_H

#include <stdbool.h>
#include <stddef.h>

#define FAKE_NUMA_PAGES 8192

struct fake_numa {
	unsigned long allowed; /* nodes that the process may have memory on */
	/* Where pages are, from base on (NULL: the first page that is asked
	 * about): a node, or -errno. */
	char *base;
	int on[FAKE_NUMA_PAGES];
	bool stays[FAKE_NUMA_PAGES]; /* is pinned */
	size_t huge_pages; /* base pages in a huge page, all are; or 0 */
	/* Each fails with it when it is not 0. */
	int ask_error, bind_error, query_error, move_error;
	bool not_installed; /* libnuma */
	/* What was asked for. */
	unsigned int loads;
	unsigned int asked, binds, queries, moves;
	size_t asked_pages; /* for migration */
	int bind_mode;
	unsigned long bind_nodes;
	void *bind_addr;
	unsigned long bind_bytes;
};

/* All of it may be changed; starts with one node, and pages everywhere. */
extern struct fake_numa fake_numa;

#endif /* TESTS_UNIT_FAKE_NUMA_H */
