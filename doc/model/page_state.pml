/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages on demand, as a model for Spin: who fills a page, who waits for it,
 * and how a region ends meanwhile. README.md beside it says what is left out.
 *
 * Each step that is one instruction, or one system call, of the library is one
 * step here; any thread may run between two steps.
 *
 *   THREADS  threads that touch pages
 *   ROUNDS   pages that each touches, one after the other
 *   HANDLERS faults are served by so many threads of their own; without it,
 *            by the thread that touched the page
 *   AROUND   a fault fills the other page, too, if it likes
 *   FAILURES how often the source fails, all threads together
 *   BAD      the source always fails for page 0, and windows with it
 *   DISCARDS how often a page is thrown away by madvise()
 *   MOVES    how often a page is moved in by pagemv_move()
 *   NOTES    madvise() is followed by an event (PAGEMV_REGION_EVENTS)
 *   ENDS     the region is unregistered at some time
 *   PARTS    the first page is: pagemv_region_unregister_part()
 *   LOTS     of the parking place: 1, pages share it; 2, each has its own
 *
 * PLANTED_... puts a fault in, which Spin must find: tests/gates/model.sh.
 */
#ifndef THREADS
#define THREADS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef FAILURES
#define FAILURES 0
#endif
#ifndef DISCARDS
#define DISCARDS 0
#endif
#ifndef MOVES
#define MOVES 0
#endif
#ifndef LOTS
#define LOTS 2
#endif

#define PAGES 2

/* enum pmv_page_state */
#define ABSENT	0
#define BUSY	1
#define WAITED	2
#define PRESENT 3
#ifdef PLANTED_ENDED_PRESENT
#define ENDED	PRESENT
#else
#define ENDED	4
#endif

byte word[PAGES]; /* the page states */

/* The kernel's side. */
bool mapped[PAGES];
bool registered[PAGES] = true;

/* Words that threads sleep on: the lots' sequences, and pagemv_region.users. */
#define USERS LOTS
#define LOT(i) ((i) % LOTS)
byte futex[LOTS + 1];

/* pagemv_region.users */
#define ENDING 1
#define USER   2

/* Threads by number: those that serve faults, then the one that unregisters. */
#ifdef HANDLERS
#define SERVERS HANDLERS
#else
#define SERVERS THREADS
#endif
#define ENDER SERVERS
byte asleep[SERVERS + 1]; /* 0, or 1 + the word that it sleeps on */
bool reading[SERVERS];    /* in a read-side section */

#ifdef HANDLERS
/* What the kernel knows of those that touch pages. */
#define RUNS   0
#define FAULTS 1 /* sleeps, and its message was not read yet */
#define TOLD   2 /* sleeps, and its message was read */
byte waiting[THREADS];
byte at[THREADS]; /* the page */
bool signalled[THREADS];
#endif

bool listed[PAGES] = true; /* in the extents */
bool gone[PAGES];          /* unregister_part() has returned */
bool freed;                /* the region and its page states */

/* For the checks alone. */
byte fillers[PAGES];       /* threads that are at it */
bool owed[PAGES];          /* it is absent, and was not filled since it is */
bool ours[PAGES];          /* it is mapped, and by a filler */
byte failures = FAILURES;
byte over;                 /* threads that have ended */
byte serving;              /* handlers that are not idle */

/* ---- futex(2) ---- */

/* Compares and goes to sleep in one step. */
inline futex_wait(me, f, value)
{
	atomic {
		if
		:: futex[f] == value -> asleep[me] = f + 1
		:: else
		fi
	}
	asleep[me] == 0
}

inline futex_wake(f)
{
	d_step {
		t = 0;
		do
		:: t > SERVERS -> break
		:: else ->
			if
			:: asleep[t] == f + 1 -> asleep[t] = 0
			:: else
			fi;
			t++
		od;
		t = 0
	}
}

/* ---- lib/page_state.c ---- */

/* was: what it was. */
inline step(i, from, to)
{
	atomic {
		assert(!freed);
		was = word[i];
		if
		:: was == from -> word[i] = to
		:: else
		fi
	}
}

