/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tracked regions in the three ways that stores are noticed: by the kernel
 * itself, by SIGBUS, and by handler threads. Layouts are written as text, a
 * character a page: '#' is dirty, or to be stored to.
 *
 *	struct scene s = ways(4);
 *
 *	while (next_way(&s)) {
 *		t_fill_range(s.heap, 4, 1);
 *		protect(&s, 0, 4);
 *		store_as(s.heap, ".#..");
 *		expect_dirty(&s, 0, ".#..");
 *	}
 */
#ifndef TESTS_LIVE_TRACKED_H
#define TESTS_LIVE_TRACKED_H

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "faults.h"
#include "internal.h"

enum way { ASYNC, BY_SIGNAL, BY_THREADS, WAYS };

static const char *const way_names[] = { "async", "by signal", "by threads" };

#define MAX_PAGES 1024

struct scene {
	enum way way;
	struct pagemv *pv;
	struct pagemv_handlers *handlers;
	struct pagemv_region *region;
	char *heap;
	size_t pages;
	unsigned int next;  /* way to be tried */
	unsigned int tried; /* so far */
};

static inline struct pagemv_region *
track(struct scene *s, void *addr, size_t pages, struct pagemv_region_opts opts)
{
	enum pagemv_reason reason = PAGEMV_REASON_NONE;
	struct pagemv_region *region = NULL;
	int rc;

	opts.size = sizeof(opts);
	opts.flags |= PAGEMV_REGION_TRACKED;
	opts.delivery = s->way == BY_THREADS ? PAGEMV_DELIVERY_THREADS
					     : PAGEMV_DELIVERY_SIGNAL;
	rc = pagemv_region_register(s->pv, addr, t_pages(pages), &opts, &region,
				    &reason);
	cr_assert_eq(rc, 0, "register: %d, %s", rc,
		     pagemv_reason_string(reason));
	return region;
}

/* A handle that notices stores in that way; false where it cannot. */
static inline bool open_way(struct scene *s, enum way way)
{
	struct pagemv_caps caps = { .size = sizeof(caps) };

	s->way = way;
	cr_assert_eq(pagemv_open(&s->pv, NULL), 0);
	cr_assert_eq(pagemv_caps(s->pv, &caps), 0);
	if (!(caps.facilities & PAGEMV_HAS_FAULTS) ||
	    (way == ASYNC && !(caps.facilities & PAGEMV_HAS_ASYNC_WP))) {
		pagemv_close(s->pv);
		return false;
	}
	/* As on a kernel before 6.7. */
	if (way != ASYNC)
		s->pv->facilities &=
			~(PAGEMV_HAS_ASYNC_WP | PAGEMV_HAS_PAGEMAP_SCAN);
	if (way == BY_THREADS)
		cr_assert_eq(pagemv_handlers_start(s->pv, NULL, &s->handlers),
			     0);
	/* For faulting regions in the first way, too. */
	cr_assert_eq(pagemv_sigbus_install(), 0);
	return true;
}

static inline void close_way(struct scene *s)
{
	pagemv_close(s->pv);
	pagemv_sigbus_uninstall();
	t_unmap(s->heap, s->pages);
	s->heap = NULL;
}

/* Whether the page tables show the page as write-protected. */
static inline bool is_protected(const char *page)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	cr_assert_eq(pread(fd, &entry, sizeof(entry),
			   (off_t)((uintptr_t)page / t_page() * sizeof(entry))),
		     (ssize_t)sizeof(entry));
	close(fd);
	return entry >> 57 & 1;
}

/* Since Linux 5.14. Before, all pages that are there count as dirty. */
static inline bool shows_protection(void)
{
	const struct pagemv_region_opts opts = { 0 };
	struct scene s = { .pages = 1 };
	bool shown;

	if (!open_way(&s, BY_SIGNAL))
		return true;
	s.heap = t_map(1);
	s.region = track(&s, s.heap, 1, opts);
	s.heap[0] = 1;
	cr_assert_eq(pagemv_protect(s.pv, s.heap, t_page()), 0);
	shown = is_protected(s.heap);
	close_way(&s);
	return shown;
}

/* The next way that there is here, with a tracked heap; false when all have
 * been tried. */
static inline bool next_way(struct scene *s)
{
	const struct pagemv_region_opts opts = { 0 };

	if (s->heap)
		close_way(s);
	else if (!shows_protection())
		cr_skip("this kernel does not show what is protected");
	alarm(60 * t_slow());
	while (s->next < WAYS) {
		if (!open_way(s, (enum way)s->next++))
			continue;
		s->heap = t_map(s->pages);
		s->region = track(s, s->heap, s->pages, opts);
		s->tried++;
		return true;
	}
	if (!s->tried)
		cr_skip("no tracked regions without userfaultfd");
	return false;
}

static inline struct scene ways(size_t pages)
{
	return (struct scene){ .pages = pages };
}

static inline void store(char *addr, size_t page)
{
	__atomic_fetch_add((uint64_t *)(addr + t_pages(page)), 1,
			   __ATOMIC_RELAXED);
}

/* Stores to the pages that are '#'. */
static inline void store_as(char *addr, const char *text)
{
	for (size_t i = 0; text[i]; i++)
		if (text[i] == '#')
			store(addr, i);
}

static inline void protect(struct scene *s, size_t page, size_t pages)
{
	int rc = pagemv_protect(s->pv, s->heap + t_pages(page), t_pages(pages));

	cr_assert_eq(rc, 0, "[%s] protect: %d", way_names[s->way], rc);
}

/* Writes the layout of dirty pages, asking for n ranges at a time; how many
 * ranges there were. */
static inline size_t layout(struct scene *s, const char *addr, size_t pages,
			    uint32_t flags, size_t n, char *text)
{
	struct pagemv_range ranges[MAX_PAGES];
	const char *end = addr + t_pages(pages), *last = NULL;
	void *next = (void *)addr;
	size_t told = 0;

	memset(text, '.', pages);
	text[pages] = '\0';
	while ((char *)next < end) {
		ssize_t got = pagemv_dirty(s->pv, next, end - (char *)next,
					   flags, ranges, n, &next);

		cr_assert(got >= 0, "[%s] dirty: %zd", way_names[s->way], got);
		for (ssize_t i = 0; i < got; i++, told++) {
			const char *at = ranges[i].addr;

			/* In order, and two that touch would be one. */
			cr_assert(at >= addr && (!last || at > last),
				  "[%s] at %zd", way_names[s->way], at - addr);
			last = at + ranges[i].len_bytes;
			cr_assert(ranges[i].len_bytes && last <= end);
			memset(text + (at - addr) / t_page(), '#',
			       ranges[i].len_bytes / t_page());
		}
		cr_assert(got == (ssize_t)n || next == end);
	}
	return told;
}

static inline void expect_dirty_at(struct scene *s, const char *addr,
				   uint32_t flags, const char *expected)
{
	char text[MAX_PAGES + 1];

	layout(s, addr, strlen(expected), flags, MAX_PAGES, text);
	cr_expect_str_eq(text, expected, "[%s]\n%s, not\n%s", way_names[s->way],
			 text, expected);
}

static inline void expect_dirty(struct scene *s, uint32_t flags,
				const char *expected)
{
	expect_dirty_at(s, s->heap, flags, expected);
}

#endif /* TESTS_LIVE_TRACKED_H */
