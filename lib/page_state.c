// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Who waits sleeps on the sequence of a lot, not on the byte: futexes are
 * words of 32 bits. Pages share lots, so a wake-up means only: look again.
 *
 * Why no wake-up is missed. Who waits (W) reads the sequence first, and sees
 * or makes the byte WAITED after that; who releases (R) writes the byte first,
 * and raises the sequence after that if it was WAITED.
 *   - W makes it WAITED before R: R sees that, and raises what W has read.
 *   - W sees WAITED although R has written: then it had read the sequence
 *     before R raised it.
 * In both the sequence is no longer what W has read when R calls the kernel,
 * which compares and goes to sleep as one step: W does not sleep, or is among
 * those who are woken.
 *
 * ASSUME(futex-compare): FUTEX_WAIT sleeps only if the word is the value,
 *   atomically with respect to FUTEX_WAKE on it. futex(2).
 */
#include "page_state.h"

#include <errno.h>
#include <sys/mman.h>

#include "sys.h"

#define LOTS	  64 /* bits of the mask in pmv_page_release() */
#define LOT_SHIFT 58
#define LOT_ALIGN 64 /* bytes of a cache line */

/* A page of one's own is filled in 6 us by signal; the wake-up of a sleeper
 * costs up to 50. So many looks take a few us. */
#define SPINS 64
/* Once it is said that somebody waits, who has a run of pages ends it and
 * brings them, some 40 us; and a thread that sleeps so long may find its CPU
 * taken. */
#define SPINS_ASKED 1024

struct lot {
	_Alignas(LOT_ALIGN) PMV_ATOMIC _Atomic uint32_t sequence;
};

/* Of the whole process, so that nothing is freed under a thread that wakes. */
static struct lot lots[LOTS];

/* The golden ratio spreads the pages of a region, and regions that begin
 * alike. */
static unsigned int lot_of(const struct pmv_page_states *s, size_t i)
{
	uint64_t address = (uintptr_t)&s->of[i];

	return (unsigned int)(address * UINT64_C(0x9e3779b97f4a7c15) >>
			      LOT_SHIFT);
}

int pmv_page_states_open(const struct pmv_sys *sys, struct pmv_page_states *s,
			 size_t pages, size_t page_bytes)
{
	size_t bytes = pmv_round_up(pages, page_bytes);
	uintptr_t of;
	int rc;

	pmv_assert(pages > 0 && PMV_PAGE_ABSENT == 0);
	rc = sys->mmap(&of, bytes, PROT_READ | PROT_WRITE);
	if (rc < 0)
		return rc;
	s->of = (_Atomic uint8_t *)of;
	s->pages = pages;
	s->bytes = bytes;
	return 0;
}

void pmv_page_states_place(struct pmv_page_states *s, void *zeros, size_t pages)
{
	s->of = zeros;
	s->pages = pages;
	s->bytes = 0;
}

void pmv_page_states_close(const struct pmv_sys *sys, struct pmv_page_states *s)
{
	if (s->bytes)
		sys->munmap((uintptr_t)s->of, s->bytes);
	s->of = NULL;
	s->pages = 0;
	s->bytes = 0;
}

/*
 * One step of the picture in page_state.h, if page i is what it was expected
 * to be. Returns what it was. Acquire pairs with the release in
 * pmv_page_release(): who finds or claims a page sees what was done to it.
 * Not read first: a byte in fresh memory would cost two faults.
 */
static enum pmv_page_state step(const struct pmv_page_states *s, size_t i,
				enum pmv_page_state from,
				enum pmv_page_state to)
{
	uint8_t was = (uint8_t)from;

	pmv_assert(i < s->pages);
	atomic_compare_exchange_strong_explicit(&s->of[i], &was, (uint8_t)to,
						memory_order_acq_rel,
						memory_order_acquire);
	return (enum pmv_page_state)was;
}

enum pmv_page_state pmv_page_claim(const struct pmv_page_states *s, size_t i)
{
	return step(s, i, PMV_PAGE_ABSENT, PMV_PAGE_BUSY);
}

size_t pmv_page_claim_up(const struct pmv_page_states *s, size_t i, size_t max)
{
	size_t n = 0;

	while (n < max && i + n < s->pages &&
	       pmv_page_claim(s, i + n) == PMV_PAGE_ABSENT)
		n++;
	return n;
}

size_t pmv_page_claim_down(const struct pmv_page_states *s, size_t i,
			   size_t max)
{
	size_t n = 0;

	/* Below the first page i - n is beyond the last one. */
	while (n < max && i - n < s->pages &&
	       pmv_page_claim(s, i - n) == PMV_PAGE_ABSENT)
		n++;
	return n;
}

bool pmv_page_reclaim(const struct pmv_page_states *s, size_t i)
{
	enum pmv_page_state was = step(s, i, PMV_PAGE_PRESENT, PMV_PAGE_BUSY);

	return was == PMV_PAGE_PRESENT ||
	       (was == PMV_PAGE_POISONED &&
		step(s, i, PMV_PAGE_POISONED, PMV_PAGE_BUSY) == was);
}