/* pmv_page_wait(), without its spinning */
inline wait(me, i)
{
#ifdef PLANTED_LATE_SEQUENCE
	step(i, BUSY, WAITED);
	sequence = futex[LOT(i)];
#else
	sequence = futex[LOT(i)];
#ifdef PLANTED_WAITED_STORED
	d_step { was = word[i]; word[i] = WAITED };
#else
	step(i, BUSY, WAITED);
#endif
#endif
	if
	:: was == BUSY || was == WAITED ->
		futex_wait(me, LOT(i), sequence)
	:: else
	fi;
	sequence = 0
}

/* pmv_page_release(), of one page; then wake_lots() for all of them */
inline release(i, state)
{
	d_step {
		assert(!freed);
		was = word[i];
		assert(was == BUSY || was == WAITED);
		word[i] = state
	}
	if
	:: was == WAITED ->
#ifndef PLANTED_NO_RAISE
		futex[LOT(i)]++;
#endif
		wake[LOT(i)] = true
	:: else
	fi
}

inline wake_lots()
{
	if
	:: wake[0] -> futex_wake(0); wake[0] = false
	:: else
	fi;
#if LOTS > 1 && !defined(PLANTED_ONE_LOT)
	if
	:: wake[1] -> futex_wake(1); wake[1] = false
	:: else
	fi;
#endif
}

/* ---- UFFDIO_WAKE ---- */

/* Threads that sleep in the kernel because of page i access it again. */
inline uffd_wake(i)
{
#ifdef HANDLERS
	d_step {
		t = 0;
		do
		:: t == THREADS -> break
		:: else ->
			if
			:: at[t] == i -> waiting[t] = RUNS
			:: else
			fi;
			t++
		od;
		t = 0
	}
#else
	skip
#endif
}

/* ---- filling ---- */

/* The callback is asked for page i. */
inline begin(i)
{
	fillers[i]++;
	assert(fillers[i] == 1);
	assert(!gone[i]);
#ifndef NOTES
	assert(owed[i]);
#endif
	owed[i] = false
}

/* The page is mapped: by us, or EEXIST says that there is one. */
inline map(i)
{
	d_step {
		if
		:: !mapped[i] -> mapped[i] = true; ours[i] = true
		:: else
		fi;
		fillers[i]--
	}
	/* What the kernel did not map it did not wake either: source.c does. */
	uffd_wake(i)
}

/* There is nothing to map: it is as absent as before. */
inline give_up(i)
{
	owed[i] = true;
	fillers[i]--
}

/*
 * pmv_source_fill() of [low, low + n): filled of them are there then. Fewer
 * where the source fails, where a step is done in part, and where the region
 * is not registered any more.
 */
inline fill(low, n)
{
	d_step {
		begin(low);
		if
		:: n == 2 -> begin(low + 1)
		:: else
		fi
	}
	filled = 0;
	/* The callback runs. */
	atomic {
		if
#ifdef BAD
		:: low == 0 -> goto filled_all
		:: low != 0
#else
		:: true
#endif
		:: failures > 0 -> failures--; goto filled_all
		fi
	}
	atomic {
		if
		:: !registered[low] -> goto filled_all
		:: registered[low] -> map(low); filled = 1
		fi
	}
	if
	:: n == 1 -> goto filled_all
	:: else
	fi;
	atomic {
		if
		:: !registered[low + 1]
		:: registered[low + 1] -> map(low + 1); filled = 2
		:: registered[low + 1] && failures > 0 -> failures--
		fi
	}
filled_all:
	atomic {
		t = filled;
		do
		:: t == n -> break
		:: else -> give_up(low + t); t++
		od;
		t = 0
	}
}

/* ---- faults ---- */

#ifdef HANDLERS
/* A thread that touches pages. */
proctype toucher(byte me)
{
	byte page, rounds;

	do
	:: rounds == ROUNDS -> break
	:: else ->
		rounds++;
		if
		:: page = 0
		:: page = 1
		fi;
		do
		:: atomic { mapped[page] || !registered[page] -> break }
		:: atomic { !mapped[page] && registered[page] ->
				waiting[me] = FAULTS;
				at[me] = page
			};
			waiting[me] == RUNS;
			if
			:: signalled[me] -> signalled[me] = false; break
			:: else
			fi
		od
	od;
	over++
}
#endif

