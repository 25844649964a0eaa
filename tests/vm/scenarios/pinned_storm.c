/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pinned.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"
#include "oracle.h"
#include "proc.h"
#include "t.h"

#define SLOTS	 24
#define ASKED	 3   /* times that a held page is to be moved */
#define WRITES	 200 /* while it waits for that, at most */
#define LONGEST	 6   /* slots moved at once */
#define MOVERS	 2
#define MOST	 2048 /* bytes written at once */
#define DEVICES	 8
#define PATIENCE 60 /* times longer than planned, for all to have happened */

/* The end of a page is the CPU's, the rest but its head the device's. */
#define HEAD_BYTES 64
#define TAIL_BYTES 64

/*
 * One page and the two places that it moves between. The lock is held for
 * moves and for looking, not while a device pins or writes.
 */
struct slot {
	pthread_mutex_t lock;
	char *place[2];
	unsigned int where;   /* the place where it is */
	uint64_t moves;	      /* since the start */
	unsigned char *image; /* what it holds */
	_Atomic bool touched; /* it may be pinned, or may not */
	/*
	 * Is being pinned. If it moves meanwhile, an empty page may be made
	 * where it was. Cleared without the lock.
	 */
	_Atomic bool pinning;
	bool held;	    /* pinned for as long as this says so */
	uint64_t frame;	    /* then */
	unsigned int asked; /* to move, while it was held */
	bool parted;	    /* copied while held: the device writes elsewhere */
	/* What the device may be writing now; bytes 0: nothing. */
	size_t off, bytes;
	bool parted_meanwhile;
};

struct counts {
	_Atomic uint64_t moved, stayed, followed, parted, under_way, written,
		late;
};

struct storm {
	struct t_case *c;
	struct slot slots[SLOTS];
	_Atomic bool stop, wrong;
	_Atomic size_t pinned_last; /* a slot */
	struct counts n;
};

struct worker {
	struct storm *s;
	struct device *device; /* NULL: a mover */
	struct t_random random;
	pthread_t thread;
};

__attribute__((format(printf, 2, 3))) static void
complain(struct storm *s, const char *format, ...)
{
	char text[240];
	va_list ap;

	if (atomic_exchange(&s->wrong, true))
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	tap_say(stdout, "%s: %s", s->c->name, text);
}

static bool over(const struct storm *s)
{
	return atomic_load(&s->stop) || atomic_load(&s->wrong);
}

/* --- looking at a slot, with its lock --- */

/* Is the page the slot's, but for what a device may be writing? */
static bool is_same(const struct slot *slot, const char *page)
{
	size_t behind = slot->off + slot->bytes;

	return memcmp(page, slot->image, slot->off) == 0 &&
	       memcmp(page + behind, slot->image + behind, t_page() - behind) ==
		       0;
}

static bool is_at(const struct slot *slot, unsigned int place)
{
	const char *page = slot->place[place];

	return t_present(page) && is_same(slot, page);
}

/* A store of the program to a page that a device may hold. */
static void store(struct slot *slot, uint64_t value)
{
	size_t at = t_page() - sizeof(value);

	memcpy(slot->place[slot->where] + at, &value, sizeof(value));
	memcpy(slot->image + at, &value, sizeof(value));
}

/* --- movers --- */

struct run {
	struct slot *slots;
	size_t n;
	unsigned int from; /* the place */
	uint32_t busy;
	bool touched[LONGEST];
	bool stays[LONGEST];
	bool any_touched;
	int r;
	struct pagemv_result res;
};

static unsigned int fate_of_held(struct storm *s, struct slot *slot)
{
	if (pinned_frame(slot->place[slot->where]) == slot->frame) {
		s->n.followed++;
		s->n.under_way += slot->bytes != 0;
		return PINNED_FOLLOWS;
	}
	s->n.parted++;
	slot->held = false;
	slot->parted = true;
	slot->parted_meanwhile = slot->bytes != 0;
	return PINNED_PARTED;
}

