/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "heap_scene.h"
#include "rcu.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 40

/* What a child finds wrong, by number; 0: nothing. */
static int in_child(int (*look)(void *arg), void *arg)
{
	pid_t pid = fork();
	int status = -1;

	cr_assert(pid >= 0);
	if (pid == 0)
		_exit(look(arg));
	cr_assert(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

struct block {
	struct pagemv_heap *heap;
	char *at;
};

static int use_in_child(void *arg)
{
	struct block *b = arg;
	void *now, *other;

	if (t_check_range(b->at, PAGES, 1))
		return 1;
	if (pagemv_heap_realloc(b->heap, b->at, t_pages(PAGES),
				PAGEMV_ALLOC_MOVE, &now, NULL) != 0)
		return 2;
	if (t_check_range(now, PAGES, 1))
		return 3;
	if (!pmv_heap_open_handle(b->heap))
		return 4;
	if (pagemv_heap_alloc(b->heap, 5 * MIB, 0, &other) != 0)
		return 5;
	if (pagemv_heap_free(b->heap, now) != 0 ||
	    pagemv_heap_free(b->heap, other) != 0)
		return 6;
	return pagemv_heap_destroy(b->heap) == 0 ? 0 : 7;
}

Test(heap_fork, a_child_goes_on_by_its_own_handle)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct block b = { s.heap, heap_block(s.heap, PAGES, 1) };

	cr_expect(in_child(use_in_child, &b) == 0);
	EXPECT_RIGHT(t_check_range(b.at, PAGES, 1));
	cr_expect(pagemv_heap_free(s.heap, b.at) == 0);
	heap_close(&s);
}

static int use_without_handle(void *arg)
{
	fake_refuse(FAKE_UFFD_USER, -EMFILE);
	fake_refuse(FAKE_UFFD_FULL, -EMFILE);
	fake_refuse(FAKE_OPEN, -EMFILE);
	return use_in_child(arg);
}

/* One that cannot have a handle copies. */
Test(heap_fork, a_child_without_a_handle_copies)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct block b = { s.heap, heap_block(s.heap, PAGES, 1) };

	cr_expect(in_child(use_without_handle, &b) == 4);
	heap_close(&s);
}

static int free_it(void *arg)
{
	struct block *b = arg;

	return pagemv_heap_free(b->heap, b->at) == 0 ? 0 : 1;
}

/* A thread that is not in the child was about to change its size. */
Test(heap_fork, a_block_that_was_busy_is_a_block)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct block b = { s.heap, heap_block(s.heap, PAGES, 1) };
	struct pmv_magazine *m = pmv_magazine_hold(s.heap);
	struct pmv_slot *slot;
	size_t bytes;

	cr_assert(pmv_slot_claim(s.heap, m, (uintptr_t)b.at, PMV_SLOT_BUSY,
				 &slot, &bytes) == PMV_FOUND);
	pmv_magazine_release(m);
	cr_expect(in_child(free_it, &b) == 0);
	pmv_slot_publish(slot, (uintptr_t)b.at, bytes);
	cr_expect(pagemv_heap_free(s.heap, b.at) == 0);
	heap_close(&s);
}

static struct block held;

/* How far the other thread has come; it may have moved before it is seen to. */
static PMV_ATOMIC _Atomic enum { BEFORE, MOVING, MOVED } stage;

static void *move_for_a_while(void *arg)
{
	(void)arg;
	pmv_heap_enter();
	atomic_store(&stage, MOVING);
	t_sleep_ms(50);
	atomic_store(&stage, MOVED);
	pmv_heap_leave();
	return NULL;
}

static int see_nobody_moving(void *arg)
{
	(void)arg;
	return atomic_load(&stage) == MOVING;
}

Test(heap_fork, waits_for_who_is_moving_pages)
{
	struct heap_scene s = heap_open(NULL, NULL);
	pthread_t thread;

	cr_assert(pthread_create(&thread, NULL, move_for_a_while, NULL) == 0);
	while (atomic_load(&stage) == BEFORE)
		t_sleep_ms(1);
	cr_expect(in_child(see_nobody_moving, NULL) == 0);
	pthread_join(thread, NULL);
	heap_close(&s);
}

static void *wait_for_readers(void *arg)
{
	(void)arg;
	pmv_heap_enter();
	atomic_store(&stage, MOVING);
	t_sleep_ms(50);
	pmv_rcu_synchronize(&held);
	atomic_store(&stage, MOVED);
	pmv_heap_leave();
	return NULL;
}

/* A fork has liburcu's locks only when nobody moves pages any more, in whatever
 * order heaps and handles were made. */
Test(heap_fork, waits_before_it_has_the_locks_of_rcu, .timeout = 20)
{
	const struct pagemv_open_opts how = { .size = sizeof(how),
					      .flags = PAGEMV_OPEN_NO_ATFORK };
	const struct pagemv_heap_opts o = { .size = sizeof(o), .open = &how };
	struct pagemv_heap *first = NULL;
	struct heap_scene s;
	pthread_t thread;

	cr_assert(pagemv_heap_create(NULL, &o, &first) == 0);
	s = heap_open(NULL, NULL);
	cr_assert(pthread_create(&thread, NULL, wait_for_readers, NULL) == 0);
	while (atomic_load(&stage) == BEFORE)
		t_sleep_ms(1);
	cr_expect(in_child(see_nobody_moving, NULL) == 0);
	pthread_join(thread, NULL);
	heap_close(&s);
	cr_expect(pagemv_heap_destroy(first) == 0);
}

