// SPDX-License-Identifier: LGPL-2.1-or-later
#include "own_heap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include <pagemv/heap.h>
#include <pagemv/pagemv.h>

#include "conf.h"
#include "shim.h"
#include "stats_page.h"

#define INITIAL_EXEC __attribute__((tls_model("initial-exec")))

/* No heap yet and nobody at it; being made, or given up for good. */
enum state { UNMADE, TAKEN };

static PMV_CONST_AFTER_INIT const struct pmv_conf *conf;
static PMV_CONST_AFTER_INIT struct pmv_stats_page *page;
static PMV_ATOMIC _Atomic int state = TAKEN;
static PMV_ATOMIC _Atomic(struct pagemv_heap *) own;

/* The thread is in a call of the heap, or between the handlers of a fork.
 * volatile: signal handlers look at it. */
static __thread volatile bool inside INITIAL_EXEC;
static __thread int wrong INITIAL_EXEC;
/* What it was when the thread came to fork: a handler of a signal may fork
 * within a call of the heap. */
static __thread bool was_inside INITIAL_EXEC;

/* ---- blocks to be freed later ---- */

/* In the first bytes of a block. */
struct later {
	struct later *next;
	uintptr_t mark; /* as mark_of() it: it is in the list */
};

static PMV_ATOMIC _Atomic(struct later *) all_later;

/* What the program has hardly written there itself. */
static uintptr_t mark_of(const struct later *block)
{
	return ~(uintptr_t)block ^ (uintptr_t)&all_later;
}

bool pmv_heap_free_later(void *ptr)
{
	struct later *block = ptr;

	if (block->mark == mark_of(block))
		return false;
	block->mark = mark_of(block);
	block->next = atomic_load_explicit(&all_later, memory_order_relaxed);
	/* Pairs with the acquire in free_all_later(). */
	while (!atomic_compare_exchange_weak_explicit(
		&all_later, &block->next, block, memory_order_release,
		memory_order_relaxed))
		;
	return true;
}

static void free_all_later(struct pagemv_heap *heap)
{
	struct later *block;

	/* All at once, so that none is seen twice. */
	block = atomic_exchange_explicit(&all_later, NULL,
					 memory_order_acquire);
	while (block) {
		struct later *next = block->next;

		block->mark = 0;
		pagemv_heap_free(heap, block);
		block = next;
	}
}

/* ---- making it ---- */

static void note_misuse(void *arg, enum pagemv_heap_misuse what, void *ptr)
{
	(void)arg;
	(void)ptr;
	wrong = (int)what;
}

static uint32_t disabled(uint32_t mechanism)
{
	const uint32_t move = PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE);
	const uint32_t remap = PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP);
	const uint32_t companion = PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION);

	switch (mechanism) {
	case PAGEMV_MECH_MOVE:
		return remap | companion;
	case PAGEMV_MECH_REMAP:
		return move | companion;
	case PAGEMV_MECH_COPY:
		return move | remap | companion;
	case PAGEMV_MECH_COMPANION:
		return move | remap;
	default:
		return 0;
	}
}

static void make_page(void)
{
	char text[512];

	if (!conf->top)
		return;
	pmv_conf_print(conf, text, sizeof(text));
	page = pmv_stats_page_make(text);
}

/* It opens a handle when the first block moves: most processes end before. */
static int create(enum pagemv_heap_policy policy, struct pagemv_heap **out)
{
	const struct pagemv_open_opts how = {
		.size = sizeof(how),
		.flags = PAGEMV_OPEN_HIGH_FDS |
			 (conf->uffd ? 0 : PAGEMV_OPEN_NO_UFFD),
		.disabled = disabled(conf->mechanism),
	};
	const struct pagemv_heap_opts opts = {
		.size = sizeof(opts),
		.flags = PAGEMV_HEAP_FOREIGN_OK |
			 (conf->background ? PAGEMV_HEAP_BACKGROUND : 0) |
			 (conf->tight ? PAGEMV_HEAP_TIGHT : 0),
		.huge = conf->huge,
		.policy = policy,
		.node = policy == PAGEMV_HEAP_NODE ? conf->node : 0,
		.placement = conf->placement,
		/* 0 is for what is usual there: as good as none. */
		.decay_ms = conf->decay_ms ? conf->decay_ms : 1,
		.warm_bytes = conf->decay_ms && conf->warm_bytes
				      ? conf->warm_bytes
				      : 1,
		.name = "pagemv-malloc",
		.counters = page ? page->counter : NULL,
		.misuse = note_misuse,
		.open = &how,
	};

	return pagemv_heap_create(NULL, &opts, out);
}

/* A thread that forks is inside from the first of these to the last: they are
 * registered after the heap's, so run before its locks are taken, and when they
 * are free again. What other handlers ask for meanwhile is passed on. */
static void before_fork(void)
{
	size_t bytes = 0;

	/* So that the thread is known to RCU, which is no longer possible then:
	 * handlers that are called later may ask whose a block is. */
	pagemv_heap_usable_size(pmv_heap_made(), &bytes, &bytes);
	was_inside = inside;
	inside = true;
}

static void after_fork_parent(void)
{
	inside = was_inside;
}

static void after_fork_child(void)
{
	pmv_stats_page_child(page);
	inside = was_inside;
}

static struct pagemv_heap *make(void)
{
	struct pagemv_heap *heap;
	int rc;

	make_page();
	rc = create(conf->policy, &heap);
	/* Which nodes there are is not known before. */
	if (rc == -EINVAL && conf->policy == PAGEMV_HEAP_NODE) {
		pmv_say("%s: node: not \"%u\", no memory there",
			PMV_CONF_VARIABLE, conf->node);
		rc = create(PAGEMV_HEAP_LOCAL, &heap);
	}
	if (rc < 0)
		return NULL;
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
	return heap;
}

/* Who comes while another thread makes it does without: waiting for it might be
 * for ever, as for a thread that is not in a forked child. */
static struct pagemv_heap *make_once(void)
{
	struct pagemv_heap *heap;
	int saved = errno;

	if (atomic_load_explicit(&state, memory_order_relaxed) == TAKEN ||
	    atomic_exchange_explicit(&state, TAKEN, memory_order_acquire) ==
		    TAKEN)
		return NULL;
	heap = make();
	/* Pairs with the acquire in pmv_heap_made(). */
	atomic_store_explicit(&own, heap, memory_order_release);
	errno = saved;
	return heap;
}

void pmv_heap_allow(const struct pmv_conf *with)
{
	conf = with;
	/* Pairs with the acquire in make_once(). */
	atomic_store_explicit(&state, UNMADE, memory_order_release);
}

/* ---- using it ---- */

struct pagemv_heap *pmv_heap_made(void)
{
	return atomic_load_explicit(&own, memory_order_acquire);
}

struct pagemv_heap *pmv_heap_enter(void)
{
	struct pagemv_heap *heap;

	if (inside)
		return NULL;
	inside = true;
	wrong = PMV_NO_MISUSE;
	heap = pmv_heap_made();
	if (pmv_unlikely(!heap))
		heap = make_once();
	if (!heap)
		inside = false;
	return heap;
}

void pmv_heap_leave(struct pagemv_heap *heap)
{
	if (pmv_unlikely(atomic_load_explicit(&all_later,
					      memory_order_relaxed) != NULL))
		free_all_later(heap);
	inside = false;
}

int pmv_heap_wrong(void)
{
	return wrong;
}
