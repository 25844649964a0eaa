/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "heap_scene.h"
#include "pages.h"

#include <sys/mman.h>

#define BYTES (8 * MIB)

static struct heap_scene open_huge(enum pagemv_heap_huge huge)
{
	const struct pagemv_heap_opts o = { .size = sizeof(o), .huge = huge };

	fake_file("/sys/kernel/mm/transparent_hugepage/enabled",
		  "always [madvise] never\n", 100);
	return heap_open(&o, NULL);
}

static void need_huge(const struct heap_scene *s)
{
	if (!s->heap->huge_bytes)
		cr_skip("no huge pages");
}

static char *block(struct heap_scene *s, size_t bytes)
{
	void *at;

	cr_assert(pagemv_heap_alloc(s->heap, bytes, 0, &at) == 0);
	memset(at, 1, bytes);
	return at;
}

/* For what counts calls: where the kernel makes neighbours of what is touched
 * (7.3), a block's end has some that are not to be made any more. */
static void need_no_neighbours(const char *at, size_t bytes)
{
	if (t_present(at + bytes))
		cr_skip("the kernel has made more pages than were touched");
}

static bool is_advised(struct heap_scene *s, const void *at)
{
	return heap_slot(s->heap, at)->advised;
}

Test(heap_huge, always_is_from_the_beginning)
{
	struct heap_scene s = open_huge(PAGEMV_HEAP_HUGE_ALWAYS);
	void *small;

	need_huge(&s);
	cr_expect(is_advised(&s, block(&s, BYTES)));
	small = block(&s, MIB);
	cr_expect(!is_advised(&s, small));
	cr_assert(pagemv_heap_realloc(s.heap, small, BYTES, 0, &small, NULL) ==
		  0);
	cr_expect(is_advised(&s, small));
	heap_close(&s);
}

Test(heap_huge, the_system_decides_where_it_is_asked_to)
{
	static const enum pagemv_heap_huge kinds[] = { PAGEMV_HEAP_HUGE_SYSTEM,
						       PAGEMV_HEAP_HUGE_NEVER };

	for (size_t i = 0; i < T_COUNT(kinds); i++) {
		struct heap_scene s = open_huge(kinds[i]);
		void *at = block(&s, BYTES);

		cr_assert(pagemv_heap_realloc(s.heap, at, 2 * BYTES, 0, &at,
					      NULL) == 0);
		cr_expect(!is_advised(&s, at));
		/* Nor by what comes from another heap with advice. */
		cr_expect(!s.heap->advises);
		heap_close(&s);
	}
}

/* ---- auto ---- */

static void spend(void *ns)
{
	fake_spend(*(const uint64_t *)ns);
}

/* What it costs to make pages: of small ones a piece of up to 128 KiB, of huge
 * ones one. In this machine's time it is nothing. */
static void pages_cost(uint64_t small_ns, uint64_t huge_ns)
{
	static uint64_t small, huge;

	small = small_ns;
	huge = huge_ns;
	fake_behave();
	fake_add((struct fake_rule){ .call = FAKE_COPY,
				     .times = FAKE_EVER,
				     .before = spend,
				     .arg = &small,
				     .really = SIZE_MAX });
	fake_add((struct fake_rule){ .call = FAKE_POPULATE,
				     .times = FAKE_EVER,
				     .before = spend,
				     .arg = &huge,
				     .really = SIZE_MAX });
}

#define S ((uint64_t)1000000000)

static const uint64_t cheap = S / 1000, dear = 100 * S;

/* To size, and filled. */
static char *grow(struct heap_scene *s, char *from, size_t old, size_t size)
{
	void *at;

	cr_assert(pagemv_heap_realloc(s->heap, from, size, 0, &at, NULL) == 0);
	memset((char *)at + old, 1, size - old);
	return at;
}

static unsigned int huge_made(void)
{
	return fake_count(FAKE_POPULATE);
}

static bool can(const struct heap_scene *s)
{
	return s->heap->huge_bytes == 2 * MIB &&
	       s->pv->facilities & PAGEMV_HAS_POPULATE_WRITE &&
	       s->pv->facilities & PAGEMV_HAS_QUIET &&
	       !pmv_pages_small_only(s->pv);
}

