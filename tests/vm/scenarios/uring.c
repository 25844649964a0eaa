/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that are fixed buffers of io_uring, which the kernel reads into by
 * their page frames wherever they are mapped; huge pages of which such a
 * buffer holds a part.
 */
#include <pagemv/pagemv.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lab.h"
#include "oracle.h"
#include "pin.h"
#include "pinned.h"
#include "proc.h"
#include "t.h"
#include "thp.h"

#define RINGS 2
#define MOST  2048 /* bytes that a ring writes at once */

/* --- a ring as a device --- */

struct ring {
	struct device device;
	struct t_pin *pin;
	size_t off, bytes;
	unsigned char data[MOST];
	struct t_random random;
};

static struct ring *ring_of(struct device *d)
{
	return (struct ring *)(void *)d; /* its first member */
}

static bool ring_pin(struct device *d, void *addr, size_t pages,
		     const char **why)
{
	ring_of(d)->pin = t_pin(addr, t_pages(pages), why);
	return ring_of(d)->pin != NULL;
}

static const unsigned char *ring_begin(struct device *d, size_t off,
				       size_t bytes)
{
	struct ring *r = ring_of(d);
	uint64_t word;
	size_t i;

	for (i = 0; i < MOST; i += sizeof(word)) {
		word = t_random_next(&r->random);
		memcpy(r->data + i, &word, sizeof(word));
	}
	r->off = off;
	r->bytes = bytes;
	return r->data;
}

static bool ring_finish(struct device *d)
{
	struct ring *r = ring_of(d);

	return t_pin_write(r->pin, r->off, r->data, r->bytes) == 0;
}

static void ring_unpin(struct device *d)
{
	t_unpin(ring_of(d)->pin);
}

static void open_ring(struct ring *r, uint64_t seed)
{
	r->device = (struct device){ ring_pin, ring_begin, ring_finish,
				     ring_unpin };
	r->random = t_random_make(seed);
}

/* --- huge pages, a part of which is pinned --- */

#define HUGES 3 /* the middle one is held */

struct huge {
	struct tap *tap;
	struct t_case *c;
	struct device *device;
	size_t n; /* base pages in a huge one */
	char *src, *heap;
	uint64_t frame;
};

/* A page in the middle of the middle one. */
static char *held(const struct huge *h, char *area)
{
	return area + t_pages(h->n + h->n / 2);
}

/* False, with the reason, where there are no huge pages to be had. */
static bool make_huge(struct huge *h, const char **why)
{
	size_t bytes = h->c->caps.huge_page_bytes;

	h->n = bytes / t_page();
	if (h->n == 0) {
		*why = "no huge pages in this kernel";
		return false;
	}
	h->heap = t_case_map_at(h->c, HUGES * h->n, bytes, 0, true);
	h->src = t_case_map_at(h->c, HUGES * h->n, bytes, 0, true);
	t_register(h->c->pv, h->heap, HUGES * h->n);
	t_fill_range(h->src, HUGES * h->n, 1);
	if (t_huge_bytes(h->src, HUGES * bytes) < HUGES * bytes) {
		*why = "no huge page is to be had";
		return false;
	}
	if (!h->device->pin(h->device, held(h, h->src), 1, why))
		return false;
	h->frame = pinned_frame(held(h, h->src));
	return true;
}

/* What became of the pinned page, and is what the device writes there? */
static unsigned int look_at_held(struct huge *h, const char **wrong)
{
	char *src = held(h, h->src), *dst = held(h, h->heap);
	char *at = t_present(dst) ? dst : src;
	size_t off = t_page() - 500;
	const unsigned char *data = h->device->begin(h->device, off, 500);
	unsigned int fate;
	bool seen;

	*wrong = NULL;
	if (t_present(src) == t_present(dst))
		*wrong = "the pinned page is at both places or none";
	else if (!h->device->finish(h->device))
		*wrong = "the device did not write";
	if (*wrong != NULL)
		return 0;
	fate = pinned_frame(at) != h->frame ? PINNED_PARTED
	       : at == src		    ? PINNED_STAYS
					    : PINNED_FOLLOWS;
	seen = memcmp(at + off, data, 500) == 0;
	if (seen != (fate != PINNED_PARTED))
		*wrong = seen ? "the device writes to a copy"
			      : "what the device wrote is not there";
	t_fill(at,
	       1 + (uint64_t)(at - (at == src ? h->src : h->heap)) / t_page(),
	       1);
	return fate;
}

/* Everything is where the result says: the held huge page went as a whole. */
static const char *look_at_all(const struct huge *h, unsigned int fate,
			       uint32_t busy, const struct pagemv_result *res)
{
	bool stays = fate == PINNED_STAYS;
	bool stopped = stays && busy != PAGEMV_BUSY_SKIP;
	char *middle = stays ? h->src : h->heap;
	char *last = stopped ? h->src : h->heap;
	const char *wrong = t_check_range(h->heap, h->n, 1);

	if (wrong == NULL)
		wrong = t_check_range(middle + t_pages(h->n), h->n, 1 + h->n);
	if (wrong == NULL)
		wrong = t_check_range(last + t_pages(2 * h->n), h->n,
				      1 + 2 * h->n);
	if (wrong == NULL &&
	    t_count_present(h->src, HUGES * h->n) != (stopped ? 2 * h->n
						      : stays ? h->n
							      : 0))
		wrong = "pages at both places, or none";
	if (wrong == NULL && res->left_bytes != t_pages(stopped ? 2 * h->n
							: stays ? h->n
								: 0))
		wrong = "left_bytes";
	if (wrong == NULL && stays &&
	    (res->reason != PAGEMV_REASON_PINNED ||
	     res->left_off != t_pages(h->n)))
		wrong = "reason or left_off";
	return wrong;
}

