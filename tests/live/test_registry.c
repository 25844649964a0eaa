/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Regions that end while others fork, map over them, or have the memory for
 * themselves.
 */
#include "faults.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"
#include "rawuffd.h"

static int try_register(struct pagemv *pv, void *addr, size_t pages,
			uint32_t flags, enum pagemv_reason *why)
{
	const struct pagemv_region_opts o = {
		.size = sizeof(o),
		.flags = flags,
		.delivery = flags & PAGEMV_REGION_EVENTS
				    ? PAGEMV_DELIVERY_THREADS
				    : PAGEMV_DELIVERY_SIGNAL,
	};
	struct pagemv_region *region = NULL;

	*why = PAGEMV_REASON_COUNT;
	return pagemv_region_register(pv, addr, t_pages(pages), &o, &region,
				      why);
}

/* ---- others' ---- */

Test(registry, memory_of_another_userfaultfd_is_refused_and_left_alone)
{
	struct pagemv *pv = faults_open();
	int fd = t_uffd_open();
	enum pagemv_reason why;
	char *p = t_map(4);

	if (fd < 0)
		cr_skip("no userfaultfd to be the foreign one");
	cr_assert_eq(t_uffd_register_wp(fd, p + t_pages(2), t_pages(2)), 0);
	cr_expect_eq(try_register(pv, p, 4, PAGEMV_REGION_FAULTING, &why),
		     -EBUSY);
	cr_expect_eq(why, PAGEMV_REASON_FOREIGN_UFFD, "%s",
		     pagemv_reason_string(why));
	cr_expect(t_mapping_has_flag(p + t_pages(2), "uw"));
	cr_expect(!t_mapping_has_flag(p, "um"));
	cr_expect_eq(try_register(pv, p, 2, PAGEMV_REGION_FAULTING, &why), 0);
	pagemv_close(pv);
	cr_expect(t_mapping_has_flag(p + t_pages(2), "uw"));
	close(fd);
}

Test(registry, a_mremap_over_a_faulting_region_is_named)
{
	struct fills fills = { .calls = 0 };
	struct faults_stage s = faults_set_up(8, faults_by(&fills));
	char *other = t_map(4), *src = t_map(4), *to = s.heap + t_pages(2);
	struct pagemv_result res;

	t_fill_range(src, 4, 51);
	cr_assert_eq(mremap(other, t_pages(4), t_pages(4),
			    MREMAP_MAYMOVE | MREMAP_FIXED, to),
		     to);
	cr_expect_eq(pagemv_move(s.pv, to, src, t_pages(4), NULL, &res),
		     -EINVAL);
	cr_expect_eq(res.reason, PAGEMV_REASON_REPLACED, "%s",
		     pagemv_reason_string(res.reason));
	faults_right(t_check_range(src, 4, 51));
	/* Beside it the region is what it was. */
	faults_touch(s.heap);
	faults_right(t_check(s.heap, 1, 1));
	cr_expect_eq(pagemv_move(s.pv, s.heap + t_pages(6), src, t_pages(2),
				 NULL, &res),
		     0);
	faults_tear_down(&s);
}

Test(registry, a_hole_in_a_faulting_region_is_named)
{
	struct faults_stage s =
		faults_set_up(8, (struct pagemv_region_opts){ 0 });
	char *src = t_map(4);
	struct pagemv_result res;

	t_fill_range(src, 4, 51);
	cr_assert_eq(munmap(s.heap + t_pages(3), t_page()), 0);
	cr_expect_eq(pagemv_move(s.pv, s.heap + t_pages(2), src, t_pages(4),
				 NULL, &res),
		     -ENOENT);
	cr_expect_eq(res.reason, PAGEMV_REASON_UNMAPPED, "%s",
		     pagemv_reason_string(res.reason));
	faults_right(t_check_range(src, 4, 51));
	cr_expect_eq(pagemv_region_unregister(s.region), 0);
	/* Not a fault of ours any more, on either side. */
	faults_touch(s.heap);
	faults_touch(s.heap + t_pages(7));
	pagemv_close(s.pv);
}

Test(registry, an_ordinary_user_cannot_have_children_inherit)
{
	enum pagemv_reason why;
	struct pagemv *pv;
	char *p = t_map(4);

	if (!t_become_nobody())
		cr_skip("not root: cannot become somebody else");
	pv = faults_open();
	cr_expect_eq(try_register(pv, p, 4,
				  PAGEMV_REGION_FAULTING |
					  PAGEMV_REGION_EVENTS |
					  PAGEMV_REGION_INHERIT,
				  &why),
		     -EOPNOTSUPP);
	cr_expect_eq(why, PAGEMV_REASON_NOT_PERMITTED, "%s",
		     pagemv_reason_string(why));
	cr_expect_eq(try_register(pv, p, 4,
				  PAGEMV_REGION_FAULTING | PAGEMV_REGION_EVENTS,
				  &why),
		     0);
	pagemv_close(pv);
}

