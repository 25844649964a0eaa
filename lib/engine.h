/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One move from start to end: chooses the mechanism, goes on after partial
 * progress, repairs counts, and says what became of every page.
 */
#ifndef PMV_ENGINE_H
#define PMV_ENGINE_H

#include <pagemv/move.h>

#include "base.h"

struct pmv_request {
	uintptr_t dst;
	uintptr_t src;
	size_t len;
	uint32_t flags;	    /* PAGEMV_MOVE_* */
	uint32_t mechanism; /* enum pagemv_mechanism */
	uint32_t busy;	    /* enum pagemv_busy */
	bool staging;	    /* dst or src is a staging range, not a region's */
	int uffd;	    /* dst is registered with it; 0: it is looked up */
};

/* Checks opts and takes them over; 0, -EINVAL or -E2BIG. allowed: flags that
 * this call knows. */
int pmv_request_opts(struct pmv_request *rq,
		     const struct pagemv_move_opts *opts, uint32_t allowed);

/* Fills in res as for a request of len bytes of which nothing was done. */
int pmv_refuse(struct pagemv_result *res, size_t len,
	       enum pagemv_reason reason);

/* NOT_REGISTERED or FOREIGN_UFFD, for a range that is not in our regions. */
enum pagemv_reason pmv_why_not_registered(const struct pagemv *pv,
					  uintptr_t addr, size_t bytes);

/* The same for options that make no sense, of which error tells how. Returns
 * error. */
int pmv_refuse_opts(struct pagemv_result *res, size_t len, int error);

/* Why no mechanism that the request allows can do it; NONE if one can. */
enum pagemv_reason pmv_request_allowed(struct pagemv *pv,
				       const struct pmv_request *rq);

/*
 * The descriptor that dst is registered with, -1 where with none. *len: cut to
 * where that changes.
 */
int pmv_uffd_of(const struct pagemv *pv, const struct pmv_request *rq,
		uintptr_t dst, size_t *len);

/* Carries out a request; res is not NULL. Returns res->error. */
int pmv_engine_move(struct pagemv *pv, const struct pmv_request *rq,
		    struct pagemv_result *res);

#endif /* PMV_ENGINE_H */
