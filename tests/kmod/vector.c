/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * REMAPV: many ranges in one call, a result for each, and one flush of the TLB
 * for all that the call took out.
 */
#include <stdlib.h>
#include <string.h>

#include "kmod.h"
#include "vm/scenarios/lab.h"

#define COUNT 64
#define EACH  4 /* pages of a range */

struct vector {
	struct pagemvio_range range[COUNT];
	char *src;
	char *dst;
};

/* Ranges with a page between, in the order of another at dst. */
static struct vector vector(void)
{
	struct vector v = { .src = kmod_map_src(COUNT * (EACH + 1), 1),
			    .dst = kmod_map_dst(COUNT * (EACH + 1)) };
	size_t i;

	for (i = 0; i < COUNT; i++)
		v.range[i] = (struct pagemvio_range){
			.src = (uintptr_t)v.src + t_pages(i * (EACH + 1)),
			.dst = (uintptr_t)v.dst +
			       t_pages(i * 37 % COUNT * (EACH + 1)),
			.len = t_pages(EACH),
			.moved = KMOD_UNTOLD,
		};
	return v;
}

static char *dst_of(const struct vector *v, size_t i)
{
	return (char *)(uintptr_t)v->range[i].dst;
}

static char *src_of(const struct vector *v, size_t i)
{
	return (char *)(uintptr_t)v->range[i].src;
}

static uint64_t id_of(size_t i)
{
	return i * (EACH + 1) + 1;
}

static const char *range_done(const struct vector *v, size_t i)
{
	MUST(v->range[i].moved == (int64_t)t_pages(EACH),
	     "range %zu: %" PRId64 " bytes", i, (int64_t)v->range[i].moved);
	RIGHT("src", t_check_absent(src_of(v, i), EACH));
	RIGHT("dst", t_check_range(dst_of(v, i), EACH, id_of(i)));
	return NULL;
}

static const char *range_left(const struct vector *v, size_t i, int64_t moved)
{
	MUST(v->range[i].moved == moved, "range %zu: %" PRId64, i,
	     (int64_t)v->range[i].moved);
	RIGHT("src", t_check_range(src_of(v, i), EACH, id_of(i)));
	return NULL;
}

static const char *all(void)
{
	struct vector v = vector();
	uint64_t flushes = 99;
	int64_t moved;
	size_t i;
	int r = kmod_remapv(v.range, COUNT, 0, 0, &moved, &flushes);

	RIGHT("call", ended(r, moved, 0, COUNT * EACH));
	for (i = 0; i < COUNT; i++) {
		RIGHT("range", range_done(&v, i));
		RIGHT("between", t_check_range(src_of(&v, i) + t_pages(EACH), 1,
					       id_of(i) + EACH));
	}
	/* One, and one for each time that it gave way to another task. */
	MUST(flushes >= 1 && flushes <= 6, "%d flushes", (int)flushes);
	lab_seen("flushes of a vector of 64 ranges of 4 pages", "%d",
		 (int)flushes);
	return NULL;
}

static const char *one_range(void)
{
	struct vector v = vector();
	int64_t moved;
	int r = kmod_remapv(v.range + 5, 1, 0, 0, &moved, NULL);

	RIGHT("call", ended(r, moved, 0, EACH));
	RIGHT("range", range_done(&v, 5));
	return range_left(&v, 6, KMOD_UNTOLD);
}

static const char *no_range(void)
{
	struct vector v = vector();
	int64_t moved;
	uint64_t flushes;
	int r = kmod_remapv(v.range, 0, 0, 0, &moved, &flushes);

	RIGHT("call", ended(r, moved, -EINVAL, 0));
	return range_left(&v, 0, KMOD_UNTOLD);
}

