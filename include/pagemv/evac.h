/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Evacuation: compacting a heap beside threads that use it, and sliding large
 * objects while they are stopped.
 *
 * A space is where the program has its heap; its shadow is a range of the same
 * length. One cycle:
 *
 *   begin    threads run. What can fail or allocate is done
 *   flip     threads are stopped. All pages of the space go to the shadow, where
 *            they are from-space; the space is empty, and is to-space. The
 *            program lets its roots point to where objects will be
 *   run      threads run. A page of to-space is produced when it is touched, by
 *            the thread that touched it, and by workers, lowest first: a
 *            callback writes it, from from-space, or says which page of
 *            from-space it is
 *   finish   all pages are there. From-space gives its pages back
 *
 * Pages are written in from-space pages that nobody will read any more, and are
 * moved in from there: nothing is allocated, zeroed or copied a second time, and
 * the program needs hardly more memory than it had (see keep_bytes).
 *
 * Between cycles, and above to-space, absent pages of the space are zeros, as in
 * any fresh memory.
 */
#ifndef PAGEMV_EVAC_H
#define PAGEMV_EVAC_H

#include <sys/types.h>

#include <pagemv/base.h>
#include <pagemv/move.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A space, its shadow, its workers. */
struct pagemv_evac;

/* ---- the callback ---- */

/* A page of to-space that is to be produced. */
struct pagemv_produce {
	struct pagemv_evac *evac;
	void *addr;        /* where it will appear */
	size_t off_bytes;  /* of addr in the space */
	char *from;        /* from-space: what was at space + x is at from + x */
	void *scratch;     /* a page to write to: all of it, as what it holds is
			    * anything. It may be one of from-space */
	uint32_t on_fault; /* 1: a thread waits for it, or the program's own runs
			    * this in its signal handler; 0: a worker */
	uint32_t reserved0;
	/*
	 * Out, 0 or NULL before:
	 *
	 * move_from: for PAGEMV_PRODUCE_MOVE, the page of from-space.
	 *
	 * done_bytes: no later page, of a higher off_bytes, needs anything of
	 * from-space below from + done_bytes: neither its production nor anybody
	 * else. When all pages up to this one are there, from-space is used up to
	 * there, for scratch. 0: nothing is said. Where objects slide it is the
	 * first of the next page's: at least off_bytes of this page, mostly more.
	 */
	void *move_from;
	size_t done_bytes;
	/*
	 * first_bytes: no earlier page, of a lower off_bytes, needs anything of
	 * from-space from from + first_bytes on. What lies between that of a page and
	 * the done_bytes of one behind it is used for scratch as soon as these two and
	 * all between them are there, also far ahead of the workers. At least the
	 * done_bytes of the page before. 0: nothing is said: what threads touch all over
	 * the space takes memory until the workers come by. Where objects slide it is
	 * the first that lies in this page, without what of it lies in the page before.
	 */
	size_t first_bytes;
	uint64_t reserved;
};

/* What produce() returns, beside 0 for "scratch is written" and a negative errno. */
#define PAGEMV_PRODUCE_ZEROS 1 /* let it be zeros; scratch is not looked at */
#define PAGEMV_PRODUCE_MOVE  2 /* let it be the page at move_from: a page without
				* holes, or of a large object. It may be written
				* to before. Nobody else reads it from now on:
				* it is gone, or its content is */

/*
 * Produces one page of to-space. Called once for each, on the thread that
 * touched it, inside its signal handler, or a handler thread, or a worker; for
 * several pages at once on different threads. Its answer must not depend on
 * who asks, or on which pages are there already.
 *
 * It reads from-space, and tables that the program made before the flip. It must
 * not touch to-space: each page that it needs there would be produced inside
 * it, without end where pages need each other. What it may call, on_fault, is what
 * a signal handler may call at the place of the access. It must not leave by
 * longjmp(); the thread may end in it (pthread_exit(), cancellation): the page
 * stays absent then, and is asked for again.
 *
 * Returns 0, PAGEMV_PRODUCE_ZEROS, PAGEMV_PRODUCE_MOVE, or a negative errno
 * (another positive number, and a move_from that is no page of from-space, are
 * taken for -EINVAL). Then the page stays absent, and an access to it meets what
 * a fill() that failed does (region.h): -EAGAIN: is made again; any other: a
 * SIGBUS for the handler before. It is asked for again by the next access, and
 * by the next call of pagemv_evac_work() or pagemv_evac_run().
 */
typedef int (*pagemv_produce_fn)(void *arg, struct pagemv_produce *page);

/* ---- a space ---- */

