/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What most unit tests begin with: a handle on the fake table, a region with
 * empty pages, a source with pages of known identity; and what they end with:
 * every page exactly once, the result's arithmetic right, nothing leaked.
 */
#ifndef TESTS_UNIT_SCENE_H
#define TESTS_UNIT_SCENE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include <pagemv/pagemv.h>

#include "fake_sys.h"
#include "internal.h"
#include "oracle.h"
#include "proc.h"
#include "t.h"

struct scene {
	struct pagemv *pv;
	struct pagemv_region *region;
	char *heap; /* a region of pages pages, empty */
	char *src;  /* pages pages with ids 1.. */
	size_t pages;
};

/* How a handle is opened and asked to move: the ways the same thing is done. */
struct way {
	const char *name;
	uint32_t open_flags;
	uint32_t disabled;
	uint32_t flags; /* PAGEMV_MOVE_* */
	uint32_t mechanism;
	/* PAGEMV_MECH_BIT() of what must do it; there is a companion if that
	 * is the one */
	uint32_t uses;
};

/* AUTO, each mechanism forced, and what older kernels make of AUTO. */
extern const struct way ways[];
extern const size_t n_ways;

/* A handle on the fake table; dies if it cannot be opened. */
struct pagemv *scene_handle(const struct way *way);
struct pagemv_region *scene_register(struct pagemv *pv, void *addr,
				     size_t pages);

/* way: NULL for a plain handle. The counts start at 0 behind it. */
struct scene scene_open(size_t pages, const struct way *way);
/* Also expects that all descriptors and mappings are given back. */
void scene_close(struct scene *s);

/* Moves all of src to the heap. */
int scene_move(struct scene *s, uint32_t flags, struct pagemv_result *res);
int scene_move_opts(struct scene *s, uint32_t flags, uint32_t mechanism,
		    uint32_t busy, struct pagemv_result *res);

/* Expects what holds for every result; NULL or what is wrong (static). */
const char *result_wrong(int rc, const struct pagemv_result *res, size_t len);
#define EXPECT_SANE(rc, res, len)                                \
	do {                                                     \
		const char *wrong_ = result_wrong(rc, res, len); \
		cr_expect(wrong_ == NULL, "%s", wrong_);         \
	} while (0)

/* Expects that a check of oracle.h found nothing wrong. */
#define EXPECT_RIGHT(check)                                          \
	do {                                                         \
		const char *wrong_ = (check);                        \
		cr_expect(wrong_ == NULL, "%s: %s", #check, wrong_); \
	} while (0)

/* Expects an errno and a reason. */
#define EXPECT_STOPPED(rc, res, err, why)                                  \
	do {                                                               \
		cr_expect((rc) == (err), "returned %d, not %d (%s)", (rc), \
			  (err), pagemv_reason_string((res)->reason));     \
		cr_expect((res)->reason == (why), "reason: %s",            \
			  pagemv_reason_string((res)->reason));            \
	} while (0)

/*
 * The pages that were at src in order (ids 1..): each exactly once, unchanged
 * and at its own offset at dst, src or stray; as many at dst as res says.
 * NULL or what is wrong (static).
 */
const char *pages_wrong(const void *dst, const void *src, size_t pages,
			const struct pagemv_result *res);

/* Expects all pages of src at the heap, moved and unchanged. */
void expect_all_moved(const struct scene *s, int rc,
		      const struct pagemv_result *res);
/* Expects the first done pages at the heap, and the others where they were. */
void expect_stopped_at(const struct scene *s, int rc,
		       const struct pagemv_result *res, size_t done);

/* mlock() and munlock(), which AddressSanitizer makes do nothing. */
bool lock_pages(void *addr, size_t pages);
void unlock_pages(void *addr, size_t pages);

/* Unmaps what a result handed over. */
void take_stray(const struct pagemv_result *res);

#endif /* TESTS_UNIT_SCENE_H */
