/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that make, grow, shrink, free and adopt blocks of two heaps, give
 * them from heap to heap and hand them to one another, while one forks and its
 * children go on, and neighbours map, remap and advise memory of their own. All
 * that was written to a block is found in it, by whoever has it, at any time.
 *
 * PMV_SECONDS: how long each part runs (2 s); PMV_SEED.
 */
#include <pagemv/pagemv.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "marks.h"
#include "proc.h"
#include "t.h"
#include "tap.h"
#include "ways.h"

#define HEAPS	 2
#define WORKERS	 6
#define BLOCKS	 8 /* of a worker */
#define HANDOVER 8
#define MARKS	 40
#define AREA	 64 /* pages of a neighbour */

struct block {
	struct t_marked mem; /* at NULL: none */
	unsigned int heap;
};

struct storm {
	struct pagemv *pv;
	struct pagemv_heap *heap[HEAPS];
	bool stop;
	/* Blocks on their way from one worker to another; the lock guards which
	 * pointer is where, not the block. */
	pthread_mutex_t lock;
	struct block *handover[HANDOVER];
	/* Sums; atomic. */
	uint64_t made, grown, moved, given, handed, adopted, forked, disturbed;
	uint64_t next_id;
	const char *wrong; /* the first that was; static text */
};

struct worker {
	struct storm *s;
	struct t_random random;
	struct block *block[BLOCKS]; /* NULL: none */
	pthread_t thread;
};

static bool over(struct storm *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&s->wrong, __ATOMIC_RELAXED);
}

static bool expect(struct storm *s, bool ok, const char *what)
{
	const char *none = NULL;

	if (!ok)
		__atomic_compare_exchange_n(&s->wrong, &none, what, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return ok;
}

static void add(uint64_t *sum, uint64_t n)
{
	__atomic_fetch_add(sum, n, __ATOMIC_RELAXED);
}

static size_t below(struct worker *w, size_t limit)
{
	return t_random_below(&w->random, limit);
}

/* Mostly small, now and then of some MiB. */
static size_t any_size(struct worker *w)
{
	return 1 + below(w, (size_t)1 << (8 + below(w, 16)));
}

static void mark(struct storm *s, struct block *b)
{
	b->mem.id = __atomic_add_fetch(&s->next_id, 1, __ATOMIC_RELAXED);
	t_mark(&b->mem, MARKS);
}

static void check(struct storm *s, const struct block *b, size_t bytes)
{
	const char *what = t_check_marks(&b->mem, bytes);

	expect(s, what == NULL, what);
}

/* ---- what is done to a block ---- */

static void make(struct worker *w, size_t i)
{
	struct storm *s = w->s;
	struct block *b = calloc(1, sizeof(*b));
	uint32_t flags = below(w, 2) ? PAGEMV_ALLOC_ZERO : 0;
	void *at = NULL;

	if (!b)
		t_die("calloc");
	b->heap = (unsigned int)below(w, HEAPS);
	b->mem.bytes = any_size(w);
	if (!expect(s,
		    pagemv_heap_alloc(s->heap[b->heap], b->mem.bytes, flags,
				      &at) == 0,
		    "alloc")) {
		free(b);
		return;
	}
	b->mem.at = at;
	if (flags)
		expect(s, t_check_zeros(at, 0, b->mem.bytes) == NULL,
		       "a new block is not zero");
	mark(s, b);
	w->block[i] = b;
	add(&s->made, 1);
}

static void resize(struct worker *w, struct block *b)
{
	struct storm *s = w->s;
	uint32_t flags = below(w, 4) ? 0 : PAGEMV_ALLOC_MOVE;
	size_t bytes = below(w, 2) ? any_size(w)
				   : b->mem.bytes + t_pages(below(w, 16));
	struct t_marked old = b->mem;
	struct pagemv_result res;
	void *at = b->mem.at;
	const char *what;

	if (!expect(s,
		    pagemv_heap_realloc(s->heap[b->heap], b->mem.at, bytes,
					flags, &at, &res) == 0,
		    "realloc"))
		return;
	add(&s->moved, at != (void *)b->mem.at);
	old.at = b->mem.at = at;
	b->mem.bytes = bytes;
	what = t_check_marks(&old, bytes < old.bytes ? bytes : old.bytes);
	expect(s, what == NULL, what);
	mark(s, b);
	add(&s->grown, 1);
}

static void give(struct worker *w, struct block *b)
{
	struct storm *s = w->s;
	void *at = NULL;

	if (!expect(s,
		    pagemv_heap_give(s->heap[b->heap], b->mem.at,
				     s->heap[!b->heap], &at, NULL) == 0,
		    "give"))
		return;
	b->mem.at = at;
	b->heap = !b->heap;
	check(s, b, b->mem.bytes);
	add(&s->given, 1);
}

/* malloc()'s own, as large as its allocator maps by itself. */
static void adopt(struct worker *w, struct block *b)
{
	struct storm *s = w->s;
	struct block old = { .mem.bytes = 1 + below(w, (size_t)1 << 20) };
	void *at = NULL;

	old.mem.at = malloc(old.mem.bytes);
	if (!old.mem.at)
		return;
	mark(s, &old);
	expect(s,
	       pagemv_heap_free(s->heap[b->heap], b->mem.at) == 0 &&
		       pagemv_heap_adopt(s->heap[b->heap], old.mem.at,
					 old.mem.bytes, 2 * old.mem.bytes, &at,
					 NULL) == 0,
	       "adopt");
	free(old.mem.at);
	if (!at)
		return;
	old.mem.at = b->mem.at = at;
	b->mem.bytes = 2 * old.mem.bytes;
	check(s, &old, old.mem.bytes);
	mark(s, b);
	add(&s->adopted, 1);
}

static void free_block(struct storm *s, struct block **b)
{
	if (!*b)
		return;
	check(s, *b, (*b)->mem.bytes);
	expect(s, pagemv_heap_free(s->heap[(*b)->heap], (*b)->mem.at) == 0,
	       "free");
	free(*b);
	*b = NULL;
}

/* Another worker's, for this one or for none. */
static void exchange(struct worker *w, size_t i)
{
	struct storm *s = w->s;
	size_t at = below(w, HANDOVER);
	struct block *mine = w->block[i];

	pthread_mutex_lock(&s->lock);
	w->block[i] = s->handover[at];
	s->handover[at] = mine;
	pthread_mutex_unlock(&s->lock);
	if (w->block[i])
		check(s, w->block[i], w->block[i]->mem.bytes);
	add(&s->handed, 1);
}

static void do_one(struct worker *w)
{
	size_t i = below(w, BLOCKS), what = below(w, 16);

	if (what == 0)
		pagemv_heap_trim(w->s->heap[below(w, HEAPS)], NULL);
	else if (what < 4)
		exchange(w, i);
	else if (!w->block[i])
		make(w, i);
	else if (what < 9)
		resize(w, w->block[i]);
	else if (what < 11)
		give(w, w->block[i]);
	else if (what < 12)
		adopt(w, w->block[i]);
	else if (what < 14)
		free_block(w->s, &w->block[i]);
	else
		check(w->s, w->block[i], w->block[i]->mem.bytes);
}

static void free_all(struct worker *w)
{
	for (size_t i = 0; i < BLOCKS; i++)
		free_block(w->s, &w->block[i]);
}

/* ---- the threads ---- */

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!over(w->s))
		do_one(w);
	free_all(w);
	return NULL;
}

