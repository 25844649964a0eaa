/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One kind at work, alone in a process of its own: a process has one SIGBUS
 * handler, and what the others have registered is not to be searched.
 *
 * Returns are 0 or -errno.
 */
#ifndef BENCH_FAULT_CASE_H
#define BENCH_FAULT_CASE_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include <pagemv/pagemv.h>

#include "fault_area.h"
#include "fault_kind.h"
#include "rawuffd.h"

struct fault_case {
	struct fault_kind kind;
	const struct fault_ways *ways;
	struct fault_area area;
	cpu_set_t allowed; /* before the process pinned itself to the first */
	unsigned int cpus;
	/* Whether pages are moved in from src; else they are copied from warm,
	 * which is as large as a block, on kernels without UFFDIO_MOVE. */
	bool moves;
	char *warm;

	struct pagemv *pv;
	struct pagemv_region **region; /* kind.regions of them */
	struct pagemv_handlers *handlers;
	enum pagemv_reason reason; /* why a region was refused */

	struct bench_rawuffd raw;
	pthread_t server;
	struct sigaction old;
};

/* What deliveries differ in. Each may be NULL. */
struct fault_ways {
	int (*attach)(struct fault_case *c); /* registers area.dst */
	void (*detach)(struct fault_case *c);
	/* Before and after a turn. */
	int (*arm)(struct fault_case *c);
	void (*disarm)(struct fault_case *c);
	/* Gets the pages of n blocks ready to come. */
	int (*stock)(struct fault_case *c, const size_t *block, size_t n);
	bool fills; /* pages arrive with what stock() wrote */
};

extern const struct fault_ways fault_library_signal;
extern const struct fault_ways fault_library_thread;
extern const struct fault_ways fault_library_spin;
extern const struct fault_ways fault_raw_signal;
extern const struct fault_ways fault_raw_thread;
extern const struct fault_ways fault_mprotect;
extern const struct fault_ways fault_kernel;

/* The i-th CPU, and again from the first where they are few. */
int fault_case_cpu(const struct fault_case *c, unsigned int i);

/* Numbers the pages of n blocks, to be known again: in dst or in src. */
void fault_case_write(const struct fault_case *c, char *range,
		      const size_t *block, size_t n);

/* stock() where pages come from src or from warm. */
int fault_case_stock(struct fault_case *c, const size_t *block, size_t n);

/* doing: receives what could not be done, on error. */
int fault_case_open(struct fault_case *c, const struct fault_kind *kind,
		    const char **doing);

/* A fault could not be solved, found out where nobody can be told: ends the
 * process with the errno as its status, and the parent tells. AS-Safe. */
void fault_case_die(int rc) __attribute__((noreturn));

#endif /* BENCH_FAULT_CASE_H */