/* ---- fork() in a handler of a signal ---- */

static int leave_and_use(void *arg)
{
	pmv_heap_leave();
	return use_in_child(arg);
}

Test(heap_fork, does_not_wait_for_a_move_of_its_own, .timeout = 20)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct block b = { s.heap, heap_block(s.heap, PAGES, 1) };

	pmv_heap_enter();
	cr_expect(in_child(leave_and_use, &b) == 0);
	pmv_heap_leave();
	heap_close(&s);
}

static struct pmv_magazine *mine;

static int release_and_use(void *arg)
{
	if (!pmv_hold_mine(&mine->held))
		return 20;
	pmv_magazine_release(mine);
	return use_in_child(arg);
}

Test(heap_fork, does_not_wait_for_its_own_magazine, .timeout = 20)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct block b = { s.heap, heap_block(s.heap, PAGES, 1) };
	struct pmv_magazine *other;

	mine = pmv_magazine_hold(s.heap);
	cr_expect(in_child(release_and_use, &b) == 0);
	cr_expect(pmv_hold_mine(&mine->held));
	other = pmv_magazine_hold(s.heap);
	cr_expect(other != mine);
	pmv_magazine_release(other);
	pmv_magazine_release(mine);
	heap_close(&s);
}

/* ---- handlers of pthread_atfork() that use the heap ---- */

static void use_in_handler(void)
{
	void *at;

	if (!held.heap)
		return;
	if (pagemv_heap_alloc(held.heap, 3 * MIB, 0, &at) != 0 ||
	    pagemv_heap_realloc(held.heap, at, 5 * MIB, PAGEMV_ALLOC_MOVE, &at,
				NULL) != 0 ||
	    pagemv_heap_free(held.heap, at) != 0)
		_exit(9);
}

Test(heap_fork, handlers_may_use_it)
{
	struct heap_scene s;
	struct block b;

	/* Before the heap's: called while it is stopped. */
	cr_assert(pthread_atfork(use_in_handler, use_in_handler,
				 use_in_handler) == 0);
	s = heap_open(NULL, NULL);
	b = (struct block){ s.heap, heap_block(s.heap, PAGES, 1) };
	cr_assert(pagemv_heap_free(s.heap,
				   heap_block(s.heap, 3 * MIB / t_page(), 1)) ==
		  0);
	held = b;
	cr_expect(in_child(use_in_child, &b) == 0);
	held.heap = NULL;
	heap_close(&s);
}

static int go_on_in_child(void *arg)
{
	struct block *b = arg;
	struct pmv_bin *bin =
		&b->heap->bins[heap_slot(b->heap, b->at)->arena->bin];
	int wrong = !pmv_hold_mine(&bin->held);

	pmv_bin_unlock(bin);
	return wrong ? 8 : use_in_child(b);
}

/* By a handler of a signal; both go on with what it has interrupted. */
Test(heap_fork, comes_while_a_bin_is_held)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct block b = { s.heap, heap_block(s.heap, PAGES, 1) };
	struct pmv_bin *bin =
		&s.heap->bins[heap_slot(s.heap, b.at)->arena->bin];

	cr_assert(pmv_bin_lock(s.heap, bin));
	cr_expect(in_child(go_on_in_child, &b) == 0);
	cr_expect(pmv_hold_mine(&bin->held));
	pmv_bin_unlock(bin);
	EXPECT_RIGHT(t_check_range(b.at, PAGES, 1));
	cr_expect(pagemv_heap_free(s.heap, b.at) == 0);
	heap_close(&s);
}

static void use_while_interrupted(void)
{
	void *at, *other;

	if (!held.heap)
		return;
	/* Neither touches what is half done. */
	cr_expect(pagemv_heap_alloc(held.heap, 3 * MIB, 0, &other) != 0 ||
		  pagemv_heap_free(held.heap, other) == 0);
	at = held.at;
	held.at = NULL;
	cr_expect(!at || pagemv_heap_free(held.heap, at) == 0);
}

Test(heap_fork, handlers_leave_a_bin_alone_that_is_half_done)
{
	struct heap_scene s;
	struct pmv_bin *bin;
	struct pmv_slot *newest;

	cr_assert(pthread_atfork(use_while_interrupted, use_while_interrupted,
				 use_while_interrupted) == 0);
	s = heap_open(NULL, NULL);
	held = (struct block){ s.heap,
			       heap_block(s.heap, 8 * MIB / t_page(), 1) };
	bin = &s.heap->bins[heap_slot(s.heap, held.at)->arena->bin];
	cr_assert(pmv_bin_lock(s.heap, bin));
	newest = bin->cold.newest;
	if (fork() == 0)
		_exit(0);
	held.heap = NULL;
	cr_expect(bin->cold.newest == newest);
	pmv_bin_unlock(bin);
	heap_close(&s);
}
