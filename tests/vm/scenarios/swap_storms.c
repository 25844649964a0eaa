/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Storms of moves while pages go to swap and come back: by advice, by swapoff,
 * under memory pressure.
 */
#include "swap.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/swap.h>

#include "cases.h"
#include "lab.h"
#include "storm.h"

#define PRESSED "8M" /* what the cgroup may have under memory pressure */

/* ---- storms ---- */

static struct {
	uint64_t out;	   /* pages seen in swap or on their way */
	uint64_t readings; /* of pages, ahead or by touching them */
	uint64_t switched; /* off and on again */
	uint64_t moved;
	uint64_t unnoticed; /* see storm.h */
} storms;

static void add(uint64_t *n, uint64_t more)
{
	__atomic_fetch_add(n, more, __ATOMIC_RELAXED);
}

static void storm_out(struct storm *s, struct t_random *random)
{
	size_t pages;
	char *run = storm_pick(s, random, &pages);

	madvise(run, t_pages(pages), MADV_PAGEOUT);
	add(&storms.out, count_swapped(run, pages));
	t_sleep_ms((unsigned int)t_random_below(random, 3));
}

/* Into the swap cache; pages of the source also into the page table. */
static void storm_in(struct storm *s, struct t_random *random)
{
	size_t pages, i;
	char *run = storm_pick(s, random, &pages);
	size_t off = (uintptr_t)run - (uintptr_t)s->src;
	size_t swapped = count_swapped(run, pages);

	add(&storms.out, swapped);
	if (madvise(run, t_pages(pages), MADV_WILLNEED) == 0)
		add(&storms.readings, swapped);
	if (off / t_page() >= s->src_pages)
		pages = 0;
	for (i = 0; i < pages; i++)
		__atomic_load_n((uint64_t *)(void *)(run + t_pages(i)),
				__ATOMIC_RELAXED);
	t_sleep_ms((unsigned int)t_random_below(random, 3));
}

/* The one that is not the only one, where there are two. */
static const struct area *area_to_switch(void)
{
	return disk.there ? &disk : &zram;
}

static void storm_off_and_on(struct storm *s, struct t_random *random)
{
	const struct area *a = area_to_switch();

	if (swapoff(a->path) != 0) {
		storm_wrong(s, "swapoff %s: %d", a->path, errno);
		return;
	}
	t_sleep_ms((unsigned int)t_random_below(random, 4));
	switch_on(a);
	add(&storms.switched, 1);
	t_sleep_ms((unsigned int)t_random_below(random, 8));
}

/* Has the kernel find pages that it can do without; looks at all of them. */
static void storm_reclaim(struct storm *s, struct t_random *random)
{
	size_t i, n;

	(void)random;
	/* All until something has gone out: the kernel looks at pages twice
	 * before it takes them, and there are colder ones than those that move:
	 * the hog's. 6.12 took no others for 1M. */
	if (can_empty_cache())
		t_write_file(CGROUP "/memory.reclaim",
			     __atomic_load_n(&storms.out, __ATOMIC_RELAXED) == 0
				     ? PRESSED
				     : "64K");
	n = count_swapped(s->src, s->src_pages);
	for (i = 0; i < STORM_MOVERS && s->heaps[i] != NULL; i++)
		n += count_swapped(s->heaps[i], s->heap_pages);
	add(&storms.out, n);
	t_sleep_ms(10);
}

static void storm_sum(struct storm *s)
{
	storms.moved += s->moved_pages + s->copied_pages;
	storms.unnoticed += s->unnoticed_pages;
}

/* Nobody but the movers and the swap. */
static const struct storm_plan swap_plan = {
	.name = "swapping",
	.ways = T_WAYS_LIVE,
	.ms = 300,
	.disturb = { storm_out, storm_in },
	.tear_down = storm_sum,
};

static const struct storm_plan off_plan = {
	.name = "swapoff",
	.ways = T_WAYS_LIVE,
	.ms = 300,
	.disturb = { storm_out, storm_off_and_on },
	.tear_down = storm_sum,
};

static const struct storm_plan huge_plan = {
	.name = "swapping huge pages",
	.ways = T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_AUTO_REMAP) | T_WAY_BIT(T_MOVE),
	.pages = 2 * HUGE_PAGES,
	.longest_pages = PAGES,
	.ms = 300,
	.huge = true,
	.disturb = { storm_out, storm_in },
	.tear_down = storm_sum,
};

/* A part of what the cgroup may have: the hog makes it too little. */
static const struct storm_plan pressure_plan = {
	.name = "memory pressure",
	.ways = T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_AUTO_REMAP),
	.pages = 256,
	.longest_pages = PAGES,
	.ms = 300,
	.store_pause_us = 500,
	.disturb = { storm_reclaim },
	.tear_down = storm_sum,
};

static void run_storm(struct tap *tap, const struct storm_plan *plan)
{
	bool switches = plan->disturb[1] == storm_off_and_on;
	uint64_t written = vmstat("pswpout");
	char name[80];

	memset(&storms, 0, sizeof(storms));
	storm_run(tap, plan);
	written = vmstat("pswpout") - written;
	snprintf(name, sizeof(name), "%s: pages were swapped while they moved",
		 plan->name);
	tap_ok(tap, storms.out > 0 && (!switches || storms.switched > 0), name);
	note("%" PRIu64 " pages moved, %" PRIu64 " seen in swap", storms.moved,
	     storms.out);
	/* Those of the hog among them. */
	tap_say(stdout, "%s: %" PRIu64 " pages written to swap", plan->name,
		written);
	if (storms.readings > 0)
		note("%" PRIu64 " read ahead", storms.readings);
	if (storms.unnoticed > 0)
		note("%" PRIu64 " moved and told as EEXIST", storms.unnoticed);
	if (switches)
		note("%" PRIu64 " times off and on", storms.switched);
	say_numbers(NULL, plan->name);
}

#define HOG_PAGES 2560

/* Stores to its pages all the time, in any order, until it is ended. */
static pid_t start_hog(void)
{
	struct t_random random = t_random_make(7);
	pid_t pid = fork();
	char *memory;

	if (pid < 0)
		t_die("fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memory = t_map(HOG_PAGES);
	for (;;)
		memory[t_pages(t_random_below(&random, HOG_PAGES))]++;
}

static void run_pressure(struct tap *tap)
{
	pid_t hog;

	if (!t_write_file(CGROUP "/memory.max", PRESSED)) {
		tap_skip(tap, pressure_plan.name, "no memory cgroup");
		return;
	}
	hog = start_hog();
	run_storm(tap, &pressure_plan);
	kill(hog, SIGKILL);
	(void)t_wait(hog);
	t_write_file(CGROUP "/memory.max", "max");
}

void run_storms(struct tap *tap)
{
	size_t i;

	/* The fast one first by itself: on a disk it is mostly waiting. */
	for (i = 0; i < AREAS; i++) {
		if (!areas[i]->there)
			continue;
		switch_on(areas[i]);
		if (storms.moved == 0)
			run_storm(tap, &swap_plan);
	}
	run_storm(tap, &off_plan);
	if (no_huge_pages() == NULL)
		run_storm(tap, &huge_plan);
	else
		tap_skip(tap, huge_plan.name, no_huge_pages());
	run_pressure(tap);
	for (i = 0; i < AREAS; i++)
		if (areas[i]->there)
			switch_off(areas[i]);
}