/* How pages come to to-space. */
enum pagemv_evac_how {
	PAGEMV_EVAC_BY_MOVE = 0, /* UFFDIO_MOVE, Linux 6.8; or the companion */
	PAGEMV_EVAC_BY_COPY,     /* UFFDIO_COPY: the same contract, twice the memory
				  * traffic */
	PAGEMV_EVAC_STOPPED,     /* no userfaultfd: all of it is produced inside
				  * pagemv_evac_flip(), while threads are stopped */
	PAGEMV_EVAC_HOW_COUNT
};

/* pagemv_evac_opts.flags */
/* mremap may be used for a page that produce() wants moved and that a device holds
 * (io_uring, VFIO): it takes the physical page along. Breaks mappings apart.
 * Without it such a page fails with -EBUSY until it is let go. */
#define PAGEMV_EVAC_MAY_REMAP (1u << 0)
#define PAGEMV_EVAC_FLAGS_ALL 1u

struct pagemv_evac_opts {
	size_t size;        /* sizeof(struct pagemv_evac_opts) */
	uint32_t flags;     /* PAGEMV_EVAC_* */
	uint32_t delivery;  /* enum pagemv_delivery (region.h): who produces a page
			     * that is touched */
	void *space;        /* NULL: the library maps both, congruent modulo 1 GiB,
			     * so that whole page tables change hands */
	void *shadow;       /* what is mapped there is replaced by each flip */
	size_t len_bytes;   /* of each; whole pages */
	uint32_t workers;   /* threads of the library's; 0: the program's own call
			     * pagemv_evac_work() */
	uint32_t run_pages; /* that a worker brings in one call, at most 512; 0:
			     * PAGEMV_EVAC_RUN_DEFAULT */
	/* How pages come that were touched: MOVE, which allocates nothing and has the
	 * TLB of every busy CPU flushed once a call, or COPY. AUTO: what costs less for
	 * so many pages, as measured while it runs. */
	uint32_t single;    /* enum pagemv_mechanism: AUTO, MOVE or COPY */
	/* Of to-space, at most 64, how many a thread that touches one produces: those
	 * around it too, as far as nobody else has them, and brings them at once.
	 * More of them are fewer faults and fewer gaps in the runs of the workers;
	 * the thread waits longer for each. 0: PAGEMV_EVAC_AROUND_DEFAULT. */
	uint32_t around_pages;
	/* From-space that nobody needs any more and that is kept for scratch before
	 * it is given back beside running threads; 0: a 32th of what is used, at
	 * most PAGEMV_EVAC_KEEP_MAX. At least two runs. */
	size_t keep_bytes;
	pagemv_produce_fn produce;
	void *arg;
	uint64_t reserved[2]; /* 0 */
};

#define PAGEMV_EVAC_RUN_DEFAULT    128u
#define PAGEMV_EVAC_AROUND_DEFAULT 64u
#define PAGEMV_EVAC_KEEP_MAX       ((size_t)1 << 20)

/*
 * Opens a space: registers it once for all its cycles (a faulting region of pv,
 * see region.h: system calls that are given an address of an absent page fail with
 * EFAULT; it is advised MADV_NOHUGEPAGE), and starts the workers, which sleep.
 *
 * opts: len_bytes, produce are needed. space and shadow are both given or both
 * NULL; do not overlap; are mapped throughout, private, anonymous, writable and
 * with the same protection; and are not of another region. Pages that are in the
 * space stay there. What is given stays the caller's; what is NULL is unmapped by
 * close. out: receives it. reason: NULL, or receives why it was refused.
 *
 * With PAGEMV_DELIVERY_SIGNAL a SIGBUS handler is needed (pagemv_sigbus_install()),
 * with THREADS handler threads of pv. It works without userfaultfd, see
 * PAGEMV_EVAC_STOPPED.
 *
 * Returns 0, or as pagemv_region_register(); -EAGAIN (no more threads). On error
 * nothing has changed. It takes 10 bytes a page of the space, of which those of
 * used pages are touched. MT-Safe; not AS-Safe. Linux 5.7; since
 * libpagemv 0.1.
 */
PAGEMV_API int pagemv_evac_open(struct pagemv *pv,
				const struct pagemv_evac_opts *opts,
				struct pagemv_evac **out,
				enum pagemv_reason *reason);

/*
 * Ends a space, and a cycle that is not finished: absent pages of it read as zeros
 * then, what they were to be made of is in the shadow still. evac: may be NULL;
 * is freed. Returns 0; -EDEADLK (called by produce()), -ENOMEM (it stays as it
 * is); -ESRCH in a forked child, where it frees the copy of the child alone.
 * MT-Safe for different spaces; not AS-Safe.
 */
PAGEMV_API int pagemv_evac_close(struct pagemv_evac *evac);

