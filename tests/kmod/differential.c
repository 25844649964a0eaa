/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One random sequence of operations through the module, through UFFDIO_MOVE
 * where the kernel has it, and through a model in memory: the same answers, the
 * same bytes.
 *
 * PMV_SEED, PMV_STEPS: which sequence, and how long it is.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <unistd.h>

#include "pin.h"
#include "vm/scenarios/lab.h"
#include "world.h"

#define WORLDS 2

struct play {
	struct world world[WORLDS];
	size_t worlds;
	struct model model;
	struct t_random random;
	uint64_t next_id;
	uint64_t step;
	uint64_t answers[2]; /* right ones: success, failure */
};

static uint64_t below(struct play *p, uint64_t limit)
{
	return t_random_below(&p->random, limit);
}

/* ---- pages come and go ---- */

struct span {
	enum region region;
	size_t first;
	size_t pages;
};

/* Of a region that can be written to. */
static struct span some_span(struct play *p, size_t most)
{
	struct span s = { (enum region)below(p, EXECUTABLE + 1), 0,
			  1 + below(p, most) };

	s.first = below(p, REGION_PAGES - s.pages + 1);
	return s;
}

static char *span_at(const struct world *w, const struct span *s)
{
	return w->base[s->region] + t_pages(s->first);
}

/* Writing makes a shared page one's own; a pinned one stays what it is. */
static void fill(struct play *p)
{
	struct span s = some_span(p, 8);
	struct model_page *page;
	size_t i, w;

	for (i = 0; i < s.pages; i++) {
		page = &p->model.page[s.region][s.first + i];
		*page = (struct model_page){ DATA, p->next_id, false,
					     page->pinned };
		for (w = 0; w < p->worlds; w++)
			t_fill(span_at(&p->world[w], &s) + t_pages(i),
			       p->next_id, 1);
		p->next_id++;
	}
}

static void read_in(struct play *p)
{
	struct span s = some_span(p, 8);
	struct model_page *page;
	size_t i, w;

	for (i = 0; i < s.pages; i++) {
		page = &p->model.page[s.region][s.first + i];
		if (page->content == HOLE)
			page->content = ZERO;
		for (w = 0; w < p->worlds; w++)
			(void)*(volatile char *)(span_at(&p->world[w], &s) +
						 t_pages(i));
	}
}

/* The advice that locked pages are dropped by is not that of others. */
static void drop(struct play *p, const struct span *s)
{
	bool locked = s->region == LOCKED_1 || s->region == LOCKED_2;
	size_t i, w;

	for (i = 0; i < s->pages; i++)
		p->model.page[s->region][s->first + i] =
			(struct model_page){ .content = HOLE };
	for (w = 0; w < p->worlds; w++)
		if (madvise(span_at(&p->world[w], s), t_pages(s->pages),
			    locked ? 24 /* MADV_DONTNEED_LOCKED */
				   : MADV_DONTNEED) != 0)
			t_die("MADV_DONTNEED");
}

static void drop_some(struct play *p)
{
	const struct span s = some_span(p, 8);

	drop(p, &s);
}

/* Nobody can tell where a page is. */
static void page_out(struct play *p)
{
	struct span s = some_span(p, 24);
	size_t w;

	for (w = 0; w < p->worlds; w++)
		madvise(span_at(&p->world[w], &s), t_pages(s.pages),
			below(p, 3) == 0 ? MADV_WILLNEED : MADV_PAGEOUT);
}

/* ---- calls ---- */

static struct place some_place(struct play *p)
{
	struct place place = {
		(enum region)below(p, below(p, 8) == 0 ? REGIONS : LOCKED_1),
		(int64_t)t_pages(below(p, REGION_PAGES))
	};

	if (below(p, 60) == 0)
		place.off_bytes += 1 + (int64_t)below(p, t_page() - 1);
	return place;
}

static struct request some_request(struct play *p)
{
	struct request q = { some_place(p), some_place(p),
			     t_pages(below(p, 20)), below(p, 4) };
	int64_t up;

	if (below(p, 60) == 0)
		q.len += below(p, t_page());
	if (below(p, 60) == 0)
		q.mode |= UINT64_C(1) << below(p, 64);
	/* A range that leaves its mapping is one answer, told often enough. */
	if (below(p, 10) != 0 && q.len > t_page()) {
		int64_t end = (int64_t)t_pages(REGION_PAGES) - (int64_t)q.len;

		if (q.dst.off_bytes > end)
			q.dst.off_bytes = end;
		if (q.src.off_bytes > end)
			q.src.off_bytes = end;
	}
	/*
	 * Up into itself with holes: UFFDIO_MOVE takes a page along from hole
	 * to hole, the module takes pages as it found them. Neither is told.
	 */
	up = q.dst.off_bytes - q.src.off_bytes;
	if (q.dst.region == q.src.region && up > 0 && up < (int64_t)q.len)
		q.mode &= ~KMOD_HOLES;
	return q;
}