/* ---- fork, which waits for the handler, which waits for region_lock ---- */

struct forking {
	struct pagemv *pv;
	char *area; /* for regions that come and go */
	bool stop;
	unsigned int rounds;
	bool wrong;
};

static void *come_and_go(void *arg)
{
	const struct pagemv_region_opts o = { .size = sizeof(o),
					      .flags = PAGEMV_REGION_FAULTING };
	struct forking *f = arg;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		struct pagemv_region *r = NULL;

		f->wrong |= pagemv_region_register(f->pv, f->area, t_pages(4),
						   &o, &r, NULL) != 0;
		f->wrong |= pagemv_region_unregister_part(r, f->area + t_page(),
							  t_page()) != 0;
		f->wrong |= pagemv_region_unregister(r) != 0;
		f->rounds++;
	}
	return NULL;
}

static void fork_once(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	cr_assert_gt(pid, 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
}

/* A region of which each fork() tells the handler; false where that is not
 * permitted. */
static bool inherit(struct forking *f, char *heap)
{
	struct pagemv_handlers *handlers;
	enum pagemv_reason why;

	cr_assert_eq(pagemv_handlers_start(f->pv, NULL, &handlers), 0);
	return try_register(f->pv, heap, 4,
			    PAGEMV_REGION_FAULTING | PAGEMV_REGION_EVENTS |
				    PAGEMV_REGION_INHERIT,
			    &why) == 0;
}

Test(registry, regions_come_and_go_while_others_fork)
{
	struct forking f = { .pv = faults_open(), .area = t_map(4) };
	char *heap = t_map(4), *moving = t_map(8);
	pthread_t thread;
	uint64_t end;

	if (!inherit(&f, heap))
		cr_skip("not root: cannot have children inherit");
	cr_assert_eq(pthread_create(&thread, NULL, come_and_go, &f), 0);
	end = t_now_ns() + 2000000000u;
	while (t_now_ns() < end) {
		fork_once();
		/* And has the handler change the table. */
		madvise(heap, t_page(), MADV_DONTNEED);
		munmap(moving, t_pages(8));
		moving = t_map(8);
	}
	__atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	cr_expect(!f.wrong);
	cr_expect_gt(f.rounds, 10);
	pagemv_close(f.pv);
}

static void *fork_on(void *arg)
{
	struct forking *f = arg;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		fork_once();
		__atomic_fetch_add(&f->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

Test(registry, a_handle_is_closed_while_others_fork)
{
	struct forking f = { .pv = faults_open() };
	char *heap = t_map(4);
	pthread_t thread;

	if (!inherit(&f, heap))
		cr_skip("not root: cannot have children inherit");
	cr_assert_eq(pthread_create(&thread, NULL, fork_on, &f), 0);
	for (int i = 0; i < 30; i++) {
		unsigned int seen =
			__atomic_load_n(&f.rounds, __ATOMIC_RELAXED);

		while (__atomic_load_n(&f.rounds, __ATOMIC_RELAXED) == seen)
			usleep(100);
		pagemv_close(f.pv);
		cr_assert_eq(pagemv_open(&f.pv, NULL), 0);
		cr_assert(inherit(&f, heap));
	}
	__atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	pagemv_close(f.pv);
}

/* ---- the program maps something else there ---- */

Test(registry, what_is_left_of_it_is_unregistered_beside_a_file)
{
	struct faults_stage s =
		faults_set_up(8, (struct pagemv_region_opts){ 0 });
	FILE *file = tmpfile();
	char *at = s.heap + t_pages(3);

	cr_assert_not_null(file);
	cr_assert_eq(ftruncate(fileno(file), (off_t)t_page()), 0);
	cr_assert_eq(mmap(at, t_page(), PROT_READ, MAP_PRIVATE | MAP_FIXED,
			  fileno(file), 0),
		     at);
	cr_expect_eq(pagemv_region_unregister(s.region), 0);
	cr_expect(!t_mapping_has_flag(s.heap, "um"));
	cr_expect(!t_mapping_has_flag(s.heap + t_pages(7), "um"));
	pagemv_close(s.pv);
	fclose(file);
}
