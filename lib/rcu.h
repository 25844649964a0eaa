/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The only file that knows liburcu, and ThreadSanitizer's view of it.
 *
 * Flavour: "bulletproof". Its readers need not be registered beforehand, and
 * the first read-side section of a thread blocks signals while it registers
 * the thread; so readers may be threads that nobody announced, and signal
 * handlers.
 */
#ifndef PMV_RCU_H
#define PMV_RCU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <urcu-bp.h>

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
/* liburcu is not instrumented: a section that ends happens before the end of
 * a grace period that waited for it. By an object of its own, as a store to the
 * pointer that is protected would begin its history anew. */
extern char pmv_rcu_tag[8];
#define PMV_RCU_SECTION_ENDS(tag) ((void)(tag), __tsan_release(pmv_rcu_tag))
#define PMV_RCU_PERIOD_ENDS(tag)  ((void)(tag), __tsan_acquire(pmv_rcu_tag))
#else
#define PMV_RCU_SECTION_ENDS(tag) ((void)(tag))
#define PMV_RCU_PERIOD_ENDS(tag)  ((void)(tag))
#endif

/* tag: the address of the pointer that is protected. */
static inline void pmv_rcu_read_lock(void)
{
	rcu_read_lock();
}

static inline void pmv_rcu_read_unlock(void *tag)
{
	PMV_RCU_SECTION_ENDS(tag);
	rcu_read_unlock();
}

/* A section in which nobody may wait for a grace period: also one of the
 * program's, as the flavour is the process's. */
static inline bool pmv_rcu_inside(void)
{
	return rcu_read_ongoing() != 0;
}

static inline void pmv_rcu_synchronize(void *tag)
{
	synchronize_rcu();
	PMV_RCU_PERIOD_ENDS(tag);
}

/* Readers and their grace periods survive fork() in the thread that called
 * it; the others are not in the child. */
#define PMV_RCU_BEFORE_FORK	  urcu_bp_before_fork
#define PMV_RCU_AFTER_FORK_PARENT urcu_bp_after_fork_parent
#define PMV_RCU_AFTER_FORK_CHILD  urcu_bp_after_fork_child

#endif /* PMV_RCU_H */