/* May slot i stay? If it is pinned, may be, or is behind such a one. */
static bool may_stay(const struct run *run, size_t i)
{
	bool stopped = run->busy != PAGEMV_BUSY_SKIP ||
		       run->res.reason != PAGEMV_REASON_PINNED;

	return run->touched[i] || run->slots[i].held ||
	       (stopped && run->r != 0 && t_pages(i) > run->res.left_off) ||
	       run->r == -EAGAIN;
}

static void settle_moved(struct storm *s, struct run *run, size_t i)
{
	struct slot *slot = &run->slots[i];
	unsigned int fate;

	if (t_present(slot->place[run->from])) {
		if (!run->touched[i])
			complain(s, "a page at both places");
		t_drop(slot->place[run->from], 1);
	}
	slot->where = !run->from;
	slot->moves++;
	s->n.moved++;
	if (slot->held) {
		fate = fate_of_held(s, slot);
		if ((fate & pinned_fates(s->c, run->busy)) == 0)
			complain(s, "a pinned page %s under %s",
				 pinned_fate_name(fate),
				 pinned_policy_name(run->busy));
	}
}

static void settle_left(struct storm *s, struct run *run, size_t i)
{
	struct slot *slot = &run->slots[i];

	run->stays[i] = true;
	if (t_present(slot->place[!run->from]))
		complain(s, "a page that did not move is at dst, too");
	if (!may_stay(run, i))
		complain(s, "a page stays under %s: %d (%s), left_off %zu",
			 pinned_policy_name(run->busy), run->r,
			 pagemv_reason_string(run->res.reason),
			 run->res.left_off / t_page());
	if (!slot->held)
		return;
	s->n.stayed++;
	if (pinned_frame(slot->place[run->from]) != slot->frame)
		complain(s, "a pinned page that stayed is another one");
	/* If nothing before it stopped the move, this one did. */
	if (t_pages(i) == run->res.left_off &&
	    (pinned_fates(s->c, run->busy) & PINNED_STAYS) == 0 &&
	    run->r != -EAGAIN)
		complain(s, "a pinned page stays under %s",
			 pinned_policy_name(run->busy));
}

/* Where is each page now? */
static void settle(struct storm *s, struct run *run)
{
	size_t i, left = 0;

	for (i = 0; i < run->n; i++) {
		while (atomic_load(&run->slots[i].pinning))
			t_sleep_ms(0);
		if (is_at(&run->slots[i], !run->from))
			settle_moved(s, run, i);
		else if (is_at(&run->slots[i], run->from))
			settle_left(s, run, i);
		else
			complain(s, "a page is at neither place under %s",
				 pinned_policy_name(run->busy));
		left += run->stays[i];
		run->slots[i].asked++;
		store(&run->slots[i], t_now_ns());
	}
	/* What the library could not know (pagemv(7)), it says so. */
	if (run->res.reason == PAGEMV_REASON_RACED && run->any_touched &&
	    run->res.stray == NULL)
		return;
	if (run->res.left_bytes != t_pages(left) ||
	    (run->r == 0) != (left == 0) || run->res.stray != NULL)
		complain(s, "%zu pages left, but %zu told: %d (%s)", left,
			 run->res.left_bytes / t_page(), run->r,
			 pagemv_reason_string(run->res.reason));
	else if (run->r != 0 && run->r != -EAGAIN &&
		 run->res.reason != PAGEMV_REASON_PINNED)
		complain(s, "returned %d (%s)", run->r,
			 pagemv_reason_string(run->res.reason));
}

static void lock_run(struct slot *slots, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		pthread_mutex_lock(&slots[i].lock);
}

static void unlock_run(struct slot *slots, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		pthread_mutex_unlock(&slots[i].lock);
}

/* Any slot, or one a little before a page that is most likely pinned. */
static size_t choose_first(struct worker *w)
{
	size_t pinned = atomic_load(&w->s->pinned_last), back;

	if (t_random_below(&w->random, 2) == 0)
		return t_random_below(&w->random, SLOTS);
	back = t_random_below(&w->random, LONGEST);
	return pinned < back ? 0 : pinned - back;
}

