// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Delivery by SIGBUS: from the address alone to the handle and its region.
 *
 * ASSUME(sigbus-adrerr): a fault that a userfaultfd with
 *   UFFD_FEATURE_SIGBUS refuses to wait for ends in SIGBUS with BUS_ADRERR and
 *   the exact address; one on a poisoned page in BUS_MCEERR_AR.
 *   mm/userfaultfd.c, handle_userfault(); arch/x86/mm/fault.c, do_sigbus().
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "calm.h"
#include "fault.h"
#include "internal.h"
#include "rcu.h"
#include "region.h"

/* Lock order: install_lock, handles_lock. Neither is taken in a handler. */
static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t handles_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- all handles ---- */

static PMV_RCU _Atomic(struct pagemv *) handles;

/* A child of fork() must not find a lock taken by a thread that it has not. */
static void before_fork(void)
{
	pthread_mutex_lock(&install_lock);
	pthread_mutex_lock(&handles_lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&handles_lock);
	pthread_mutex_unlock(&install_lock);
}

static void survive_fork(void)
{
	pthread_atfork(before_fork, after_fork, after_fork);
}

void pmv_handles_survive(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, survive_fork);
}

void pmv_handles_add(struct pagemv *pv)
{
	struct pagemv *first;

	pmv_handles_survive();
	pthread_mutex_lock(&handles_lock);
	first = atomic_load_explicit(&handles, memory_order_relaxed);
	atomic_store_explicit(&pv->next, first, memory_order_relaxed);
	/* Pairs with the acquire in hold_anywhere(). */
	atomic_store_explicit(&handles, pv, memory_order_release);
	pthread_mutex_unlock(&handles_lock);
}

void pmv_handles_remove(struct pagemv *pv)
{
	_Atomic(struct pagemv *) *link = &handles;
	struct pagemv *at;

	pthread_mutex_lock(&handles_lock);
	while ((at = atomic_load_explicit(link, memory_order_relaxed)) &&
	       at != pv)
		link = &at->next;
	if (at)
		atomic_store_explicit(
			link,
			atomic_load_explicit(&pv->next, memory_order_relaxed),
			memory_order_release);
	pthread_mutex_unlock(&handles_lock);
	if (at)
		pmv_rcu_synchronize(&handles);
}

/* The region at addr of any handle of this process. */
static enum pmv_held hold_anywhere(uintptr_t addr, struct pmv_hold *hold)
{
	enum pmv_held held = PMV_HELD_NOT;
	struct pagemv *pv;

	pmv_rcu_read_lock();
	for (pv = atomic_load_explicit(&handles, memory_order_acquire);
	     pv && held == PMV_HELD_NOT;
	     pv = atomic_load_explicit(&pv->next, memory_order_acquire))
		if (pmv_alive(pv))
			held = pmv_region_hold(pv, addr, hold);
	pmv_rcu_read_unlock(&handles);
	return held;
}

/* ---- one signal ---- */

/*
 * Accesses that are made again although nothing is known to have changed: the
 * end of a region may have come between the fault and here, or another thread
 * may have been faster. But one that comes back again and again is somebody
 * else's, or the kernel's own: a file mapped over a region, beyond its end, a
 * page that cannot be read from the swap.
 */
#define STALE_TRIES 64

/* The last one of this thread. */
struct stale {
	uintptr_t addr;
	unsigned int tries;
	unsigned int ended; /* regions, at that time */
};

static __thread struct stale stale __attribute__((tls_model("initial-exec")));

static bool try_again(uintptr_t addr)
{
	unsigned int ended = pmv_region_ended();

	if (addr != stale.addr || ended != stale.ended)
		stale = (struct stale){ .addr = addr, .ended = ended };
	if (stale.tries++ < STALE_TRIES)
		return true;
	stale.addr = 0;
	return false;
}

/* One that a handler thread of ours has sent, as it could not fill the page. */
static int on_failure(const siginfo_t *info)
{
	struct pmv_hold hold;
	uint32_t delivery;

	if (hold_anywhere((uintptr_t)info->si_addr, &hold) != PMV_HELD)
		return 0;
	delivery = hold.region->opts.delivery;
	pmv_region_put(&hold);
	return delivery == PAGEMV_DELIVERY_THREADS ? -info->si_errno : 0;
}

static int on_fault(const siginfo_t *info)
{
	uintptr_t addr = (uintptr_t)info->si_addr;
	struct pmv_hold hold;
	struct pmv_fault_report report;
	struct pagemv *pv;

	switch (hold_anywhere(addr, &hold)) {
	case PMV_HELD:
		break;
	case PMV_HELD_ENDING:
		pmv_sys_linux.yield();
		return 1;
	default:
		return pmv_region_ended_at(addr) && try_again(addr);
	}
	pv = hold.region->pv;
	if (pmv_fault_held(pv, &hold, addr, &report) == PMV_FAULT_FAILED)
		return report.error;
	if (report.stale)
		return try_again(addr);
	stale.addr = 0;
	return 1;
}

