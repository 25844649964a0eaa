// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Processes: fork() out of threads that allocate, handlers of a fork that
 * allocate, children that go on, vfork(), posix_spawn(), exec.
 */
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim_test.h"

extern char **environ;

#define THREADS 4

/* What a child does with what it has from its parent, and with its own. */
static void go_on(char *inherited, size_t bytes, unsigned int seed)
{
	char *p = malloc(3 * LARGE);

	t_check(t_filled(inherited, bytes, seed));
	inherited = realloc(inherited, 40 * MIB);
	t_check(t_filled(inherited, bytes, seed));
	t_fill(inherited, MIB, seed + 1);
	t_fill(p, 3 * LARGE, 7);
	p = realloc(p, 90 * MIB);
	t_check(t_filled(p, 3 * LARGE, 7));
	free(p);
	free(inherited);
}

static void children_go_on(void)
{
	char *p = malloc(LARGE), *q = malloc(5 * MIB);
	int pid;

	t_fill(p, LARGE, 1);
	t_fill(q, 5 * MIB, 2);
	q = realloc(q, 70 * MIB);
	/* Each is the child of the one before. */
	for (int i = 0; i < 4; i++) {
		pid = fork();
		t_check(pid >= 0);
		if (pid) {
			t_check(t_wait(pid));
			t_check(t_filled(p, LARGE, 1));
			t_check(t_filled(q, 5 * MIB, 2));
			exit(0);
		}
		t_check(t_filled(q, 5 * MIB, 2));
	}
	go_on(p, LARGE, 1);
	go_on(q, 5 * MIB, 2);
}

/* ---- threads ---- */

static atomic_bool ending;

static void *allocate(void *arg)
{
	unsigned int seed = (unsigned int)(size_t)arg;

	while (!atomic_load(&ending)) {
		size_t n = LARGE + seed++ % 64 * 8192;
		char *p = malloc(n);

		t_check(p);
		t_fill(p, 5000, seed);
		p = realloc(p, 2 * n);
		t_check(p && t_filled(p, 5000, seed));
		free(p);
		free(malloc(seed % 2000));
	}
	return NULL;
}

static void fork_among_threads(void)
{
	pthread_t t[THREADS];
	char *p = malloc(MIB);

	t_fill(p, MIB, 3);
	for (size_t i = 0; i < THREADS; i++)
		t_check(!pthread_create(&t[i], NULL, allocate, (void *)i));
	for (int i = 0; i < 60; i++) {
		int pid = fork();

		t_check(pid >= 0);
		if (!pid) {
			alarm(60);
			go_on(p, MIB, 3);
			for (int k = 0; k < 20; k++)
				free(malloc(LARGE + (size_t)k * 4096));
			_exit(0);
		}
		t_check(t_wait(pid));
	}
	atomic_store(&ending, true);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	t_check(t_filled(p, MIB, 3));
}

/* ---- handlers ---- */

static char *block;
static unsigned int handled;

static void handler(void)
{
	char *p = malloc(2 * LARGE), *q = malloc(100);

	t_fill(p, 2 * LARGE, 8);
	/* Blocks from before, and one that stays. */
	t_check(t_filled(block, LARGE, 4));
	block = realloc(block, LARGE + (size_t)++handled * 65536);
	t_check(t_filled(block, LARGE, 4));
	t_check(t_filled(p, 2 * LARGE, 8));
	free(p);
	free(q);
	free(block);
	block = calloc(1, LARGE);
	t_check(t_is_zero(block, LARGE));
	t_fill(block, LARGE, 4);
}

static void handlers_allocate(void)
{
	/* Before the heap has handlers of its own, and after. */
	pthread_atfork(handler, handler, handler);
	block = malloc(LARGE);
	t_fill(block, LARGE, 4);
	pthread_atfork(handler, handler, handler);
	fork_among_threads();
	t_check(t_filled(block, LARGE, 4) && handled == 60 * 4);
}

static void first_in_handler(void)
{
	static char first[LARGE];

	/* The heap is made between the handlers. */
	block = first;
	t_fill(first, LARGE, 4);
	block = NULL;
	pthread_atfork(handler, NULL, handler);
	block = memcpy(malloc(LARGE - 1), first, LARGE - 1);
	block = realloc(block, LARGE);
	t_fill(block, LARGE, 4);
	fork_among_threads();
}

/* Between the handlers blocks are freed later. */
static void free_twice(void)
{
	char *volatile again = block;

	free(again);
	free(again);
}

static void freed_twice_in_handler(void)
{
	int pid;

	pthread_atfork(free_twice, NULL, NULL);
	block = malloc(LARGE);
	t_check(t_served(block));
	pid = fork();
	if (pid == 0)
		_exit(0);
	t_check(t_wait(pid));
	free(malloc(LARGE));
}

/* ---- other ways ---- */

static int vfork_true(void)
{
	char *const argv[] = { "true", NULL };
	int pid = vfork();

	if (pid == 0) {
		execvp("true", argv);
		_exit(1);
	}
	return pid;
}

static void spawn_and_vfork(void)
{
	char *const argv[] = { "true", NULL };
	char *p = malloc(MIB);
	int pid;

	t_fill(p, MIB, 1);
	for (int i = 0; i < 5; i++) {
		t_check(!posix_spawnp(&pid, "true", NULL, NULL, argv, environ));
		t_check(t_wait(pid));
		t_check(t_wait(vfork_true()));
		t_check(system("exit 0") == 0);
		p = realloc(p, (size_t)(i + 2) * MIB);
		t_check(t_filled(p, MIB, 1));
	}
	free(p);
}

static void exec_of_itself(void)
{
	char *again = getenv("AGAIN"), *p = malloc(MIB);

	t_check(t_served(p));
	t_fill(p, MIB, 1);
	p = realloc(p, 70 * MIB);
	if (again && !strcmp(again, "xx"))
		exit(0);
	setenv("AGAIN", again ? "xx" : "x", 1);
	execl("/proc/self/exe", "again", "run", "exec", (char *)NULL);
	t_check(!"exec");
}

/* A child that is none of the C library's. */
static void fork_by_hand(void)
{
	char *p = malloc(MIB);
	int pid;

	t_fill(p, MIB, 1);
	p = realloc(p, 70 * MIB);
	pid = _Fork();
	if (!pid) {
		go_on(p, MIB, 1);
		_exit(0);
	}
	t_check(t_wait(pid));
	go_on(p, MIB, 1);
}

static const struct shim_case cases[] = {
	{ .name = "freed twice between the handlers",
	  .run = freed_twice_in_handler,
	  .conf = "misuse=report",
	  .says = { "free(): block that was freed before" } },
	{ .name = "children go on", .run = children_go_on },
	{ .name = "children go on, tight",
	  .run = children_go_on,
	  .conf = "tight=on" },
	{ .name = "children go on, without userfaultfd",
	  .run = children_go_on,
	  .conf = "tight=on,uffd=off" },
	{ .name = "fork among threads", .run = fork_among_threads },
	{ .name = "fork among threads, tight",
	  .run = fork_among_threads,
	  .conf = "tight=on" },
	{ .name = "fork among threads, with one of the heap's",
	  .run = fork_among_threads,
	  .conf = "background=on,decay=5" },
	{ .name = "handlers allocate", .run = handlers_allocate },
	{ .name = "the first block is of a handler", .run = first_in_handler },
	{ .name = "posix_spawn() and vfork()", .run = spawn_and_vfork },
	{ .name = "exec", .run = exec_of_itself },
	{ .name = "_Fork()", .run = fork_by_hand },
};

int main(int argc, char **argv)
{
	return shim_test(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
