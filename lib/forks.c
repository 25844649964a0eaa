// SPDX-License-Identifier: LGPL-2.1-or-later
#include "forks.h"

#include <pthread.h>
#include <stdatomic.h>

#include "rcu.h"

#ifdef __SANITIZE_THREAD__
char pmv_rcu_tag[8];
#endif

static PMV_ATOMIC _Atomic unsigned int forks;

unsigned int pmv_forks(void)
{
	return atomic_load_explicit(&forks, memory_order_relaxed);
}

/* Held while a fork is under way. Taken under region_lock, but then only if it
 * is free: a fork may wait for who waits for region_lock. */
static pthread_mutex_t fork_lock = PTHREAD_MUTEX_INITIALIZER;
static PMV_ATOMIC _Atomic bool known;	       /* liburcu is looked after */
static PMV_GUARDED_BY(fork_lock) bool stopped; /* it is, in this fork */

bool pmv_forks_known(void)
{
	return atomic_load_explicit(&known, memory_order_relaxed);
}

bool pmv_forks_stop(void)
{
	return pmv_forks_known() && pthread_mutex_trylock(&fork_lock) == 0;
}

void pmv_forks_go_on(void)
{
	pthread_mutex_unlock(&fork_lock);
}

static void before_fork(void)
{
	pthread_mutex_lock(&fork_lock);
	stopped = pmv_forks_known();
	if (stopped)
		PMV_RCU_BEFORE_FORK();
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void after_fork_parent(void)
{
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
	if (stopped)
		PMV_RCU_AFTER_FORK_PARENT();
	pthread_mutex_unlock(&fork_lock);
}

static void after_fork_child(void)
{
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
	if (stopped)
		PMV_RCU_AFTER_FORK_CHILD();
	pthread_mutex_unlock(&fork_lock);
}

/* Threads that were in a read-side section are not in the child. */
static void register_handlers(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

void pmv_forks_reserve(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_handlers);
}

void pmv_forks_survive(void)
{
	pmv_forks_reserve();
	atomic_store_explicit(&known, true, memory_order_relaxed);
}
