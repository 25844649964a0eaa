/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every test needs: set-up that cannot fail quietly, random numbers that
 * can be replayed, memory that is placed as the test wants it.
 *
 * Nothing here knows Criterion or the library's internals, so that the same
 * code serves live tests, stress programs and sanitizer lanes.
 */
#ifndef TESTS_SUPPORT_T_H
#define TESTS_SUPPORT_T_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define T_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Memory is also a sanitizer's, which maps of its own as it likes. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define T_SANITIZED 1
#else
#define T_SANITIZED 0
#endif

/* Ends the process with a message: the set-up of a test is broken. */
__attribute__((noreturn, format(printf, 1, 2))) void t_die(const char *format,
							   ...);

/* Bytes of a base page. */
size_t t_page(void);

/* Bytes of n pages. */
size_t t_pages(size_t n);

/* Nanoseconds of the monotonic clock. */
uint64_t t_now_ns(void);

void t_sleep_ms(unsigned int ms);

/* How many times slower this machine is than one that people work on: PMV_SLOW,
 * 1 where it is not set. */
unsigned int t_slow(void);

/* xorshift64*: small, and the same everywhere. */
struct t_random {
	uint64_t state;
};

struct t_random t_random_make(uint64_t seed);
uint64_t t_random_next(struct t_random *r);
/* 0 <= result < limit; limit > 0. */
uint64_t t_random_below(struct t_random *r, uint64_t limit);

/* An unsigned number from the environment, or fallback. */
uint64_t t_env(const char *name, uint64_t fallback);

/* Whether memory may have huge pages where a test does not say: PMV_HUGE=1. */
bool t_huge(void);

/*
 * pages of fresh private anonymous memory, read-write, without huge pages but
 * for t_huge(), with an inaccessible page on each side so that it never becomes
 * one mapping with a neighbour.
 */
void *t_map(size_t pages);

/*
 * The same at an address that is off_bytes behind a multiple of align_bytes;
 * huge: advise huge pages instead of forbidding them.
 */
void *t_map_at(size_t pages, size_t align_bytes, size_t off_bytes, bool huge);

/* Gives such a range back, with the inaccessible pages beside it. */
void t_unmap(void *addr, size_t pages);

/* Makes [addr, + pages) a mapping of its own with the same protection. */
void t_split_mapping(void *addr, size_t pages);

/* Drops the pages: the range is all holes. */
void t_drop(void *addr, size_t pages);

/* An empty file that nobody else can open, for as long as it is not closed. */
int t_temp_file(void);

/* Has this kernel MADV_DONTNEED_LOCKED? Linux 5.18. */
bool t_can_drop_locked(void);

#endif /* TESTS_SUPPORT_T_H */
