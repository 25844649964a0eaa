/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Quiet regions: what they register, what they refuse, and that ordinary
 * memory stays ordinary inside them.
 */
#include "live.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "rawuffd.h"

Test(quiet, page_faults_are_ordinary)
{
	struct t_case c;
	size_t i;

	t_cases(&c, T_WAY_BIT(T_AUTO));
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 8);

		alarm(10); /* a fault that nobody answers would hang here */
		for (i = 0; i < 8; i++)
			T_EXPECT(&c, *(volatile char *)(heap + t_pages(i)) == 0,
				 "page %zu is not zero", i);
		t_fill_range(heap, 8, 1);
		T_RIGHT(&c, t_check_range(heap, 8, 1), "written");
		t_drop(heap, 8);
		t_fill_range(heap, 8, 9);
		T_RIGHT(&c, t_check_range(heap, 8, 9), "written again");
		alarm(0);
	}
}

Test(quiet, the_kernel_reads_into_absent_pages)
{
	char *text = malloc(t_pages(3));
	struct t_case c;
	int fds[2];
	ssize_t n;

	cr_assert_not_null(text);
	memset(text, 'x', t_pages(3));
	t_cases(&c, T_WAY_BIT(T_AUTO));
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 4);

		cr_assert_eq(pipe(fds), 0);
		alarm(10);
		cr_assert_eq(write(fds[1], text, t_pages(3)),
			     (ssize_t)t_pages(3));
		n = read(fds[0], heap + 10, t_pages(3));
		T_EXPECT(&c, n == (ssize_t)t_pages(3), "read gave %zd", n);
		T_EXPECT(&c, memcmp(heap + 10, text, t_pages(3)) == 0,
			 "not what was written");
		alarm(0);
		close(fds[0]);
		close(fds[1]);
	}
	free(text);
}

Test(quiet, moved_pages_can_be_dropped_and_faulted_again)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 4), *src = t_case_map(&c, 4);

		t_fill_range(src, 4, 1);
		r = t_move(&c, heap, src, 4, 0, &res);
		t_expect_done(&c, r, &res, t_pages(4));
		alarm(10);
		t_drop(heap, 4);
		T_EXPECT(&c, *(volatile char *)heap == 0, "not zero");
		T_EXPECT(&c, *(volatile char *)src == 0, "not zero");
		alarm(0);
	}
}

Test(quiet, after_unregistering_nothing_moves_in)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_map(&c, 4), *src = t_case_map(&c, 4);
		struct pagemv_region *region = t_register(c.pv, heap, 4);

		t_fill_range(src, 4, 1);
		r = t_move(&c, heap, src, 4, 0, &res);
		t_expect_done(&c, r, &res, t_pages(4));
		T_EXPECT(&c, pagemv_region_unregister(region) == 0, "failed");
		T_RIGHT(&c, t_check_range(heap, 4, 1), "the pages stay");
		T_EXPECT(&c,
			 !t_mapping_has_flag(heap, "uw") &&
				 !t_mapping_has_flag(heap, "um"),
			 "still registered in the kernel");
		t_fill_range(src, 4, 11);
		t_drop(heap, 4);
		r = t_move(&c, heap, src, 4, 0, &res);
		t_expect_stopped(&c, r, &res, t_pages(4), -EINVAL,
				 PAGEMV_REASON_NOT_REGISTERED, 0);
		T_RIGHT(&c, t_check_range(src, 4, 11), "src");
		t_register(c.pv, heap, 4);
		r = t_move(&c, heap, src, 4, 0, &res);
		t_expect_done(&c, r, &res, t_pages(4));
	}
}

Test(quiet, closing_ends_the_regions)
{
	struct pagemv *pv = t_open(T_NORMAL);
	char *heap = t_map(4);

	t_fill_range(heap, 4, 1);
	t_register(pv, heap, 2);
	t_register(pv, heap + t_pages(2), 2);
	pagemv_close(pv);
	cr_expect_null(t_check_range(heap, 4, 1));
	cr_expect_not(t_mapping_has_flag(heap, "uw"));
	pv = t_open(T_NORMAL);
	t_register(pv, heap, 4);
	pagemv_close(pv);
}

/* --- refusals of registration --- */

