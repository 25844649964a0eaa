/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sliding and evacuating objects: the bytes come out as memmove() of each would
 * have them, in few calls, whatever order the vector has.
 */
#include <pagemv/evac.h>

#include "slow.h"
#include "sweep.h"

#define PAGES 64
#define MOST  60

TestSuite(slide, .timeout = 60);

struct setting {
	struct pagemv *pv;
	struct pagemv_region *region;
	unsigned char *heap;
	unsigned char *model; /* what it is to be */
	struct pagemv_seg segs[MOST];
	size_t n;
	struct pagemv_result res;
};

static void write_bytes(struct setting *s)
{
	uint64_t *words = (uint64_t *)s->heap;

	for (size_t i = 0; i < t_pages(PAGES) / sizeof(*words); i++)
		words[i] = i * 0x9e3779b97f4a7c15u + 1;
	memcpy(s->model, s->heap, t_pages(PAGES));
}

static void set_up(struct setting *s)
{
	memset(s, 0, sizeof(*s));
	s->pv = scene_handle(NULL);
	s->heap = t_map(PAGES);
	s->model = t_map(PAGES);
	s->region = scene_register(s->pv, s->heap, PAGES);
	write_bytes(s);
}

static void tear_down(struct setting *s)
{
	fake_behave();
	cr_expect(pagemv_region_unregister(s->region) == 0);
	pagemv_close(s->pv);
	cr_expect(fake_mapped_bytes() == 0);
	t_unmap(s->heap, PAGES);
	t_unmap(s->model, PAGES);
}

static void add(struct setting *s, size_t dst, size_t src, size_t bytes)
{
	s->segs[s->n++] = (struct pagemv_seg){ .dst = s->heap + dst,
					       .src = s->heap + src,
					       .len_bytes = bytes,
					       .error = 1 };
}

static int slide(struct setting *s, uint32_t flags)
{
	const struct pagemv_move_opts opts = { .size = sizeof(opts),
					       .flags = flags };

	return pagemv_slide(s->pv, s->segs, s->n, &opts, &s->res);
}

/* By memmove(), all at once: what is read has not been written yet. */
static void model(struct setting *s)
{
	unsigned char *before = t_map(PAGES);

	memcpy(before, s->model, t_pages(PAGES));
	for (size_t i = 0; i < s->n; i++) {
		size_t dst = (unsigned char *)s->segs[i].dst - s->heap;
		size_t src = (unsigned char *)s->segs[i].src - s->heap;

		memcpy(s->model + dst, before + src, s->segs[i].len_bytes);
	}
	t_unmap(before, PAGES);
}

/* The destinations are right; what the sources hold then is nobody's. */
static void expect_right(const struct setting *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct pagemv_seg *seg = &s->segs[i];
		size_t dst = (unsigned char *)seg->dst - s->heap;

		cr_expect(seg->error == 0 && seg->left_bytes == 0);
		cr_expect(!memcmp(seg->dst, s->model + dst, seg->len_bytes),
			  "object %zu of %zu", i, s->n);
		if (i > 0)
			cr_expect(s->segs[i - 1].src < seg->src, "not sorted");
	}
	cr_expect(s->res.left_bytes == 0);
}

static void shuffle(struct setting *s, struct t_random *random)
{
	for (size_t i = s->n; i > 1; i--) {
		size_t k = t_random_below(random, i);
		struct pagemv_seg seg = s->segs[k];

		s->segs[k] = s->segs[i - 1];
		s->segs[i - 1] = seg;
	}
}

/* Objects with gaps between them, which move together, down or up. */
static void random_slide(struct setting *s, struct t_random *random, bool up)
{
	static const size_t sizes[] = { 16, 4000, 4096, 8192, 20000, 12288 };
	size_t src[MOST], len[MOST], at = 0, to;

	s->n = 0;
	while (s->n < MOST) {
		at += 8 * t_random_below(random, 3) *
		      t_random_below(random, 1000);
		len[s->n] = sizes[t_random_below(random, T_COUNT(sizes))];
		if (at + len[s->n] > t_pages(PAGES))
			break;
		src[s->n++] = at;
		at += len[s->n - 1];
	}
	to = up ? t_pages(PAGES) : 0;
	for (size_t k = 0, n = s->n; k < n; k++) {
		size_t i = up ? n - 1 - k : k;

		to -= up ? len[i] : 0;
		s->n = i;
		add(s, to, src[i], len[i]);
		to += up ? 0 : len[i];
		s->n = n;
	}
}

