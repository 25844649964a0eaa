/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the scenario "trace" share: the other process, which looks
 * into this one, writes into it and stops its threads (trace_other.c).
 */
#ifndef TESTS_VM_SCENARIOS_TRACE_H
#define TESTS_VM_SCENARIOS_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "snapshot.h"
#include "tap.h"
#include "ways.h"

#define PAGES	  32
#define SLOTS	  256 /* words in the second half of a page */
#define HELD_WORD UINT64_C(0x0123456789abcdef)

enum order { TRACE = 'T', READ = 'R', WRITE = 'W', HOLD = 'H', QUIT = 'Q' };

enum method { BY_WRITEV, BY_MEM, BY_POKE, METHODS };

/* Shared with the other process. */
struct shared {
	struct snapshot_place place;
	enum method method;
	pid_t victim; /* a thread that sleeps: poked through */
	bool stop;    /* come to an end */

	uint64_t stops;	    /* of all threads at once */
	uint64_t in_calls;  /* threads stopped at the end of ioctl or mremap */
	uint64_t at_entry;  /* or before one */
	uint64_t in_flight; /* pages found at neither place */
	uint64_t rewritten;
	uint64_t words; /* peeked, poked and put back */
	uint64_t reads; /* of whole pages */
	uint64_t whole; /* of which the page was whole */
	uint64_t op;	/* odd while a word is being written */
	uint32_t written[PAGES];
	bool held; /* a page is pinned by a write that has begun */
	bool cannot_hold;
	char text[200];
};

extern struct shared *shared;

static inline void add(uint64_t *to, uint64_t n)
{
	__atomic_fetch_add(to, n, __ATOMIC_RELAXED);
}

/* A result of one case. */
void trace_result(struct tap *tap, const struct t_case *c, bool ok,
		  const char *name, const char *what);

/* Before there is any thread. */
void start_other(void);
void order(enum order what);
/* Ends what was ordered; waits for it. */
void order_end(void);
void clear_shared(void);

/* Word k of a page, and what is written there as word k of page i. */
uint64_t *slot(char *page, size_t k);
uint64_t word_of(size_t i, size_t k);

/* ---- trace_words.c ---- */

/* No word that the other process writes is lost, and none is anywhere else. */
void run_words(struct tap *tap);
/* While the page is held: moved with what holds it, refused, or copied. */
void held_page(struct tap *tap, struct t_case *c);

#endif /* TESTS_VM_SCENARIOS_TRACE_H */
