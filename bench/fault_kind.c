// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fault_kind.h"

#include <string.h>

static const char *const names[FAULT_DELIVERIES] = {
	[FAULT_SIGNAL] = "signal",
	[FAULT_THREAD] = "thread",
	[FAULT_THREAD_SPIN] = "thread-spin",
	[FAULT_RAW_SIGNAL] = "raw-signal",
	[FAULT_RAW_THREAD] = "raw-thread",
	[FAULT_MPROTECT_SEGV] = "mprotect-segv",
	[FAULT_KERNEL] = "kernel",
};

/* The kernel and mprotect() know nothing of pages around and of regions, the
 * bare ioctls nothing of regions. */
#define WITH_AROUND                                                   \
	(FAULT_BIT(FAULT_SIGNAL) | FAULT_BIT(FAULT_THREAD) |          \
	 FAULT_BIT(FAULT_THREAD_SPIN) | FAULT_BIT(FAULT_RAW_SIGNAL) | \
	 FAULT_BIT(FAULT_RAW_THREAD))
#define WITH_REGIONS (FAULT_BIT(FAULT_SIGNAL) | FAULT_BIT(FAULT_THREAD))

const char *fault_delivery_name(enum fault_delivery delivery)
{
	return names[delivery];
}

enum fault_delivery fault_delivery_find(const char *name)
{
	enum fault_delivery delivery = 0;

	while (delivery < FAULT_DELIVERIES && strcmp(name, names[delivery]))
		delivery++;
	return delivery;
}

bool fault_kind_equal(const struct fault_kind *a, const struct fault_kind *b)
{
	return a->delivery == b->delivery && a->around == b->around &&
	       a->threads == b->threads && a->regions == b->regions;
}

struct list {
	struct fault_kind *out;
	size_t n;
	unsigned int wanted;
};

static void add(struct list *list, unsigned int deliveries, unsigned int around,
		unsigned int threads, size_t regions)
{
	for (unsigned int d = 0; d < FAULT_DELIVERIES; d++)
		if (list->wanted & deliveries & FAULT_BIT(d))
			list->out[list->n++] = (struct fault_kind){ d, around,
								    threads,
								    regions };
}

size_t fault_kinds(struct fault_kind out[FAULT_MAX_KINDS], unsigned int wanted,
		   bool quick)
{
	struct list list = { .out = out, .wanted = wanted };

	add(&list, ~0u, 1, 1, FAULT_REGIONS);
	for (unsigned int around = 4; around <= 64; around *= 4)
		if (!quick || around == 16)
			add(&list, WITH_AROUND, around, 1, FAULT_REGIONS);
	for (unsigned int threads = 2; threads <= FAULT_MAX_THREADS;
	     threads *= 2)
		if (!quick || threads == 2)
			add(&list, ~0u, 1, threads, FAULT_REGIONS);
	if (!quick)
		add(&list, WITH_REGIONS, 1, 1, 1000);
	add(&list, WITH_REGIONS, 1, 1, 100000);
	return list.n;
}
