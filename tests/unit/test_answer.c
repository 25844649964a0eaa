/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every answer of the kernel to UFFDIO_MOVE, scripted, and what becomes of
 * it.
 */
#include "policy.h"

#include "pages.h"
#include "scene.h"
#include "slow.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 8

static int64_t count(size_t pages)
{
	return (int64_t)t_pages(pages);
}

/* EAGAIN after pages that were really moved and counted. */
static struct fake_rule partial(size_t pages)
{
	return (struct fake_rule){ .call = FAKE_MOVE,
				   .error = -EAGAIN,
				   .really = t_pages(pages),
				   .tell = true,
				   .told = count(pages) };
}

/* EEXIST after pages that were really moved and not counted. */
static struct fake_rule miscount(size_t pages)
{
	return (struct fake_rule){ .call = FAKE_MOVE,
				   .error = -EEXIST,
				   .really = t_pages(pages),
				   .tell = true,
				   .told = -EEXIST };
}

/* Every answer seems to have taken long enough for a move, or none does. */
static void answers_are_slow(struct scene *s, bool slow)
{
	s->pv->fastest_move = slow ? 0 : UINT64_MAX / 2;
	s->pv->fastest_page = 0;
}

Test(answer, a_short_count_does_not_lose_the_pages_behind_it)
{
	struct scene s = scene_open(PAGES, NULL);
	struct fake_rule r = partial(5);
	struct pagemv_result res;
	int rc;

	/* 5 moved, 2 counted: the next answer is EEXIST by the kernel. */
	r.told = count(2);
	fake_add(r);
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	cr_expect(res.repaired_bytes == t_pages(3), "%zu", res.repaired_bytes);
	cr_expect(fake_count(FAKE_WAKE) == 1);
	scene_close(&s);
}

Test(answer, a_short_count_is_repaired_however_fast_the_answer)
{
	struct scene s = scene_open(PAGES, NULL);
	struct fake_rule r = partial(PAGES);
	struct pagemv_result res;
	int rc;

	answers_are_slow(&s, false);
	r.told = count(2);
	fake_add(r);
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	cr_expect(res.repaired_bytes == t_pages(PAGES - 2));
	scene_close(&s);
}

Test(answer, moved_but_not_counted_is_repaired_and_woken)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct pagemv_result res;
	int rc;

	answers_are_slow(&s, true);
	fake_add(miscount(PAGES));
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	cr_expect(res.repaired_bytes == t_pages(PAGES));
	cr_expect(fake_count(FAKE_WAKE) == 1);
	cr_expect(fake_count(FAKE_MOVE) == 1);
	cr_assert(pagemv_stats(s.pv, &stats) == 0);
	cr_expect(stats.repaired_bytes == t_pages(PAGES));
	cr_expect(stats.moved_bytes == t_pages(PAGES));
	scene_close(&s);
}

Test(answer, a_miscount_of_some_pages_is_repaired_and_the_rest_moved)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	answers_are_slow(&s, true);
	fake_add(miscount(3));
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	cr_expect(res.repaired_bytes == t_pages(3));
	scene_close(&s);
}

Test(answer, a_kernel_without_the_fault_is_believed)
{
	struct pagemv_result res;
	struct scene s;
	int rc;

	fake_release("6.12.50");
	s = scene_open(PAGES, NULL);
	t_fill(s.heap, 1, 1);
	t_drop(s.src, 1);
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -EEXIST, PAGEMV_REASON_OCCUPIED);
	cr_expect(res.left_off == 0 && res.repaired_bytes == 0);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	scene_close(&s);
}

Test(answer, an_answer_too_fast_for_a_move_is_no_miscount)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	answers_are_slow(&s, false);
	t_fill(s.heap, 1, 1);
	t_drop(s.src, 1);
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -EEXIST, PAGEMV_REASON_OCCUPIED);
	cr_expect(res.left_off == 0 && res.repaired_bytes == 0);
	scene_close(&s);
}