static const char *differs(struct play *p, const struct world *w,
			   const struct request *q, const struct outcome *is,
			   const struct outcome *want)
{
	struct request rest = *q;
	struct outcome next;

	/* What was in the way? */
	if (is->moved > 0 && is->moved < (int64_t)q->len) {
		rest.dst.off_bytes += is->moved;
		rest.src.off_bytes += is->moved;
		rest.len -= (uint64_t)is->moved;
		next = world_remap(w, &rest);
		tap_say(stdout, "the rest: %d, moved %" PRId64, next.r,
			next.moved);
	}
	return wrong("step %" PRIu64 ", %s: returned %d, moved %" PRId64
		     "; the model says %d, %" PRId64 " (dst %d+%" PRIx64
		     " src %d+%" PRIx64 " len %" PRIx64 " mode %" PRIx64 ")",
		     p->step, w->name, is->r, is->moved, want->r, want->moved,
		     q->dst.region, q->dst.off_bytes, q->src.region,
		     q->src.off_bytes, q->len, q->mode);
}

/* Or most calls would end at a page that is there. */
static void make_room(struct play *p, const struct request *q)
{
	const struct span s = { q->dst.region,
				(size_t)q->dst.off_bytes / t_page(),
				q->len / t_page() };

	if (s.region <= EXECUTABLE && s.pages > 0 &&
	    s.first + s.pages <= REGION_PAGES)
		drop(p, &s);
}

static const char *one_call(struct play *p)
{
	struct request q = some_request(p);
	struct outcome want, is;
	size_t w;

	if (below(p, 2) == 0)
		make_room(p, &q);
	want = model_remap(&p->model, &q);
	for (w = 0; w < p->worlds; w++) {
		is = world_remap(&p->world[w], &q);
		if (is.r != want.r || is.moved != want.moved)
			return differs(p, &p->world[w], &q, &is, &want);
	}
	p->answers[want.r != 0]++;
	return NULL;
}

static void tell_vector(const struct world *w, const struct request *q,
			const struct outcome *want,
			const struct pagemvio_range *range, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		tap_say(stdout,
			"range %zu: %d+%" PRIx64 " %s from %d+%" PRIx64
			" %s len %" PRIx64 ": %" PRId64 ", should be %" PRId64,
			i, q[i].dst.region, q[i].dst.off_bytes,
			t_present(world_at(w, q[i].dst)) ? "(there)" : "(none)",
			q[i].src.region, q[i].src.off_bytes,
			t_present(world_at(w, q[i].src)) ? "(there)" : "(none)",
			q[i].len, (int64_t)range[i].moved, want[i].moved);
}

/* What a vector's ranges are, in UFFDIO_MOVE's world and the model. */
static const char *one_vector(struct play *p)
{
	struct request q[12];
	struct outcome want[12], is;
	struct pagemvio_range range[12];
	size_t n = 1 + below(p, 12), i, w;

	for (i = 0; i < n; i++) {
		q[i] = some_request(p);
		q[i].mode = 0;
		want[i] = model_remap(&p->model, &q[i]);
	}
	for (w = 0; w < p->worlds; w++) {
		const struct world *at = &p->world[w];

		for (i = 0; i < n; i++)
			range[i] = (struct pagemvio_range){
				(uintptr_t)world_at(at, q[i].dst),
				(uintptr_t)world_at(at, q[i].src), q[i].len,
				KMOD_UNTOLD
			};
		kmod_fd = at->fd;
		if (at->module)
			kmod_remapv(range, n, 0, 0, NULL, NULL);
		for (i = 0; i < n; i++) {
			is = at->module ? (struct outcome){ want[i].r,
							    range[i].moved }
					: world_remap(at, &q[i]);
			if (is.moved != want[i].moved) {
				tell_vector(at, q, want, range, n);
				return differs(p, at, &q[i], &is, &want[i]);
			}
		}
	}
	return NULL;
}

/* Of what can be exchanged: neither shared nor pinned. */
static bool all_own(const struct play *p, struct place place, size_t pages)
{
	size_t first = (size_t)place.off_bytes / t_page(), i;

	for (i = 0; i < pages; i++)
		if (p->model.page[place.region][first + i].shared ||
		    p->model.page[place.region][first + i].pinned)
			return false;
	return true;
}

static const char *one_exchange(struct play *p)
{
	size_t pages = 1 + below(p, 12), w;
	struct place a = { (enum region)below(p, 2), 0 };
	struct place b = { PLAIN_3, 0 };

	a.off_bytes = (int64_t)t_pages(below(p, REGION_PAGES - pages));
	b.off_bytes = (int64_t)t_pages(below(p, REGION_PAGES - pages));
	if (!all_own(p, a, pages) || !all_own(p, b, pages))
		return NULL;
	model_exchange(&p->model, a, b, pages);
	for (w = 0; w < p->worlds; w++)
		world_exchange(&p->world[w], a, b, pages);
	return NULL;
}

/* ---- shared and pinned for a while ---- */

static const char *some_calls(struct play *p, size_t n)
{
	const char *what = NULL;

	for (; n > 0 && what == NULL; n--)
		what = one_call(p);
	return what;
}

