/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random sequences of everything against a model in memory: after each step
 * every page is where the model says, with the identity and version it had.
 *
 * PMV_SEED=n replays one run (the seed is part of every message);
 * PMV_LONG=1 runs ten times as many steps.
 */
#include "live.h"

#include <sys/mman.h>
#include <unistd.h>

#include "pin.h"

/* Slots 0 .. HEAP - 1 are a region, the rest is ordinary memory behind it. */
#define HEAP	  64
#define SLOTS	  104
#define RELOCATED 6

/* What one slot holds. */
struct slot {
	uint64_t id; /* 0: nothing */
	uint64_t version;
	bool zero; /* a page of zeros (then id is 0) */
};

struct world {
	struct t_case *c;
	struct t_random random;
	uint64_t seed;
	size_t step;
	const char *what; /* the operation, for messages */
	char *base;	  /* slot 0; HEAP and rest are two mappings */
	char *rest;	  /* slot HEAP */
	struct slot slots[SLOTS];
	uint64_t next_id;
	size_t protected_slot; /* read-only, SLOTS: none */
	struct t_pin *pin;
	size_t pinned_slot; /* SLOTS: none */
	pid_t child;
	int child_pipe;
	bool broken;
	size_t moves; /* calls, and those that repaired */
	size_t repaired;
};

static size_t below(struct world *w, size_t limit)
{
	return t_random_below(&w->random, limit);
}

static char *addr(const struct world *w, size_t slot)
{
	return slot < HEAP ? w->base + t_pages(slot)
			   : w->rest + t_pages(slot - HEAP);
}

static bool empty(const struct slot *s)
{
	return s->id == 0 && !s->zero;
}

