/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Words that the other process writes while their pages move, and a page that
 * it has begun to write to.
 */
#include "trace.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lab.h"
#include "oracle.h"
#include "t.h"

#define RUN 8
/* How much longer than planned something may take to happen at all. */
#define PATIENCE_NS 20000000000u

static const char *const methods[METHODS] = { "process_vm_writev",
					      "/proc/PID/mem", "ptrace" };

/* ---- words written by the other process ---- */

struct words {
	struct t_case *c;
	char *src;
	char *heap;
	struct t_random random;
	bool stop;
	uint8_t seen[PAGES][SLOTS];
	uint64_t moved; /* pages */
	uint64_t pinned;
	uint64_t strangers;
	char text[160];
	pthread_t thread;
};

/* The first half of a page, which nobody but its mover writes. */
static void fill_half(char *page, size_t i)
{
	memset(page, (int)(i + 1), t_page() / 2);
}

static bool half_is_right(const char *page, size_t i)
{
	size_t at;

	for (at = 0; at < t_page() / 2; at++)
		if ((unsigned char)page[at] != i + 1)
			return false;
	return true;
}

static void harvest(struct words *w, char *page, size_t i)
{
	size_t k;

	for (k = 0; k < SLOTS; k++) {
		uint64_t word = *slot(page, k);

		if (word == word_of(i, k))
			w->seen[i][k]++;
		else if (word != 0)
			w->strangers++;
	}
}

/*
 * The kernel may hold a page that it found at src to write a word to it, and
 * write when the page has moved. Waits until such a word is there.
 */
static void let_land(void)
{
	uint64_t op = __atomic_load_n(&shared->op, __ATOMIC_SEQ_CST);

	while (op % 2 != 0 &&
	       op == __atomic_load_n(&shared->op, __ATOMIC_SEQ_CST))
		sched_yield();
}

/* Moves a run of pages away, takes their words, and writes them anew. */
static void move_run(struct words *w)
{
	size_t n = 1 + t_random_below(&w->random, RUN);
	size_t from = t_random_below(&w->random, PAGES - n + 1), done, i;
	struct pagemv_result res;
	int r = pagemv_move(w->c->pv, w->heap + t_pages(from),
			    w->src + t_pages(from), t_pages(n), &w->c->opts,
			    &res);

	done = (res.moved_bytes + res.copied_bytes) / t_page();
	add(&w->moved, done);
	w->pinned += r == -EBUSY && res.reason == PAGEMV_REASON_PINNED;
	if (r != 0 && r != -EAGAIN &&
	    !(r == -EBUSY && res.reason == PAGEMV_REASON_PINNED))
		snprintf(w->text, sizeof(w->text), "%zu pages: %d (%s)", n, r,
			 pagemv_reason_string(res.reason));
	let_land();
	for (i = from; i < from + done; i++) {
		char *page = w->heap + t_pages(i);

		if (!half_is_right(page, i))
			snprintf(w->text, sizeof(w->text),
				 "page %zu is not what it was", i);
		harvest(w, page, i);
		t_drop(page, 1);
		fill_half(w->src + t_pages(i), i);
	}
}

static void *move_runs(void *arg)
{
	struct words *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED) &&
	       w->text[0] == '\0')
		move_run(w);
	return NULL;
}

static void *sleep_until_stop(void *arg)
{
	struct words *w = arg;

	__atomic_store_n(&shared->victim, (pid_t)syscall(SYS_gettid),
			 __ATOMIC_RELEASE);
	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED))
		t_sleep_ms(5);
	return NULL;
}

/* Each word that was written: how often it was found. */
struct found {
	uint64_t written;
	uint64_t lost;
	uint64_t more_than_once;
};

static struct found count_words(struct words *w)
{
	struct found f = { 0 };
	size_t i, k;

	for (i = 0; i < PAGES; i++) {
		harvest(w, w->src + t_pages(i), i);
		for (k = 0; k < SLOTS; k++) {
			bool written = k < shared->written[i];

			f.written += written;
			f.lost += written && w->seen[i][k] == 0;
			f.more_than_once += w->seen[i][k] > written;
		}
	}
	return f;
}

/* For so long, and until something was moved and something written. */
static void last(const struct words *w, uint64_t ms)
{
	uint64_t begin = t_now_ns(), passed = 0;
	bool idle = true;

	while (w->text[0] == '\0' &&
	       (passed < ms * 1000000 || (passed < PATIENCE_NS && idle))) {
		t_sleep_ms(2);
		passed = t_now_ns() - begin;
		idle = __atomic_load_n(&w->moved, __ATOMIC_RELAXED) == 0 ||
		       __atomic_load_n(&shared->op, __ATOMIC_RELAXED) < 2;
	}
}

static void storm_of_words(struct words *w, uint64_t ms)
{
	pthread_t victim;

	if (pthread_create(&victim, NULL, sleep_until_stop, w) != 0)
		t_die("pthread_create");
	while (__atomic_load_n(&shared->victim, __ATOMIC_ACQUIRE) == 0)
		t_sleep_ms(1);
	order(WRITE);
	if (pthread_create(&w->thread, NULL, move_runs, w) != 0)
		t_die("pthread_create");
	last(w, ms);
	order_end();
	__atomic_store_n(&w->stop, true, __ATOMIC_RELAXED);
	pthread_join(w->thread, NULL);
	pthread_join(victim, NULL);
}

