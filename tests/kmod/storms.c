/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Storms: threads move random ranges between areas, by single calls, vectors
 * and exchanges, into each other's way, while another one stores to the pages
 * and disturbers do to them what the rest of a system does. In the end each
 * page is somewhere, once, whole, and all stores are found.
 *
 * PMV_SECONDS: how long each is; PMV_SEED.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kmod.h"
#include "pin.h"
#include "vm/scenarios/lab.h"

#define AREAS	   3
#define MOVERS	   2
#define DISTURBERS 3
#define UNIT	   (KMOD_HUGE / t_page())
#define AGED	   KMOD_CGROUPS "/aged"

struct storm {
	char *area[AREAS];
	size_t pages; /* of each area */
	size_t ids;
	bool huge;
	bool whole;  /* only whole huge pages are moved */
	bool loses;  /* a disturber may take pages away */
	bool stores; /* somebody stores meanwhile */
	void (*disturb[DISTURBERS])(struct storm *s, struct t_random *random);
	volatile bool over;
	char wrong[160];

	uint64_t stored;
	uint64_t calls;
	uint64_t moved_pages;
	uint64_t errors[6]; /* EAGAIN EEXIST ENOENT EBUSY EINVAL ENOMEM */
};

static const int allowed[] = { EAGAIN, EEXIST, ENOENT, EBUSY, EINVAL, ENOMEM };

static void storm_wrong(struct storm *s, const char *what, int64_t value)
{
	if (s->wrong[0] == '\0')
		snprintf(s->wrong, sizeof(s->wrong), "%s: %" PRId64, what,
			 value);
	s->over = true;
}

static void add(uint64_t *to, uint64_t n)
{
	__atomic_fetch_add(to, n, __ATOMIC_RELAXED);
}

/* ---- moving ---- */

struct run {
	char *a;
	char *b;
	size_t pages;
};

/* Two random places for a run; with huge pages often whole ones. */
static struct run pick(struct storm *s, struct t_random *random)
{
	size_t most = s->huge ? 700 : 24, at_a, at_b, align = 1;
	struct run run;

	run.pages = 1 + t_random_below(random, most);
	if (s->whole || (s->huge && t_random_below(random, 3) != 0)) {
		align = UNIT;
		run.pages = UNIT * (1 + t_random_below(random, 2));
	}
	at_a = t_random_below(random, s->pages - run.pages + 1) / align * align;
	at_b = t_random_below(random, s->pages - run.pages + 1) / align * align;
	run.a = s->area[t_random_below(random, AREAS)] + t_pages(at_a);
	run.b = s->area[t_random_below(random, AREAS)] + t_pages(at_b);
	return run;
}

/* What a call said of bytes: a result for which there can be a reason? */
static void judge(struct storm *s, int r, int64_t moved, size_t bytes)
{
	size_t i;

	add(&s->calls, 1);
	if (moved > 0)
		add(&s->moved_pages, (uint64_t)moved / t_page());
	if (moved == KMOD_UNTOLD || moved > (int64_t)bytes ||
	    (moved > 0 && moved % (int64_t)t_page() != 0))
		storm_wrong(s, "moved", moved);
	if (r == 0 && moved != (int64_t)bytes)
		storm_wrong(s, "returned 0, moved", moved);
	if (r != 0 && r != -EAGAIN && moved > 0)
		storm_wrong(s, "an error with pages moved", r);
	for (i = 0; r != 0 && i < T_COUNT(allowed); i++)
		if (r == -allowed[i]) {
			add(&s->errors[i], 1);
			return;
		}
	if (r != 0)
		storm_wrong(s, "returned", r);
}

/* Pages that a fork shares are made one's own, where they are there. */
static void make_exclusive(const struct run *run)
{
	size_t i;

	for (i = 0; i < run->pages; i++)
		if (t_present(run->b + t_pages(i)))
			__atomic_fetch_add((uint8_t *)run->b + t_pages(i) +
						   4000,
					   0, __ATOMIC_RELAXED);
}

