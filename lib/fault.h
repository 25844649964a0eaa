/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One fault, from the address to the page that is there: whoever noticed it.
 */
#ifndef PMV_FAULT_H
#define PMV_FAULT_H

#include <pagemv/base.h>

#include "base.h"

struct pagemv;
struct pmv_hold;

/* What became of a fault. */
enum pmv_fault_end {
	PMV_FAULT_DONE,	   /* make the access again */
	PMV_FAULT_FOREIGN, /* no region of this handle is there */
	PMV_FAULT_FAILED,  /* the source failed, or the page could not be mapped
			    */
};

struct pmv_fault_report {
	int error;	     /* 0, or the negative errno of FAILED */
	size_t filled_pages; /* that were brought */
	/* DONE, and nothing is known to have changed: the page is there, or no
	 * longer registered. */
	bool stale;
};

/* Solves the fault at addr. AS-Safe as the region's source is; errno is not
 * kept. */
enum pmv_fault_end pmv_fault_at(struct pagemv *pv, uintptr_t addr,
				struct pmv_fault_report *report);

/* The same; error: receives 0, or the negative errno of FAILED. */
enum pmv_fault_end pmv_fault(struct pagemv *pv, uintptr_t addr, int *error);

/* The same in a region that is held already, which it puts. */
enum pmv_fault_end pmv_fault_held(struct pagemv *pv, struct pmv_hold *hold,
				  uintptr_t addr,
				  struct pmv_fault_report *report);

/* ---- fault_signal.c ---- */

/* The handle is to be found by signal handlers; not any more. */
void pmv_handles_add(struct pagemv *pv);
void pmv_handles_remove(struct pagemv *pv);
/* The lock of these survives fork(): what pmv_handles_add() does at first. */
void pmv_handles_survive(void);

/* ---- fault_thread.c ---- */

/* The calling thread, if it is a handler, is going to fill these pages; has. So
 * that another one can tell when it waits for itself. */
void pmv_handler_fills(uintptr_t from, uintptr_t to);
void pmv_handler_filled(void);

/* Ends all handler threads of the handle. */
void pmv_handlers_close(struct pagemv *pv);

#endif /* PMV_FAULT_H */