/* Each wrong in its own way; the others go on. */
static void spoil(struct vector *v)
{
	t_fill(dst_of(v, 3), 7000, 1);		     /* EEXIST */
	t_drop(src_of(v, 9), EACH);		     /* ENOENT */
	v->range[20].src += 1;			     /* EINVAL */
	v->range[30].len = 0;			     /* EINVAL */
	v->range[40].src = (uintptr_t)-t_pages(8);   /* EINVAL */
	t_fill(dst_of(v, 50) + t_pages(2), 7001, 1); /* 2 pages, then EEXIST */
}

static const char *spoilt_rest(const struct vector *v, size_t first)
{
	size_t i;

	for (i = first; i < COUNT; i++)
		if (i != 3 && i != 9 && i != 20 && i != 30 && i != 40 &&
		    i != 50)
			RIGHT("others", range_done(v, i));
	return NULL;
}

static const char *some_fail(void)
{
	struct vector v = vector();
	int64_t moved;
	int r;

	spoil(&v);
	r = kmod_remapv(v.range, COUNT, 0, 0, &moved, NULL);
	RIGHT("call", ended(r, moved, -EAGAIN, (COUNT - 6) * EACH + 2));
	RIGHT("EEXIST", range_left(&v, 3, -EEXIST));
	MUST(v.range[9].moved == -ENOENT, "a hole: %" PRId64,
	     (int64_t)v.range[9].moved);
	MUST(v.range[20].moved == -EINVAL && v.range[30].moved == -EINVAL &&
		     v.range[40].moved == -EINVAL,
	     "wrong arguments: %d %d %d", (int)v.range[20].moved,
	     (int)v.range[30].moved, (int)v.range[40].moved);
	MUST(v.range[50].moved == (int64_t)t_pages(2),
	     "in the middle: %" PRId64, (int64_t)v.range[50].moved);
	RIGHT("its begin", t_check_range(dst_of(&v, 50), 2, id_of(50)));
	RIGHT("its end",
	      t_check_range(src_of(&v, 50) + t_pages(2), 2, id_of(50) + 2));
	RIGHT("20",
	      t_check_range(v.src + t_pages(20 * (EACH + 1)), EACH, id_of(20)));
	return spoilt_rest(&v, 0);
}

static const char *stops(void)
{
	struct vector v = vector();
	int64_t moved;
	size_t i;
	int r;

	t_fill(dst_of(&v, 5) + t_page(), 7000, 1);
	r = kmod_remapv(v.range, COUNT, PAGEMVIO_REMAPV_STOP, 0, &moved, NULL);
	RIGHT("call", ended(r, moved, -EAGAIN, 5 * EACH + 1));
	for (i = 0; i < 5; i++)
		RIGHT("before", range_done(&v, i));
	MUST(v.range[5].moved == (int64_t)t_page(), "at it: %" PRId64,
	     (int64_t)v.range[5].moved);
	for (i = 6; i < COUNT; i++)
		RIGHT("behind", range_left(&v, i, 0));
	return NULL;
}

/* Nothing at all: the first reason. */
static const char *all_fail(void)
{
	struct vector v = vector();
	int64_t moved;
	int r;

	t_fill(dst_of(&v, 0), 7000, 1);
	t_drop(src_of(&v, 1), EACH);
	r = kmod_remapv(v.range, 2, 0, 0, &moved, NULL);
	MUST(r == -EEXIST, "returned %d", r);
	MUST(moved == 0 || moved == -EEXIST, "moved %" PRId64, moved);
	RIGHT("first", range_left(&v, 0, -EEXIST));
	MUST(v.range[1].moved == -ENOENT, "second: %" PRId64,
	     (int64_t)v.range[1].moved);
	return NULL;
}

