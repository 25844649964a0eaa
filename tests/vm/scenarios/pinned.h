/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that a device holds: what becomes of them by each way to move and
 * under each busy policy, alone and in a storm; the same for every device
 * that can pin pages and write to them.
 */
#ifndef TESTS_VM_SCENARIOS_PINNED_H
#define TESTS_VM_SCENARIOS_PINNED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tap.h"
#include "ways.h"

/*
 * A device, or one engine of it: holds one range at a time, has one write on
 * its way at a time, and is used by one thread at a time.
 */
struct device {
	/* Pins pages; false where that cannot be, *why (static) says why. */
	bool (*pin)(struct device *d, void *addr, size_t pages,
		    const char **why);
	/*
	 * Begins to write bytes (at most 2048) at offset off of what is pinned.
	 * Returns what it writes, which stays as it is until the next write.
	 */
	const unsigned char *(*begin)(struct device *d, size_t off,
				      size_t bytes);
	/* Waits until that has been written; false: it was not. */
	bool (*finish)(struct device *d);
	/* Pages can be moved again when this returns. */
	void (*unpin)(struct device *d);
};

/* What becomes of a pinned page that is to be moved. */
enum pinned_fate {
	PINNED_STAYS = 1,   /* at src, with the device */
	PINNED_FOLLOWS = 2, /* at dst, with the device */
	PINNED_PARTED = 4   /* copied to dst, the device keeps the old page */
};

/* What may become of one, in this case and under this policy. */
unsigned int pinned_fates(const struct t_case *c, uint32_t busy);

/* The case's options with a policy, and leave for what it needs. */
struct pagemv_move_opts pinned_opts(const struct t_case *c, uint32_t busy);

/* The number of the page frame behind a page that is there. Root alone. */
uint64_t pinned_frame(const void *page);

const char *pinned_policy_name(uint32_t busy);
const char *pinned_fate_name(unsigned int fate);

/*
 * Some pages of a range are pinned and written to by the device while all of
 * it is moved, under each policy, without and with a child of fork() that
 * shares the pages; then they are unpinned, and moved.
 */
void pinned_policies(struct tap *tap, struct device *d);

/*
 * Threads move pages to and fro under all policies while each device pins
 * pages at random, writes to them, and lets them go. Every byte that a device
 * wrote is where the page is now; every page is at one place.
 */
void pinned_storm(struct tap *tap, struct device *const *devices, size_t n,
		  uint64_t ns);

#endif /* TESTS_VM_SCENARIOS_PINNED_H */