Test(answer, a_page_in_the_way_stops_the_move_there)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	t_fill(s.heap + t_pages(3), 99, 1);
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -EEXIST, PAGEMV_REASON_OCCUPIED);
	expect_stopped_at(&s, rc, &res, 3);
	EXPECT_RIGHT(t_check(s.heap + t_pages(3), 99, 1));
	cr_expect(res.repaired_bytes == 0);
	scene_close(&s);
}

Test(answer, replace_throws_away_what_is_in_the_way)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	t_fill(s.heap + t_pages(3), 99, 1);
	t_fill(s.heap + t_pages(6), 98, 1);
	rc = scene_move(&s, PAGEMV_MOVE_REPLACE, &res);
	expect_all_moved(&s, rc, &res);
	scene_close(&s);
}

Test(answer, replace_never_throws_away_a_miscounted_page)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	answers_are_slow(&s, true);
	fake_add(miscount(PAGES));
	rc = scene_move(&s, PAGEMV_MOVE_REPLACE, &res);
	expect_all_moved(&s, rc, &res);
	cr_expect(res.repaired_bytes == t_pages(PAGES));
	scene_close(&s);
}

static void blind(void)
{
	fake_refuse(FAKE_SCAN, -ENOTTY);
	fake_refuse(FAKE_PREAD, -EPERM);
	fake_refuse(FAKE_MINCORE, -EAGAIN);
}

Test(answer, where_nothing_tells_what_was_moved_nothing_is_thrown_away)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	answers_are_slow(&s, true);
	blind();
	fake_add(miscount(1));
	rc = scene_move(&s, PAGEMV_MOVE_REPLACE, &res);
	fake_behave();
	EXPECT_STOPPED(rc, &res, -EEXIST, PAGEMV_REASON_OCCUPIED);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	EXPECT_RIGHT(t_check(s.heap, 1, 1));
	EXPECT_RIGHT(t_check_range(s.src + t_page(), PAGES - 1, 2));
	scene_close(&s);
}

Test(answer, a_page_that_left_dst_meanwhile_does_no_harm)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	/* EEXIST although dst is empty. */
	fake_add((struct fake_rule){ .call = FAKE_MOVE, .error = -EEXIST });
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	cr_expect(res.repaired_bytes == 0);
	scene_close(&s);
}

Test(answer, an_eexist_that_nothing_explains_ends)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_refuse(FAKE_MOVE, -EEXIST);
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -EEXIST, PAGEMV_REASON_OCCUPIED);
	expect_stopped_at(&s, rc, &res, 0);
	cr_expect(fake_count(FAKE_MOVE) <= PMV_IDLE_MAX + 1);
	scene_close(&s);
}

Test(answer, eagain_is_asked_again_with_growing_waits)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_add((struct fake_rule){
		.call = FAKE_MOVE, .times = 20, .error = -EAGAIN });
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	cr_expect(res.kernel_calls == 21);
	cr_expect(fake_count(FAKE_YIELD) > 0);
	cr_expect(fake_count(FAKE_YIELD) + fake_count(FAKE_SLEEP) == 20);
	scene_close(&s);
}

/* untouched: the field as it was given; told: what mmap_changing writes. */
static void expect_bounded_eagain(bool tell)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct pagemv_result res;
	int rc;

	fake_add((struct fake_rule){ .call = FAKE_MOVE,
				     .times = FAKE_EVER,
				     .error = -EAGAIN,
				     .tell = tell,
				     .told = -EAGAIN });
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -EAGAIN, PAGEMV_REASON_CHANGING);
	expect_stopped_at(&s, rc, &res, 0);
	cr_expect(fake_count(FAKE_MOVE) == PMV_IDLE_MAX + 1, "%u asked",
		  fake_count(FAKE_MOVE));
	cr_expect(fake_slept_ns() > 80000000 && fake_slept_ns() < 120000000,
		  "slept %lu ns", (unsigned long)fake_slept_ns());
	cr_assert(pagemv_stats(s.pv, &stats) == 0);
	cr_expect(stats.retries == PMV_IDLE_MAX, "%lu",
		  (unsigned long)stats.retries);
	scene_close(&s);
}

