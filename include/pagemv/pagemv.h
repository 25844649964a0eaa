/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libpagemv: mv for memory pages.
 *
 * This header is all that a caller needs; it includes one small header a
 * concept. The contract of the whole library is in pagemv(7).
 *
 * Return values: 0 or a count on success, else a negative errno. errno
 * itself is left as it was.
 */
#ifndef PAGEMV_PAGEMV_H
#define PAGEMV_PAGEMV_H

#include <pagemv/base.h>
#include <pagemv/caps.h>
#include <pagemv/evac.h>
#include <pagemv/fault.h>
#include <pagemv/heap.h>
#include <pagemv/move.h>
#include <pagemv/region.h>
#include <pagemv/stats.h>
#include <pagemv/track.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Levels of the log callback. */
enum pagemv_log_level {
	PAGEMV_LOG_ERROR = 0,
	PAGEMV_LOG_WARNING,
	PAGEMV_LOG_INFO,
	PAGEMV_LOG_DEBUG
};

/* pagemv_open_opts.flags */
#define PAGEMV_OPEN_CALIBRATE   (1u << 0) /* measure the cost model at once */
#define PAGEMV_OPEN_NO_UFFD     (1u << 1) /* do not open a userfaultfd */
#define PAGEMV_OPEN_DEV_FD      (1u << 2) /* dev_fd is an open /dev/userfaultfd */
#define PAGEMV_OPEN_NO_ATFORK   (1u << 3) /* the program itself registers the
					   * fork handlers of liburcu-bp, which
					   * would meet in a deadlock with ours */
#define PAGEMV_OPEN_HIGH_FDS    (1u << 4) /* descriptors have high numbers: for
					   * programs that close, or replace,
					   * all low ones without asking */
#define PAGEMV_OPEN_COMPANION_FD (1u << 5) /* companion_fd is an open /dev/pagemv */
#define PAGEMV_OPEN_FLAGS_ALL   63u

struct pagemv_open_opts {
	size_t size;        /* sizeof(struct pagemv_open_opts) */
	uint32_t flags;     /* PAGEMV_OPEN_* */
	uint32_t disabled;  /* PAGEMV_MECH_BIT() of mechanisms never to be used */
	uint32_t trusted;   /* PAGEMV_QUIRK_* (caps.h) of known faults that the
			     * caller knows this kernel not to have */
	int32_t dev_fd;     /* with PAGEMV_OPEN_DEV_FD; stays the caller's */
	/*
	 * Called with one line of text, without a newline, when something
	 * happens that a result cannot tell: a known-bad kernel, a fallback
	 * chosen at open. From any thread that is inside the library, perhaps
	 * in a signal handler: must be MT-Safe, and AS-Safe where moves are
	 * made from handlers. NULL: nothing is logged.
	 */
	void (*log)(void *arg, enum pagemv_log_level level, const char *line);
	void *log_arg;
	/* With PAGEMV_OPEN_COMPANION_FD; stays the caller's, who may close it.
	 * This process must have opened it: the device serves no other. */
	int32_t companion_fd;
	uint32_t distrusted; /* PAGEMV_QUIRK_* of faults to be taken as there,
			     * whatever the release says */
};

/*
 * Opens a handle: finds out by trying what this kernel and process can do,
 * and opens a userfaultfd where one is to be had. Works without one.
 *
 * out: receives the handle; untouched on error. opts: NULL for defaults.
 * Returns 0, or -EINVAL (out NULL, unknown flag, mechanism or quirk, or one
 * both trusted and distrusted), -E2BIG (opts is larger and not zero beyond what
 * this version knows), -ENOMEM, -EMFILE or -ENFILE (no descriptor left), -EIO
 * (the kernel refused even plain mappings).
 *
 * Handles are independent of each other. Up to 4 descriptors are kept open,
 * all close-on-exec: the userfaultfd, /proc/self/pagemap, /proc/self/maps,
 * /dev/pagemv.
 *
 * MT-Safe; not AS-Safe; not for use between fork() and exec() of a threaded
 * process. A handle is of no use in a forked child: all calls on it return
 * -ESRCH with PAGEMV_REASON_FORKED there; the child may close it and open
 * its own. Needs Linux 5.7 or later; on 5.4 to 5.6 only QUIESCENT
 * copies work. Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_open(struct pagemv **out,
			   const struct pagemv_open_opts *opts);

/*
 * Closes a handle and all regions of it, as pagemv_region_unregister() does.
 * The memory stays mapped, its pages stay where they are. No other call on the handle may be running or follow.
 * pv: may be NULL. Also right in a forked child, where it frees the copy of
 * the child alone. MT-Safe for different handles; not AS-Safe.
 */
PAGEMV_API void pagemv_close(struct pagemv *pv);

/*
 * Measures what each available mechanism costs on this machine at this
 * moment and lets AUTO choose by that; without it, by defaults measured on
 * one machine (doc/measurements.md). Takes some 20 ms and 16 MiB, in private
 * memory of its own. Also tells the figures, as pagemv_caps() does later.
 *
 * Returns 0, -EINVAL (pv is NULL), -ENOMEM, -ESRCH (forked), -EIO (the
 * kernel refused private mappings). On error the costs are as before.
 * MT-Safe; not AS-Safe.
 */
PAGEMV_API int pagemv_calibrate(struct pagemv *pv);

/* The library's version, e.g. "0.1.0". Static. MT-Safe, AS-Safe. */
PAGEMV_API const char *pagemv_version(void);

#ifdef __cplusplus
}
#endif

#endif /* PAGEMV_PAGEMV_H */