static void move_run(struct worker *w)
{
	struct storm *s = w->s;
	size_t first = choose_first(w);
	size_t n = 1 + t_random_below(&w->random, LONGEST), i;
	struct run run = { .slots = &s->slots[first] };
	struct pagemv_move_opts opts;

	n = n < SLOTS - first ? n : SLOTS - first;
	lock_run(run.slots, n);
	run.from = run.slots[0].where;
	while (run.n < n && run.slots[run.n].where == run.from)
		run.n++;
	run.busy = (uint32_t)t_random_below(&w->random, PAGEMV_BUSY_COUNT);
	for (i = 0; i < run.n; i++) {
		run.touched[i] = atomic_load(&run.slots[i].touched);
		run.any_touched = run.any_touched || run.touched[i];
	}
	opts = pinned_opts(s->c, run.busy);
	run.r = pagemv_move(s->c->pv, run.slots[0].place[!run.from],
			    run.slots[0].place[run.from], t_pages(run.n), &opts,
			    &run.res);
	settle(s, &run);
	unlock_run(run.slots, n);
}

/* --- devices --- */

/* Pins the slot's page, while it may be moving. False: it got away. */
static bool pin(struct worker *w, struct slot *slot)
{
	const char *why = "";
	uint64_t moves;
	char *at;
	bool ok;

	pthread_mutex_lock(&slot->lock);
	if (slot->held || slot->parted || atomic_load(&slot->touched)) {
		pthread_mutex_unlock(&slot->lock);
		return false;
	}
	atomic_store(&slot->touched, true);
	atomic_store(&slot->pinning, true);
	moves = slot->moves;
	at = slot->place[slot->where];
	pthread_mutex_unlock(&slot->lock);
	ok = w->device->pin(w->device, at, 1, &why);
	atomic_store(&slot->pinning, false);
	pthread_mutex_lock(&slot->lock);
	if (!ok) {
		complain(w->s, "not pinned: %s", why);
	} else if (slot->moves != moves) {
		w->s->n.late++;
		w->device->unpin(w->device);
		ok = false;
	} else {
		slot->held = true;
		slot->asked = 0;
		atomic_store(&w->s->pinned_last, (size_t)(slot - w->s->slots));
		slot->frame = pinned_frame(at);
	}
	atomic_store(&slot->touched, false);
	pthread_mutex_unlock(&slot->lock);
	return ok;
}

static void unpin(struct worker *w, struct slot *slot)
{
	pthread_mutex_lock(&slot->lock);
	slot->held = false;
	slot->parted = false;
	atomic_store(&slot->touched, true);
	pthread_mutex_unlock(&slot->lock);
	w->device->unpin(w->device);
	atomic_store(&slot->touched, false);
}

/* What the device wrote, in the slot's page as it is now. */
static void expect_written(struct worker *w, struct slot *slot,
			   const unsigned char *data)
{
	const char *page = slot->place[slot->where];
	unsigned char *image = slot->image + slot->off;
	size_t i;

	for (i = 0; i < slot->bytes; i++)
		if (!slot->parted ||
		    (slot->parted_meanwhile &&
		     (unsigned char)page[slot->off + i] == data[i]))
			image[i] = data[i];
	slot->bytes = 0;
	slot->parted_meanwhile = false;
	for (i = 0; i < t_page() && (unsigned char)page[i] == slot->image[i];
	     i++)
		;
	if (i < t_page())
		complain(w->s, "byte %zu is wrong%s", i,
			 slot->parted ? " in a copy" : "");
	w->s->n.written++;
}

/* False: the page has been asked to move often enough. */
static bool write_once(struct worker *w, struct slot *slot)
{
	size_t room = t_page() - HEAD_BYTES - TAIL_BYTES - MOST;
	const unsigned char *data;
	bool ok, again;

	pthread_mutex_lock(&slot->lock);
	slot->off = HEAD_BYTES + t_random_below(&w->random, room);
	slot->bytes = 1 + t_random_below(&w->random, MOST);
	slot->parted_meanwhile = false;
	pthread_mutex_unlock(&slot->lock);
	data = w->device->begin(w->device, slot->off, slot->bytes);
	ok = w->device->finish(w->device);
	pthread_mutex_lock(&slot->lock);
	if (!ok)
		complain(w->s, "the device did not write");
	expect_written(w, slot, data);
	again = slot->asked < ASKED;
	pthread_mutex_unlock(&slot->lock);
	return again;
}