static void move_one(struct storm *s, struct t_random *random)
{
	struct run run = pick(s, random);
	uint64_t mode = t_random_below(random, 4) != 0 ? KMOD_HOLES : 0;
	int64_t moved;
	int r = kmod_remap(run.a, run.b, run.pages, mode, &moved);

	judge(s, r, moved, t_pages(run.pages));
	if (r == -EBUSY && !s->loses)
		make_exclusive(&run);
}

static void move_vector(struct storm *s, struct t_random *random)
{
	size_t count = 1 + t_random_below(random, 24), i;
	struct pagemvio_range range[24];
	int64_t moved, sum = 0;
	size_t bytes = 0;
	int r;

	for (i = 0; i < count; i++) {
		struct run run = pick(s, random);

		range[i] = (struct pagemvio_range){ (uintptr_t)run.a,
						    (uintptr_t)run.b,
						    t_pages(run.pages),
						    KMOD_UNTOLD };
		bytes += t_pages(run.pages);
	}
	r = kmod_remapv(range, count,
			t_random_below(random, 4) == 0 ? PAGEMVIO_REMAPV_STOP
						       : 0,
			KMOD_HOLES, &moved, NULL);
	judge(s, r, moved, bytes);
	for (i = 0; i < count; i++) {
		if (range[i].moved == KMOD_UNTOLD)
			storm_wrong(s, "no result for a range", (int64_t)i);
		sum += range[i].moved > 0 ? range[i].moved : 0;
	}
	if (sum != (moved > 0 ? moved : 0))
		storm_wrong(s, "the sum of a vector's results is off by",
			    sum - moved);
}

static void exchange(struct storm *s, struct t_random *random)
{
	struct run run = pick(s, random);
	int64_t moved;
	int r = kmod_exchange(run.a, run.b, run.pages, &moved);

	judge(s, r, moved, t_pages(run.pages));
}

struct thread {
	struct storm *storm;
	unsigned int number;
	pthread_t id;
};

static struct t_random random_of(const struct thread *t)
{
	return t_random_make(t_env("PMV_SEED", 1) * 1000 + t->number);
}

static void *mover(void *arg)
{
	struct thread *t = arg;
	struct t_random random = random_of(t);

	while (!t->storm->over) {
		uint64_t n = t_random_below(&random, 10);

		if (kmod_way() != KMOD_MODULE || n < 6)
			move_one(t->storm, &random);
		else if (n < 9)
			move_vector(t->storm, &random);
		else
			exchange(t->storm, &random);
	}
	return NULL;
}

/* A store where there is a page; if it has just left, one of zeros is made. */
static void *storer(void *arg)
{
	struct thread *t = arg;
	struct t_random random = random_of(t);
	struct storm *s = t->storm;
	struct t_head *head;

	while (!s->over) {
		head = (void *)(s->area[t_random_below(&random, AREAS)] +
				t_pages(t_random_below(&random, s->pages)));
		if (!t_present(head))
			continue;
		__atomic_fetch_add(&head->counter, 1, __ATOMIC_RELAXED);
		add(&s->stored, 1);
	}
	return NULL;
}

/* ---- disturbing ---- */

static char *some(struct storm *s, struct t_random *random, size_t *pages)
{
	struct run run = pick(s, random);

	*pages = run.pages;
	return run.a;
}

static void advise(struct storm *s, struct t_random *random, int advice)
{
	size_t pages;
	char *p = some(s, random, &pages);

	madvise(p, t_pages(pages), advice);
}

static void page_out(struct storm *s, struct t_random *random)
{
	static const int advices[] = { MADV_PAGEOUT, MADV_PAGEOUT, MADV_COLD,
				       MADV_WILLNEED };

	advise(s, random, advices[t_random_below(random, 4)]);
}

/* The kernel looks at pages that were in use lately, to see which still are. */
static void age(struct storm *s, struct t_random *random)
{
	(void)s;
	(void)random;
	t_write_file(AGED "/memory.reclaim", "256K");
}