/* NULL, or what is wrong; *why if no huge page could be pinned. */
static const char *move_whole(struct huge *h, uint32_t busy, const char **why)
{
	struct pagemv_move_opts opts = pinned_opts(h->c, busy);
	struct pagemv_result res;
	unsigned int fate;
	const char *wrong;

	if (!make_huge(h, why))
		return NULL;
	(void)pagemv_move(h->c->pv, h->heap, h->src, t_pages(HUGES * h->n),
			  &opts, &res);
	fate = look_at_held(h, &wrong);
	if (wrong == NULL && (fate & pinned_fates(h->c, busy)) == 0)
		wrong = pinned_fate_name(fate);
	if (wrong == NULL)
		wrong = look_at_all(h, fate, busy, &res);
	h->device->unpin(h->device);
	if (wrong != NULL)
		tap_say(stdout, "%s: %s; %d (%s), left %zu pages at %zu",
			pinned_policy_name(busy), wrong, res.error,
			pagemv_reason_string(res.reason),
			res.left_bytes / t_page(), res.left_off / t_page());
	else if (h->c->way == T_AUTO && h->c->variant == T_NORMAL &&
		 busy == PAGEMV_BUSY_STAY)
		lab_seen("pinned huge page, AUTO", "%s",
			 pinned_fate_name(fate));
	return wrong;
}

/*
 * A part of such a page: UFFDIO_MOVE tries to split the huge page, and tries
 * again as long as somebody holds it. So it is let go after a while, and all
 * has to be well then.
 */
#define SPIN_MS 3000

struct release {
	struct huge *h;
	_Atomic bool back; /* the call has returned */
	bool was_back;	   /* before the page was let go */
};

static void *let_go(void *arg)
{
	struct release *r = arg;
	unsigned int ms;

	for (ms = 0; ms < SPIN_MS && !atomic_load(&r->back); ms += 10)
		t_sleep_ms(10);
	r->was_back = atomic_load(&r->back);
	r->h->device->unpin(r->h->device);
	return NULL;
}

static void move_part(struct huge *h)
{
	const char *name = "auto, normal: a part of a pinned huge page, in "
			   "the end",
		   *why = "", *wrong;
	struct release release = { .h = h };
	struct pagemv_result res;
	pthread_t thread;
	size_t part;
	int r;

	if (!make_huge(h, &why)) {
		tap_skip(h->tap, name, why);
		return;
	}
	part = h->n + h->n / 4;
	if (pthread_create(&thread, NULL, let_go, &release) != 0)
		t_die("pthread_create");
	r = pagemv_move(h->c->pv, h->heap, h->src, t_pages(part), &h->c->opts,
			&res);
	atomic_store(&release.back, true);
	pthread_join(thread, NULL);
	lab_seen("part of a pinned huge page, AUTO", "%s",
		 !release.was_back ? "UFFDIO_MOVE spins until the pin is gone"
		 : r == 0	   ? "moved or copied at once"
				   : pagemv_reason_string(res.reason));
	part -= res.left_bytes / t_page();
	wrong = t_check_range(h->heap, part, 1);
	if (wrong == NULL)
		wrong = t_check_range(h->src + t_pages(part),
				      HUGES * h->n - part, 1 + part);
	if (wrong == NULL && t_count_present(h->src, part) != 0)
		wrong = "pages at both places";
	if (!tap_ok(h->tap, wrong == NULL, name))
		tap_say(stdout, "%s", wrong);
}

static void part_of_huge(struct tap *tap, struct device *device)
{
	struct huge h = { .tap = tap, .device = device };
	struct t_case c;

	t_cases(&c, T_WAY_BIT(T_AUTO));
	while (t_next_case(&c)) {
		h.c = &c;
		if (c.variant == T_NORMAL)
			move_part(&h);
	}
}

static void huge_policies(struct tap *tap, struct device *device)
{
	struct t_case c;

	t_cases(&c, T_WAYS_LIVE);
	while (t_next_case(&c)) {
		struct huge h = { .tap = tap, .c = &c, .device = device };
		const char *why = NULL;
		bool ok = true;
		uint32_t busy;
		char name[120];

		snprintf(name, sizeof(name),
			 "%.60s: a pinned huge page under each policy", c.name);
		for (busy = 0; busy < PAGEMV_BUSY_COUNT && why == NULL; busy++)
			ok = move_whole(&h, busy, &why) == NULL && ok;
		if (why != NULL)
			tap_skip(tap, name, why);
		else
			tap_ok(tap, ok, name);
	}
}

int main(void)
{
	uint64_t ns = t_env("PMV_SECONDS", 0) * 1000000000u;
	struct thp_settings quiet = { .n = 0 };
	static struct ring rings[RINGS];
	struct device *devices[RINGS];
	struct tap tap = { 0, 0 };
	const char *why = "";
	char *page;
	size_t i;

	lab_only();
	for (i = 0; i < RINGS; i++) {
		open_ring(&rings[i], 1 + i);
		devices[i] = &rings[i].device;
	}
	page = t_map(1);
	if (!devices[0]->pin(devices[0], page, 1, &why)) {
		tap_skip(&tap, "pages pinned by io_uring", why);
		return tap_done(&tap);
	}
	devices[0]->unpin(devices[0]);
	pinned_policies(&tap, devices[0]);
	/* It would put zeros where parts of huge pages have left. */
	thp_set(&quiet, THP "khugepaged/scan_sleep_millisecs", "100000000");
	part_of_huge(&tap, devices[0]);
	huge_policies(&tap, devices[0]);
	thp_give_back(&quiet);
	pinned_storm(&tap, devices, RINGS, ns != 0 ? ns : 500000000u);
	return tap_done(&tap);
}