Test(answer, eagain_for_ever_ends_after_a_tenth_of_a_second)
{
	expect_bounded_eagain(true);
}

Test(answer, eagain_with_the_count_untouched_is_no_progress)
{
	expect_bounded_eagain(false);
}

Test(answer, a_hole_stops_the_move_there)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	t_drop(s.src + t_pages(5), 1);
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -ENOENT, PAGEMV_REASON_HOLE);
	cr_expect(res.left_off == t_pages(5));
	cr_expect(res.moved_bytes == t_pages(5));
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	scene_close(&s);
}

static void expect_holes_passed(const char *release)
{
	struct pagemv_result res;
	struct scene s;
	int rc;

	fake_release(release);
	s = scene_open(PAGES, NULL);
	t_drop(s.src, 1);
	t_drop(s.src + t_pages(4), 2);
	t_drop(s.src + t_pages(PAGES - 1), 1);
	rc = scene_move(&s, PAGEMV_MOVE_HOLES, &res);
	cr_expect(rc == 0, "%d (%s)", rc, pagemv_reason_string(res.reason));
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	cr_expect(res.hole_bytes == t_pages(4));
	cr_expect(res.moved_bytes == t_pages(PAGES - 4));
	EXPECT_RIGHT(t_check_absent(s.heap, 1));
	EXPECT_RIGHT(t_check_range(s.heap + t_page(), 3, 2));
	EXPECT_RIGHT(t_check_absent(s.heap + t_pages(4), 2));
	EXPECT_RIGHT(t_check_absent(s.src, PAGES));
	scene_close(&s);
}

Test(answer, holes_are_passed_where_they_are_allowed)
{
	expect_holes_passed("6.12.50");
}

Test(answer, holes_are_passed_on_kernels_that_miscount)
{
	expect_holes_passed("6.18.44");
}

Test(answer, a_range_of_holes_alone_is_success)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	t_drop(s.src, PAGES);
	rc = scene_move(&s, PAGEMV_MOVE_HOLES, &res);
	cr_expect(rc == 0);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	cr_expect(res.hole_bytes == t_pages(PAGES));
	scene_close(&s);
}

Test(answer, a_page_where_a_hole_belongs_is_in_the_way)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	t_drop(s.src + t_pages(2), 2);
	t_fill(s.heap + t_pages(3), 99, 1);
	rc = scene_move(&s, PAGEMV_MOVE_HOLES, &res);
	EXPECT_STOPPED(rc, &res, -EEXIST, PAGEMV_REASON_OCCUPIED);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	cr_expect(res.left_off == t_pages(3), "%zu", res.left_off);
	cr_expect(res.hole_bytes == t_pages(1));
	EXPECT_RIGHT(t_check(s.heap + t_pages(3), 99, 1));
	scene_close(&s);
}

Test(answer, replace_makes_holes_as_well)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	t_drop(s.src + t_pages(2), 2);
	t_fill(s.heap + t_pages(3), 99, 1);
	rc = scene_move(&s, PAGEMV_MOVE_HOLES | PAGEMV_MOVE_REPLACE, &res);
	cr_expect(rc == 0);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	cr_expect(res.hole_bytes == t_pages(2));
	EXPECT_RIGHT(t_check_absent(s.heap + t_pages(2), 2));
	scene_close(&s);
}

Test(answer, a_page_that_comes_back_for_ever_does_not_hang_replace,
     .timeout = 20)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	t_drop(s.src + t_pages(2), 1);
	t_fill(s.heap + t_pages(2), 99, 1);
	fake_add((struct fake_rule){
		.call = FAKE_DISCARD, .lie = true, .times = FAKE_EVER });
	rc = scene_move(&s, PAGEMV_MOVE_HOLES | PAGEMV_MOVE_REPLACE, &res);
	EXPECT_STOPPED(rc, &res, -EEXIST, PAGEMV_REASON_OCCUPIED);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	scene_close(&s);
}