static void hold_one(struct worker *w)
{
	struct slot *slot = &w->s->slots[t_random_below(&w->random, SLOTS)];
	size_t writes = 0;

	if (!pin(w, slot))
		return;
	while (!over(w->s) && write_once(w, slot) && writes++ < WRITES)
		;
	unpin(w, slot);
}

/* --- the storm --- */

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!over(w->s)) {
		if (w->device != NULL)
			hold_one(w);
		else
			move_run(w);
		t_sleep_ms(0); /* nobody keeps a lock for himself */
	}
	return NULL;
}

static void open_slots(struct storm *s)
{
	char *places[2] = { t_case_heap(s->c, SLOTS),
			    t_case_heap(s->c, SLOTS) };
	size_t i;

	for (i = 0; i < SLOTS; i++) {
		struct slot *slot = &s->slots[i];

		pthread_mutex_init(&slot->lock, NULL);
		slot->place[0] = places[0] + t_pages(i);
		slot->place[1] = places[1] + t_pages(i);
		slot->image = aligned_alloc(t_page(), t_page());
		if (slot->image == NULL)
			t_die("memory for a page");
		t_fill(slot->image, 1 + i, 1);
		t_fill(slot->place[0], 1 + i, 1);
	}
}

static void close_slots(struct storm *s)
{
	size_t i;

	for (i = 0; i < SLOTS; i++) {
		struct slot *slot = &s->slots[i];

		if (!is_at(slot, slot->where))
			complain(s, "page %zu is wrong in the end", i);
		if (t_present(slot->place[!slot->where]))
			complain(s, "page %zu is at both places", i);
		free(slot->image);
		pthread_mutex_destroy(&slot->lock);
	}
}

/* Has all happened that the storm is there for? */
static bool enough(const struct storm *s)
{
	return s->n.written >= 4 && s->n.moved >= SLOTS &&
	       s->n.stayed + s->n.followed + s->n.parted >= 4;
}

static void run_storm(struct storm *s, struct device *const *devices, size_t n,
		      uint64_t ns)
{
	struct worker workers[MOVERS + DEVICES];
	uint64_t start = t_now_ns();
	size_t count = MOVERS + n, i;

	for (i = 0; i < count; i++) {
		workers[i] = (struct worker){
			.s = s,
			.device = i < MOVERS ? NULL : devices[i - MOVERS],
			.random = t_random_make(t_env("PMV_SEED", 1) * 100 + i),
		};
		if (pthread_create(&workers[i].thread, NULL, work,
				   &workers[i]) != 0)
			t_die("pthread_create");
	}
	do
		t_sleep_ms(20);
	while (!over(s) &&
	       (t_now_ns() - start < ns ||
		(!enough(s) && t_now_ns() - start < PATIENCE * ns)));
	atomic_store(&s->stop, true);
	for (i = 0; i < count; i++)
		pthread_join(workers[i].thread, NULL);
}

static void storm_of_case(struct tap *tap, struct t_case *c,
			  struct device *const *devices, size_t n, uint64_t ns)
{
	struct storm s = { .c = c };
	char name[120];

	open_slots(&s);
	run_storm(&s, devices, n, ns);
	close_slots(&s);
	tap_say(stdout,
		"%s: %" PRIu64 " moves, %" PRIu64 " writes; of pinned pages "
		"%" PRIu64 " stayed, %" PRIu64 " followed (%" PRIu64
		" under a write), %" PRIu64 " parted, %" PRIu64 " got away",
		c->name, s.n.moved, s.n.written, s.n.stayed, s.n.followed,
		s.n.under_way, s.n.parted, s.n.late);
	if (!enough(&s))
		complain(&s, "too little happened");
	snprintf(name, sizeof(name),
		 "%s: in a storm, each page is at one place with what its "
		 "device wrote",
		 c->name);
	tap_ok(tap, !s.wrong, name);
}

void pinned_storm(struct tap *tap, struct device *const *devices, size_t n,
		  uint64_t ns)
{
	struct t_case c;

	t_cases(&c, T_WAYS_LIVE);
	while (t_next_case(&c))
		storm_of_case(tap, &c, devices, n < DEVICES ? n : DEVICES, ns);
}
