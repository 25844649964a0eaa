/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A handler of a signal that forks, whatever it has interrupted; its children
 * go on with that.
 */
#include "heaps.h"

#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define FORKS  60
#define ROUNDS 400
#define SMALL  (9 * MIB)
#define LARGE  (100 * MIB)

static volatile sig_atomic_t forks, failed, is_child;

/* The parent waits, so that no two run at a time. */
static void fork_and_wait(int number)
{
	int status = 0;
	pid_t pid;

	(void)number;
	if (is_child || forks >= FORKS)
		return;
	pid = fork();
	if (pid == 0) {
		is_child = 1;
		signal(SIGALRM, SIG_DFL);
		alarm(20);
		return;
	}
	forks++;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		failed++;
}

static void ring(long us)
{
	const struct itimerval t = { { 0, us }, { 0, us } };

	setitimer(ITIMER_REAL, &t, NULL);
}

/* A child ends here, with what it has found. */
static void one_round(struct t_heap *h, size_t i)
{
	struct t_marked b = { .bytes = SMALL, .id = i };
	const char *wrong;

	b.at = t_heap_alloc(h, SMALL);
	t_mark(&b, SIZE_MAX);
	b.at = t_heap_resize(h, b.at, LARGE, 0, NULL);
	wrong = t_check_marks(&b, SMALL);
	t_heap_free(h, b.at);
	if (is_child)
		_exit(wrong != NULL);
	T_RIGHT(h, wrong, "moved");
}

Test(heap_signal, may_fork_at_any_time, .timeout = 120)
{
	const struct sigaction act = { .sa_handler = fork_and_wait,
				       .sa_flags = SA_RESTART };
	struct sigaction old;
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		forks = failed = 0;
		sigaction(SIGALRM, &act, &old);
		ring(2000);
		for (size_t i = 0; i < ROUNDS && forks < FORKS; i++)
			one_round(&h, i);
		ring(0);
		sigaction(SIGALRM, &old, NULL);
		T_EXPECT(&h, forks > 0, "nothing was interrupted");
		T_EXPECT(&h, failed == 0, "%d of %d children failed",
			 (int)failed, (int)forks);
	}
}
