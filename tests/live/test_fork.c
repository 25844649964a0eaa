/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After fork(): the child's handle refuses, and says why, instead of
 * hanging; one that the child opens works; the parent goes on.
 */
#include "live.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the child tries. Its checks are counted: Criterion is the parent's. */
struct scene {
	struct pagemv *pv;
	struct pagemv_region *region;
	char *heap;
	char *src;
	int failures;
};

#define IN_CHILD(s, condition)                                            \
	do {                                                              \
		if (!(condition)) {                                       \
			fprintf(stderr, "child, line %d: %s\n", __LINE__, \
				#condition);                              \
			(s)->failures++;                                  \
		}                                                         \
	} while (0)

static bool says_forked(int r, const struct pagemv_result *res, size_t bytes)
{
	return r == -ESRCH && res->error == -ESRCH &&
	       res->reason == PAGEMV_REASON_FORKED &&
	       res->left_bytes == bytes && res->left_off == 0 &&
	       res->moved_bytes == 0 && res->copied_bytes == 0;
}

static void moves_are_refused(struct scene *s)
{
	struct pagemv_seg seg = { s->heap, s->src, t_pages(4), 0, 0, 0 };
	struct pagemv_result res;
	int r;

	memset(&res, 0xa5, sizeof(res));
	r = pagemv_move(s->pv, s->heap, s->src, t_pages(4), NULL, &res);
	IN_CHILD(s, says_forked(r, &res, t_pages(4)));
	IN_CHILD(s, pagemv_move(s->pv, s->heap, s->src, t_pages(4), NULL,
				NULL) == -ESRCH);
	memset(&res, 0xa5, sizeof(res));
	r = pagemv_movev(s->pv, &seg, 1, NULL, &res);
	IN_CHILD(s, says_forked(r, &res, t_pages(4)));
	IN_CHILD(s, seg.error == -ESRCH && seg.left_bytes == t_pages(4) &&
			    seg.reason == PAGEMV_REASON_FORKED);
	memset(&res, 0xa5, sizeof(res));
	r = pagemv_relocate(s->pv, s->heap, s->src, t_pages(4), NULL, &res);
	IN_CHILD(s, says_forked(r, &res, t_pages(4)));
	memset(&res, 0xa5, sizeof(res));
	r = pagemv_exchange(s->pv, s->heap, s->heap + t_pages(4), t_pages(4),
			    NULL, &res);
	IN_CHILD(s, says_forked(r, &res, t_pages(4)));
	IN_CHILD(s, t_check_range(s->src, 4, 1) == NULL);
}

static void the_rest_is_refused(struct scene *s)
{
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct pagemv_caps caps = { .size = sizeof(caps) };
	enum pagemv_reason reason = PAGEMV_REASON_NONE;
	struct pagemv_region *region = NULL;

	IN_CHILD(s, pagemv_caps(s->pv, &caps) == -ESRCH);
	IN_CHILD(s, pagemv_stats(s->pv, &stats) == -ESRCH);
	IN_CHILD(s, pagemv_calibrate(s->pv) == -ESRCH);
	IN_CHILD(s, pagemv_region_register(s->pv, s->src, t_pages(4), NULL,
					   &region, &reason) == -ESRCH);
	IN_CHILD(s, reason == PAGEMV_REASON_FORKED && region == NULL);
	IN_CHILD(s, pagemv_region_unregister(s->region) == -ESRCH);
}

static void a_fresh_handle_works(struct scene *s)
{
	struct pagemv *pv = NULL;
	struct pagemv_result res;
	int r;

	IN_CHILD(s, pagemv_open(&pv, NULL) == 0);
	if (pv == NULL)
		return;
	t_register(pv, s->heap, 8);
	r = pagemv_move(pv, s->heap, s->src, t_pages(4), NULL, &res);
	IN_CHILD(s, r == 0);
	IN_CHILD(s, t_check_range(s->heap, 4, 1) == NULL);
	IN_CHILD(s, t_check_absent(s->src, 4) == NULL);
	pagemv_close(pv);
}

static int everything_in_child(void *arg)
{
	struct scene *s = arg;

	alarm(20);
	moves_are_refused(s);
	the_rest_is_refused(s);
	a_fresh_handle_works(s);
	pagemv_close(s->pv);
	s->pv = NULL;
	s->failures += t_check_range(s->heap, 4, 1) != NULL;
	return s->failures == 0 ? 0 : 1;
}

static void set_scene(struct scene *s, struct t_case *c)
{
	*s = (struct scene){ .pv = c->pv };
	s->heap = t_case_map(c, 8);
	s->src = t_case_map(c, 4);
	s->region = t_register(c->pv, s->heap, 8);
	t_fill_range(s->src, 4, 1);
}

Test(after_fork, the_child_is_refused_and_can_open_its_own, .timeout = 30)
{
	struct pagemv_result res;
	struct scene s;
	struct t_case c;
	int status, r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		set_scene(&s, &c);
		status = t_in_child(everything_in_child, &s);
		T_EXPECT(&c, status == 0, "the child ended with %d%s", status,
			 status == 128 + SIGALRM ? ": it hung" : "");
		/* The parent goes on, with its pages. */
		T_RIGHT(&c, t_check_range(s.src, 4, 1), "parent: src");
		r = t_move(&c, s.heap, s.src, 4, 0, &res);
		t_expect_done(&c, r, &res, t_pages(4));
		T_RIGHT(&c, t_check_range(s.heap, 4, 1), "parent: dst");
	}
}

