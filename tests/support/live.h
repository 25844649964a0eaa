/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the live tests have in common: Criterion, and expectations that name
 * the case of struct t_case they failed in and let the other cases run.
 */
#ifndef TESTS_SUPPORT_LIVE_H
#define TESTS_SUPPORT_LIVE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pagemv/pagemv.h>

#include "oracle.h"
#include "proc.h"
#include "slow.h"
#include "t.h"
#include "ways.h"

/* Expects condition in case c; what: a literal format, says what is wrong. */
#define T_EXPECT(c, condition, ...)                                       \
	do {                                                              \
		if (!(condition)) {                                       \
			char t_text[400];                                 \
			snprintf(t_text, sizeof(t_text), __VA_ARGS__);    \
			cr_expect(0, "[%s] %s (expected: %s)", (c)->name, \
				  t_text, #condition);                    \
		}                                                         \
	} while (0)

/* Expects that a check of oracle.h found nothing wrong. */
#define T_RIGHT(c, check, what)                                                \
	do {                                                                   \
		const char *t_wrong = (check);                                 \
		if (t_wrong != NULL)                                           \
			cr_expect(0, "[%s] %s: %s", (c)->name, what, t_wrong); \
	} while (0)

/* A result and the return value beside it, checked against each other. */
static inline void t_expect_sane(const struct t_case *c, int r,
				 const struct pagemv_result *res,
				 size_t len_bytes)
{
	size_t sum = res->moved_bytes + res->copied_bytes + res->hole_bytes +
		     res->left_bytes;

	T_EXPECT(c, sum == len_bytes,
		 "moved %zu + copied %zu + hole %zu + left %zu of %zu",
		 res->moved_bytes, res->copied_bytes, res->hole_bytes,
		 res->left_bytes, len_bytes);
	T_EXPECT(c, res->error == r, "error %d, returned %d", res->error, r);
	T_EXPECT(c, res->repaired_bytes <= res->moved_bytes, "repaired %zu",
		 res->repaired_bytes);
	T_EXPECT(c, res->left_off <= len_bytes, "left_off %zu", res->left_off);
	if (r == 0) {
		T_EXPECT(c, res->left_bytes == 0, "left %zu", res->left_bytes);
		T_EXPECT(c, res->left_off == len_bytes, "left_off %zu",
			 res->left_off);
		T_EXPECT(c, res->reason == PAGEMV_REASON_NONE, "reason: %s",
			 pagemv_reason_string(res->reason));
	} else {
		T_EXPECT(c, res->reason != PAGEMV_REASON_NONE,
			 "error %d without a reason", r);
		T_EXPECT(c, res->reason != PAGEMV_REASON_UNEXPECTED,
			 "error %d: unexpected", r);
	}
	if (res->reason != PAGEMV_REASON_RACED)
		T_EXPECT(c, res->stray == NULL && res->stray_bytes == 0,
			 "stray pages");
}

/* Expects success, whole: all of len_bytes moved or copied, no hole. */
static inline void t_expect_done(const struct t_case *c, int r,
				 const struct pagemv_result *res,
				 size_t len_bytes)
{
	T_EXPECT(c, r == 0, "returned %d (%s: %s) at %zu", r,
		 pagemv_strerror(r), pagemv_reason_string(res->reason),
		 res->left_off);
	t_expect_sane(c, r, res, len_bytes);
	T_EXPECT(c, res->moved_bytes + res->copied_bytes == len_bytes,
		 "moved %zu + copied %zu of %zu", res->moved_bytes,
		 res->copied_bytes, len_bytes);
	if (t_case_never_copies(c))
		T_EXPECT(c, res->copied_bytes == 0, "copied %zu",
			 res->copied_bytes);
	if (t_case_only_copies(c))
		T_EXPECT(c, res->moved_bytes == 0, "moved %zu",
			 res->moved_bytes);
	T_EXPECT(c, res->mechanisms != 0, "no mechanism did it");
}

/* Expects that it stopped with error and reason, left_off pages before. */
static inline void t_expect_stopped(const struct t_case *c, int r,
				    const struct pagemv_result *res,
				    size_t len_bytes, int error,
				    enum pagemv_reason reason,
				    size_t done_pages)
{
	T_EXPECT(c, r == error, "returned %d (%s), not %d", r,
		 pagemv_reason_string(res->reason), error);
	T_EXPECT(c, res->reason == reason, "reason: %s; not: %s",
		 pagemv_reason_string(res->reason),
		 pagemv_reason_string(reason));
	t_expect_sane(c, r, res, len_bytes);
	T_EXPECT(c, res->left_off == t_pages(done_pages),
		 "left_off %zu, not %zu", res->left_off, t_pages(done_pages));
	T_EXPECT(c, res->left_bytes == len_bytes - t_pages(done_pages),
		 "left %zu of %zu", res->left_bytes, len_bytes);
}

/* Moves with the case's options and flags. */
static inline int t_move(const struct t_case *c, void *dst, void *src,
			 size_t pages, uint32_t flags,
			 struct pagemv_result *res)
{
	const struct pagemv_move_opts opts = t_opts(c, flags);

	memset(res, 0xa5, sizeof(*res));
	return pagemv_move(c->pv, dst, src, t_pages(pages), &opts, res);
}

#endif /* TESTS_SUPPORT_LIVE_H */
