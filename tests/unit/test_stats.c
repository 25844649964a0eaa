/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scene.h"

#include <pthread.h>

static struct pagemv_stats stats_of(struct scene *s)
{
	struct pagemv_stats stats = { .size = sizeof(stats) };

	cr_assert(pagemv_stats(s->pv, &stats) == 0);
	return stats;
}

Test(stats, a_fresh_handle_has_counted_nothing)
{
	struct scene s = scene_open(4, NULL);
	struct pagemv_stats stats = stats_of(&s), zero = { 0 };

	zero.size = stats.size;
	cr_expect(memcmp(&stats, &zero, sizeof(zero)) == 0);
	scene_close(&s);
}

Test(stats, moves_are_counted)
{
	struct scene s = scene_open(4, NULL);
	struct pagemv_result res;
	struct pagemv_stats stats;

	cr_assert(scene_move(&s, 0, &res) == 0);
	stats = stats_of(&s);
	cr_expect(stats.calls == 1 && stats.failed_calls == 0);
	cr_expect(stats.moved_bytes == t_pages(4));
	cr_expect(stats.moved_by[PAGEMV_MECH_MOVE] == t_pages(4));
	cr_expect(stats.copied_bytes == 0 && stats.left_bytes == 0);
	cr_expect(stats.kernel_calls == 1);
	scene_close(&s);
}

Test(stats, failures_holes_and_what_is_left_are_counted)
{
	struct scene s = scene_open(4, NULL);
	struct pagemv_result res;
	struct pagemv_stats stats;

	t_drop(s.src, 1);
	t_fill(s.heap + t_pages(2), 99, 1);
	cr_assert(scene_move(&s, PAGEMV_MOVE_HOLES, &res) == -EEXIST);
	stats = stats_of(&s);
	cr_expect(stats.calls == 1 && stats.failed_calls == 1);
	cr_expect(stats.hole_bytes == t_page());
	cr_expect(stats.moved_bytes == t_page());
	cr_expect(stats.left_bytes == t_pages(2));
	cr_expect(stats.kernel_calls == res.kernel_calls);
	scene_close(&s);
}

Test(stats, a_refused_call_makes_no_kernel_call)
{
	struct scene s = scene_open(4, NULL);
	struct pagemv_result res;
	struct pagemv_stats stats;

	cr_assert(scene_move_opts(&s, 0, PAGEMV_MECH_REMAP, 0, &res) ==
		  -EOPNOTSUPP);
	stats = stats_of(&s);
	cr_expect(stats.calls == 1 && stats.failed_calls == 1);
	cr_expect(stats.kernel_calls == 0, "%lu",
		  (unsigned long)stats.kernel_calls);
	cr_expect(stats.left_bytes == t_pages(4));
	scene_close(&s);
}

Test(stats, mechanisms_are_counted_apart)
{
	struct scene s = scene_open(4, NULL);
	struct pagemv_result res;
	struct pagemv_stats stats;

	cr_assert(scene_move_opts(&s, 0, PAGEMV_MECH_COPY, 0, &res) == 0);
	t_drop(s.heap, 4);
	t_fill_range(s.src, 4, 1);
	cr_assert(scene_move_opts(&s, PAGEMV_MOVE_MAY_REMAP, PAGEMV_MECH_REMAP,
				  0, &res) == 0);
	stats = stats_of(&s);
	cr_expect(stats.calls == 2);
	cr_expect(stats.moved_by[PAGEMV_MECH_COPY] == t_pages(4));
	cr_expect(stats.moved_by[PAGEMV_MECH_REMAP] == t_pages(4));
	cr_expect(stats.moved_by[PAGEMV_MECH_MOVE] == 0);
	cr_expect(stats.copied_bytes == t_pages(4));
	cr_expect(stats.moved_bytes == t_pages(4));
	scene_close(&s);
}

Test(stats, strays_are_counted)
{
	struct scene s = scene_open(4, NULL);
	struct pagemv_result res;

	fake_refuse(FAKE_COPY, -EPERM);
	fake_refuse(FAKE_MREMAP, -EPERM);
	cr_assert(scene_move_opts(&s, 0, PAGEMV_MECH_COPY, 0, &res) < 0);
	fake_behave();
	cr_expect(stats_of(&s).strays == (res.stray != NULL));
	take_stray(&res);
	scene_close(&s);
}

Test(stats, no_more_is_written_than_the_caller_knows)
{
	struct scene s = scene_open(4, NULL);
	struct pagemv_stats stats;

	memset(&stats, 0xa5, sizeof(stats));
	stats.size = offsetof(struct pagemv_stats, left_bytes);
	cr_expect(pagemv_stats(s.pv, &stats) == 0);
	cr_expect(stats.calls == 0);
	cr_expect(stats.left_bytes == 0xa5a5a5a5a5a5a5a5u);
	stats.size = 0;
	cr_expect(pagemv_stats(s.pv, &stats) == -EINVAL);
	cr_expect(pagemv_stats(s.pv, NULL) == -EINVAL);
	cr_expect(pagemv_stats(NULL, &stats) == -EINVAL);
	scene_close(&s);
}

#define THREADS 40
#define EACH	1000

static void *count_many(void *arg)
{
	for (int i = 0; i < EACH; i++)
		pmv_count(arg, PMV_HOLES, 3);
	return NULL;
}

Test(stats, more_threads_than_shards_lose_no_count)
{
	static struct pmv_stats stats;
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		cr_assert(pthread_create(&t[i], NULL, count_many, &stats) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	cr_expect(pmv_stats_sum(&stats, PMV_HOLES) == 3ul * THREADS * EACH);
	cr_expect(pmv_stats_sum(&stats, PMV_LEFT) == 0);
}