static const char *holes(void)
{
	struct vector v = vector();
	int64_t moved;
	int r;

	t_drop(src_of(&v, 7), EACH);
	t_drop(src_of(&v, 8) + t_page(), 1);
	r = kmod_remapv(v.range, COUNT, 0, KMOD_HOLES, &moved, NULL);
	RIGHT("call", ended(r, moved, 0, COUNT * EACH));
	RIGHT("hole", t_check_absent(dst_of(&v, 7), EACH));
	RIGHT("8", t_check_range(dst_of(&v, 8), 1, id_of(8)));
	RIGHT("8, its hole", t_check_absent(dst_of(&v, 8) + t_page(), 1));
	return t_check_range(dst_of(&v, 9), EACH, id_of(9));
}

/* ---- ranges that know each other ---- */

/* Done in order: what one range brings, the next takes on. */
static const char *chained(void)
{
	char *a = kmod_map_src(EACH, 1), *b = kmod_map_dst(EACH);
	char *c = kmod_map_dst(EACH);
	struct pagemvio_range range[3] = {
		{ (uintptr_t)b, (uintptr_t)a, t_pages(EACH), 0 },
		{ (uintptr_t)c, (uintptr_t)b, t_pages(EACH), 0 },
		{ (uintptr_t)a, (uintptr_t)c, t_pages(EACH), 0 },
	};
	int64_t moved;
	int r;

	kmod_dst(a, EACH);
	r = kmod_remapv(range, 3, 0, 0, &moved, NULL);
	RIGHT("call", ended(r, moved, 0, 3 * EACH));
	RIGHT("a", t_check_range(a, EACH, 1));
	RIGHT("b", t_check_absent(b, EACH));
	return t_check_absent(c, EACH);
}

static const char *same_twice(void)
{
	char *a = kmod_map_src(EACH, 1), *b = kmod_map_dst(2 * EACH);
	struct pagemvio_range range[2] = {
		{ (uintptr_t)b, (uintptr_t)a, t_pages(EACH), 0 },
		{ (uintptr_t)b + t_pages(EACH), (uintptr_t)a, t_pages(EACH),
		  0 },
	};
	int64_t moved;
	int r = kmod_remapv(range, 2, 0, 0, &moved, NULL);

	RIGHT("call", ended(r, moved, -EAGAIN, EACH));
	MUST(range[1].moved == -ENOENT, "the second: %" PRId64,
	     (int64_t)range[1].moved);
	return t_check_range(b, EACH, 1);
}

/* The vector itself lies in what is moved away. */
static const char *moves_itself(void)
{
	char *src = t_map(2), *dst = kmod_map_dst(2);
	struct pagemvio_range *range = (void *)src, copy;
	int64_t moved;
	int r;

	memset(src, 0, t_pages(2));
	*range = (struct pagemvio_range){ (uintptr_t)dst, (uintptr_t)src,
					  t_pages(2), KMOD_UNTOLD };
	copy = *range;
	r = kmod_remapv(range, 1, 0, 0, &moved, NULL);
	MUST(r == 0 || r == -EFAULT, "returned %d", r);
	MUST(((struct pagemvio_range *)(void *)dst)->src == copy.src,
	     "the page is not at dst");
	return NULL;
}

/* ---- many ---- */

static const char *longest(void)
{
	const size_t count = PAGEMVIO_REMAPV_MAX;
	char *src = kmod_map_src(2 * count, 1), *dst = kmod_map_dst(2 * count);
	struct pagemvio_range *range = calloc(count + 1, sizeof(*range));
	uint64_t flushes;
	int64_t moved;
	size_t i;
	int r;

	for (i = 0; i < count; i++) {
		range[i].src = (uintptr_t)src + t_pages(2 * i);
		range[i].dst = (uintptr_t)dst + t_pages(2 * (count - 1 - i));
		range[i].len = t_page();
	}
	r = kmod_remapv(range, count + 1, 0, 0, &moved, NULL);
	MUST(r == -EINVAL || r == -E2BIG, "one too many: %d", r);
	RIGHT("one too many", t_check_range(src, 2 * count, 1));
	r = kmod_remapv(range, count, 0, 0, &moved, &flushes);
	RIGHT("call", ended(r, moved, 0, (int64_t)count));
	for (i = 0; i < count; i++) {
		RIGHT("dst", t_check(dst + t_pages(2 * (count - 1 - i)),
				     2 * i + 1, 1));
		RIGHT("between",
		      t_check(src + t_pages(2 * i + 1), 2 * i + 2, 1));
	}
	lab_seen("flushes of a vector of 4096 ranges of a page", "%d",
		 (int)flushes);
	MUST(flushes >= 1 && flushes <= 8, "%d flushes", (int)flushes);
	return NULL;
}