/* Pages go through a mapping that is there for nothing else, and is left. */
static void pass_through(struct storm *s, struct t_random *random)
{
	size_t pages, i;
	char *from = some(s, random, &pages), *by = kmod_map_dst(pages);
	int64_t moved;

	kmod_remap(by, from, pages, KMOD_HOLES, &moved);
	for (i = 0; i < pages; i++)
		while (t_present(by + t_pages(i)))
			kmod_remap(pick(s, random).a, by + t_pages(i), 1, 0,
				   &moved);
	t_unmap(by, pages);
}

/* Mappings are cut to pieces and become one again. */
static void cut_mappings(struct storm *s, struct t_random *random)
{
	advise(s, random,
	       t_random_below(random, 3) == 0 ? MADV_DONTDUMP : MADV_DODUMP);
	t_sleep_ms(1);
}

static void lock_pages(struct storm *s, struct t_random *random)
{
	size_t pages;
	char *p = some(s, random, &pages);

	mlock2(p, t_pages(pages), MLOCK_ONFAULT);
	t_sleep_ms(1);
	munlock(p, t_pages(pages));
}

static void fork_and_end(struct storm *s, struct t_random *random)
{
	pid_t pid = fork();
	size_t i;

	if (pid == 0) {
		/* What a child sees of a page is whole. Another thread may have
		 * held a lock: it takes none. */
		for (i = 0; i < 40; i++)
			if (t_look_present(
				    s->area[t_random_below(random, AREAS)] +
					    t_pages(t_random_below(random,
								   s->pages)),
				    NULL, NULL) == T_TORN)
				_exit(1);
		_exit(0);
	}
	if (pid > 0 && t_wait(pid) != 0)
		storm_wrong(s, "a child saw a torn page", 0);
}

/* From node to node, where there are two; else to where they are. */
static void migrate(struct storm *s, struct t_random *random)
{
	void *at[64];
	int node[64], status[64];
	size_t i, pages;
	char *p = some(s, random, &pages);

	pages = pages < 64 ? pages : 64;
	for (i = 0; i < pages; i++) {
		at[i] = p + t_pages(i);
		node[i] = (int)t_random_below(random, 2);
	}
	syscall(SYS_move_pages, 0, pages, at, node, status,
		2 /* MPOL_MF_MOVE */);
}

static void migrate_all(struct storm *s, struct t_random *random)
{
	unsigned long one = 1, two = 2;

	(void)s;
	if (t_random_below(random, 2) == 0)
		syscall(SYS_migrate_pages, 0, 8, &one, &two);
	else
		syscall(SYS_migrate_pages, 0, 8, &two, &one);
	t_sleep_ms(5);
}

static void compact(struct storm *s, struct t_random *random)
{
	(void)s;
	(void)random;
	t_write_file("/proc/sys/vm/compact_memory", "1");
	t_sleep_ms(20);
}

static void collapse(struct storm *s, struct t_random *random)
{
	char *p = s->area[t_random_below(random, AREAS)];

	madvise(p + KMOD_HUGE * t_random_below(random, s->pages / UNIT),
		KMOD_HUGE, 25 /* MADV_COLLAPSE */);
	t_sleep_ms(2);
}

/* A part is protected and open again: huge pages are split by it. */
static void protect(struct storm *s, struct t_random *random)
{
	size_t pages;
	char *p = some(s, random, &pages);

	mprotect(p, t_pages(pages), PROT_READ);
	mprotect(p, t_pages(pages), PROT_READ | PROT_WRITE);
}

static void look_on(struct storm *s, struct t_random *random)
{
	static char buffer[1 << 16];
	static const char *const files[] = { "/proc/self/smaps",
					     "/proc/self/numa_maps",
					     "/proc/self/pagemap" };
	int fd = open(files[t_random_below(random, 3)], O_RDONLY | O_CLOEXEC);

	(void)s;
	if (fd >= 0) {
		while (read(fd, buffer, sizeof(buffer)) ==
			       (ssize_t)sizeof(buffer) &&
		       t_random_below(random, 20) != 0)
			;
		close(fd);
	}
}