/* What is fixed as long as a space is open. */
struct pagemv_evac_info {
	size_t size;        /* in: sizeof(struct pagemv_evac_info) */
	void *space;
	void *shadow;
	size_t len_bytes;
	uint32_t how;       /* enum pagemv_evac_how */
	uint32_t reason;    /* enum pagemv_reason: why not by MOVE, or NONE */
	uint32_t run_pages;
	uint32_t workers;
	size_t keep_bytes;
	struct pagemv_region *region; /* NULL with STOPPED */
};

/* Tells it. info->size says how much the caller knows; no more is written. Returns
 * 0 or -EINVAL. MT-Safe, AS-Safe. */
PAGEMV_API int pagemv_evac_info(const struct pagemv_evac *evac,
				struct pagemv_evac_info *info);

/* ---- a cycle ---- */

/* How pages go to the shadow. */
enum pagemv_flip {
	PAGEMV_FLIP_AUTO = 0,   /* REGISTERED; with PAGEMV_EVAC_STILL the one that
				 * costs less for so many pages */
	PAGEMV_FLIP_REGISTERED, /* the space stays registered: entry by entry, 9 ns a
				 * page (2.5 ms for 1 GiB). At no time is an
				 * absent page of the space anything but a fault */
	PAGEMV_FLIP_FAST,       /* registered again behind it, so that whole page
				 * tables change hands (60 us for 1 GiB). Needs
				 * STILL */
	PAGEMV_FLIP_COUNT
};

/* pagemv_evac_cycle.flags */
/*
 * From the begin of the flip to its return nothing touches the space: no thread,
 * no system call that was given an address in it (also one that sleeps, as
 * read(2) on a socket), no device. Where it happens with FAST, a read finds zeros,
 * and what is written is lost; such pages are found where the kernel has
 * PAGEMAP_SCAN (Linux 6.7), thrown away so that they are produced, and counted
 * (window_pages).
 */
#define PAGEMV_EVAC_STILL     (1u << 0)
#define PAGEMV_EVAC_CYCLE_ALL 1u

struct pagemv_evac_cycle {
	size_t size;       /* sizeof(struct pagemv_evac_cycle) */
	uint32_t flags;    /* PAGEMV_EVAC_STILL */
	uint32_t flip;     /* enum pagemv_flip */
	size_t used_bytes; /* of the space, from its start, go to the shadow; what is
			    * above stays where it is. Rounded up to whole pages */
	size_t to_bytes;   /* of the space, from its start, are produced, at most
			    * used_bytes, rounded up; above it is zeros */
};

/*
 * Prepares a cycle, while threads run. cycle: needed; to_bytes may be 0.
 * Returns 0, -EINVAL (cycle; the space or the shadow is no longer mapped as it was),
 * -E2BIG, -EBUSY (a cycle is not finished), -ENOMEM, -ESRCH (forked). Costs 4 ns a
 * page. May be called again before the flip, when more is used by then; for less
 * than 16 MiB more it may be called while threads are stopped: it takes
 * microseconds. MT-Safe, but of one thread at a time; not AS-Safe.
 */
PAGEMV_API int pagemv_evac_begin(struct pagemv_evac *evac,
				 const struct pagemv_evac_cycle *cycle);

/*
 * Takes the used pages of the space to the shadow, while threads are stopped:
 * none of them touches the space, or is inside a fault in it, until it returns.
 * From then on from-space can be read, and to-space may be touched.
 *
 * Returns 0, or:
 *   -EINVAL  there was no begin
 *   -EBUSY   a thread is inside a fault in the space, after 0.1 s; it was
 *            stopped there
 *   -ENOMEM  too many mappings
 *   -ESRCH   forked
 *   -EIO     the kernel refused for a reason without a name
 * Then nothing has changed, and it may be called again. With PAGEMV_EVAC_STOPPED
 * all pages are there when it returns 0, or as pagemv_evac_wait() says.
 * Not AS-Safe; does not allocate. Figures: pagemv_evac_progress().
 */
PAGEMV_API int pagemv_evac_flip(struct pagemv_evac *evac);

/*
 * Wakes the workers, which produce what is absent until everything is there. To be
 * called after the flip; again when produce() failed. Returns 0, -EINVAL (no
 * flip), -ESRCH. MT-Safe, AS-Safe.
 */
PAGEMV_API int pagemv_evac_run(struct pagemv_evac *evac);

/*
 * Produces up to max_pages on the calling thread, as a worker does. Returns how
 * many; 0: nothing is left that is not in the hands of another thread; or
 * -EINVAL (no flip), -ESRCH, or the error of produce(), where it failed for all
 * that is left. MT-Safe, for any number of threads. Not AS-Safe.
 */
PAGEMV_API ssize_t pagemv_evac_work(struct pagemv_evac *evac, size_t max_pages);

/*
 * Waits until all pages are there, or nobody works any more: where the space has
 * workers, for them, else it does the work. Returns 0, -EINVAL (no flip), -ESRCH, or
 * the error of produce(), or of the kernel, for a page that is missing: -EAGAIN after
 * 0.1 s without progress. MT-Safe; not AS-Safe.
 */