static void expect_refused(const struct t_case *c, void *addr, size_t bytes,
			   int error, enum pagemv_reason reason)
{
	struct pagemv_region *const marker =
		(struct pagemv_region *)(uintptr_t)0x4321;
	struct pagemv_region *region = marker;
	enum pagemv_reason why = PAGEMV_REASON_COUNT;
	static struct t_maps before, after;
	char line[200];
	int r;

	/* Once before, as it may be the first that malloc() is asked for so
	 * much. */
	pagemv_region_register(c->pv, addr, bytes, NULL, &region, NULL);
	t_maps_take(&before, NULL, SIZE_MAX);
	r = pagemv_region_register(c->pv, addr, bytes, NULL, &region, &why);
	t_maps_take(&after, NULL, SIZE_MAX);
	T_EXPECT(c, r == error, "returned %d, not %d", r, error);
	T_EXPECT(c, why == reason, "reason: %s; not: %s",
		 pagemv_reason_string(why), pagemv_reason_string(reason));
	T_EXPECT(c, region == marker, "out was written");
	T_EXPECT(c, t_maps_same(&before, &after, line, sizeof(line)),
		 "mappings changed: %s", line);
}

Test(quiet, registering_bad_numbers_is_refused)
{
	struct t_case c;

	t_cases(&c, T_WAY_BIT(T_AUTO));
	while (t_next_case(&c)) {
		char *p = t_case_map(&c, 4);

		expect_refused(&c, p + 1, t_page(), -EINVAL,
			       PAGEMV_REASON_MISALIGNED);
		expect_refused(&c, p, t_page() + 1, -EINVAL,
			       PAGEMV_REASON_MISALIGNED);
		expect_refused(&c, p, 0, -EINVAL, PAGEMV_REASON_ZERO_LENGTH);
		expect_refused(&c, p, SIZE_MAX - t_page() + 1, -EINVAL,
			       PAGEMV_REASON_WRAPS);
	}
}

Test(quiet, registering_what_is_registered_is_refused)
{
	struct t_case c;

	t_cases(&c, T_WAY_BIT(T_AUTO));
	while (t_next_case(&c)) {
		char *p = t_case_map(&c, 8);
		size_t i;

		t_register(c.pv, p + t_pages(2), 4);
		for (i = 0; i < 5; i++) {
			enum pagemv_reason why = PAGEMV_REASON_NONE;
			int r = pagemv_region_register(
				c.pv, p + t_pages(i + 1), t_pages(2), NULL,
				&(struct pagemv_region *){ NULL }, &why);

			T_EXPECT(&c, r == -EBUSY, "%zu: returned %d", i, r);
			T_EXPECT(&c, why != PAGEMV_REASON_NONE, "no reason");
		}
		t_register(c.pv, p, 2); /* beside it is fine */
		t_register(c.pv, p + t_pages(6), 2);
	}
}

Test(quiet, registering_what_another_handle_has_is_refused)
{
	struct pagemv_region *region = NULL;
	struct t_case c;

	t_cases(&c, T_WAY_BIT(T_AUTO));
	while (t_next_case(&c)) {
		struct pagemv *other = t_open(T_NORMAL);
		char *p = t_case_map(&c, 4);
		int r;

		if (c.caps.uffd_how == PAGEMV_UFFD_NONE) {
			pagemv_close(other); /* nobody tells of others */
			continue;
		}
		t_register(other, p, 4);
		r = pagemv_region_register(c.pv, p, t_pages(4), NULL, &region,
					   NULL);
		T_EXPECT(&c, r == -EBUSY, "returned %d", r);
		pagemv_close(other);
		t_register(c.pv, p, 4);
	}
}

Test(quiet, registering_what_a_foreigner_has_is_refused)
{
	int fd = t_uffd_open();
	struct t_case c;

	if (fd < 0)
		cr_skip("no userfaultfd to be the foreign one");
	t_cases(&c, T_WAY_BIT(T_AUTO));
	while (t_next_case(&c)) {
		char *p = t_case_map(&c, 4);

		if (c.caps.uffd_how == PAGEMV_UFFD_NONE)
			continue; /* then the kernel does not tell */
		cr_assert_eq(
			t_uffd_register_missing(fd, p + t_page(), t_page()), 0);
		expect_refused(&c, p, t_pages(4), -EBUSY,
			       PAGEMV_REASON_FOREIGN_UFFD);
	}
	close(fd);
}

Test(quiet, registering_unmapped_memory_is_refused)
{
	struct t_case c;

	t_cases(&c, T_WAY_BIT(T_AUTO));
	while (t_next_case(&c)) {
		char *p = t_map(8);

		munmap(p + t_pages(5), t_pages(1));
		expect_refused(&c, p, t_pages(8), -ENOENT,
			       PAGEMV_REASON_UNMAPPED);
		munmap(p, t_pages(5));
		expect_refused(&c, p, t_pages(2), -ENOENT,
			       PAGEMV_REASON_UNMAPPED);
	}
}