/* An area goes elsewhere with its pages, and comes back. */
static void remap_area(struct storm *s, struct t_random *random)
{
	size_t bytes = t_pages(s->pages);
	char *p = s->area[t_random_below(random, AREAS)], *room;

	room = mmap(NULL, bytes + KMOD_HUGE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED ||
	    mremap(p, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
		   room + t_page()) == MAP_FAILED)
		return;
	t_sleep_ms(1);
	if (mremap(room + t_page(), bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
		   p) != p)
		storm_wrong(s, "mremap back", errno);
	munmap(room, bytes + KMOD_HUGE);
}

static void drop(struct storm *s, struct t_random *random)
{
	advise(s, random,
	       t_random_below(random, 2) == 0 ? MADV_DONTNEED : MADV_FREE);
}

static void map_anew(struct storm *s, struct t_random *random)
{
	size_t pages;
	char *p = some(s, random, &pages);

	if (t_random_below(random, 2) == 0) {
		munmap(p, t_pages(pages));
		t_sleep_ms(1);
	}
	if (mmap(p, t_pages(pages), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p)
		storm_wrong(s, "mmap", errno);
}

/*
 * What a device writes to a page that is pinned, the process sees where it was
 * pinned. It writes the counter, which nobody else does then.
 */
static void pin_and_write(struct storm *s, struct t_random *random)
{
	uint64_t value = t_random_next(random);
	const char *why;
	size_t pages;
	struct t_head *head = (void *)some(s, random, &pages);
	struct t_pin *pin = t_pin(head, t_page(), &why);

	if (pin == NULL)
		return;
	if (t_pin_write(pin, offsetof(struct t_head, counter), &value,
			sizeof(value)) != 0)
		storm_wrong(s, "no DMA", errno);
	else if (__atomic_load_n(&head->counter, __ATOMIC_RELAXED) != value)
		storm_wrong(s, "the device has another page than the process",
			    (int64_t)value);
	t_unpin(pin);
}

static void *disturber(void *arg)
{
	struct thread *t = arg;
	struct t_random random = random_of(t);
	struct storm *s = t->storm;

	while (!s->over)
		s->disturb[t->number - 100](s, &random);
	return NULL;
}

/* ---- from start to end ---- */

static void begin(struct thread *t, struct storm *s, unsigned int number,
		  void *(*body)(void *arg))
{
	t->storm = s;
	t->number = number;
	if (pthread_create(&t->id, NULL, body, t) != 0)
		t_die("pthread_create");
}

static uint64_t all_counters(const struct storm *s)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < AREAS; i++)
		sum += t_sum_counters(s->area[i], s->pages);
	return sum;
}

/* Where pages may be lost, each is there once at most; else exactly once. */
static const char *verdict(const struct storm *s)
{
	const char *what = NULL;
	struct t_census c;
	size_t i;

	t_census_open(&c, s->ids);
	for (i = 0; i < AREAS; i++)
		t_census_take(&c, s->area[i], s->pages);
	if (!s->loses)
		what = wrong_at("census", t_census_verdict(&c));
	if (c.torn != 0 || c.strangers != 0)
		what = wrong("%zu torn pages, %zu strangers", c.torn,
			     c.strangers);
	for (i = 1; i <= s->ids && what == NULL; i++)
		if (c.found[i] > 1)
			what = wrong("page %zu is there %u times", i,
				     c.found[i]);
	t_census_close(&c);
	if (what == NULL && s->stores && !s->loses &&
	    all_counters(s) != s->stored)
		what = wrong("%" PRIu64 " stores, %" PRIu64 " found", s->stored,
			     all_counters(s));
	return what;
}