/* The kernel's word for a page that was poisoned, or has a hardware error. */
static int on_poison(const siginfo_t *info)
{
	struct pmv_hold hold;

	if (hold_anywhere((uintptr_t)info->si_addr, &hold) != PMV_HELD)
		return 0;
	pmv_region_put(&hold);
	return -EHWPOISON;
}

int pagemv_sigbus(const void *siginfo, void *ucontext)
{
	const siginfo_t *info = siginfo;
	int saved = errno, type, rc = 0;

	(void)ucontext;
	if (!info || info->si_signo != SIGBUS)
		return 0;
	/* Cancelled in here, the thread would hold the region for ever. */
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
	if (info->si_code == BUS_ADRERR)
		rc = on_fault(info);
	else if (info->si_code == BUS_MCEERR_AR)
		rc = on_poison(info);
	else if (info->si_code == SI_QUEUE && info->si_errno > 0)
		rc = on_failure(info);
	pthread_setcanceltype(type, &type);
	errno = saved;
	return rc;
}

/* ---- the process's handler ---- */

PMV_GUARDED_BY(install_lock) static unsigned int installed;
/* The handler before ours: written before ours is installed. */
static struct sigaction before;
/* What had been put over ours when it was to be uninstalled, and may call it
 * still. */
PMV_GUARDED_BY(install_lock) static struct sigaction over;

/* As if there were no handler: the signal ends the process, at the
 * instruction that caused it, when the access is made again. */
static void die_by(const siginfo_t *info)
{
	struct sigaction def = { .sa_handler = SIG_DFL };

	pmv_sys_linux.sigaction(SIGBUS, &def, NULL);
	/* Sent by somebody: it will not come again by itself. */
	if (info->si_code <= 0)
		raise(SIGBUS);
}

/* The signals that would be blocked if the kernel had called it. */
static void unblock(const void *ucontext)
{
	const ucontext_t *context = ucontext;
	sigset_t set;

	/* The kernel's sigset_t is smaller than the C library's. */
	sigemptyset(&set);
	memcpy(&set, &context->uc_sigmask, _NSIG / 8);
	sigorset(&set, &set, &before.sa_mask);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
}

static void pass_on(int sig, siginfo_t *info, void *ucontext)
{
	unblock(ucontext);
	if (before.sa_flags & SA_SIGINFO)
		before.sa_sigaction(sig, info, ucontext);
	else if (before.sa_handler == SIG_DFL)
		die_by(info);
	else if (before.sa_handler != SIG_IGN)
		before.sa_handler(sig);
	else if (info->si_code > 0) /* the kernel's cannot be ignored */
		die_by(info);
}

static void handler(int sig, siginfo_t *info, void *ucontext)
{
	int rc = pagemv_sigbus(info, ucontext);

	if (rc > 0)
		return;
	/* Linux has let no thread but itself say so. */
	if (rc < 0 && info->si_code == SI_QUEUE)
		info->si_code = BUS_ADRERR;
	pass_on(sig, info, ucontext);
}

static bool same_handler(const struct sigaction *a, const struct sigaction *b)
{
	return a->sa_flags & b->sa_flags & SA_SIGINFO &&
	       a->sa_sigaction == b->sa_sigaction;
}

static int install(void)
{
	struct sigaction action = {
		.sa_sigaction = handler,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART,
	};
	struct sigaction now;
	int rc = pmv_sys_linux.sigaction(SIGBUS, NULL, &now);

	pmv_calm_signals(&action.sa_mask);
	if (rc < 0)
		return rc;
	/* It was left in place when another one had been put over it: a second
	 * one on top would go round in a circle with that. */
	if (same_handler(&now, &action) || same_handler(&now, &over))
		return 0;
	before = now;
	return pmv_sys_linux.sigaction(SIGBUS, &action, NULL);
}

int pagemv_sigbus_install(void)
{
	int rc = 0;

	pthread_mutex_lock(&install_lock);
	if (!installed)
		rc = install();
	if (rc == 0)
		installed++;
	pthread_mutex_unlock(&install_lock);
	return rc;
}

static int uninstall(void)
{
	struct sigaction ours = { .sa_sigaction = handler,
				  .sa_flags = SA_SIGINFO };
	struct sigaction now;
	int rc = pmv_sys_linux.sigaction(SIGBUS, NULL, &now);

	if (rc < 0)
		return rc;
	if (!same_handler(&now, &ours)) {
		over = now;
		return -EBUSY;
	}
	return pmv_sys_linux.sigaction(SIGBUS, &before, NULL);
}

int pagemv_sigbus_uninstall(void)
{
	int rc = 0;

	pthread_mutex_lock(&install_lock);
	if (!installed)
		rc = -EINVAL;
	else if (--installed == 0)
		rc = uninstall();
	pthread_mutex_unlock(&install_lock);
	return rc;
}