/* A thread that serves faults: its own, or as a handler thread. */
proctype server(byte me)
{
	byte page, low, n, filled, was, sequence, t;
	bool wake[LOTS], told;
	bool wide; /* pmv_hold.extent: it has both pages */
#ifdef HANDLERS
	byte who;

end_next:
	atomic {
		if
		:: waiting[0] == FAULTS -> who = 0
		:: THREADS > 1 && waiting[1] == FAULTS -> who = 1
		:: THREADS > 2 && waiting[2] == FAULTS -> who = 2
		fi;
		waiting[who] = TOLD;
		page = at[who];
		serving++
	}
#else
	byte rounds;

next:
	if
	:: rounds == ROUNDS -> goto finished
	:: else -> rounds++
	fi;
	if
	:: page = 0
	:: page = 1
	fi;
touch:
	/* The access; where nothing is registered there are zeros. */
	if
	:: mapped[page] || !registered[page] -> goto next
	:: else
	fi;
#endif

	/* pmv_region_hold() */
	reading[me] = true;
	if
	:: atomic { listed[page] -> wide = listed[1 - page] }
	:: !listed[page] ->
		reading[me] = false;
		assert(!registered[page]); /* that is why; it works now */
		goto served
	fi;
	atomic {
		assert(!freed);
		if
		:: futex[USERS] & ENDING -> reading[me] = false; goto served
		:: else -> futex[USERS] = futex[USERS] + USER
		fi
	}
	reading[me] = false;

again:
	step(page, ABSENT, BUSY);
	if
	:: was == ABSENT
	:: was == BUSY || was == WAITED ->
		wait(me, page);
		goto put
	:: was == ENDED -> goto put
	:: was == PRESENT ->
		/* pagemap */
		if
		:: mapped[page] -> goto put
		:: else
		fi;
#ifdef PLANTED_NO_RECLAIM
		goto put;
#endif
#ifdef PLANTED_RECLAIM_STORED
		word[page] = BUSY;
#else
		step(page, PRESENT, BUSY);
		if
		:: was != PRESENT -> goto put
		:: else
		fi;
#endif
#ifndef PLANTED_LOOK_ONCE
		/* Somebody has filled it since, and is through. */
		if
		:: mapped[page] ->
			release(page, PRESENT);
			wake_lots();
			goto put
		:: else
		fi
#endif
	fi;

	/* The page is ours. The window: pmv_page_claim_up(), _down() */
	low = page;
	n = 1;
#ifdef AROUND
	if
	:: wide ->
		step(1 - page, ABSENT, BUSY);
		if
		:: was == ABSENT -> low = 0; n = 2
		:: else
		fi
	:: true
	fi;
#endif
fill_it:
	fill(low, n);
	/* Pages from low on are there, the others are not. */
#ifndef PLANTED_RETRY_RELEASED
	if
	:: n == 2 && filled <= page - low ->
		/* Neighbours were asked for: the page alone. It stays claimed,
		 * as two threads with each other's neighbour could go on so for
		 * ever. */
		if
		:: filled == 1 -> release(1 - page, PRESENT)
		:: else -> release(1 - page, ABSENT)
		fi;
		wake_lots();
		low = page;
		n = 1;
		goto fill_it
	:: else
	fi;
#endif
	if
#ifdef PLANTED_HALF_ABSENT
	:: filled > 0 && filled == n -> release(low, PRESENT)
#else
	:: filled > 0 -> release(low, PRESENT)
#endif
	:: else -> release(low, ABSENT)
	fi;
	if
	:: n == 2 && filled == 2 -> release(low + 1, PRESENT)
	:: n == 2 && filled < 2 -> release(low + 1, ABSENT)
	:: else
	fi;
	wake_lots();
	if
#ifdef PLANTED_RETRY_RELEASED
	:: n == 2 && filled <= page - low -> wide = false; goto again
#endif
	:: filled == 0 && n == 1 -> told = true
	:: else
	fi;

put:
	/* pmv_region_put() */
	atomic {
		assert(!freed);
		futex[USERS] = futex[USERS] - USER;
		was = futex[USERS]
	}
	if
#ifndef PLANTED_SILENT_PUT
	:: was == ENDING -> futex_wake(USERS)
#endif
	:: else
	fi;

served:
	/* What is forgotten does not make states that differ. */
	atomic { low = 0; n = 0; filled = 0; was = 0; wide = false };
#ifdef HANDLERS
	/* Whatever has become of it, who waits goes on. */
	if
	:: told ->
		atomic {
			told = false;
			if
			:: waiting[who] == TOLD && at[who] == page ->
				signalled[who] = true;
				waiting[who] = RUNS
			:: else
			fi
		}
#ifdef BAD
	:: !told ->
#else
	:: true -> /* also -EAGAIN */
#endif
		told = false;
#ifndef PLANTED_NOT_WOKEN
		uffd_wake(page)
#endif
	fi;
	serving--;
	goto end_next
#else
	atomic {
		if
		:: told -> told = false; goto next /* a signal says so */
		:: !told -> goto touch
#ifndef BAD
		:: told -> told = false; goto touch /* -EAGAIN */
#endif
		fi
	};
finished:
	over++
#endif
}