/* A huge page that is migrating is not found, on some kernels. */
Test(answer, an_enoent_for_pages_that_are_there_is_waited_out)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_add((struct fake_rule){
		.call = FAKE_MOVE, .times = 20, .error = -ENOENT });
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	cr_expect(fake_count(FAKE_YIELD) + fake_count(FAKE_SLEEP) == 20);
	scene_close(&s);
}

Test(answer, an_enoent_for_pages_that_are_there_for_ever_is_a_change)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_refuse(FAKE_MOVE, -ENOENT);
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -EAGAIN, PAGEMV_REASON_CHANGING);
	expect_stopped_at(&s, rc, &res, 0);
	cr_expect(fake_count(FAKE_MOVE) <= PMV_IDLE_MAX + 1);
	cr_expect(fake_slept_ns() > 50000000 && fake_slept_ns() < 200000000,
		  "slept %.3f s", (double)fake_slept_ns() / 1e9);
	scene_close(&s);
}

Test(answer, an_unmapped_page_is_named)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	munmap(s.src + t_pages(4), t_page());
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -ENOENT, PAGEMV_REASON_UNMAPPED);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	scene_close(&s);
}

Test(answer, a_busy_page_is_made_exclusive_and_moved)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct pagemv_result res;
	int rc;

	fake_fail(FAKE_MOVE, 1, -EBUSY);
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	cr_expect(fake_count(FAKE_POPULATE) == 1);
	cr_assert(pagemv_stats(s.pv, &stats) == 0);
	cr_expect(stats.made_exclusive == 1 && stats.pinned_pages == 0);
	scene_close(&s);
}

Test(answer, many_busy_pages_need_few_populate_calls)
{
	struct scene s = scene_open(128, NULL);
	struct pagemv_result res;
	int rc;

	fake_fail(FAKE_MOVE, 1, -EBUSY);
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	cr_expect(fake_count(FAKE_POPULATE) <= 2);
	scene_close(&s);
}

Test(answer, a_page_that_stays_busy_is_pinned_and_stays)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct pagemv_result res;
	int rc;

	fake_pin(s.src + t_pages(3));
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	expect_stopped_at(&s, rc, &res, 3);
	cr_expect(fake_count(FAKE_POPULATE) <= 2);
	cr_assert(pagemv_stats(s.pv, &stats) == 0);
	cr_expect(stats.pinned_pages == 1);
	scene_close(&s);
}

/* Shares all pages with a child that is gone at once. */
static void fork_briefly(void *arg)
{
	pid_t pid = fork();

	(void)arg;
	cr_assert(pid >= 0);
	if (pid == 0)
		_exit(0);
	cr_assert(waitpid(pid, NULL, 0) == pid);
}

Test(answer, pages_that_forks_share_again_are_not_pinned)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct pagemv_result res;
	int rc;

	fake_add((struct fake_rule){ .call = FAKE_MOVE,
				     .times = 8,
				     .before = fork_briefly,
				     .error = -EBUSY });
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	cr_assert(pagemv_stats(s.pv, &stats) == 0);
	cr_expect(stats.made_exclusive == 8 && stats.pinned_pages == 0);
	scene_close(&s);
}

Test(answer, forks_without_end_are_a_change_not_a_pin)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_add((struct fake_rule){ .call = FAKE_MOVE,
				     .times = FAKE_EVER,
				     .before = fork_briefly,
				     .error = -EBUSY });
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -EAGAIN, PAGEMV_REASON_CHANGING);
	expect_stopped_at(&s, rc, &res, 0);
	scene_close(&s);
}

/* Shares all pages with a child that stays, behind the C library's back. */
static void clone_for_long(void *arg)
{
	pid_t *child = arg;

	if (*child != 0) {
		kill(*child, SIGKILL);
		waitpid(*child, NULL, 0);
	}
	*child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	cr_assert(*child >= 0);
	while (*child == 0)
		pause();
}

