// SPDX-License-Identifier: LGPL-2.1-or-later
#include "thread.h"

#include <sched.h>
#include <signal.h>

static int start_masked(pthread_t *thread, const pthread_attr_t *attr,
			void *(*run)(void *arg), void *arg)
{
	sigset_t mask, old;
	int rc;

	sigfillset(&mask);
	sigdelset(&mask, SIGBUS);
	sigdelset(&mask, SIGSEGV);
	pthread_sigmask(SIG_SETMASK, &mask, &old);
	rc = pthread_create(thread, attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

int bench_thread_start(pthread_t *thread, int cpu, void *(*run)(void *arg),
		       void *arg)
{
	pthread_attr_t attr;
	cpu_set_t one;
	int rc;

	pthread_attr_init(&attr);
	if (cpu >= 0) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		pthread_attr_setaffinity_np(&attr, sizeof(one), &one);
	}
	rc = start_masked(thread, &attr, run, arg);
	pthread_attr_destroy(&attr);
	return rc;
}

void bench_thread_pin(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
}