/* ---- others ---- */

proctype discarder()
{
	byte i, was, times;

	do
	:: times == DISCARDS -> break
	:: else ->
		times++;
		if
		:: i = 0
		:: i = 1
		fi;
#if defined(NOTES) && !defined(PLANTED_LATE_NOTE)
		/* The event is read first: pmv_page_note() */
		step(i, PRESENT, ABSENT);
#endif
		d_step {
			if
			:: mapped[i] ->
				mapped[i] = false;
				ours[i] = false;
				owed[i] = true
			:: else
			fi
		}
#if defined(NOTES) && defined(PLANTED_LATE_NOTE)
		step(i, PRESENT, ABSENT);
#endif
	od;
	over++
}

proctype mover()
{
	byte i, was, times;

	do
	:: times == MOVES -> break
	:: else ->
		times++;
		if
		:: i = 0
		:: i = 1
		fi;
		if
		:: atomic { !mapped[i] -> mapped[i] = true };
			step(i, ABSENT, PRESENT)
		:: mapped[i]
		fi
	od;
	over++
}

/* pmv_extents_settle(): each reader is seen outside once */
inline settle()
{
	do
	:: t == SERVERS -> break
	:: t < SERVERS && !reading[t] -> t++
	od;
	t = 0
}

/* pagemv_region_unregister() */
proctype ender()
{
	byte t, users;

	futex[USERS] = futex[USERS] | ENDING;
	atomic { registered[0] = false; registered[1] = false };
	uffd_wake(0);
	uffd_wake(1);
	atomic { listed[0] = false; listed[1] = false };
#ifndef PLANTED_UNSETTLED
	settle();
#endif
#ifndef PLANTED_FREE_EARLY
	do
	:: users = futex[USERS];
		if
		:: users == ENDING -> break
		:: else -> futex_wait(ENDER, USERS, users)
		fi
	od;
#endif
	freed = true;
	over++
}

/* pagemv_region_unregister_part() of page 0; who holds the region may still
 * come to that page. */
proctype part_ender()
{
	byte t, was, sequence;
	bool wake[LOTS];

	registered[0] = false;
	uffd_wake(0);
	listed[0] = false;
	settle();
	/* pmv_region_drain() */
again:
	step(0, ABSENT, BUSY);
	if
	:: was == ABSENT
	:: was == PRESENT ->
		step(0, PRESENT, BUSY);
		if
		:: was != PRESENT -> goto again
		:: else
		fi
	:: else -> wait(ENDER, 0); goto again
	fi;
#ifndef PLANTED_ENDED_BUSY
	release(0, ENDED);
	wake_lots();
#endif
	gone[0] = true;
	over++
}

#if defined(ENDS) || defined(PARTS)
#define ENDERS 1
#else
#define ENDERS 0
#endif
#define ALL (THREADS + ENDERS + (DISCARDS > 0) + (MOVES > 0))

init
{
	byte t;

	atomic {
		owed[0] = true;
		owed[1] = true;
		do
		:: t == SERVERS -> break
		:: else -> run server(t); t++
		od;
		t = 0;
#ifdef HANDLERS
		do
		:: t == THREADS -> break
		:: else -> run toucher(t); t++
		od;
		t = 0;
#endif
#if DISCARDS > 0
		run discarder();
#endif
#if MOVES > 0
		run mover();
#endif
#ifdef ENDS
		run ender();
#endif
#ifdef PARTS
		run part_ender()
#endif
	}
	over == ALL && serving == 0;
	do
	:: t == PAGES -> break
	:: else ->
		assert(gone[t] || word[t] != BUSY && word[t] != WAITED);
		assert(fillers[t] == 0);
		assert(!(mapped[t] && ours[t]) || word[t] >= PRESENT);
		t++
	od
}

/* Under weak fairness every access ends. */
ltl ends { <> (over == ALL) }