Test(answer, pages_that_another_process_maps_are_not_pinned)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	pid_t child = 0;
	int rc;

	clone_for_long(&child);
	if (!pmv_pages_shared(s.pv, (uintptr_t)s.src)) {
		kill(child, SIGKILL);
		cr_skip("pagemap does not tell of shared pages");
	}
	fake_add((struct fake_rule){ .call = FAKE_MOVE,
				     .times = 8,
				     .before = clone_for_long,
				     .arg = &child,
				     .error = -EBUSY });
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	scene_close(&s);
}

Test(answer, a_pinned_page_is_pinned_after_forks_as_well)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fork_briefly(NULL);
	fake_pin(s.src + t_pages(3));
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	expect_stopped_at(&s, rc, &res, 3);
	cr_expect(fake_count(FAKE_POPULATE) <= 3);
	scene_close(&s);
}

/* Swap areas of the system: none, or one. */
static void fake_swap(bool on)
{
	fake_file("/proc/swaps",
		  on ? "Filename Type Size Used Priority\n/dev/sda2 x 1 0 -2\n"
		     : "Filename Type Size Used Priority\n",
		  1000);
}

/* A folio that is being written to swap is refused as if it were pinned. */
Test(answer, a_page_on_its_way_to_the_swap_is_waited_for)
{
	static const uint32_t policies[] = { PAGEMV_BUSY_STAY, PAGEMV_BUSY_SKIP,
					     PAGEMV_BUSY_COPY };

	for (size_t i = 0; i < T_COUNT(policies); i++) {
		struct scene s = scene_open(PAGES, NULL);
		struct pagemv_stats stats = { .size = sizeof(stats) };
		struct pagemv_result res;
		int rc;

		fake_swap(true);
		fake_add((struct fake_rule){
			.call = FAKE_MOVE, .times = 20, .error = -EBUSY });
		rc = scene_move_opts(&s, 0, PAGEMV_MECH_AUTO, policies[i],
				     &res);
		expect_all_moved(&s, rc, &res);
		cr_expect(res.copied_bytes == 0);
		cr_assert(pagemv_stats(s.pv, &stats) == 0);
		cr_expect(stats.pinned_pages == 0);
		cr_expect(fake_slept_ns() >= 1000000);
		cr_expect(fake_slept_ns() <= 100000000);
		fake_behave();
		scene_close(&s);
	}
}

Test(answer, pinned_pages_are_waited_for_once_where_swap_is_on)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	uint64_t slept;
	int rc;

	fake_swap(true);
	fake_pin(s.src + t_pages(3));
	fake_pin(s.src + t_pages(5));
	rc = scene_move_opts(&s, 0, PAGEMV_MECH_AUTO, PAGEMV_BUSY_SKIP, &res);
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	EXPECT_RIGHT(pages_wrong(s.heap, s.src, PAGES, &res));
	cr_expect(res.left_bytes == t_pages(2));
	slept = fake_slept_ns();
	cr_expect(slept >= 30000000 && slept <= 100000000, "%llu ns",
		  (unsigned long long)slept);
	rc = pagemv_move(s.pv, s.heap + t_pages(3), s.src + t_pages(3),
			 t_page(), NULL, &res);
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	cr_expect(fake_slept_ns() == slept);
	scene_close(&s);
}

Test(answer, without_swap_pinned_pages_are_not_waited_for)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_swap(false);
	fake_pin(s.src + t_pages(3));
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	expect_stopped_at(&s, rc, &res, 3);
	cr_expect(fake_slept_ns() == 0);
	scene_close(&s);
}

Test(answer, busy_skip_leaves_pinned_pages_and_goes_on)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_pin(s.src + t_pages(3));
	fake_pin(s.src + t_pages(4));
	fake_pin(s.src + t_pages(PAGES - 1));
	rc = scene_move_opts(&s, 0, PAGEMV_MECH_AUTO, PAGEMV_BUSY_SKIP, &res);
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	EXPECT_RIGHT(pages_wrong(s.heap, s.src, PAGES, &res));
	cr_expect(res.left_bytes == t_pages(3));
	cr_expect(res.left_off == t_pages(3));
	EXPECT_RIGHT(t_check_range(s.src + t_pages(3), 2, 4));
	EXPECT_RIGHT(t_check_range(s.heap + t_pages(5), 2, 6));
	scene_close(&s);
}