static bool copies(const struct t_case *c)
{
	return c->way == T_COPY ||
	       (!t_case_never_copies(c) &&
		c->caps.mech[PAGEMV_MECH_MOVE].available == 0);
}

/*
 * Can a word be written to a page that has been copied already? What the kernel
 * holds is left behind by copying. Where UFFDIO_MOVE detaches, it refuses pages
 * held as process_vm_writev holds them (pinned); what ptrace and /proc/PID/mem
 * hold (a plain reference) nothing tells of.
 */
static bool may_lose(const struct t_case *c, enum method method)
{
	return copies(c) && (method != BY_WRITEV ||
			     (c->caps.facilities & PAGEMV_HAS_PIN_CHECK) == 0);
}

static uint64_t words_written[METHODS], words_lost[METHODS];

static void tell_words(struct tap *tap, struct words *w, enum method method,
		       const struct found *f)
{
	const struct t_case *c = w->c;
	tap_say(stdout,
		"%s, %s: %" PRIu64 " words, %" PRIu64 " lost, %" PRIu64
		" pages moved, met as pinned %" PRIu64 " times",
		methods[method], c->name, f->written, f->lost, w->moved,
		w->pinned);
	trace_result(tap, c, w->text[0] == '\0' && w->moved > 0,
		     methods[method], "pages are where the results say");
	if (w->text[0] != '\0')
		tap_say(stdout, "%s", w->text);
	trace_result(tap, c,
		     f->written > 0 && f->more_than_once == 0 &&
			     w->strangers == 0,
		     methods[method], "no word is where it does not belong");
	if (may_lose(c, method)) {
		words_written[method] += f->written;
		words_lost[method] += f->lost;
	} else {
		trace_result(tap, c, f->lost == 0, methods[method],
			     "no word lost");
	}
}

static void write_by(struct tap *tap, struct t_case *c, enum method method,
		     uint64_t ms)
{
	static struct words w;
	struct found f;
	size_t i;

	memset(&w, 0, sizeof(w));
	w.c = c;
	w.src = t_case_map(c, PAGES);
	w.heap = t_case_heap(c, PAGES);
	w.random = t_random_make(t_env("PMV_SEED", 1));
	for (i = 0; i < PAGES; i++)
		fill_half(w.src + t_pages(i), i);
	clear_shared();
	shared->place.src = w.src;
	shared->method = method;
	storm_of_words(&w, ms);
	if (shared->text[0] != '\0')
		snprintf(w.text, sizeof(w.text), "%.150s", shared->text);
	f = count_words(&w);
	tell_words(tap, &w, method, &f);
}

void run_words(struct tap *tap)
{
	uint64_t ms = t_env("PMV_SECONDS", 0) * 1000;
	unsigned int method;
	struct t_case c;

	t_cases(&c, T_WAYS_LIVE);
	while (t_next_case(&c))
		for (method = 0; method < METHODS; method++)
			write_by(tap, &c, method, ms == 0 ? 100 : ms);
	for (method = 0; method < METHODS; method++)
		lab_seen("words another process stores while pages are copied",
			 "%s: %" PRIu64 " of %" PRIu64
			 " lost with pages the kernel held",
			 methods[method], words_lost[method],
			 words_written[method]);
}

/* ---- a page that another process has begun to write to ---- */

#define HELD 4

static bool order_hold(char *src)
{
	clear_shared();
	shared->place.src = src;
	order(HOLD);
	while (!__atomic_load_n(&shared->held, __ATOMIC_ACQUIRE) &&
	       !__atomic_load_n(&shared->cannot_hold, __ATOMIC_ACQUIRE) &&
	       shared->text[0] == '\0')
		t_sleep_ms(1);
	return shared->held;
}

static uint64_t first_counter(const char *page)
{
	return ((const struct t_head *)(const void *)page)->counter;
}

void held_page(struct tap *tap, struct t_case *c)
{
	char *src = t_case_map(c, HELD), *dst = t_case_heap(c, HELD);
	struct pagemv_result res;
	const char *what;
	bool held, refused, kept;
	int r;

	t_fill_range(src, HELD, 1);
	held = order_hold(src);
	r = pagemv_move(c->pv, dst, src, t_pages(HELD), &c->opts, &res);
	order_end();
	if (!held && shared->text[0] == '\0') {
		tap_skip(tap,
			 "held: no userfaultfd that shows faults of the "
			 "kernel",
			 "no such userfaultfd");
		return;
	}
	refused = r == -EBUSY && res.reason == PAGEMV_REASON_PINNED &&
		  res.left_bytes == t_pages(HELD);
	kept = first_counter(refused ? src : dst) == HELD_WORD;
	what = refused ? "refused as pinned, then moved"
	       : kept  ? "moved, and the word is stored there"
		       : "copied, and the word is lost";
	if (refused)
		r = pagemv_move(c->pv, dst, src, t_pages(HELD), &c->opts, &res);
	trace_result(tap, c,
		     shared->text[0] == '\0' && r == 0 &&
			     t_check_range(dst, HELD, 1) == NULL &&
			     t_check_absent(src, HELD) == NULL,
		     "held", "pages are where the results say");
	if (!may_lose(c, BY_WRITEV))
		trace_result(tap, c, first_counter(dst) == HELD_WORD, "held",
			     "the word is not lost");
	lab_seen("page held by process_vm_writev", "%s: %s", c->name, what);
}