static void report(const struct storm *s, const struct pagemvio_info *before)
{
	struct pagemvio_info now = kmod_info();

	tap_say(stdout,
		"%" PRIu64 " calls, %" PRIu64 " pages, %" PRIu64
		" stores; EAGAIN %d EEXIST %d ENOENT %d EBUSY %d EINVAL %d",
		s->calls, s->moved_pages, s->stored, (int)s->errors[0],
		(int)s->errors[1], (int)s->errors[2], (int)s->errors[3],
		(int)s->errors[4]);
	if (kmod_way() == KMOD_MODULE)
		tap_say(stdout,
			"%d small, %d huge, %d swap entries, %d splits, "
			"%d retries, %d flushes",
			(int)(now.pages - before->pages),
			(int)(now.huge_pages - before->huge_pages),
			(int)(now.swap_entries - before->swap_entries),
			(int)(now.splits - before->splits),
			(int)(now.retries - before->retries),
			(int)(now.flushes - before->flushes));
}

static void set_up(struct storm *s)
{
	size_t i;

	s->pages = s->huge ? 4 * UNIT : 192;
	s->ids = s->huge ? 4 * UNIT : 192;
	for (i = 0; i < AREAS; i++) {
		s->area[i] = t_map_at(s->pages, KMOD_HUGE, 0, s->huge);
		kmod_dst(s->area[i], s->pages);
	}
	t_fill_range(s->area[0], s->pages, 1);
}

static const char *storm(struct storm s)
{
	uint64_t ms = t_env("PMV_SECONDS", 0) * 1000, until;
	struct thread threads[MOVERS + 1 + DISTURBERS];
	struct pagemvio_info before = kmod_info();
	const char *what;
	size_t i, n = 0;

	set_up(&s);
	for (i = 0; i < MOVERS; i++)
		begin(&threads[n++], &s, (unsigned int)i, mover);
	if (s.stores)
		begin(&threads[n++], &s, 10, storer);
	for (i = 0; i < DISTURBERS && s.disturb[i] != NULL; i++)
		begin(&threads[n++], &s, 100 + (unsigned int)i, disturber);
	until = t_now_ns() + (ms != 0	     ? ms
			      : t_slow() > 1 ? 3000
					     : 1500) *
				     1000000ull;
	while (!s.over && t_now_ns() < until)
		t_sleep_ms(10);
	s.over = true;
	for (i = 0; i < n; i++)
		pthread_join(threads[i].id, NULL);
	report(&s, &before);
	MUST(s.wrong[0] == '\0', "%s", s.wrong);
	what = verdict(&s);
	if (what != NULL)
		return what;
	MUST(s.moved_pages > 0, "nothing was moved");
	return NULL;
}

static const char *alone(void)
{
	return storm((struct storm){ .stores = true });
}

static const char *mappings_cut(void)
{
	return storm((struct storm){
		.stores = true,
		.disturb = { cut_mappings, lock_pages, look_on } });
}

static const char *forked(void)
{
	return storm(
		(struct storm){ .stores = true, .disturb = { fork_and_end } });
}

static const char *migrated(void)
{
	return storm((struct storm){
		.stores = true, .disturb = { migrate, migrate_all, compact } });
}

static const char *swapped(void)
{
	return t_has_swap() ? storm((struct storm){
				      .stores = true,
				      .disturb = { page_out, page_out } })
			    : skip("no swap");
}

static const char *swapped_and_forked(void)
{
	return t_has_swap() ? storm((struct storm){
				      .disturb = { page_out, fork_and_end } })
			    : skip("no swap");
}

/*
 * Of all walks of the reverse mapping that the kernel does by itself one has no
 * lock of the page: that which asks whether an active page is in use. Where
 * pages have generations (6.12) it is not done.
 */