Test(answer, busy_remap_takes_pinned_pages_along)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_pin(s.src + t_pages(3));
	rc = scene_move_opts(&s, PAGEMV_MOVE_MAY_REMAP, PAGEMV_MECH_MOVE,
			     PAGEMV_BUSY_REMAP, &res);
	cr_expect(rc == 0, "%d (%s)", rc, pagemv_reason_string(res.reason));
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	cr_expect(res.moved_bytes == t_pages(PAGES));
	EXPECT_RIGHT(t_check_range(s.heap, PAGES, 1));
	cr_expect(fake_count(FAKE_MREMAP) == 1);
	cr_expect(res.mechanisms == (PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) |
				     PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP)));
	scene_close(&s);
}

Test(answer, busy_copy_copies_pinned_pages)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_pin(s.src + t_pages(3));
	rc = scene_move_opts(&s, 0, PAGEMV_MECH_AUTO, PAGEMV_BUSY_COPY, &res);
	cr_expect(rc == 0, "%d (%s)", rc, pagemv_reason_string(res.reason));
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	cr_expect(res.copied_bytes == t_page());
	cr_expect(res.moved_bytes == t_pages(PAGES - 1));
	EXPECT_RIGHT(t_check_range(s.heap, PAGES, 1));
	EXPECT_RIGHT(t_check_absent(s.src, PAGES));
	scene_close(&s);
}

/* Three huge pages, the middle one of them held; or the test is skipped. */
#define HUGES 3
#define HELD  1

static struct scene open_huge_scene(void)
{
	struct scene s = { .pv = scene_handle(NULL) };
	size_t huge = s.pv->huge_bytes;

	if (!huge || !(s.pv->facilities & PAGEMV_HAS_PAGEMAP_SCAN))
		cr_skip("no huge pages, or no PAGEMAP_SCAN");
	s.pages = HUGES * huge / t_page();
	s.heap = t_map_at(s.pages, huge, 0, false);
	s.src = t_map_at(s.pages, huge, 0, true);
	s.region = scene_register(s.pv, s.heap, s.pages);
	t_fill_range(s.src, s.pages, 1);
	if (t_huge_bytes(s.src, t_pages(s.pages)) < HUGES * huge)
		cr_skip("no huge page to be had");
	fake_pin(s.src + HELD * huge);
	return s;
}

/*
 * To ask for a part of a held huge page would make the kernel try for ever:
 * what was refused as a whole is left, or taken along, as a whole.
 */
Test(answer, a_held_huge_page_is_skipped_whole)
{
	struct scene s = open_huge_scene();
	size_t huge = s.pv->huge_bytes, n = huge / t_page();
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct pagemv_result res;
	int rc = scene_move_opts(&s, 0, PAGEMV_MECH_AUTO, PAGEMV_BUSY_SKIP,
				 &res);

	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	EXPECT_SANE(rc, &res, t_pages(s.pages));
	cr_expect(res.left_bytes == huge, "%zu", res.left_bytes);
	cr_expect(res.left_off == HELD * huge, "%zu", res.left_off);
	EXPECT_RIGHT(t_check_range(s.src + HELD * huge, n, HELD * n + 1));
	EXPECT_RIGHT(pages_wrong(s.heap, s.src, s.pages, &res));
	cr_assert(pagemv_stats(s.pv, &stats) == 0);
	cr_expect(stats.pinned_pages == n);
	scene_close(&s);
}

