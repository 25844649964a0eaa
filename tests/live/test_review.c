/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Combinations that a review found, each of which failed before its mend.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <pagemv/pagemv.h>

#define PAGES 64

static size_t page;
static struct pagemv *pv;
static char *src, *dst;

static void open_heap(void)
{
	struct pagemv_region *region;

	page = (size_t)sysconf(_SC_PAGESIZE);
	cr_assert(pagemv_open(&pv, NULL) == 0);
	src = mmap(NULL, 2 * PAGES * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert(src != MAP_FAILED);
	madvise(src, 2 * PAGES * page, MADV_NOHUGEPAGE);
	dst = src + PAGES * page;
	cr_assert(pagemv_region_register(pv, src, 2 * PAGES * page, NULL,
					 &region, NULL) == 0);
}

static void close_heap(void)
{
	pagemv_close(pv);
}

TestSuite(review, .init = open_heap, .fini = close_heap, .timeout = 60);

/* A hole that faces a page, behind pages that face pages, proves nothing. */
Test(review, pages_at_both_places_are_never_told_as_moved)
{
	struct pagemv_result res;
	int rc;

	memset(src, 1, 3 * page);
	memset(dst + page, 2, 3 * page);
	rc = pagemv_move(pv, dst, src, 4 * page, NULL, &res);
	cr_expect(rc == -EEXIST, "%d", rc);
	cr_expect(res.moved_bytes + res.copied_bytes == page &&
		  res.left_off == page &&
		  res.left_bytes == 3 * page);
	cr_expect(src[page] == 1 && src[2 * page] == 1);
	cr_expect(dst[0] == 1 && dst[page] == 2 && dst[3 * page] == 2);
}

/* mlockall(MCL_FUTURE) fills and locks what the library maps for itself. */
Test(review, locking_all_that_is_mapped_later_does_no_harm)
{
	struct pagemv_move_opts copy = {
		.size = sizeof(copy),
		.mechanism = PAGEMV_MECH_COPY,
	};
	struct pagemv_caps before = { .size = sizeof(before) };
	struct pagemv_caps after = { .size = sizeof(after) };
	struct pagemv_result res;
	struct pagemv *late;

	memset(src, 1, 8 * page);
	if (mlockall(MCL_FUTURE) < 0)
		cr_skip("may not mlock");
	cr_expect(pagemv_move(pv, dst, src, 4 * page, &copy, &res) == 0);
	cr_expect(dst[0] == 1 && dst[4 * page - 1] == 1);
	memset(dst + 4 * page, 2, 4 * page);
	cr_expect(pagemv_exchange(pv, src + 4 * page, dst + 4 * page, 4 * page,
				  NULL, &res) == 0);
	cr_expect(src[4 * page] == 2 && dst[4 * page] == 1);
	cr_assert(pagemv_open(&late, NULL) == 0);
	pagemv_caps(pv, &before);
	pagemv_caps(late, &after);
	for (int m = 0; m < PAGEMV_MECH_COUNT; m++)
		cr_expect(before.mech[m].available == after.mech[m].available);
	pagemv_close(late);
	munlockall();
}

/* The child holds the descriptor, and with it the registrations. */
Test(review, a_closed_handle_leaves_nothing_registered_while_a_child_lives)
{
	struct pagemv_region *region;
	enum pagemv_reason why;
	int ends[2], status;
	pid_t child;
	char c;

	cr_assert(pipe(ends) == 0);
	child = fork();
	if (child == 0) {
		close(ends[1]);
		_exit(read(ends[0], &c, 1) != 0);
	}
	pagemv_close(pv);
	cr_assert(pagemv_open(&pv, NULL) == 0);
	cr_expect(pagemv_region_register(pv, src, 2 * PAGES * page, NULL,
					 &region, &why) == 0,
		  "%s", pagemv_reason_string(why));
	close(ends[1]);
	cr_expect(waitpid(child, &status, 0) == child && status == 0);
}

/* A mechanism that may not be used is refused before a fringe is copied. */
Test(review, a_refused_overlapping_relocation_changes_nothing)
{
	struct pagemv_move_opts o = {
		.size = sizeof(o),
		.mechanism = PAGEMV_MECH_REMAP,
	};
	struct pagemv_result res;

	for (size_t i = 0; i < 8; i++)
		memset(src + i * page, (int)i + 1, page);
	for (int up = 0; up < 2; up++) {
		char *low = src + 100, *high = src + page + 100;

		cr_expect(pagemv_relocate(pv, up ? high : low, up ? low : high,
					  5 * page, &o, &res) == -EOPNOTSUPP);
		cr_expect(res.left_bytes == 5 * page);
		for (size_t i = 0; i < 8; i++)
			cr_expect(src[i * page] == (int)i + 1 &&
				  src[i * page + page - 1] == (int)i + 1);
	}
}

/* Protections that differ along a range, and agree across. */
Test(review, ranges_of_several_protections_are_exchanged_piece_by_piece)
{
	size_t half = PAGES / 2 * page;
	struct pagemv_result res;

	if (mprotect(src + half, half, PROT_READ | PROT_WRITE | PROT_EXEC) ||
	    mprotect(dst + half, half, PROT_READ | PROT_WRITE | PROT_EXEC))
		cr_skip("writable and executable memory is not allowed here");
	memset(src, 1, PAGES * page);
	memset(dst, 2, PAGES * page);
	cr_expect(pagemv_exchange(pv, src, dst, PAGES * page, NULL, &res) == 0,
		  "%s", pagemv_reason_string(res.reason));
	cr_expect(src[0] == 2 && src[PAGES * page - 1] == 2);
	cr_expect(dst[0] == 1 && dst[PAGES * page - 1] == 1);
}