/* Goes on with the blocks that its one thread has. What others were at is lost
 * in it, and harms nobody. */
static void be_child(struct worker *w)
{
	for (int i = 0; i < 20; i++) {
		size_t at = below(w, BLOCKS);

		if (!w->block[at])
			make(w, at);
		else
			resize(w, w->block[at]);
		if (w->block[at] && below(w, 2))
			give(w, w->block[at]);
	}
	free_all(w);
	_exit(w->s->wrong != NULL);
}

static void *fork_often(void *arg)
{
	struct worker *w = arg;
	int status;

	while (!over(w->s)) {
		pid_t pid;

		for (int i = 0; i < 20; i++)
			do_one(w);
		pid = fork();
		if (pid == 0)
			be_child(w);
		expect(w->s,
		       pid > 0 && waitpid(pid, &status, 0) == pid &&
			       status == 0,
		       "a child of fork()");
		for (size_t i = 0; i < BLOCKS; i++)
			if (w->block[i])
				check(w->s, w->block[i],
				      w->block[i]->mem.bytes);
		add(&w->s->forked, 1);
	}
	free_all(w);
	return NULL;
}

/* The kernel's lock for mappings is everybody's, and so are its page tables. */
static void *disturb(void *arg)
{
	struct worker *w = arg;
	struct storm *s = w->s;

	while (!over(s)) {
		char *area = t_map(AREA), *at = area;

		memset(area, 0x5a, t_pages(AREA));
		madvise(area, t_pages(AREA / 2), MADV_DONTNEED);
		at = mremap(area, t_pages(AREA), t_pages(2 * AREA),
			    MREMAP_MAYMOVE);
		if (at == MAP_FAILED)
			t_die("mremap");
		expect(s,
		       at[0] == 0 && at[t_pages(AREA) - 1] == 0x5a &&
			       at[t_pages(AREA)] == 0,
		       "a neighbour's pages");
		mprotect(at, t_pages(3), PROT_READ);
		munmap(at, t_pages(2 * AREA));
		/* What is left beside it. */
		munmap(area - t_page(), t_page());
		munmap(area + t_pages(AREA), t_page());
		add(&s->disturbed, 1);
	}
	return NULL;
}