static void slide_at_random(bool up)
{
	struct t_random random = t_random_make(t_env("PMV_SEED", 7));
	struct setting s;

	set_up(&s);
	for (int round = 0; round < 100; round++) {
		write_bytes(&s);
		random_slide(&s, &random, up);
		shuffle(&s, &random);
		model(&s);
		cr_assert(slide(&s, PAGEMV_MOVE_REPLACE) == 0);
		expect_right(&s);
	}
	tear_down(&s);
}

Test(slide, down)
{
	slide_at_random(false);
}

Test(slide, up)
{
	slide_at_random(true);
}

/* Destinations in another order than sources, as where they are apart. */
Test(slide, evacuating_in_any_order)
{
	struct t_random random = t_random_make(t_env("PMV_SEED", 11));
	const size_t half = t_pages(PAGES / 2);
	struct setting s;

	set_up(&s);
	for (int round = 0; round < 50; round++) {
		size_t slot[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };

		write_bytes(&s);
		s.n = 0;
		for (size_t i = 0; i < 8; i++) {
			size_t k = i + t_random_below(&random, 8 - i), t;

			t = slot[k];
			slot[k] = slot[i];
			slot[i] = t;
			add(&s, half + slot[i] * t_pages(4), i * t_pages(4),
			    t_pages(1) + t_random_below(&random, t_pages(3)));
		}
		shuffle(&s, &random);
		model(&s);
		cr_assert(slide(&s, PAGEMV_MOVE_REPLACE) == 0);
		expect_right(&s);
	}
	tear_down(&s);
}

Test(slide, objects_that_follow_each_other_are_one_call)
{
	struct setting s;

	set_up(&s);
	/* 16 objects of 1.5 pages: 24 pages that are moved. */
	for (size_t i = 16; i-- > 0;)
		add(&s, i * 6144, t_pages(30) + i * 6144, 6144);
	t_drop(s.heap, 24);
	model(&s);
	memset(s.model, 0, t_pages(24));
	memcpy(s.model, s.model + t_pages(30), t_pages(24));
	cr_expect(slide(&s, 0) == 0);
	expect_right(&s);
	cr_expect(s.res.moved_bytes == t_pages(24), "%zu", s.res.moved_bytes);
	cr_expect(s.res.copied_bytes == 0);
	tear_down(&s);
}

Test(slide, heads_that_are_kept_are_not_joined)
{
	struct setting s;

	set_up(&s);
	for (size_t i = 0; i < 4; i++)
		add(&s, i * t_pages(4), t_pages(32) + i * t_pages(4),
		    t_pages(4));
	t_drop(s.heap, 16);
	cr_expect(slide(&s, PAGEMV_MOVE_KEEP_HEAD) == 0);
	for (size_t i = 0; i < 4; i++) {
		cr_expect(t_present(s.heap + t_pages(32 + 4 * i)));
		cr_expect(!t_present(s.heap + t_pages(33 + 4 * i)));
		cr_expect(!memcmp(s.heap + t_pages(4 * i),
				  s.model + t_pages(32 + 4 * i), t_pages(4)));
	}
	tear_down(&s);
}

Test(slide, orders_that_do_not_hold_are_refused)
{
	struct setting s;

	set_up(&s);
	cr_expect(slide(&s, 0) == 0); /* nothing */
	/* One up and one down, in the same range. */
	add(&s, 0, t_pages(1), t_pages(1));
	add(&s, t_pages(3), t_pages(2), t_pages(1));
	EXPECT_STOPPED(slide(&s, 0), &s.res, -EINVAL, PAGEMV_REASON_OVERLAP);
	cr_expect(s.res.left_bytes == t_pages(2));
	/* Two to one place. */
	s.n = 0;
	add(&s, 0, t_pages(1), t_pages(1));
	add(&s, 100, t_pages(2), t_pages(1));
	EXPECT_STOPPED(slide(&s, 0), &s.res, -EINVAL, PAGEMV_REASON_OVERLAP);
	/* Two from one place. */
	s.n = 0;
	add(&s, 0, t_pages(4), t_pages(1));
	add(&s, t_pages(2), t_pages(4) + 8, t_pages(1));
	EXPECT_STOPPED(slide(&s, 0), &s.res, -EINVAL, PAGEMV_REASON_OVERLAP);
	/* An empty one, and one that wraps. */
	s.n = 0;
	add(&s, 0, t_pages(4), 0);
	EXPECT_STOPPED(slide(&s, 0), &s.res, -EINVAL, PAGEMV_REASON_OVERLAP);
	s.segs[0].len_bytes = SIZE_MAX;
	EXPECT_STOPPED(slide(&s, 0), &s.res, -EINVAL, PAGEMV_REASON_OVERLAP);
	cr_expect(pagemv_slide(s.pv, NULL, 1, NULL, &s.res) == -EINVAL);
	cr_expect(pagemv_slide(NULL, s.segs, 1, NULL, &s.res) == -EINVAL);
	cr_expect(slide(&s, 1u << 20) == -EINVAL);
	cr_expect(!memcmp(s.heap, s.model, t_pages(PAGES)));
	tear_down(&s);
}

