// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Threads that hand blocks to each other, that end, and signal handlers that
 * allocate.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "shim_test.h"

#define THREADS 6
#define SLOTS	64

/* ---- blocks that one makes and another frees ---- */

static _Atomic(char *) slot[SLOTS];

static void *exchange(void *arg)
{
	unsigned int r = (unsigned int)(size_t)arg * 2654435761u + 1;

	for (int i = 0; i < 3000; i++) {
		size_t n = r % 8 ? 100 + r % 5000 : LARGE + r % (4 * LARGE);
		char *p = malloc(n + sizeof(n)), *old;

		t_check(p);
		memcpy(p, &n, sizeof(n));
		t_fill(p + sizeof(n), 64, (unsigned int)n);
		old = atomic_exchange(&slot[r / 16 % SLOTS], p);
		if (old) {
			memcpy(&n, old, sizeof(n));
			t_check(t_filled(old + sizeof(n), 64, (unsigned int)n));
			old = realloc(old, n * 2 + sizeof(n));
			t_check(t_filled(old + sizeof(n), 64, (unsigned int)n));
		}
		free(old);
		r = r * 1664525 + 1013904223;
	}
	return NULL;
}

static void blocks_go_about(void)
{
	pthread_t t[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		t_check(!pthread_create(&t[i], NULL, exchange, (void *)i));
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}

/* ---- threads that end ---- */

static pthread_key_t key;

/* Called again as long as it sets the key, four times at most. */
static void last_words(void *ptr)
{
	char *more = malloc(LARGE);

	t_check(t_filled(ptr, LARGE, 6));
	t_fill(more, LARGE, 6);
	free(ptr);
	pthread_setspecific(key, more);
}

static void *brief(void *arg)
{
	char *p = malloc(LARGE), *q;

	t_fill(p, LARGE, 6);
	pthread_setspecific(key, p);
	q = malloc(5 * LARGE);
	t_fill(q, LARGE, 6);
	if (arg)
		pthread_exit(realloc(q, 6 * LARGE));
	return q;
}

static size_t resident_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long all, resident;

	t_check(f && fscanf(f, "%lu %lu", &all, &resident) == 2);
	fclose(f);
	return resident * 4;
}

static void threads_end(void)
{
	size_t before = 0;

	t_check(!pthread_key_create(&key, last_words));
	for (int i = 0; i < 600; i++) {
		pthread_t t;
		void *p;

		t_check(!pthread_create(&t, NULL, brief,
					(void *)(size_t)(i % 2)));
		pthread_join(t, &p);
		t_check(t_filled(p, LARGE, 6));
		free(p);
		if (i == 100)
			before = resident_kib();
	}
	/* The last words of 500: one block each is never freed. */
	t_check(resident_kib() < before + 500 * (LARGE / KIB) + 20 * 1024);
}

/* ---- signals ---- */

static volatile sig_atomic_t signals;
static char *volatile of_handler;

static void on_signal(int number)
{
	char *p = malloc(LARGE + 4096), *q;

	(void)number;
	t_fill(p, 5000, 2);
	q = calloc(1, 2 * LARGE);
	t_check(t_is_zero(q, 2 * LARGE));
	p = realloc(p, 9 * LARGE);
	t_check(t_filled(p, 5000, 2));
	free(q);
	free(of_handler);
	of_handler = p;
	signals++;
}

/* All blocks are large, here as there: with small ones the next allocator's
 * locks decide. */
static void handlers_of_signals_allocate(void)
{
	struct itimerval each = { { 0, 300 }, { 0, 300 } };
	struct sigaction action = { .sa_handler = on_signal,
				    .sa_flags = SA_RESTART };

	/* The heap is there, and has opened what it needs. */
	free(realloc(malloc(LARGE), 200 * MIB));
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &each, NULL);
	for (int i = 0; signals < 300 && i < 2000000; i++) {
		size_t n = LARGE + (size_t)i % 97 * 4096;
		char *p = malloc(n);

		t_check(p);
		*p = 1;
		p = realloc(p, 3 * n);
		t_check(p && *p == 1);
		free(p);
	}
	each = (struct itimerval){ 0 };
	setitimer(ITIMER_REAL, &each, NULL);
	t_check(signals >= 300);
}

static const struct shim_case cases[] = {
	{ .name = "blocks go about", .run = blocks_go_about },
	{ .name = "blocks go about, tight",
	  .run = blocks_go_about,
	  .conf = "tight=on,decay=1" },
	{ .name = "blocks go about, with a thread of the heap's",
	  .run = blocks_go_about,
	  .conf = "background=on,decay=2" },
	{ .name = "threads end", .run = threads_end },
	{ .name = "handlers of signals allocate",
	  .run = handlers_of_signals_allocate },
	{ .name = "handlers of signals allocate, tight",
	  .run = handlers_of_signals_allocate,
	  .conf = "tight=on" },
};

int main(int argc, char **argv)
{
	return shim_test(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
