/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The page oracle. Each page carries who it is (id), which state of it this
 * is (version), a counter that threads may add to while it travels, and a
 * checksum over all the rest of the page. After any storm a census finds
 * every page exactly once and unchanged, or says which one is not.
 *
 * Looking must not change anything: a page table entry is looked at through
 * pagemap first, as reading an absent page would fault a zero page in.
 */
#ifndef TESTS_SUPPORT_ORACLE_H
#define TESTS_SUPPORT_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The start of each page. The counter is not under the checksum. */
struct t_head {
	uint64_t magic;
	uint64_t id;	  /* 1.. */
	uint64_t version; /* 1.. */
	uint64_t sum;
	uint64_t counter;
};

enum t_kind {
	T_ABSENT, /* no page (nor swap entry) in the page table */
	T_ZERO,	  /* a page, all zero but for the counter */
	T_GOOD,	  /* whole; id and version are told */
	T_TORN	  /* anything else: bytes are not what anybody wrote */
};

/* Writes a page; the counter starts at 0. */
void t_fill(void *page, uint64_t id, uint64_t version);
/* Writes pages with ids first_id, first_id + 1, ... and version 1. */
void t_fill_range(void *addr, size_t pages, uint64_t first_id);

/* What is at page; id and version may be NULL. Changes nothing. */
enum t_kind t_look(const void *page, uint64_t *id, uint64_t *version);
/* The same for a page known to be there (a copy in malloc'ed memory). */
enum t_kind t_look_present(const void *page, uint64_t *id, uint64_t *version);

/* NULL when the page is that one, else what is wrong with it (static). */
const char *t_check(const void *page, uint64_t id, uint64_t version);
/* The same for a run of pages as t_fill_range() wrote it. */
const char *t_check_range(const void *addr, size_t pages, uint64_t first_id);
/* NULL when there is no page in the range, else which one is (static). */
const char *t_check_absent(const void *addr, size_t pages);
/* NULL when the pages are there and read as zeros. */
const char *t_check_zero(const void *addr, size_t pages);

/* Adds up the counters of the pages that are there. */
uint64_t t_sum_counters(const void *addr, size_t pages);

/* Every page exactly once: ids 1..ids over any number of ranges. */
struct t_census {
	size_t ids;
	uint32_t *found;   /* [ids + 1]: how often */
	uint64_t *version; /* [ids + 1]: the one found last */
	size_t torn;
	size_t strangers; /* whole pages with an id beyond ids */
	size_t zero;
	size_t absent;
	uint64_t counters; /* of all pages found */
};

void t_census_open(struct t_census *c, size_t ids);
void t_census_take(struct t_census *c, const void *addr, size_t pages);
/* NULL when each id was found exactly once and nothing torn (static). */
const char *t_census_verdict(const struct t_census *c);
void t_census_close(struct t_census *c);

#endif /* TESTS_SUPPORT_ORACLE_H */