Test(answer, a_held_huge_page_is_taken_along_or_copied_whole)
{
	static const uint32_t policies[] = { PAGEMV_BUSY_REMAP,
					     PAGEMV_BUSY_COPY };

	for (size_t i = 0; i < T_COUNT(policies); i++) {
		struct scene s = open_huge_scene();
		bool copies = policies[i] == PAGEMV_BUSY_COPY;
		size_t huge = s.pv->huge_bytes;
		struct pagemv_result res;
		int rc = scene_move_opts(&s, PAGEMV_MOVE_MAY_REMAP,
					 PAGEMV_MECH_MOVE, policies[i], &res);

		cr_expect(rc == 0, "%d (%s)", rc,
			  pagemv_reason_string(res.reason));
		EXPECT_SANE(rc, &res, t_pages(s.pages));
		cr_expect(res.copied_bytes == (copies ? huge : 0), "%zu",
			  res.copied_bytes);
		EXPECT_RIGHT(t_check_range(s.heap, s.pages, 1));
		EXPECT_RIGHT(t_check_absent(s.src, s.pages));
		/* None of it page by page. */
		cr_expect(res.kernel_calls <= 5 + huge / (256 << 10), "%u",
			  res.kernel_calls);
		fake_behave();
		scene_close(&s);
	}
}

Test(answer, a_busy_policy_that_fails_leaves_the_page)
{
	static const uint32_t policies[] = { PAGEMV_BUSY_REMAP,
					     PAGEMV_BUSY_COPY };
	static const struct {
		int error;
		enum pagemv_reason reason;
	} answers[] = {
		{ -ENOMEM, PAGEMV_REASON_TOO_MANY_MAPPINGS },
		{ -EPERM, PAGEMV_REASON_PINNED },
		{ -EINVAL, PAGEMV_REASON_PINNED },
	};

	for (size_t i = 0; i < 6; i++) {
		struct scene s = scene_open(PAGES, NULL);
		struct pagemv_result res;
		int rc;

		fake_pin(s.src + t_pages(3));
		fake_refuse(FAKE_MREMAP, answers[i / 2].error);
		rc = scene_move_opts(&s, PAGEMV_MOVE_MAY_REMAP,
				     PAGEMV_MECH_MOVE, policies[i % 2], &res);
		cr_expect(res.reason == answers[i / 2].reason, "%zu: %s", i,
			  pagemv_reason_string(res.reason));
		expect_stopped_at(&s, rc, &res, 3);
		fake_behave();
		scene_close(&s);
	}
}

Test(answer, populate_errors_are_named)
{
	static const struct {
		int error, is;
		enum pagemv_reason reason;
	} cases[] = {
		{ -ENOMEM, -ENOMEM, PAGEMV_REASON_NO_MEMORY },
		{ -EHWPOISON, -EFAULT, PAGEMV_REASON_POISONED },
		{ -EFAULT, -EFAULT, PAGEMV_REASON_POISONED },
		{ -EINVAL, -EBUSY, PAGEMV_REASON_PINNED }, /* before 5.14 */
		{ -EPERM, -EBUSY, PAGEMV_REASON_PINNED },
	};

	for (size_t i = 0; i < T_COUNT(cases); i++) {
		struct scene s = scene_open(PAGES, NULL);
		struct pagemv_result res;
		int rc;

		fake_pin(s.src + t_pages(2));
		fake_refuse(FAKE_POPULATE, cases[i].error);
		rc = scene_move(&s, 0, &res);
		EXPECT_STOPPED(rc, &res, cases[i].is, cases[i].reason);
		expect_stopped_at(&s, rc, &res, 2);
		fake_behave();
		scene_close(&s);
	}
}

Test(answer, a_lost_registration_is_made_anew)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct uffdio_range {
		uint64_t start, len;
	} range = { (uintptr_t)s.heap, t_pages(PAGES) };
	struct pagemv_result res;
	int rc;

	/* As after an mremap() into the region. UFFDIO_UNREGISTER */
	cr_assert(fake_sys.ioctl(s.pv->uffd, 0x8010aa01ul, &range) == 0);
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	cr_assert(pagemv_stats(s.pv, &stats) == 0);
	cr_expect(stats.rearmed == 1);
	/* And then it is there: one call. */
	t_drop(s.heap, PAGES);
	t_fill_range(s.src, PAGES, 1);
	fake_forget_counts();
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	cr_expect(fake_total() == 1);
	scene_close(&s);
}