static const char *looked_at(void)
{
	const char *generations = "/sys/kernel/mm/lru_gen/enabled", *what;
	char was[16];
	bool had = t_read_file(generations, was, sizeof(was));
	uint64_t n;

	if (!t_has_swap() || !kmod_into_cgroup("aged") ||
	    access(AGED "/memory.reclaim", W_OK) != 0)
		return skip("no swap, or no memory cgroups to reclaim from");
	if (had)
		t_write_file(generations, "0");
	n = counter_in(AGED "/memory.stat", "pgrefill");
	what = storm((struct storm){ .stores = true,
				     .disturb = { age, age, pass_through } });
	n = counter_in(AGED "/memory.stat", "pgrefill") - n;
	if (had)
		t_write_file(generations, was);
	if (what != NULL)
		return what;
	tap_say(stdout, "%d active pages were looked at", (int)n);
	MUST(n > 0, "no active page was looked at");
	return NULL;
}

static const char *pinned(void)
{
	return storm(
		(struct storm){ .disturb = { pin_and_write, pin_and_write } });
}

static const char *remapped(void)
{
	return storm((struct storm){ .disturb = { remap_area, cut_mappings } });
}

static const char *unmapped(void)
{
	return storm((struct storm){ .loses = true,
				     .disturb = { map_anew, drop, look_on } });
}

static const char *huge(void)
{
	return storm((struct storm){ .huge = true,
				     .stores = true,
				     .disturb = { collapse, compact } });
}

static const char *huge_whole(void)
{
	return storm(
		(struct storm){ .huge = true,
				.whole = true,
				.stores = true,
				.disturb = { fork_and_end, migrate_all } });
}

static const char *huge_whole_split(void)
{
	return storm((struct storm){
		.huge = true,
		.whole = true,
		.disturb = { protect, collapse, cut_mappings } });
}

static const char *huge_split(void)
{
	return storm((struct storm){
		.huge = true,
		.disturb = { protect, cut_mappings, migrate_all } });
}

static const char *huge_swapped(void)
{
	return t_has_swap() ? storm((struct storm){
				      .huge = true,
				      .disturb = { page_out, collapse } })
			    : skip("no swap");
}

static const char *huge_forked(void)
{
	return storm((struct storm){ .huge = true,
				     .disturb = { fork_and_end, collapse } });
}

static const char *huge_unmapped(void)
{
	return storm((struct storm){ .huge = true,
				     .loses = true,
				     .disturb = { map_anew, drop, collapse } });
}

static const char *everything(void)
{
	return storm(
		(struct storm){ .huge = true,
				.disturb = { t_has_swap() ? page_out : look_on,
					     fork_and_end, migrate_all } });
}

static bool switch_swap_on(void)
{
	t_write_file("/sys/block/zram0/reset", "1");
	return t_write_file("/sys/block/zram0/disksize", "256M") &&
	       system("mkswap /dev/zram0 >/dev/null 2>&1") == 0 &&
	       swapon("/dev/zram0", 0) == 0;
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "storm: movers and stores", alone },
		{ "storm: mappings cut, locked, looked at", mappings_cut },
		{ "storm: fork", forked },
		{ "storm: migration and compaction", migrated },
		{ "storm: swap", swapped },
		{ "storm: swap and fork", swapped_and_forked },
		{ "storm: active pages looked at", looked_at },
		{ "storm: pinned, written to by a device", pinned },
		{ "storm: mremap", remapped },
		{ "storm: munmap, mmap, MADV_DONTNEED, MADV_FREE", unmapped },
		{ "storm: whole huge pages, migrated, fork", huge_whole },
		{ "storm: whole huge pages, split by others",
		  huge_whole_split },
		{ "storm: huge pages, collapsed again", huge },
		{ "storm: huge pages, split by protection, migrated",
		  huge_split },
		{ "storm: huge pages, swap", huge_swapped },
		{ "storm: huge pages, fork", huge_forked },
		{ "storm: huge pages, munmap", huge_unmapped },
		{ "storm: everything", everything },
	};
	struct tap tap = { 0, 0 };
	bool on;

	lab_only();
	on = switch_swap_on();
	t_write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	kmod_run(&tap, tests, T_COUNT(tests));
	if (on)
		tap_ok(&tap, swapoff("/dev/zram0") == 0, "swapoff in the end");
	return tap_done(&tap);
}