/* Nothing is known of a new block, and of one that is not dense. */
Test(heap_huge, auto_waits_until_a_block_is_dense)
{
	struct heap_scene s = open_huge(PAGEMV_HEAP_HUGE_AUTO);
	void *sparse, *dense;

	if (!can(&s))
		cr_skip("no huge pages, or not here");
	pages_cost(S, cheap);
	cr_assert(pagemv_heap_alloc(s.heap, BYTES, 0, &sparse) == 0);
	dense = block(&s, BYTES);
	need_no_neighbours(dense, BYTES);
	cr_expect(!is_advised(&s, dense));
	cr_assert(pagemv_heap_realloc(s.heap, sparse, 4 * BYTES, 0, &sparse,
				      NULL) == 0);
	cr_expect(!is_advised(&s, sparse));
	cr_expect(huge_made() == 0);

	/* The first pages are small, as nothing is known of the cost. */
	dense = grow(&s, dense, BYTES, 4 * BYTES);
	cr_expect(huge_made() == 1);
	/* It was cheap: the caller gets the others by touching them. */
	cr_expect(is_advised(&s, dense));
	/* It takes the advice along. */
	dense = grow(&s, dense, 4 * BYTES, 10 * BYTES);
	cr_expect(is_advised(&s, dense));
	fake_behave();
	heap_close(&s);
}

/* In small steps nothing is left to touch. */
Test(heap_huge, all_of_a_small_step_is_made)
{
	struct heap_scene s = open_huge(PAGEMV_HEAP_HUGE_AUTO);
	char *at;

	if (!can(&s))
		cr_skip("no huge pages, or not here");
	pages_cost(S, cheap);
	at = block(&s, 16 * BYTES);
	at = grow(&s, at, 16 * BYTES, 17 * BYTES);
	cr_expect(!is_advised(&s, at));
	fake_forget_counts();
	at = grow(&s, at, 17 * BYTES, 18 * BYTES);
	cr_expect(!is_advised(&s, at));
	cr_expect(huge_made() >= 2 && huge_made() <= 4, "%u", huge_made());
	/* Some are left for the sensor, and it is not blind to huge pages. */
	cr_expect(heap_slot(s.heap, at)->sensor >= 16 * BYTES);
	fake_behave();
	heap_close(&s);
}

Test(heap_huge, one_that_was_cold_is_the_last_for_a_while)
{
	struct heap_scene s = open_huge(PAGEMV_HEAP_HUGE_AUTO);
	char *at;

	if (!can(&s))
		cr_skip("no huge pages, or not here");
	pages_cost(S, dear * 1000);
	at = block(&s, BYTES);
	need_no_neighbours(at, BYTES);
	at = grow(&s, at, BYTES, 4 * BYTES);
	cr_expect(huge_made() == 1);
	cr_expect(!is_advised(&s, at));
	at = grow(&s, at, 4 * BYTES, 8 * BYTES);
	cr_expect(huge_made() == 1);

	/* Then there is another try. What was not cold once may be cold the
	 * next time: pages are made, and the rest is not advised. */
	pages_cost(S, cheap);
	fake_pass(3 * S);
	at = grow(&s, at, 8 * BYTES, 16 * BYTES);
	cr_expect(huge_made() == 1 + 16 * BYTES / 8 / (2 * MIB), "%u",
		  huge_made());
	cr_expect(!is_advised(&s, at));
	fake_behave();
	heap_close(&s);
}

/* A slot that is used again for who knows what. */
Test(heap_huge, advice_is_taken_back)
{
	struct heap_scene s = open_huge(PAGEMV_HEAP_HUGE_AUTO);
	void *at, *other;

	if (!can(&s))
		cr_skip("no huge pages, or not here");
	pages_cost(S, cheap);
	at = grow(&s, block(&s, BYTES), BYTES, 4 * BYTES);
	cr_assert(is_advised(&s, at));
	cr_assert(pagemv_heap_free(s.heap, at) == 0);
	cr_assert(pagemv_heap_alloc(s.heap, BYTES, 0, &other) == 0);
	cr_expect(!is_advised(&s, other));
	fake_behave();
	heap_close(&s);
}