/* ---- parts ---- */

struct plan {
	const char *name;
	enum t_variant_id variant;
	uint32_t flags; /* PAGEMV_HEAP_* */
	uint32_t huge;	/* enum pagemv_heap_huge */
	bool forks;
};

static void check_end(struct storm *s)
{
	struct pagemv_heap_stats stats = { .size = sizeof(stats) };

	for (size_t i = 0; i < HANDOVER; i++)
		free_block(s, &s->handover[i]);
	for (size_t i = 0; i < HEAPS; i++) {
		expect(s, pagemv_heap_stats(s->heap[i], &stats) == 0, "stats");
		expect(s, stats.blocks == 0 && stats.block_bytes == 0,
		       "blocks are left");
		expect(s, pagemv_heap_trim(s->heap[i], NULL) == 0, "trim");
		expect(s, pagemv_heap_stats(s->heap[i], &stats) == 0, "stats");
		if (!expect(s, stats.warm_bytes == 0,
			    "warm bytes are left after trimming"))
			tap_say(stdout, "%" PRIu64 " bytes", stats.warm_bytes);
		expect(s, pagemv_heap_destroy(s->heap[i]) == 0, "destroy");
	}
}

static void run_threads(struct storm *s, const struct plan *plan)
{
	struct worker w[WORKERS + 2];
	size_t n = T_COUNT(w);

	for (size_t i = 0; i < n; i++) {
		void *(*run)(void *) = i < WORKERS   ? work
				       : i > WORKERS ? disturb
				       : plan->forks ? fork_often
						     : work;

		w[i] = (struct worker){ .s = s };
		w[i].random = t_random_make(t_env("PMV_SEED", 1) + i);
		if (pthread_create(&w[i].thread, NULL, run, &w[i]) != 0)
			t_die("pthread_create");
	}
	t_sleep_ms((unsigned int)t_env("PMV_SECONDS", 2) * 1000);
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < n; i++)
		pthread_join(w[i].thread, NULL);
}

static void run_plan(struct tap *tap, const struct plan *plan)
{
	const struct pagemv_heap_opts opts = { .size = sizeof(opts),
					       .flags = plan->flags,
					       .huge = plan->huge,
					       .decay_ms = 20,
					       .warm_bytes = (size_t)8 << 20 };
	struct storm s = { .pv = t_open(plan->variant),
			   .lock = PTHREAD_MUTEX_INITIALIZER };

	for (size_t i = 0; i < HEAPS; i++)
		if (pagemv_heap_create(s.pv, &opts, &s.heap[i]) != 0)
			t_die("pagemv_heap_create");
	run_threads(&s, plan);
	check_end(&s);
	pagemv_close(s.pv);
	tap_say(stdout,
		"%s: %" PRIu64 " made, %" PRIu64 " resized, %" PRIu64
		" moved, %" PRIu64 " given, %" PRIu64 " handed over, %" PRIu64
		" adopted, %" PRIu64 " forks, %" PRIu64 " neighbours'",
		plan->name, s.made, s.grown, s.moved, s.given, s.handed,
		s.adopted, s.forked, s.disturbed);
	if (!tap_ok(tap, s.wrong == NULL, plan->name))
		tap_say(stdout, "wrong: %s", s.wrong);
}

static const struct plan plans[] = {
	{ .name = "threads on two heaps" },
	{ .name = "the same, while one forks", .forks = true },
	{ .name = "without room to grow, with a thread that gives back",
	  .flags = PAGEMV_HEAP_TIGHT | PAGEMV_HEAP_BACKGROUND },
	{ .name = "with huge pages", .huge = PAGEMV_HEAP_HUGE_ALWAYS },
	{ .name = "without UFFDIO_MOVE", .variant = T_NO_MOVE },
	{ .name = "without userfaultfd, while one forks",
	  .variant = T_NO_UFFD,
	  .forks = true },
};

int main(void)
{
	struct tap tap = { 0, 0 };
	size_t fds, mappings;

	/* What is made once, and kept. */
	(void)t_present(&tap);
	run_plan(&tap, &plans[0]);
	fds = t_count_fds();
	mappings = t_count_mappings();
	for (size_t i = 1; i < T_COUNT(plans); i++)
		run_plan(&tap, &plans[i]);
	tap_ok(&tap, t_count_fds() == fds, "no descriptor is left open");
	if (!tap_ok(&tap, T_SANITIZED || t_count_mappings() <= mappings + 16,
		    "no mappings are left behind"))
		tap_say(stdout, "%zu, were %zu", t_count_mappings(), mappings);
	return tap_done(&tap);
}