Test(quiet, registering_memory_of_the_wrong_kind_is_refused)
{
	int memfd = memfd_create("quiet", MFD_CLOEXEC);
	struct t_case c;

	cr_assert_geq(memfd, 0);
	cr_assert_eq(ftruncate(memfd, (off_t)t_pages(4)), 0);
	t_cases(&c, T_WAY_BIT(T_AUTO));
	while (t_next_case(&c)) {
		char *p = t_case_map(&c, 8), *q = p + t_pages(4);

		cr_assert_eq(mmap(q, t_pages(4), PROT_READ | PROT_WRITE,
				  MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS, -1,
				  0),
			     q);
		expect_refused(&c, p, t_pages(8), -EINVAL,
			       PAGEMV_REASON_SHARED);
		cr_assert_eq(mmap(q, t_pages(4), PROT_READ | PROT_WRITE,
				  MAP_FIXED | MAP_SHARED, memfd, 0),
			     q);
		expect_refused(&c, p, t_pages(8), -EINVAL, PAGEMV_REASON_MEMFD);
		cr_assert_eq(mmap(q, t_pages(4), PROT_READ,
				  MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1,
				  0),
			     q);
		expect_refused(&c, p, t_pages(8), -EINVAL,
			       PAGEMV_REASON_READ_ONLY);
		cr_assert_eq(mprotect(q, t_pages(4), PROT_NONE), 0);
		expect_refused(&c, p, t_pages(8), -EINVAL,
			       PAGEMV_REASON_NO_ACCESS);
		cr_assert_eq(mprotect(q, t_pages(4), PROT_READ | PROT_WRITE),
			     0);
		t_register(c.pv, p, 8);
	}
	close(memfd);
}

Test(quiet, registering_a_file_is_refused)
{
	char path[] = "./pagemv-quiet-XXXXXX";
	int fd = mkstemp(path);
	struct statfs fs;
	struct t_case c;

	if (fd < 0 || fstatfs(fd, &fs) != 0 || fs.f_type == TMPFS_MAGIC) {
		unlink(path);
		cr_skip("no file here that is not on tmpfs");
	}
	unlink(path);
	cr_assert_eq(ftruncate(fd, (off_t)t_pages(4)), 0);
	t_cases(&c, T_WAY_BIT(T_AUTO));
	while (t_next_case(&c)) {
		char *p = t_case_map(&c, 4);

		cr_assert_eq(mmap(p, t_pages(4), PROT_READ | PROT_WRITE,
				  MAP_FIXED | MAP_SHARED, fd, 0),
			     p);
		expect_refused(&c, p, t_pages(4), -EINVAL, PAGEMV_REASON_FILE);
		cr_assert_eq(mmap(p, t_pages(4), PROT_READ | PROT_WRITE,
				  MAP_FIXED | MAP_PRIVATE, fd, 0),
			     p);
		expect_refused(&c, p, t_pages(4), -EINVAL,
			       PAGEMV_REASON_PRIVATE_FILE);
	}
	close(fd);
}

Test(quiet, region_options_are_checked)
{
	struct {
		struct pagemv_region_opts known;
		uint64_t unknown;
	} opts = { .known = { .size = sizeof(opts.known) } };
	struct pagemv *pv = t_open(T_NORMAL);
	struct pagemv_region *region = NULL;
	enum pagemv_reason why;
	char *p = t_map(2);
	size_t bytes = t_pages(2);

	opts.known.flags = PAGEMV_REGION_FLAGS_ALL + 1;
	cr_expect_eq(pagemv_region_register(pv, p, bytes, &opts.known, &region,
					    &why),
		     -EINVAL);
	cr_expect_eq(why, PAGEMV_REASON_BAD_OPTIONS);
	opts.known.flags = 0;
	opts.known.reserved = 1;
	cr_expect_eq(pagemv_region_register(pv, p, bytes, &opts.known, &region,
					    &why),
		     -EINVAL);
	opts.known.reserved = 0;
	opts.known.size = sizeof(opts);
	opts.unknown = 1;
	cr_expect_eq(pagemv_region_register(pv, p, bytes, &opts.known, &region,
					    &why),
		     -E2BIG);
	opts.unknown = 0;
	cr_expect_eq(
		pagemv_region_register(pv, p, bytes, &opts.known, NULL, NULL),
		-EINVAL, "out NULL");
	cr_expect_null(region);
	cr_expect_eq(pagemv_region_register(pv, p, bytes, &opts.known, &region,
					    &why),
		     0);
	cr_expect_not_null(region);
	pagemv_close(pv);
}

Test(quiet, a_region_of_several_mappings)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_map(&c, 30), *src = t_case_map(&c, 30);

		t_split_mapping(heap + t_pages(10), 10);
		t_register(c.pv, heap, 30);
		t_fill_range(src, 30, 1);
		r = t_move(&c, heap + t_pages(5), src + t_pages(5), 20, 0,
			   &res);
		t_expect_done(&c, r, &res, t_pages(20));
		T_RIGHT(&c, t_check_range(heap + t_pages(5), 20, 6), "dst");
	}
}