Test(answer, rearming_errors_are_named)
{
	static const struct {
		int error, is;
		enum pagemv_reason reason;
	} cases[] = {
		{ -EBUSY, -EBUSY, PAGEMV_REASON_FOREIGN_UFFD },
		{ -ENOMEM, -ENOMEM, PAGEMV_REASON_NO_MEMORY },
		{ -EPERM, -EIO, PAGEMV_REASON_UNEXPECTED },
	};

	for (size_t i = 0; i < T_COUNT(cases); i++) {
		struct scene s = scene_open(PAGES, NULL);
		struct pagemv_result res;
		int rc;

		fake_refuse(FAKE_MOVE, -EINVAL);
		fake_refuse(FAKE_REGISTER, cases[i].error);
		rc = scene_move(&s, 0, &res);
		EXPECT_STOPPED(rc, &res, cases[i].is, cases[i].reason);
		expect_stopped_at(&s, rc, &res, 0);
		fake_behave();
		scene_close(&s);
	}
}

/* Such as locks that another thread takes off before they are looked at. */
Test(answer, an_einval_whose_cause_has_gone_is_tried_again)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_add((struct fake_rule){
		.call = FAKE_MOVE, .times = 5, .error = -EINVAL });
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	scene_close(&s);
}

Test(answer, an_einval_that_nothing_explains_is_unexpected)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct pagemv_result res;
	int rc;

	fake_refuse(FAKE_MOVE, -EINVAL);
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -EIO, PAGEMV_REASON_UNEXPECTED);
	expect_stopped_at(&s, rc, &res, 0);
	cr_expect(fake_count(FAKE_MOVE) <= 10, "%u", fake_count(FAKE_MOVE));
	cr_assert(pagemv_stats(s.pv, &stats) == 0);
	cr_expect(stats.unexpected == 1 && stats.diagnoses >= 1);
	scene_close(&s);
}

Test(answer, other_errors_stop_it_and_are_named)
{
	static const struct {
		int error, is;
		enum pagemv_reason reason;
	} cases[] = {
		{ -ENOMEM, -ENOMEM, PAGEMV_REASON_NO_MEMORY },
		{ -EFAULT, -EFAULT, PAGEMV_REASON_POISONED },
		{ -EINTR, -EINTR, PAGEMV_REASON_INTERRUPTED },
		{ -ESRCH, -EINTR, PAGEMV_REASON_INTERRUPTED },
		{ -EPERM, -EOPNOTSUPP, PAGEMV_REASON_FILTERED },
		{ -EACCES, -EOPNOTSUPP, PAGEMV_REASON_FILTERED },
		{ -ENOSYS, -EOPNOTSUPP, PAGEMV_REASON_FILTERED },
		{ -EIO, -EIO, PAGEMV_REASON_UNEXPECTED },
		{ -ENOTTY, -EIO, PAGEMV_REASON_UNEXPECTED },
		{ -ENOSPC, -EIO, PAGEMV_REASON_UNEXPECTED },
		{ -EBADF, -EIO, PAGEMV_REASON_UNEXPECTED },
		{ -9999, -EIO, PAGEMV_REASON_UNEXPECTED },
	};

	for (size_t i = 0; i < T_COUNT(cases); i++) {
		struct scene s = scene_open(PAGES, NULL);
		struct pagemv_result res;
		int rc;

		fake_add(partial(3));
		fake_add((struct fake_rule){ .call = FAKE_MOVE,
					     .nth = 2,
					     .times = FAKE_EVER,
					     .error = cases[i].error });
		rc = scene_move(&s, 0, &res);
		EXPECT_STOPPED(rc, &res, cases[i].is, cases[i].reason);
		expect_stopped_at(&s, rc, &res, 3);
		/* Nothing of this goes away by asking again. */
		cr_expect(fake_count(FAKE_MOVE) == 2);
		fake_behave();
		scene_close(&s);
	}
}