void pmv_page_release(const struct pmv_sys *sys,
		      const struct pmv_page_states *s, size_t i, size_t n,
		      enum pmv_page_state state)
{
	uint64_t wake = 0;

	pmv_assert(state != PMV_PAGE_BUSY && state != PMV_PAGE_WAITED);
	pmv_assert(i <= s->pages && n <= s->pages - i);
	for (; n > 0; i++, n--) {
		unsigned int lot = lot_of(s, i);
		/* Release pairs with the acquire in step(), acquire with the
		 * release of WAITED there: the sequence is read before. */
		uint8_t was = atomic_exchange_explicit(
			&s->of[i], (uint8_t)state, memory_order_acq_rel);

		pmv_assert(was == PMV_PAGE_BUSY || was == PMV_PAGE_WAITED);
		if (was != PMV_PAGE_WAITED)
			continue;
		/* Pairs with the acquire in sleep_on(). */
		atomic_fetch_add_explicit(&lots[lot].sequence, 1,
					  memory_order_release);
		wake |= UINT64_C(1) << lot;
	}
	for (; wake; wake &= wake - 1)
		sys->futex_wake((const uint32_t *)&lots[__builtin_ctzll(wake)]
					.sequence);
}

static bool is_busy(uint8_t state)
{
	return state == PMV_PAGE_BUSY || state == PMV_PAGE_WAITED;
}

/* True if page i is busy no more, after so many looks at most. */
static bool spin(const struct pmv_page_states *s, size_t i, unsigned int looks)
{
	while (looks--) {
		/* Acquire as in step(). */
		if (!is_busy(atomic_load_explicit(&s->of[i],
						  memory_order_acquire)))
			return true;
		pmv_pause();
	}
	return false;
}

static void sleep_on(const struct pmv_sys *sys, const struct pmv_page_states *s,
		     size_t i, uint64_t limit_ns)
{
	struct lot *lot = &lots[lot_of(s, i)];
	/* Before the byte: pairs with the release in pmv_page_release(). */
	uint32_t sequence =
		atomic_load_explicit(&lot->sequence, memory_order_acquire);
	int rc;

	if (!is_busy((uint8_t)step(s, i, PMV_PAGE_BUSY, PMV_PAGE_WAITED)) ||
	    spin(s, i, SPINS_ASKED))
		return;
	/* ASSUME(futex-compare) */
	rc = sys->futex_wait((const uint32_t *)&lot->sequence, sequence,
			     limit_ns);
	/* A sandbox without futexes: the caller polls. */
	if (rc < 0 && rc != -EAGAIN && rc != -EINTR && rc != -ETIMEDOUT)
		sys->yield();
}

void pmv_page_wait_for(const struct pmv_sys *sys,
		       const struct pmv_page_states *s, size_t i,
		       uint64_t limit_ns)
{
	pmv_assert(i < s->pages);
	if (!spin(s, i, SPINS))
		sleep_on(sys, s, i, limit_ns);
}

void pmv_page_wait(const struct pmv_sys *sys, const struct pmv_page_states *s,
		   size_t i)
{
	pmv_page_wait_for(sys, s, i, 0);
}

bool pmv_page_waited(const struct pmv_page_states *s, size_t i, size_t n)
{
	pmv_assert(i <= s->pages && n <= s->pages - i);
	for (; n > 0; i++, n--)
		if (atomic_load_explicit(&s->of[i], memory_order_relaxed) ==
		    PMV_PAGE_WAITED)
			return true;
	return false;
}

/* States that are looked at together, where most are ABSENT: 1 GiB of pages has
 * 256 KiB of them, and the world may have been stopped. */
typedef uint64_t __attribute__((may_alias)) word;

/* Whether the states of a word's pages from i on are all ABSENT. */
static bool absent_word(const struct pmv_page_states *s, size_t i, size_t n)
{
	const word *at = (const word *)&s->of[i];

	return n >= sizeof(*at) && !((uintptr_t)at % sizeof(*at)) &&
	       !__atomic_load_n(at, __ATOMIC_RELAXED);
}

/* What a page was noted as before, if it is to be noted as state. */
static bool to_be_noted(enum pmv_page_state was, enum pmv_page_state state)
{
	if (state == PMV_PAGE_PRESENT)
		return was == PMV_PAGE_ABSENT;
	return was == PMV_PAGE_PRESENT || was == PMV_PAGE_POISONED;
}

void pmv_page_note(const struct pmv_page_states *s, size_t i, size_t n,
		   enum pmv_page_state state)
{
	pmv_assert(state == PMV_PAGE_ABSENT || state == PMV_PAGE_PRESENT);
	pmv_assert(i <= s->pages && n <= s->pages - i);
	for (; n > 0; i++, n--) {
		while (state == PMV_PAGE_ABSENT && absent_word(s, i, n)) {
			i += sizeof(word);
			n -= sizeof(word);
		}
		if (!n)
			break;
		/* Most have nothing to change; reading takes no memory. */
		enum pmv_page_state was =
			atomic_load_explicit(&s->of[i], memory_order_relaxed);

		if (to_be_noted(was, state))
			step(s, i, was, state);
	}
}