Test(quiet, neighbouring_regions_are_one_destination)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_map(&c, 18), *src = t_case_map(&c, 10);

		t_register(c.pv, heap + t_pages(12), 6);
		t_register(c.pv, heap, 6);
		t_register(c.pv, heap + t_pages(6), 6);
		t_fill_range(src, 10, 1);
		r = t_move(&c, heap + t_pages(4), src, 10, 0, &res);
		t_expect_done(&c, r, &res, t_pages(10));
		T_RIGHT(&c, t_check_range(heap + t_pages(4), 10, 1), "dst");
		T_RIGHT(&c, t_check_absent(src, 10), "src");
	}
}

Test(quiet, many_regions_are_told_apart, .timeout = 30)
{
	struct pagemv_region *regions[40];
	struct pagemv_result res;
	struct t_case c;
	size_t i;
	int r;

	t_cases(&c, T_WAY_BIT(T_AUTO));
	while (t_next_case(&c)) {
		char *heap = t_case_map(&c, 80), *src = t_case_map(&c, 2);

		for (i = 0; i < 40; i++)
			regions[i] = t_register(c.pv, heap + t_pages(2 * i), 2);
		for (i = 0; i < 40; i += 2)
			T_EXPECT(&c, pagemv_region_unregister(regions[i]) == 0,
				 "unregister");
		for (i = 0; i < 40; i++) {
			t_fill_range(src, 2, 1);
			r = t_move(&c, heap + t_pages(2 * i), src, 2, 0, &res);
			if (i % 2 == 0)
				t_expect_stopped(
					&c, r, &res, t_pages(2), -EINVAL,
					PAGEMV_REASON_NOT_REGISTERED, 0);
			else
				t_expect_done(&c, r, &res, t_pages(2));
		}
	}
}

/* mremap loses the registration of what it maps over: it comes back. */
Test(quiet, a_remapped_region_can_still_be_moved_into, .timeout = 30)
{
	const struct pagemv_move_opts plain = { .size = sizeof(plain) };
	struct pagemv_move_opts force = plain;
	struct pagemv_result res;
	struct t_case c;
	size_t round;
	int r;

	force.mechanism = PAGEMV_MECH_MOVE;
	t_cases(&c, T_WAY_BIT(T_REMAP));
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 12), *src = t_case_map(&c, 12);
		bool can_move = c.caps.mech[PAGEMV_MECH_MOVE].available != 0;

		for (round = 0; round < 5; round++) {
			t_fill_range(src, 12, 1);
			r = t_move(&c, heap + t_pages(2), src + t_pages(2), 8,
				   0, &res);
			t_expect_done(&c, r, &res, t_pages(8));
			r = pagemv_move(c.pv, src, heap + t_pages(2),
					t_pages(8), &plain, &res);
			T_EXPECT(&c, r == -EINVAL, "src is no region: %d", r);
			t_drop(heap, 12);
			t_fill_range(src, 12, 21);
			r = pagemv_move(c.pv, heap, src, t_pages(12),
					can_move ? &force : &plain, &res);
			T_EXPECT(&c, r == 0, "returned %d (%s)", r,
				 pagemv_reason_string(res.reason));
			T_RIGHT(&c, t_check_range(heap, 12, 21), "dst");
			T_RIGHT(&c, t_check_absent(src, 12), "src");
			t_drop(heap, 12);
		}
	}
	if (c.tried == 0)
		cr_skip("mremap does not move pages on this kernel");
}

/* A source that is a region stays one, also when mremap took its pages. */
Test(quiet, a_region_that_was_a_source_can_still_be_moved_into)
{
	struct pagemv_result res;
	struct t_case c;
	size_t round;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *a = t_case_heap(&c, 12), *b = t_case_heap(&c, 12);
		const struct pagemv_move_opts plain = { .size = sizeof(plain) };

		t_fill_range(a, 12, 1);
		for (round = 0; round < 3; round++) {
			r = t_move(&c, b, a, 12, 0, &res);
			t_expect_done(&c, r, &res, t_pages(12));
			r = pagemv_move(c.pv, a, b, t_pages(12), &plain, &res);
			T_EXPECT(&c, r == 0, "back: returned %d (%s)", r,
				 pagemv_reason_string(res.reason));
			T_RIGHT(&c, t_check_range(a, 12, 1), "back");
			T_RIGHT(&c, t_check_absent(b, 12), "back from");
		}
	}
}
