/* SPDX-License-Identifier: 0BSD */
/*
 * Small objects: one pass over a bitmap says where all of them will be (the
 * Compressor, Kermany and Petrank 2006), so that any page of to-space can be
 * made by itself, by whoever needs it first.
 *
 * The bitmap has a bit for each granule of a live object. An object goes to
 * where the granules that live before it end: their number is known for each
 * block, and counted inside it.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

static size_t blocks_of(size_t bytes)
{
	return (bytes + BLOCK - 1) / BLOCK;
}

/* ---- marking ---- */

bool gc_small_mark(struct small *s, const struct gc_object *o)
{
	size_t from = gc_granule(s, o), to = from + o->size;
	uint64_t bit = (uint64_t)1 << from % 64;

	if (s->start[from / 64] & bit)
		return false;
	s->start[from / 64] |= bit;
	while (from < to) {
		size_t n = 64 - from % 64 < to - from ? 64 - from % 64
						      : to - from;

		s->live[from / 64] |= (~(uint64_t)0 >> (64 - n)) << from % 64;
		from += n;
	}
	return true;
}

void gc_small_clear(struct small *s)
{
	size_t words = blocks_of(s->space.used = atomic_load(&s->space.top));

	memset(s->live, 0, words * sizeof(s->live[0]));
	memset(s->start, 0, words * sizeof(s->start[0]));
}

/* ---- counting ---- */

/*
 * Bits are counted for each reference, by instructions where there are such:
 * not all x86-64 have them. So what counts is compiled twice.
 */
#ifdef __x86_64__
#define FAST_BITS __attribute__((target("popcnt,bmi,bmi2"), flatten))

static bool has_fast_bits(void)
{
	return __builtin_cpu_supports("popcnt") &&
	       __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}
#else
#define FAST_BITS

static bool has_fast_bits(void)
{
	return false;
}
#endif

/* ---- addresses ---- */

/* For each block and each page of to-space; returns how many granules live. */
static size_t plan(struct small *s)
{
	size_t blocks = blocks_of(s->space.used), n = 0, page = 0;

	for (size_t b = 0; b < blocks; b++) {
		s->moved_to[b] = (uint32_t)n;
		n += gc_count(s->live[b]);
		/* The first granule of a page lives in this block. */
		for (; page * (PAGE / GRANULE) < n; page++)
			s->block[page] = (uint32_t)b;
	}
	return n;
}

static FAST_BITS size_t plan_fast(struct small *s)
{
	return plan(s);
}

void gc_small_plan(struct small *s)
{
	s->live_granules = has_fast_bits() ? plan_fast(s) : plan(s);
	s->space.to_bytes =
		(s->live_granules * GRANULE + PAGE - 1) / PAGE * PAGE;
	memset(s->forwarded, 0, s->space.to_bytes / PAGE);
}

/* A page fault for each page of a table would be half of the first pause. */
static void populate(void *table, size_t bytes)
{
	/* Only faster, where the kernel can do it. */
	(void)madvise(table, bytes, MADV_POPULATE_WRITE);
}

void gc_small_prepare(struct small *s)
{
	size_t blocks = blocks_of(s->space.used);
	size_t pages = s->space.used / PAGE + 1;

	populate(s->moved_to, blocks * sizeof(s->moved_to[0]));
	populate(s->block, pages * sizeof(s->block[0]));
	populate(s->forwarded, pages);
}

/* The granule of from-space that goes to the first one of a page: the inverse.
 */
static size_t granule_from(const struct small *s, size_t page)
{
	size_t b = s->block[page];
	uint64_t live = s->live[b];

	for (size_t n = page * (PAGE / GRANULE) - s->moved_to[b]; n; n--)
		live &= live - 1;
	return b * 64 + (size_t)__builtin_ctzll(live);
}

/* Where the object begins that has granule g. */
static size_t start_before(const struct small *s, size_t g)
{
	size_t w = g / 64;
	uint64_t bits = s->start[w] & (~(uint64_t)0 >> (63 - g % 64));

	while (!bits)
		bits = s->start[--w];
	return w * 64 + 63 - (size_t)__builtin_clzll(bits);
}

/* The first granule that lives, from g on; there is one. */
static size_t live_from(const struct small *s, size_t g)
{
	size_t w = g / 64;
	uint64_t bits = s->live[w] & ~(uint64_t)0 << g % 64;

	while (!bits)
		bits = s->live[++w];
	return w * 64 + (size_t)__builtin_ctzll(bits);
}

/* How many granules live from g on without a gap, at most max. */
static size_t live_run(const struct small *s, size_t g, size_t max)
{
	size_t n = 0;

	while (n < max) {
		uint64_t dead = ~s->live[(g + n) / 64] >> (g + n) % 64;

		if (dead) {
			n += (size_t)__builtin_ctzll(dead);
			break;
		}
		n += 64 - (g + n) % 64;
	}
	return n < max ? n : max;
}

/* ---- references ---- */

/* How many of them lie in the first n granules of an object. */
static size_t refs_in(const struct gc_object *o, size_t n)
{
	size_t room = (n * GRANULE - sizeof(*o)) / sizeof(o->ref[0]);

	return o->refs < room ? o->refs : room;
}

/* s is gc->small, or a copy of it. */
static inline void forward(const struct gc *gc, const struct small *s,
			   struct gc_object **ref, size_t n)
{
	for (struct gc_object **end = ref + n; ref < end; ref++)
		if (gc_in(&s->space, *ref))
			*ref = gc_small_forward(s, *ref);
		else if (*ref)
			*ref = gc_large_forward(&gc->large, *ref);
}