/* Where they could overwrite each other, those behind it stay. */
Test(slide, what_fails_stops_the_others)
{
	struct setting s;

	set_up(&s);
	for (size_t i = 0; i < 4; i++)
		add(&s, t_pages(2 * i), t_pages(3 * i + 4), t_pages(2));
	t_drop(s.heap, 2); /* there are pages at the second one's place */
	cr_expect(slide(&s, 0) == -EEXIST);
	cr_expect(s.segs[0].error == 0);
	for (size_t i = 1; i < 4; i++) {
		cr_expect(s.segs[i].error == -EEXIST);
		cr_expect(s.segs[i].left_bytes == t_pages(2));
	}
	cr_expect(s.res.left_off == t_pages(2));
	cr_expect(s.res.left_bytes == t_pages(6));
	cr_expect(s.res.reason == PAGEMV_REASON_OCCUPIED);
	tear_down(&s);
}

Test(slide, where_they_are_apart_the_others_go_on)
{
	struct setting s;

	set_up(&s);
	for (size_t i = 0; i < 4; i++)
		add(&s, t_pages(2 * i), t_pages(3 * i + 32), t_pages(2));
	t_drop(s.heap, 2);
	t_drop(s.heap + t_pages(4), 4);
	cr_expect(slide(&s, 0) == -EEXIST);
	cr_expect(s.segs[1].error == -EEXIST);
	for (size_t i = 0; i < 4; i++)
		if (i != 1)
			cr_expect(s.segs[i].error == 0);
	cr_expect(s.res.left_bytes == t_pages(2));
	tear_down(&s);
}

Test(slide, up_what_fails_stops_those_below)
{
	struct setting s;

	set_up(&s);
	for (size_t i = 0; i < 4; i++)
		add(&s, t_pages(40 + 3 * i), t_pages(34 + 3 * i), t_pages(2));
	t_drop(s.heap + t_pages(49), 2); /* for the last one alone */
	cr_expect(slide(&s, 0) == -EEXIST);
	cr_expect(s.segs[3].error == 0, "%d", s.segs[3].error);
	for (size_t i = 0; i < 3; i++) {
		cr_expect(s.segs[i].error == -EEXIST);
		cr_expect(s.segs[i].left_bytes == t_pages(2));
	}
	tear_down(&s);
}

/* ---- failing calls ---- */

/* Sixteen pages with ids slide down by four: each is somewhere, once. */
static const char *slide_pages(void *arg)
{
	struct setting *s = arg;
	struct sweep_place places[] = { { s->heap, 4 + 16 + 4 } };
	int rc;

	t_drop(s->heap, PAGES);
	s->n = 0;
	for (size_t i = 0; i < 8; i++)
		add(s, t_pages(2 * i), t_pages(4 + 2 * i + i / 4), t_pages(2));
	for (size_t i = 0; i < 16; i++)
		t_fill((char *)s->segs[i / 2].src + t_pages(i % 2), i + 1, 1);
	rc = slide(s, 0);
	fake_behave();
	take_stray(&s->res);
	if (!sweep_known_error(rc))
		return "an error that is not documented";
	return s->res.stray ? NULL : sweep_lost(places, 1, 16, 0);
}

Test(slide, survives_failing_calls)
{
	struct setting s;

	set_up(&s);
	sweep("slide", slide_pages, &s);
	tear_down(&s);
}
