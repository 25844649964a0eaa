/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A request while it is carried out: what engine.c, choose.c and answer.c
 * know of it. On the stack of the calling thread; nothing of it is shared.
 */
#ifndef PMV_JOB_H
#define PMV_JOB_H

#include "engine.h"
#include "mover.h"

/* One step, and how long it took. */
struct pmv_attempt {
	bool made;
	enum pagemv_mechanism by;
	uint64_t ticks;
	struct pmv_step step;
};

struct pmv_job {
	struct pmv_attempt first; /* made before there was a job */
	struct pagemv *pv;
	const struct pmv_mover *mover;
	const struct pmv_request *rq;
	struct pagemv_result *res;
	struct pmv_stray stray;
	unsigned int idle; /* answers in a row without progress */
	bool scan;	   /* look for holes before each step */
	bool dst_cleared;  /* for REPLACE: what is at dst, came from src */
	bool pieces;	   /* one mapping at a time */
	bool uncertain;	   /* the last step stopped in the middle */
	/* How often EINVAL has been looked into since progress. */
	unsigned int invalid_tries;
	uintptr_t busy_src; /* the page that was busy last, and how often */
	unsigned int busy_tries;
	unsigned int forks;   /* pmv_forks() at that time */
	uintptr_t pinned_src; /* the page that was pinned last */
};

/* ---- job.c: accounting ---- */

/* Goes on behind bytes that have found their end; that is progress. */
void pmv_advance(struct pmv_job *job, struct pmv_span *span, size_t bytes);

/* Notes the pages that a step of a mechanism brought to dst. */
void pmv_account(struct pmv_job *job, const struct pmv_mover *mover,
		 struct pmv_span *span, const struct pmv_step *step);

/* Notes pages that came to a faulting region; for pmv_faulting() alone. */
void pmv_note_moved(const struct pagemv *pv, const struct pmv_request *rq,
		    uintptr_t dst, size_t bytes);

/* Notes that the page at src, or all from there on, is left. */
void pmv_note_left(struct pmv_job *job, uintptr_t src,
		   enum pagemv_reason reason);

/* ---- choose.c: before the first step ---- */

/* Checks the request and chooses the mechanism; NONE to go on. */
enum pagemv_reason pmv_prepare(struct pmv_job *job);

/*
 * Whether mremap must not do it: it would take the registration off dst, where
 * absent pages are faults of the library's, or off src, where the library is
 * told of each mremap.
 */
bool pmv_must_not_remap(const struct pagemv *pv, uintptr_t dst, uintptr_t src,
			size_t len);

/* How much may be moved at a time. */
size_t pmv_chunk_bytes(const struct pmv_job *job);

/* ---- answer.c: what to do when a step stops ---- */

/* NONE to go on, or the reason to stop. ticks: how long the step took. */
enum pagemv_reason pmv_on_error(struct pmv_job *job, struct pmv_span *span,
				int error, uint64_t ticks);

/* Passes a run of absent source pages, or says why not. */
enum pagemv_reason pmv_pass_hole(struct pmv_job *job, struct pmv_span *span,
				 size_t bytes);

#endif /* PMV_JOB_H */