static const char *long_ranges(void)
{
	const size_t pages = 6000;
	char *src = kmod_map_src(pages, 1), *dst = kmod_map_dst(pages);
	struct pagemvio_range range[2] = {
		{ (uintptr_t)dst + t_pages(3000), (uintptr_t)src, t_pages(3000),
		  0 },
		{ (uintptr_t)dst, (uintptr_t)src + t_pages(3000), t_pages(3000),
		  0 },
	};
	uint64_t flushes;
	int64_t moved;
	int r = kmod_remapv(range, 2, 0, 0, &moved, &flushes);

	RIGHT("call", ended(r, moved, 0, (int64_t)pages));
	RIGHT("first", t_check_range(dst + t_pages(3000), 3000, 1));
	RIGHT("second", t_check_range(dst, 3000, 3001));
	MUST(flushes <= 2 + pages / kmod_info().flush_pages,
	     "%d flushes, at most one for each %d pages", (int)flushes,
	     (int)kmod_info().flush_pages);
	return NULL;
}

static const char *huge_pages(void)
{
	const size_t unit = KMOD_HUGE / t_page();
	char *src = t_map_at(3 * unit, KMOD_HUGE, 0, true);
	char *dst = kmod_dst(t_map_at(3 * unit, KMOD_HUGE, 0, true), 3 * unit);
	struct pagemvio_range range[3] = {
		{ (uintptr_t)dst + 2 * KMOD_HUGE, (uintptr_t)src, KMOD_HUGE,
		  0 },
		{ (uintptr_t)dst, (uintptr_t)src + KMOD_HUGE, t_pages(100), 0 },
		{ (uintptr_t)dst + KMOD_HUGE, (uintptr_t)src + 2 * KMOD_HUGE,
		  KMOD_HUGE, 0 },
	};
	int64_t moved;
	int r;

	t_fill_range(src, 3 * unit, 1);
	r = kmod_remapv(range, 3, 0, 0, &moved, NULL);
	RIGHT("call", ended(r, moved, 0, (int64_t)(2 * unit + 100)));
	RIGHT("first", t_check_range(dst + 2 * KMOD_HUGE, unit, 1));
	RIGHT("part", t_check_range(dst, 100, unit + 1));
	RIGHT("third", t_check_range(dst + KMOD_HUGE, unit, 2 * unit + 1));
	return t_check_range(src + KMOD_HUGE + t_pages(100), unit - 100,
			     unit + 101);
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "64 scattered ranges, one flush", all },
		{ "one range", one_range },
		{ "EINVAL: no range", no_range },
		{ "some fail, the others go on", some_fail },
		{ "STOP: ends at the first failure", stops },
		{ "all fail: the first reason", all_fail },
		{ "holes are allowed", holes },
		{ "ranges that follow each other", chained },
		{ "the same source twice", same_twice },
		{ "the vector is moved itself", moves_itself },
		{ "as many ranges as there may be", longest },
		{ "long ranges", long_ranges },
		{ "huge pages among them", huge_pages },
	};
	struct tap tap = { 0, 0 };

	if (kmod_way() != KMOD_MODULE) {
		tap_skip(&tap, "REMAPV", "only the module can");
		return tap_done(&tap);
	}
	kmod_run(&tap, tests, T_COUNT(tests));
	return tap_done(&tap);
}
