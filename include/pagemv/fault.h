/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How faults in faulting regions reach the library: by SIGBUS on the thread
 * that touched the page (6 us), or on handler threads (58 us where a wake-up
 * costs 50; both measured, doc/measurements.md).
 */
#ifndef PAGEMV_FAULT_H
#define PAGEMV_FAULT_H

#include <pagemv/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Installs the library's SIGBUS handler for the process: with SA_SIGINFO,
 * SA_ONSTACK, SA_NODEFER and SA_RESTART. A SIGBUS that is not of a region goes
 * to the handler that was there before, with the same arguments; where
 * there was none, the process ends by it, at the instruction that caused it.
 * Calls are counted: the last pagemv_sigbus_uninstall() puts the old
 * handler back, unless another one has been installed since, which is then
 * left alone (-EBUSY), as it may call ours.
 *
 * SIGBUS must not be blocked where a region is touched: the kernel ends the
 * process then. Returns 0, -errno of sigaction(2), or, uninstalling, -EINVAL
 * (there is no call left to undo). MT-Safe; not AS-Safe.
 * Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_sigbus_install(void);
PAGEMV_API int pagemv_sigbus_uninstall(void);

/*
 * For a SIGBUS handler of the program's own (SA_SIGINFO; with SA_NODEFER where
 * callbacks touch regions, and SA_ONSTACK where threads have small stacks):
 *
 * 1   the page was filled, or will have been: return, and the access is made
 *     again
 * 0   not an address of any handle's region
 * <0  a region's, and its source failed so (see pagemv_fill_fn), on this thread
 *     or on a handler thread: the handler's own ways begin
 *
 * siginfo, ucontext: the siginfo_t and the context as the handler got them;
 * ucontext may be NULL. errno is kept.
 * MT-Safe, AS-Safe (the callback: as far as it is). Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_sigbus(const void *siginfo, void *ucontext);

/* Threads that serve the handle's regions with PAGEMV_DELIVERY_THREADS. */
struct pagemv_handlers;

/* pagemv_handlers_opts.flags */
#define PAGEMV_HANDLERS_ON_NODE (1u << 0) /* run on the CPUs of NUMA node `node` alone */

struct pagemv_handlers_opts {
	size_t size;       /* sizeof(struct pagemv_handlers_opts) */
	uint32_t flags;    /* PAGEMV_HANDLERS_* */
	uint32_t threads;  /* how many; 0 is 1 */
	uint64_t spin_ns;  /* look for faults for so long before sleeping; the
			    * wake-up costs 50 us in a virtual machine. UINT64_MAX:
			    * never sleep */
	int32_t node;      /* with ON_NODE; 0 without */
	uint32_t reserved; /* 0 */
};

/*
 * Starts handler threads for pv, all signals blocked but those of a thread's own
 * instructions; may be called several times, e.g. for each node. Without any,
 * touching an absent page of a region with PAGEMV_DELIVERY_THREADS waits until
 * there is one. Where a source fails they send SIGBUS to the thread that touched
 * the page: si_code SI_QUEUE (Linux allows no other), si_addr the page, si_errno
 * the positive errno.
 *
 * opts: NULL for defaults (one thread, which sleeps at once, anywhere). out: not
 * NULL; receives them. Returns 0, -EINVAL (opts; no such node), -E2BIG, -ENOMEM,
 * -EAGAIN (no more threads), -EMFILE, -ENFILE, -ESRCH (forked), -EOPNOTSUPP (no
 * userfaultfd). MT-Safe; not AS-Safe. Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_handlers_start(struct pagemv *pv,
				     const struct pagemv_handlers_opts *opts,
				     struct pagemv_handlers **out);

/*
 * Ends them, each after the fault that it is at. handlers: may be NULL; is
 * freed. Faults that come later wait for other handlers. Returns 0, -EDEADLK
 * (called by a handler of the same handle; nothing ends), -ESRCH (forked;
 * freed). pagemv_close() ends those that are left.
 */
PAGEMV_API int pagemv_handlers_stop(struct pagemv_handlers *handlers);

/*
 * Fills what is absent of [addr, addr + len_bytes), which lies in faulting
 * regions of pv, as touching each page would, on this thread, whatever the
 * delivery; before a system call is to read or write there. Pages of other
 * threads' faults are waited for.
 *
 * addr, len_bytes: any; all pages that they touch. filled_bytes: NULL, or
 * receives how much this call itself filled, also on error.
 * Returns 0 when all pages are there, else -EINVAL (nothing, or it wraps),
 * -ENOENT (not in regions of pv: nothing was filled; or no longer), -ESRCH
 * (forked), -EAGAIN (mappings kept changing, or others threw pages away; so does
 * the source say it), or the error of the source for the first page that it failed for:
 * pages before that are there. MT-Safe; AS-Safe as the source is, but not in regions
 * with EVENTS. Since
 * libpagemv 0.1.
 */
PAGEMV_API int pagemv_populate(struct pagemv *pv, void *addr, size_t len_bytes,
			       size_t *filled_bytes);

#ifdef __cplusplus
}
#endif

#endif /* PAGEMV_FAULT_H */
