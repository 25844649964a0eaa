/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `pagemv bench fault` compares: who fills the page, and under which
 * conditions.
 */
#ifndef BENCH_FAULT_KIND_H
#define BENCH_FAULT_KIND_H

#include <stdbool.h>
#include <stddef.h>

/* The order of rows. */
enum fault_delivery {
	FAULT_SIGNAL, /* through the library, as the next two */
	FAULT_THREAD,
	FAULT_THREAD_SPIN,
	FAULT_RAW_SIGNAL, /* the least that does it, on the ioctls */
	FAULT_RAW_THREAD,
	FAULT_MPROTECT_SEGV, /* a page that is there, but protected */
	FAULT_KERNEL,	     /* no userfaultfd at all */
	FAULT_DELIVERIES
};

#define FAULT_BIT(delivery) (1u << (delivery))

#define FAULT_MAX_THREADS 4

/* What is not varied stands at 1 page, 1 thread, 10 regions. */
struct fault_kind {
	enum fault_delivery delivery;
	unsigned int around; /* pages that come by one fault */
	unsigned int threads;
	size_t regions;
};

#define FAULT_REGIONS 10

const char *fault_delivery_name(enum fault_delivery delivery);

/* The delivery of that name, or FAULT_DELIVERIES. */
enum fault_delivery fault_delivery_find(const char *name);

bool fault_kind_equal(const struct fault_kind *a, const struct fault_kind *b);

/*
 * Writes the kinds to be measured, of the deliveries that are FAULT_BIT()s of
 * wanted. Returns how many.
 */
#define FAULT_MAX_KINDS 64

size_t fault_kinds(struct fault_kind out[FAULT_MAX_KINDS], unsigned int wanted,
		   bool quick);

#endif /* BENCH_FAULT_KIND_H */
