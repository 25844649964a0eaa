/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the scenario "swap" share: swap areas, and pages that go
 * there and come back.
 */
#ifndef TESTS_VM_SCENARIOS_SWAP_H
#define TESTS_VM_SCENARIOS_SWAP_H

#include <stdbool.h>
#include <stddef.h>

#include "tap.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define PAGES	   64
#define HUGE_PAGES 512
#define CGROUP	   "/sys/fs/cgroup/pagemv-swap"
#define THP	   "/sys/kernel/mm/transparent_hugepage/"

/* ---- swap areas ---- */

struct area {
	const char *name;
	const char *path;
	bool there;
};

#define AREAS 2
extern struct area zram, disk;
extern struct area *const areas[AREAS];

void make_area(struct area *a);
/* With one priority for all, so that two are filled in turn. */
void switch_on(const struct area *a);
void switch_off(const struct area *a);

/* ---- pages in and out ---- */

enum state {
	IN,	/* in memory and mapped */
	OUT,	/* in swap only */
	CACHED, /* a swap entry, and its page in the swap cache */
	HOLE,
	STATES
};

enum state state_of(char *page);
size_t count_state(char *addr, size_t pages, enum state state);
/* At most two huge pages of them. */
size_t count_swapped(const char *addr, size_t pages);

/*
 * To one processor, or back to all. Pages that have just been used are in a
 * batch of the processor that did it, and only from there can they be taken.
 */
void stay_here(bool stay);

/* Until all of them are out or it does not get better. */
size_t page_out(char *addr, size_t pages);
/* NULL when nearly all are out: enough for a test of what is out. */
const char *all_out(char *addr, size_t pages);

/* Linux 5.19. (A limit of the cgroup does it as well, but who writes it has to
 * wait for being over it.) */
bool can_empty_cache(void);
/* Has the kernel take swapped pages out of the swap cache, too. */
void empty_cache(char *addr, size_t pages);

/* NULL, or why there are none here. */
const char *no_huge_pages(void);

/* ---- what was seen ---- */

/* Adds to the numbers, in words. */
__attribute__((format(printf, 1, 2))) void note(const char *f, ...);
/* Says them, of an area or NULL, and forgets them. */
void say_numbers(const struct area *a, const char *topic);

/* ---- the parts ---- */

/* Each case of pages that are out, by each way, in each area. */
void run_moves(struct tap *tap);
/* While pages go in and out. */
void run_storms(struct tap *tap);

#endif /* TESTS_VM_SCENARIOS_SWAP_H */