/* In the n granules from first on, all of which live, and of which the copies
 * are at `at`: those of objects that begin there. These are found by their
 * bits, not by their sizes: no object waits for the one before it. */
static void forward_starts(const struct gc *gc, size_t first, size_t n,
			   char *at)
{
	/* A copy can be kept in registers: nothing that is stored changes it.
	 */
	const struct small s = gc->small;
	size_t end = first + n;

	for (size_t w = first / 64; w * 64 < end; w++) {
		uint64_t starts = s.start[w];

		if (w == first / 64)
			starts &= ~(uint64_t)0 << first % 64;
		if (w == end / 64)
			starts &= ~(~(uint64_t)0 << end % 64);
		for (; starts; starts &= starts - 1) {
			size_t g = w * 64 + (size_t)__builtin_ctzll(starts);
			struct gc_object *o =
				(void *)(at + (g - first) * GRANULE);

			forward(gc, &s, o->ref, refs_in(o, end - g));
		}
	}
}

/* Those of an object that begins before them. */
static void forward_rest(const struct gc *gc, size_t object, size_t first,
			 size_t n, char *at)
{
	const struct gc_object *o =
		(const void *)(gc->small.space.from + object * GRANULE);
	size_t before = refs_in(o, first - object);

	forward(gc, &gc->small, (struct gc_object **)at,
		refs_in(o, first + n - object) - before);
}

/* All of them; the first granule is one of object's. */
static void forward_run(const struct gc *gc, size_t object, size_t first,
			size_t n, char *at)
{
	if (object < first)
		forward_rest(gc, object, first, n, at);
	forward_starts(gc, first, n, at);
}

/* ---- a page of to-space ---- */

/* Whether a page of from-space is the page of to-space as it is: all of it
 * lives, and no object crosses its ends. */
static bool is_dense(const struct small *s, size_t first, size_t object)
{
	size_t n = PAGE / GRANULE, end = first + n;

	if (first % n || object != first)
		return false;
	for (size_t b = first / 64; b < end / 64; b++)
		if (s->live[b] != ~(uint64_t)0)
			return false;
	return end * GRANULE >= s->space.used ||
	       !(s->live[end / 64] & ~s->start[end / 64] & 1);
}

static int move_dense(struct gc *gc, struct pagemv_produce *page, size_t first)
{
	struct small *s = &gc->small;
	uint8_t *forwarded = &s->forwarded[page->off_bytes / PAGE];
	char *from = s->space.from + first * GRANULE;

	if (!*forwarded)
		forward_run(gc, first, first, PAGE / GRANULE, from);
	/* It may be asked for again, when the kernel could not move it. */
	*forwarded = 1;
	page->move_from = from;
	page->first_bytes = (size_t)(from - s->space.from);
	page->done_bytes = page->first_bytes + PAGE;
	return PAGEMV_PRODUCE_MOVE;
}

static int produce(struct gc *gc, struct pagemv_produce *page)
{
	struct small *s = &gc->small;
	size_t to = page->off_bytes / GRANULE, end = to + PAGE / GRANULE;
	size_t first = granule_from(s, page->off_bytes / PAGE),
	       object = start_before(s, first);
	char *at = page->scratch;

	if (is_dense(s, first, object))
		return move_dense(gc, page, first);
	page->first_bytes = first * GRANULE;
	if (end > s->live_granules)
		end = s->live_granules;
	while (to < end) {
		size_t n = live_run(s, first, end - to);

		memcpy(at, s->space.from + first * GRANULE, n * GRANULE);
		forward_run(gc, object, first, n, at);
		at += n * GRANULE;
		to += n;
		if (to < s->live_granules) {
			first = live_from(s, first + n);
			object = start_before(s, first);
		}
	}
	memset(at, 0, (size_t)((char *)page->scratch + PAGE - at));
	/* The header of an object that goes on is read once more. */
	page->done_bytes = to < s->live_granules ? object * GRANULE
						 : s->space.used;
	return 0;
}

static FAST_BITS int produce_fast(struct gc *gc, struct pagemv_produce *page)
{
	return produce(gc, page);
}

int gc_small_produce(void *gc, struct pagemv_produce *page)
{
	return has_fast_bits() ? produce_fast(gc, page) : produce(gc, page);
}

/* ---- begin and end ---- */

/* Zeros, of which only what is touched becomes memory. */
static void *table(size_t n, size_t bytes)
{
	void *p = mmap(NULL, n * bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int gc_small_open(struct gc *gc, size_t bytes)
{
	struct small *s = &gc->small;
	size_t blocks = blocks_of(bytes) + 1;
	int rc = gc_space_open(gc, &s->space, bytes, gc_small_produce);

	if (rc < 0)
		return rc;
	s->live = table(blocks, sizeof(s->live[0]));
	s->start = table(blocks, sizeof(s->start[0]));
	s->moved_to = table(blocks, sizeof(s->moved_to[0]));
	s->block = table(bytes / PAGE, sizeof(s->block[0]));
	s->forwarded = table(bytes / PAGE, 1);
	return s->live && s->start && s->moved_to && s->block && s->forwarded
		       ? 0
		       : -ENOMEM;
}

static void drop(void *p, size_t n, size_t bytes)
{
	if (p)
		munmap(p, n * bytes);
}

void gc_small_close(struct small *s)
{
	size_t blocks = blocks_of(s->space.bytes) + 1;

	gc_space_close(&s->space);
	drop(s->live, blocks, sizeof(s->live[0]));
	drop(s->start, blocks, sizeof(s->start[0]));
	drop(s->moved_to, blocks, sizeof(s->moved_to[0]));
	drop(s->block, s->space.bytes / PAGE, sizeof(s->block[0]));
	drop(s->forwarded, s->space.bytes / PAGE, 1);
}