#define EXPECT(w, condition, ...)                                      \
	do {                                                           \
		if (!(condition)) {                                    \
			char e_text[200];                              \
			snprintf(e_text, sizeof(e_text), __VA_ARGS__); \
			(w)->broken = true;                            \
			cr_expect(0,                                   \
				  "[%s] PMV_SEED=%" PRIu64             \
				  " step %zu, %s: %s (expected: %s)",  \
				  (w)->c->name, (w)->seed, (w)->step,  \
				  (w)->what, e_text, #condition);      \
		}                                                      \
	} while (0)

/* --- the model against the memory --- */

static const char *slot_wrong(const struct world *w, size_t i)
{
	const struct slot *s = &w->slots[i];

	if (s->id != 0)
		return t_check(addr(w, i), s->id, s->version);
	if (s->zero)
		return t_check_zero(addr(w, i), 1);
	return t_check_absent(addr(w, i), 1);
}

static void expect_model(struct world *w)
{
	const char *wrong;
	size_t i;

	for (i = 0; i < SLOTS && !w->broken; i++) {
		wrong = slot_wrong(w, i);
		EXPECT(w, wrong == NULL, "slot %zu: %s", i, wrong);
	}
}

/* --- changes outside of the library --- */

static void new_page(struct world *w, size_t i)
{
	if (i == w->protected_slot || i == w->pinned_slot)
		return;
	w->slots[i] = (struct slot){ ++w->next_id, 1, false };
	t_fill(addr(w, i), w->next_id, 1);
}

static void op_write(struct world *w)
{
	size_t i = below(w, SLOTS);

	w->what = "write";
	if (i == w->protected_slot || i == w->pinned_slot)
		return;
	if (w->slots[i].id == 0) {
		new_page(w, i);
	} else {
		w->slots[i].version++;
		t_fill(addr(w, i), w->slots[i].id, w->slots[i].version);
	}
}

static void op_read(struct world *w)
{
	size_t i = below(w, SLOTS);

	w->what = "read";
	if (empty(&w->slots[i]) && i != w->protected_slot) {
		w->slots[i].zero = true;
		EXPECT(w, *(volatile char *)addr(w, i) == 0, "not zero");
	}
}

static void op_drop(struct world *w)
{
	size_t i = below(w, SLOTS);

	w->what = "MADV_DONTNEED";
	if (i == w->pinned_slot)
		return;
	t_drop(addr(w, i), 1);
	w->slots[i] = (struct slot){ 0, 0, false };
}

static void op_advise(struct world *w)
{
	static const int advice[] = { MADV_PAGEOUT, MADV_COLD,
				      MADV_POPULATE_WRITE };
	size_t i = below(w, SLOTS), a = below(w, T_COUNT(advice));

	w->what = "madvise";
	if (i == w->protected_slot || i == w->pinned_slot ||
	    (advice[a] == MADV_POPULATE_WRITE && empty(&w->slots[i])))
		return;
	(void)madvise(addr(w, i), t_page(), advice[a]);
}

static void op_protect(struct world *w)
{
	w->what = "mprotect";
	if (w->protected_slot < SLOTS) {
		if (mprotect(addr(w, w->protected_slot), t_page(),
			     PROT_READ | PROT_WRITE) != 0)
			t_die("mprotect");
		w->protected_slot = SLOTS;
		return;
	}
	w->protected_slot = below(w, SLOTS);
	if (mprotect(addr(w, w->protected_slot), t_page(), PROT_READ) != 0)
		t_die("mprotect");
}

static void end_child(struct world *w)
{
	if (w->child == 0)
		return;
	close(w->child_pipe);
	EXPECT(w, t_wait(w->child) == 0, "child");
	w->child = 0;
}

static void op_fork(struct world *w)
{
	int fds[2];
	char byte;

	w->what = "fork";
	if (w->child != 0) {
		end_child(w);
		return;
	}
	if (pipe(fds) != 0)
		t_die("pipe");
	fflush(NULL);
	w->child = fork();
	if (w->child == 0) {
		close(fds[1]);
		_exit(read(fds[0], &byte, 1) == 0 ? 0 : 1);
	}
	close(fds[0]);
	w->child_pipe = fds[1];
}

/* Only where every way to move sees a pin, or does not mind it. */
static bool pins_are_seen(const struct world *w)
{
	return w->c->way != T_COPY_QUIESCENT &&
	       ((w->c->caps.facilities & PAGEMV_HAS_PIN_CHECK) != 0 ||
		w->c->way == T_MOVE);
}

static void let_go(struct world *w)
{
	t_unpin(w->pin);
	w->pin = NULL;
	w->pinned_slot = SLOTS;
}

static void op_pin(struct world *w)
{
	size_t i = below(w, SLOTS);
	const char *why;

	w->what = "pin";
	if (w->pin != NULL) {
		let_go(w);
		return;
	}
	if (!pins_are_seen(w) || w->slots[i].id == 0 || i == w->protected_slot)
		return;
	w->pin = t_pin(addr(w, i), t_page(), &why);
	if (w->pin != NULL)
		w->pinned_slot = i;
}

/* --- what a move is to do --- */

struct range {
	size_t dst;
	size_t src;
	size_t n;
	uint32_t flags;
};

static bool in_range(size_t slot, size_t from, size_t n)
{
	return slot >= from && slot < from + n;
}

static bool overlaps(const struct range *q)
{
	return in_range(q->dst, q->src, q->n) || in_range(q->src, q->dst, q->n);
}

/* A random request; dst inside the region, src anywhere, on one side of it. */
static struct range some_range(struct world *w)
{
	struct range q;
	size_t limit;

	q.n = 1 + below(w, below(w, 4) == 0 ? 24 : 6);
	q.dst = below(w, HEAP - q.n + 1);
	q.src = below(w, 2) == 0 ? below(w, HEAP - q.n + 1)
				 : HEAP + below(w, SLOTS - HEAP - q.n + 1);
	limit = below(w, 4);
	q.flags = (limit & 1 ? PAGEMV_MOVE_HOLES : 0) |
		  (limit & 2 ? PAGEMV_MOVE_REPLACE : 0);
	return q;
}

static bool touches_protected(const struct world *w, const struct range *q)
{
	return w->protected_slot < SLOTS &&
	       (in_range(w->protected_slot, q->dst, q->n) ||
		in_range(w->protected_slot, q->src, q->n));
}

/* May mremap carry a pinned page along in this case? */
static bool pin_may_move(const struct world *w)
{
	return (w->c->opts.flags & PAGEMV_MOVE_MAY_REMAP) != 0;
}

/* The reason for which page i of q cannot go, as the model sees it. */
static enum pagemv_reason obstacle(const struct world *w, const struct range *q,
				   size_t i)
{
	const struct slot *src = &w->slots[q->src + i];
	const struct slot *dst = &w->slots[q->dst + i];
	bool taken = !empty(dst) && !in_range(q->dst + i, q->src, q->n);

	if (empty(src) && (q->flags & PAGEMV_MOVE_HOLES) == 0)
		return PAGEMV_REASON_HOLE;
	if (taken && (q->flags & PAGEMV_MOVE_REPLACE) == 0)
		return PAGEMV_REASON_OCCUPIED;
	if (q->src + i == w->pinned_slot && q->dst != q->src)
		return PAGEMV_REASON_PINNED;
	return PAGEMV_REASON_NONE;
}

/* Moves the first n slots of q in the model, as memmove() would. */
static void move_model(struct world *w, const struct range *q, size_t n)
{
	struct slot moved[SLOTS];
	size_t i;

	if (q->src == q->dst)
		return;
	memcpy(moved, &w->slots[q->src], n * sizeof(moved[0]));
	for (i = 0; i < n; i++)
		w->slots[q->src + i] = (struct slot){ 0, 0, false };
	memcpy(&w->slots[q->dst], moved, n * sizeof(moved[0]));
	/* The pinned page went along, or was replaced. */
	if (in_range(w->pinned_slot, q->src, n) ||
	    in_range(w->pinned_slot, q->dst, n))
		let_go(w);
}

/*
 * Where a step stopped in a way that the model does not predict exactly (an
 * overlap that failed half way, pages gone from dst after REPLACE), the pages
 * are looked for: each that was at src is there once, others are untouched
 * or, with REPLACE, gone. The model takes over what is found.
 */
static bool may_be_gone(size_t slot, const struct range *q, size_t n)
{
	bool replaced = false;
	size_t i;

	for (i = 0; i < n; i++) {
		if (in_range(slot, q[i].src, q[i].n))
			return false;
		if ((q[i].flags & PAGEMV_MOVE_REPLACE) != 0 &&
		    in_range(slot, q[i].dst, q[i].n))
			replaced = true;
	}
	return replaced;
}

static void adopt(struct world *w, const struct range *q, size_t n)
{
	struct slot found[SLOTS];
	size_t i, j;

	for (i = 0; i < SLOTS; i++) {
		found[i] = (struct slot){ 0, 0, false };
		switch (t_look(addr(w, i), &found[i].id, &found[i].version)) {
		case T_TORN:
			EXPECT(w, false, "slot %zu is torn", i);
			break;
		case T_ZERO:
			found[i].zero = true;
			break;
		default:
			break;
		}
	}
	for (i = 0; i < SLOTS; i++) {
		size_t times = 0;

		if (w->slots[i].id == 0)
			continue;
		for (j = 0; j < SLOTS; j++)
			times += found[j].id == w->slots[i].id &&
				 found[j].version == w->slots[i].version;
		if (times == 0 && may_be_gone(i, q, n))
			continue;
		EXPECT(w, times == 1,
		       "page %" PRIu64 " of slot %zu was found "
		       "%zu times",
		       w->slots[i].id, i, times);
	}
	for (i = 0; i < n; i++)
		if (w->pin != NULL &&
		    in_range(w->pinned_slot, q[i].dst, q[i].n) &&
		    (q[i].flags & PAGEMV_MOVE_REPLACE) != 0)
			let_go(w); /* perhaps replaced */
	memcpy(w->slots, found, sizeof(found));
}

static void expect_sums(struct world *w, const struct range *q, int r,
			const struct pagemv_result *res)
{
	EXPECT(w,
	       res->moved_bytes + res->copied_bytes + res->hole_bytes +
			       res->left_bytes ==
		       t_pages(q->n),
	       "%zu + %zu + %zu + %zu of %zu", res->moved_bytes,
	       res->copied_bytes, res->hole_bytes, res->left_bytes,
	       t_pages(q->n));
	EXPECT(w,
	       res->error == r && (r == 0) == (res->left_bytes == 0) &&
		       (r == 0) == (res->reason == PAGEMV_REASON_NONE),
	       "returned %d, error %d, reason %s, left %zu", r, res->error,
	       pagemv_reason_string(res->reason), res->left_bytes);
	EXPECT(w, res->reason != PAGEMV_REASON_UNEXPECTED, "unexpected");
	EXPECT(w, res->stray == NULL, "stray pages without a race");
}

/* Checks the result of a move without overlap and brings the model up. */
static void follow_exactly(struct world *w, const struct range *q,
			   const struct pagemv_result *res)
{
	enum pagemv_reason why = PAGEMV_REASON_NONE;
	size_t done;

	for (done = 0; done < q->n && why == PAGEMV_REASON_NONE; done++) {
		why = obstacle(w, q, done);
		if (why == PAGEMV_REASON_PINNED && pin_may_move(w) &&
		    res->left_off > t_pages(done))
			why = PAGEMV_REASON_NONE;
	}
	if (why != PAGEMV_REASON_NONE)
		done--;
	EXPECT(w, res->left_off == t_pages(done), "left_off %zu, not %zu (%s)",
	       res->left_off / t_page(), done, pagemv_reason_string(why));
	/* A hole that faces a page is wrong in two ways. */
	if (res->reason == PAGEMV_REASON_OCCUPIED &&
	    why == PAGEMV_REASON_HOLE && !empty(&w->slots[q->dst + done]))
		why = PAGEMV_REASON_OCCUPIED;
	/* Where it seems possible that a page moved and was not counted. */
	if (res->reason == PAGEMV_REASON_RACED &&
	    why == PAGEMV_REASON_OCCUPIED &&
	    (w->c->caps.quirks & PAGEMV_QUIRK_MISCOUNT) != 0)
		why = PAGEMV_REASON_RACED;
	/* So is a pinned page that faces one. */
	if (res->reason == PAGEMV_REASON_PINNED &&
	    why == PAGEMV_REASON_OCCUPIED && q->src + done == w->pinned_slot)
		why = PAGEMV_REASON_PINNED;
	EXPECT(w, res->reason == (uint32_t)why, "%s; not: %s",
	       pagemv_reason_string(res->reason), pagemv_reason_string(why));
	move_model(w, q, done);
	if (done < q->n && (q->flags & PAGEMV_MOVE_REPLACE) != 0)
		adopt(w, q, 1);
}

static void follow(struct world *w, const struct range *q, int r,
		   const struct pagemv_result *res)
{
	expect_sums(w, q, r, res);
	if (touches_protected(w, q)) {
		EXPECT(w, r == -EINVAL || (r == 0 && q->src == q->dst),
		       "protected: returned %d (%s)", r,
		       pagemv_reason_string(res->reason));
		EXPECT(w, r == 0 || res->left_bytes == t_pages(q->n),
		       "protected, but moved");
	} else if (res->repaired_bytes != 0) {
		/*
		 * Nobody else is at work here, so the kernel counted right,
		 * and what looked as if it had not was a hole facing a page.
		 * The library cannot be certain on a kernel that miscounts,
		 * and says so; no page may be lost by it.
		 */
		EXPECT(w, (w->c->caps.quirks & PAGEMV_QUIRK_MISCOUNT) != 0,
		       "repaired %zu", res->repaired_bytes);
		w->repaired++;
		adopt(w, q, 1);
	} else if (!overlaps(q)) {
		follow_exactly(w, q, res);
	} else if (r == 0) {
		move_model(w, q, q->n);
	} else {
		adopt(w, q, 1);
	}
}

static struct pagemv_move_opts options(const struct world *w, uint32_t flags)
{
	return t_opts(w->c, flags);
}

static void op_move(struct world *w)
{
	struct range q = some_range(w);
	const struct pagemv_move_opts opts = options(w, q.flags);
	struct pagemv_result res;
	int r;

	w->what = "move";
	w->moves++;
	memset(&res, 0xa5, sizeof(res));
	r = pagemv_move(w->c->pv, addr(w, q.dst), addr(w, q.src), t_pages(q.n),
			&opts, &res);
	follow(w, &q, r, &res);
}

/* Ranges that have nothing to do with each other: then order is no matter. */
static size_t some_ranges(struct world *w, struct range *q, size_t n)
{
	bool used[SLOTS] = { false };
	size_t i, j, found = 0;

	for (i = 0; i < 8 * n && found < n; i++) {
		struct range r = some_range(w);
		bool ok = !overlaps(&r);

		for (j = 0; j < r.n; j++)
			ok = ok && !used[r.dst + j] && !used[r.src + j];
		if (!ok || touches_protected(w, &r))
			continue;
		for (j = 0; j < r.n; j++)
			used[r.dst + j] = used[r.src + j] = true;
		r.flags = found == 0 ? r.flags : q[0].flags;
		q[found++] = r;
	}
	return found;
}

static void op_movev(struct world *w)
{
	struct pagemv_seg segs[4];
	struct range q[4];
	size_t n = some_ranges(w, q, 1 + below(w, 4)), i;
	struct pagemv_move_opts opts;
	struct pagemv_result res;
	size_t left = 0;
	int r, first = 0;

	w->what = "movev";
	if (n == 0)
		return;
	opts = options(w, q[0].flags);
	for (i = 0; i < n; i++)
		segs[i] = (struct pagemv_seg){ addr(w, q[i].dst),
					       addr(w, q[i].src),
					       t_pages(q[i].n),
					       1,
					       1,
					       1 };
	r = pagemv_movev(w->c->pv, segs, n, &opts, &res);
	for (i = n; i-- > 0;)
		first = segs[i].error != 0 ? segs[i].error : first;
	for (i = 0; i < n; i++) {
		left += segs[i].left_bytes;
		EXPECT(w, (segs[i].error == 0) == (segs[i].left_bytes == 0),
		       "range %zu: error %d, left %zu", i, segs[i].error,
		       segs[i].left_bytes);
		if (segs[i].error == 0)
			move_model(w, &q[i], q[i].n);
	}
	EXPECT(w, r == first, "returned %d, the first range %d", r, first);
	EXPECT(w, res.left_bytes == left, "left %zu, not %zu", res.left_bytes,
	       left);
	if (r != 0 || res.repaired_bytes != 0)
		adopt(w, q, n);
}

static void op_exchange(struct world *w)
{
	struct range q = some_range(w);
	struct pagemv_move_opts opts;
	struct pagemv_result res;
	size_t done, i;
	int r;

	w->what = "exchange";
	q.src = below(w, HEAP - q.n + 1);
	q.flags &= PAGEMV_MOVE_HOLES;
	if (overlaps(&q))
		return;
	opts = options(w, q.flags);
	memset(&res, 0xa5, sizeof(res));
	r = pagemv_exchange(w->c->pv, addr(w, q.dst), addr(w, q.src),
			    t_pages(q.n), &opts, &res);
	expect_sums(w, &q, r, &res);
	done = res.left_off / t_page();
	if (touches_protected(w, &q))
		EXPECT(w, r == -EINVAL && done == 0, "protected: %d", r);
	for (i = 0; i < done; i++) {
		struct slot s = w->slots[q.dst + i];

		w->slots[q.dst + i] = w->slots[q.src + i];
		w->slots[q.src + i] = s;
	}
	if (in_range(w->pinned_slot, q.dst, done) ||
	    in_range(w->pinned_slot, q.src, done))
		let_go(w);
	for (i = 0; i < q.n && r == 0 && q.flags == 0; i++)
		EXPECT(w,
		       !empty(&w->slots[q.dst + i]) &&
			       !empty(&w->slots[q.src + i]),
		       "exchanged a hole");
}

/* Bytes of one page or a few, from and to fresh pages of their own. */
static void op_relocate(struct world *w)
{
	struct pagemv_move_opts opts = options(w, 0);
	size_t from = HEAP + below(w, SLOTS - HEAP - RELOCATED + 1);
	size_t to = below(w, HEAP - RELOCATED + 1), off, bytes, i;
	unsigned char *copy = malloc(t_pages(RELOCATED));
	struct range q = { to, from, RELOCATED, 0 };
	struct pagemv_result res;
	int r;

	w->what = "relocate";
	if (copy == NULL)
		t_die("memory");
	off = below(w, t_page());
	bytes = 1 + below(w, t_pages(RELOCATED) - off);
	if (!touches_protected(w, &q) &&
	    !in_range(w->pinned_slot, q.dst, q.n) &&
	    !in_range(w->pinned_slot, q.src, q.n)) {
		for (i = 0; i < RELOCATED; i++)
			new_page(w, from + i);
		memcpy(copy, addr(w, from), t_pages(RELOCATED));
		t_drop(addr(w, to), RELOCATED);
		r = pagemv_relocate(w->c->pv, addr(w, to) + off,
				    addr(w, from) + off, bytes, &opts, &res);
		EXPECT(w, r == 0, "returned %d (%s)", r,
		       pagemv_reason_string(res.reason));
		EXPECT(w, memcmp(addr(w, to) + off, copy + off, bytes) == 0,
		       "%zu bytes at %zu are not the same", bytes, off);
		t_drop(addr(w, to), RELOCATED);
		t_drop(addr(w, from), RELOCATED);
		for (i = 0; i < RELOCATED; i++) {
			w->slots[to + i] = (struct slot){ 0, 0, false };
			w->slots[from + i] = (struct slot){ 0, 0, false };
		}
	}
	free(copy);
}

/* --- the runs --- */

static void one_step(struct world *w)
{
	static void (*const ops[])(struct world *) = {
		op_move,     op_move,  op_move,	 op_move,     op_move,
		op_move,     op_movev, op_movev, op_exchange, op_exchange,
		op_relocate, op_write, op_write, op_write,    op_write,
		op_drop,     op_drop,  op_read,	 op_advise,   op_protect,
		op_pin,	     op_fork,
	};

	ops[below(w, T_COUNT(ops))](w);
	expect_model(w);
}

static void open_world(struct world *w, struct t_case *c, uint64_t seed)
{
	size_t i;

	*w = (struct world){ .c = c, .seed = seed };
	w->random = t_random_make(seed);
	w->protected_slot = SLOTS;
	w->pinned_slot = SLOTS;
	w->base = t_case_heap(c, HEAP);
	w->rest = t_case_map(c, SLOTS - HEAP);
	for (i = 0; i < SLOTS; i++)
		if (below(w, 3) != 0)
			new_page(w, i);
}

static void close_world(struct world *w)
{
	end_child(w);
	if (w->pin != NULL)
		t_unpin(w->pin);
}

static void run_world(struct t_case *c, uint64_t seed, size_t steps)
{
	static struct world w;

	open_world(&w, c, seed);
	for (w.step = 0; w.step < steps && !w.broken; w.step++)
		one_step(&w);
	close_world(&w);
	/* The counts cannot be told from what is there in some of the cases
	 * that are wrong in two ways; these are about one in ten of all. */
	T_EXPECT(c, w.repaired <= 3 + w.moves / 10,
		 "PMV_SEED=%" PRIu64
		 ": %zu of %zu moves were taken for miscounted",
		 seed, w.repaired, w.moves);
	if (w.repaired != 0)
		cr_log_info("[%s] %zu of %zu moves were taken for miscounted",
			    c->name, w.repaired, w.moves);
}

static void run_worlds(unsigned int ways)
{
	uint64_t seed = t_env("PMV_SEED", 0);
	size_t steps = t_env("PMV_LONG", 0) != 0 ? 20000 : 1000;
	struct t_case c;

	if (seed == 0)
		seed = t_now_ns() % 1000000 + 1;
	cr_log_info("PMV_SEED=%" PRIu64, seed);
	t_cases(&c, ways);
	while (t_next_case(&c))
		run_world(&c, seed, steps);
}

Test(property, every_page_once_by_the_chosen_mechanism, .timeout = 300)
{
	run_worlds(T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_AUTO_REMAP));
}

Test(property, every_page_once_by_move, .timeout = 300)
{
	run_worlds(T_WAY_BIT(T_MOVE));
}

Test(property, every_page_once_by_remap, .timeout = 300)
{
	run_worlds(T_WAY_BIT(T_REMAP));
}

Test(property, every_page_once_by_copy, .timeout = 300)
{
	run_worlds(T_WAY_BIT(T_COPY) | T_WAY_BIT(T_COPY_QUIESCENT));
}