static int child_only_closes(void *arg)
{
	struct scene *s = arg;

	alarm(20);
	pagemv_close(s->pv);
	return 0;
}

Test(after_fork, closing_in_the_child_leaves_the_parent_alone)
{
	struct pagemv_result res;
	struct scene s;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		set_scene(&s, &c);
		T_EXPECT(&c, t_in_child(child_only_closes, &s) == 0, "child");
		r = t_move(&c, s.heap, s.src, 4, 0, &res);
		t_expect_done(&c, r, &res, t_pages(4));
	}
}

static int grandchild_is_refused(void *arg)
{
	struct scene *s = arg;
	struct pagemv_result res;
	int r;

	alarm(20);
	r = pagemv_move(s->pv, s->heap, s->src, t_pages(4), NULL, &res);
	return says_forked(r, &res, t_pages(4)) ? 0 : 1;
}

static int child_forks_again(void *arg)
{
	return t_in_child(grandchild_is_refused, arg);
}

Test(after_fork, the_grandchild_is_refused_too)
{
	struct scene s;
	struct t_case c;

	t_cases(&c, T_WAY_BIT(T_AUTO));
	while (t_next_case(&c)) {
		set_scene(&s, &c);
		T_EXPECT(&c, t_in_child(child_forks_again, &s) == 0, "failed");
	}
}

/* A process made behind the C library's back: no atfork handler has run. */
Test(after_fork, a_raw_clone_is_refused_too)
{
	struct pagemv_result res;
	struct scene s;
	struct t_case c;
	long pid;
	int status;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		set_scene(&s, &c);
		pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
		if (pid < 0)
			t_die("clone");
		if (pid == 0) {
			int r = pagemv_move(s.pv, s.heap, s.src, t_pages(4),
					    NULL, &res);

			syscall(SYS_exit_group,
				says_forked(r, &res, t_pages(4)) ? 0 : 1);
		}
		status = t_wait((pid_t)pid);
		T_EXPECT(&c, status == 0, "the child ended with %d", status);
		T_RIGHT(&c, t_check_range(s.src, 4, 1), "parent: src");
		T_EXPECT(&c, t_move(&c, s.heap, s.src, 4, 0, &res) == 0,
			 "parent: %s", pagemv_reason_string(res.reason));
	}
}

Test(after_fork, regions_of_the_parent_work_in_it_while_children_live)
{
	struct pagemv_result res;
	struct scene s;
	struct t_case c;
	size_t i;
	int r, go[2];

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		set_scene(&s, &c);
		if (pipe(go) != 0)
			t_die("pipe");
		for (i = 0; i < 3; i++) {
			char byte;

			fflush(NULL);
			if (fork() == 0) {
				close(go[1]);
				_exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
			}
		}
		for (i = 0; i < 10; i++) {
			t_drop(s.heap, 8);
			t_fill_range(s.src, 4, 1 + i);
			r = t_move(&c, s.heap, s.src, 4, 0, &res);
			t_expect_done(&c, r, &res, t_pages(4));
			T_RIGHT(&c, t_check_range(s.heap, 4, 1 + i), "dst");
		}
		close(go[0]);
		close(go[1]);
		for (i = 0; i < 3; i++)
			T_EXPECT(&c, t_wait(-1) == 0, "child");
	}
}