PAGEMV_API int pagemv_evac_wait(struct pagemv_evac *evac);

/*
 * Ends a cycle of which all pages are there: gives the pages of from-space back.
 * The registration stays. Returns 0, -EINVAL (no flip), -EBUSY (pages are missing, or a
 * thread is not through with the last one yet: see pagemv_evac_wait(); nothing has
 * changed), -ESRCH. Costs 0.2 us a page that is left
 * in from-space, beside running threads. MT-Safe, but of one thread at a time; not
 * AS-Safe.
 */
PAGEMV_API int pagemv_evac_finish(struct pagemv_evac *evac);

/* ---- looking at it ---- */

enum pagemv_evac_phase {
	PAGEMV_EVAC_IDLE = 0, /* no cycle; or before begin */
	PAGEMV_EVAC_BEGUN,
	PAGEMV_EVAC_RUNNING,  /* flipped, and pages are missing */
	PAGEMV_EVAC_DONE,     /* all are there */
	PAGEMV_EVAC_PHASE_COUNT
};

/* Of the cycle that runs, or of the last one. */
struct pagemv_evac_progress {
	size_t size;             /* in: sizeof(struct pagemv_evac_progress) */
	uint32_t phase;          /* enum pagemv_evac_phase */
	uint32_t flip;           /* enum pagemv_flip: the one that was taken */
	uint64_t cycles;         /* that were finished, all in all */
	uint64_t flip_ns;        /* how long pagemv_evac_flip() took */
	uint64_t window_pages;   /* see PAGEMV_EVAC_STILL */
	uint64_t used_pages;
	uint64_t to_pages;       /* to be produced */
	uint64_t produced_pages; /* that are there: the sum of the next five */
	uint64_t by_workers;     /* written, and brought in runs */
	uint64_t by_faults;      /* produced by threads that touched them */
	uint64_t moved_pages;    /* PAGEMV_PRODUCE_MOVE by a worker */
	uint64_t zero_pages;     /* PAGEMV_PRODUCE_ZEROS by a worker */
	uint64_t other_pages;    /* that the program brought by pagemv_move() */
	uint64_t kernel_calls;   /* that brought them */
	uint64_t recycled_pages; /* of from-space that were written to */
	uint64_t fresh_pages;    /* written where no recycled one was to be had */
	uint64_t copied_pages;   /* brought by copying */
	uint64_t returned_pages; /* of from-space given back before finish */
	size_t done_bytes;       /* see struct pagemv_produce: of all that are there
				  * from the first on without a gap */
	uint64_t failures;       /* calls of produce() and of the kernel that failed */
	size_t failed_off_bytes; /* of the page of the first of them */
	int32_t error;           /* that it failed with; 0: none */
	uint32_t reserved;
};

/*
 * Tells how far a cycle is; figures of different members may be of different
 * moments while it runs. progress->size says how much the caller knows; no more is
 * written. Returns 0 or -EINVAL. MT-Safe, AS-Safe.
 */
PAGEMV_API int pagemv_evac_progress(const struct pagemv_evac *evac,
				    struct pagemv_evac_progress *progress);

/* ---- while threads are stopped ---- */

/*
 * Slides or evacuates objects, of any number of bytes: as n calls of
 * pagemv_relocate() in an order in which none overwrites what another has still
 * to move, with fewer calls. For the last phase of a sliding collector (LISP2),
 * and for large objects.
 *
 * segs: n elements, none empty, no two of which overlap at src, or at dst. All
 * move down (dst <= src), or all up; or the range that holds every dst and the
 * one that holds every src are apart. They are sorted by src, in place, also where
 * the call is refused. Objects that follow each other at both sides are moved as
 * one, so that a page that they share is moved too; not with KEEP_HEAD, which keeps
 * the first whole page of each object readable, and PAGEMV_BUSY_SKIP. The out
 * members of each are written unless the call is refused.
 *
 * opts, res: as for pagemv_relocate(); the whole pages of dst lie in regions of pv.
 * REPLACE is needed where there are pages at dst. left_off counts in the order of
 * the array as it is then. When an object fails, those that have still to be moved
 * are not, if one could overwrite another; they are left with the same error.
 *
 * Returns 0, or the error of the first that failed, as pagemv_relocate(); -EINVAL
 * with OVERLAP where the order above does not hold. n == 0 is 0. MT-Safe, AS-Safe;
 * nothing is allocated. Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_slide(struct pagemv *pv, struct pagemv_seg *segs,
			    size_t n, const struct pagemv_move_opts *opts,
			    struct pagemv_result *res);

#ifdef __cplusplus
}
#endif

#endif /* PAGEMV_EVAC_H */