/* What a page is made one's own by: a store that changes nothing. */
static void touch_shared(struct play *p)
{
	struct model_page *page;
	int region;
	size_t i, w;

	for (region = 0; region <= EXECUTABLE; region++)
		for (i = 0; i < REGION_PAGES; i++) {
			page = &p->model.page[region][i];
			if (!page->shared)
				continue;
			page->shared = false;
			for (w = 0; w < p->worlds; w++)
				__atomic_fetch_add(
					(uint8_t *)p->world[w].base[region] +
						t_pages(i),
					0, __ATOMIC_RELAXED);
		}
}

static const char *while_shared(struct play *p)
{
	const char *what;
	int region, go[2];
	size_t i;
	pid_t pid;
	char byte;

	if (pipe(go) != 0)
		t_die("pipe");
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		_exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
	}
	for (region = 0; region <= EXECUTABLE; region++)
		for (i = 0; i < REGION_PAGES; i++)
			p->model.page[region][i].shared =
				p->model.page[region][i].content == DATA;
	what = some_calls(p, 6);
	close(go[0]);
	close(go[1]);
	t_wait(pid);
	touch_shared(p);
	return what;
}

static const char *while_pinned(struct play *p)
{
	struct span s = { PLAIN_1, below(p, REGION_PAGES - 2), 2 };
	struct t_pin *pin[WORLDS] = { NULL };
	struct model_page *page = &p->model.page[s.region][s.first];
	const char *what = NULL, *why;
	size_t w, n;

	if (page[0].content != DATA || page[1].content != DATA)
		return NULL;
	for (n = 0; n < p->worlds; n++) {
		pin[n] = t_pin(span_at(&p->world[n], &s), t_pages(2), &why);
		if (pin[n] == NULL)
			break;
	}
	if (n == p->worlds) {
		page[0].pinned = page[1].pinned = true;
		what = some_calls(p, 10);
		page[0].pinned = page[1].pinned = false;
	}
	for (w = 0; w < n; w++)
		t_unpin(pin[w]);
	return what;
}

/* ---- the sequence ---- */

static const char *check(struct play *p)
{
	const char *what = NULL;
	size_t w;

	for (w = 0; w < p->worlds && what == NULL; w++)
		what = world_check(&p->world[w], &p->model);
	return what;
}

static const char *one_step(struct play *p)
{
	uint64_t n = below(p, 200);

	if (n < 30)
		fill(p);
	else if (n < 45)
		read_in(p);
	else if (n < 65)
		drop_some(p);
	else if (n < 75)
		page_out(p);
	else if (n < 78)
		return while_shared(p);
	else if (n < 80)
		return while_pinned(p);
	else if (n < 95 && p->world[0].module)
		return one_vector(p);
	else if (n < 105 && p->world[0].module)
		return one_exchange(p);
	else
		return one_call(p);
	return NULL;
}

static const char *sequence(uint64_t seed)
{
	uint64_t steps = t_env("PMV_STEPS", t_slow() > 1 ? 1500 : 6000);
	static struct play p;
	const char *what = NULL;

	p = (struct play){ .random = t_random_make(seed), .next_id = 1 };
	if (kmod_way() == KMOD_MODULE)
		p.worlds += world_open(&p.world[p.worlds], true);
	p.worlds += world_open(&p.world[p.worlds], false);
	MUST(p.worlds > 0, "no way to move");
	for (p.step = 1; p.step <= steps && what == NULL; p.step++) {
		what = one_step(&p);
		if (what == NULL && p.step % 50 == 0)
			what = check(&p);
	}
	if (what == NULL)
		what = check(&p);
	tap_say(stdout,
		"seed %" PRIu64 ", %zu worlds, %" PRIu64 " steps, %" PRIu64
		" calls moved all, %" PRIu64 " did not",
		seed, p.worlds, p.step - 1, p.answers[0], p.answers[1]);
	if (seed == 1)
		lab_seen("the module compared with", "the model%s",
			 p.worlds == WORLDS ? ", UFFDIO_MOVE" : "");
	return what;
}

static const char *first(void)
{
	return sequence(t_env("PMV_SEED", 1));
}

static const char *second(void)
{
	return sequence(t_env("PMV_SEED", 1) + 1);
}

static const char *third(void)
{
	return sequence(t_env("PMV_SEED", 1) + 2);
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "module, UFFDIO_MOVE and model agree: first", first },
		{ "module, UFFDIO_MOVE and model agree: second", second },
		{ "module, UFFDIO_MOVE and model agree: third", third },
	};
	struct tap tap = { 0, 0 };
	bool on;

	lab_only();
	t_write_file("/sys/block/zram0/reset", "1");
	on = t_write_file("/sys/block/zram0/disksize", "256M") &&
	     system("mkswap /dev/zram0 >/dev/null 2>&1") == 0 &&
	     swapon("/dev/zram0", 0) == 0;
	kmod_run(&tap, tests, T_COUNT(tests));
	if (on)
		tap_ok(&tap, swapoff("/dev/zram0") == 0, "swapoff in the end");
	return tap_done(&tap);
}
