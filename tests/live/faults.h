/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of faulting regions share: a callback that fills pages with
 * who they are, and counts how often each was asked for.
 */
#ifndef TESTS_LIVE_FAULTS_H
#define TESTS_LIVE_FAULTS_H

#include "live.h"

#include <unistd.h>

#define FILLS 256

struct fills {
	unsigned int of[FILLS]; /* by page of the region; atomic */
	unsigned int calls;	/* atomic */
	size_t longest;		/* pages of one call */
	int answer;  /* what to return instead of filling, if not 0 */
	int answers; /* so often; then it fills */
};

static inline int fill_pages(void *arg, const struct pagemv_fill *f)
{
	size_t first = f->off_bytes / t_page(), n = f->len_bytes / t_page();
	struct fills *fills = arg;

	__atomic_fetch_add(&fills->calls, 1, __ATOMIC_RELAXED);
	if (n > fills->longest)
		fills->longest = n;
	if (fills->answer &&
	    __atomic_fetch_sub(&fills->answers, 1, __ATOMIC_RELAXED) > 0)
		return fills->answer;
	for (size_t i = 0; i < n; i++) {
		__atomic_fetch_add(&fills->of[first + i], 1, __ATOMIC_RELAXED);
		t_fill((char *)f->scratch + t_pages(i), first + i + 1, 1);
	}
	return 0;
}

/* Whether faulting regions work here; else the test is skipped. */
static inline struct pagemv *faults_open(void)
{
	struct pagemv_caps caps = { .size = sizeof(caps) };
	struct pagemv *pv;

	cr_assert_eq(pagemv_open(&pv, NULL), 0);
	cr_assert_eq(pagemv_caps(pv, &caps), 0);
	if (!(caps.facilities & PAGEMV_HAS_FAULTS)) {
		pagemv_close(pv);
		cr_skip("no faulting regions without userfaultfd");
	}
	alarm(60 * t_slow());
	return pv;
}

static inline struct pagemv_region *
faults_region(struct pagemv *pv, void *addr, size_t pages,
	      struct pagemv_region_opts opts)
{
	enum pagemv_reason reason = PAGEMV_REASON_NONE;
	struct pagemv_region *region = NULL;
	int rc;

	opts.size = sizeof(opts);
	opts.flags |= PAGEMV_REGION_FAULTING;
	rc = pagemv_region_register(pv, addr, t_pages(pages), &opts, &region,
				    &reason);
	cr_assert_eq(rc, 0, "register: %d, %s", rc,
		     pagemv_reason_string(reason));
	return region;
}

static inline struct pagemv_region_opts faults_by(struct fills *fills)
{
	return (struct pagemv_region_opts){
		.source = PAGEMV_SOURCE_CALLBACK,
		.fill = fill_pages,
		.arg = fills,
	};
}

/* ---- a region and the library's handler ---- */

struct faults_stage {
	struct pagemv *pv;
	char *heap;
	size_t pages;
	struct pagemv_region *region;
};

static inline struct faults_stage faults_set_up(size_t pages,
						struct pagemv_region_opts opts)
{
	struct faults_stage s = { .pv = faults_open(), .pages = pages };

	cr_assert_eq(pagemv_sigbus_install(), 0);
	s.heap = t_map(pages);
	s.region = faults_region(s.pv, s.heap, pages, opts);
	return s;
}

static inline void faults_tear_down(struct faults_stage *s)
{
	cr_expect_eq(pagemv_region_unregister(s->region), 0);
	cr_expect_eq(pagemv_sigbus_uninstall(), 0);
	pagemv_close(s->pv);
	t_unmap(s->heap, s->pages);
}

/* What a handler writes meanwhile is not what the compiler thinks it knows. */
static inline void faults_barrier(void)
{
	__asm__ volatile("" ::: "memory");
}

/* Touches one page, as a program that only reads; stores a byte. */
static inline char faults_touch(const void *page)
{
	char byte;

	faults_barrier();
	byte = *(const volatile char *)page;
	faults_barrier();
	return byte;
}

static inline void faults_store(void *page)
{
	faults_barrier();
	*(volatile char *)page = 1;
	faults_barrier();
}

/* Expects that a check of oracle.h found nothing wrong. */
static inline void faults_right(const char *wrong)
{
	cr_expect(!wrong, "%s", wrong);
}

#endif /* TESTS_LIVE_FAULTS_H */
