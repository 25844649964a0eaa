/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Evacuation, as a model for Spin: workers and threads that touch pages produce
 * to-space; pages of from-space that nobody will read any more are written to, or
 * given back; the next cycle begins. README.md beside it says what is left out;
 * who waits for a page that another has is in page_state.pml.
 *
 * Page k of to-space is made of pages k and k + 1 of from-space, so that it is done
 * with what is below k + 1.
 *
 *   WORKERS  threads in pmv_evac_work()
 *   FAULTS   threads that fill a page that was touched: handler threads, as these
 *            come at any time, also with messages that are long answered
 *   TO       pages of to-space
 *   CYCLES   flips
 *   DISCARDS how often the program throws a produced page away
 *   FAILURES how often produce() fails, all together
 *
 * PLANTED_... puts a fault in, which Spin must find: tests/gates/model.sh.
 */
#ifndef WORKERS
#define WORKERS 1
#endif
#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef TO
#define TO 2
#endif
#ifndef CYCLES
#define CYCLES 2
#endif
#ifndef DISCARDS
#define DISCARDS 0
#endif
#ifndef FAILURES
#define FAILURES 0
#endif

#define FROM (TO + 1)

/* enum pmv_page_state, without WAITED */
#define ABSENT	0
#define BUSY	1
#define PRESENT 2

/* enum pmv_evac_gate */
#define IDLE	 0
#define FLIPPING 1
#define RUNNING	 2

byte word[TO];
byte produced[2 * TO]; /* two tables: 0, or 1 + what is done */
byte now;	       /* which of them: 0 or TO */
byte gate = IDLE;
byte working; /* in pmv_evac_work() */
byte users;   /* of the region: faults */
byte prefix, done, taken;
bool gone[FROM]; /* in use, or empty: taken as an island */
byte island = FROM;

/* The kernel's side. */
bool mapped[TO];

/* For the checks alone. */
byte cycle;	   /* counted from 1 */
byte holds[FROM];  /* the cycle whose objects it holds; 0: nothing */
bool zeros[TO];	   /* it was mapped as zeros */
byte asked[TO];	   /* how often it was produced in this cycle */
byte filling;	   /* threads that have a page, and have not given it back */
byte failures = FAILURES;
byte discards = DISCARDS;

#define complete (prefix == TO)

/* ---- evac_pool.c ---- */

/* Raises done, and prefix over all that is produced: the loop of advance(). */
inline advance(p, q)
{
#ifdef PLANTED_ONE_STEP
	atomic { /* looks for nothing but its own page */
		if
		:: prefix == i -> prefix++; done = prefix
		:: else
		fi
	}
#else
	p = prefix;
	do
	:: true ->
		q = p;
		do
		:: q < TO && produced[now + q] != 0 -> q++
		:: else -> break
		od
		if
		:: q == p -> break
		:: else
		fi
		atomic { /* produced[] of the last of them says q */
			if
			:: done < q -> done = q
			:: else
			fi
		}
		atomic { /* the CAS */
			if
			:: prefix == p -> prefix = q; p = q
			:: else -> p = prefix
			fi
		}
	od;
	p = 0;
	q = 0
#endif
}

/* Takes a page of from-space, or none: s is FROM then. */
inline take(s, p, q)
{
	p = taken;
	q = done;
	s = p;
	do
	:: s < q && gone[s] -> s++ /* passed over */
	:: else -> break
	od;
	atomic { /* the CAS */
		if
		:: s < q && taken == p -> taken = s + 1
		:: else -> s = FROM
		fi
	}
	p = 0;
	q = 0
}

/* A page that pages need which are there, or will be with page i: page i of
 * from-space with the one before, the next one with the one behind. */
inline found(i, s)
{
	if
	:: i > 0 && produced[now + i - 1] != 0 -> s = i
	:: i + 1 < TO && produced[now + (i + 1) % TO] != 0 -> s = i + 1
	:: else -> s = FROM
	fi;
	if
	:: s < FROM ->
		atomic { /* the exchange */
			if
			:: gone[s] -> s = FROM
			:: else -> gone[s] = true
			fi
		}
	:: else
	fi;
	if
	:: s < FROM ->
		atomic { /* there is room for one: the other is given back */
			if
			:: island == FROM -> island = s; s = FROM
			:: else
			fi
		}
	:: else
	fi;
	if
	:: s < FROM -> use(s)
	:: else
	fi
}

inline take_island(s)
{
	atomic { s = island; island = FROM }
}

/* What was taken is written to, or given back. */
inline use(s)
{
	assert(holds[s] == mine); /* not of the next cycle */
	holds[s] = 0
}

/* ---- evac_fill.c: page i, which is BUSY and ours ---- */

inline read_from(x)
{
	assert(holds[x] == mine)
}

/* Whoever is the last to give one back: nothing was passed over by all. */
inline give_back(i, state)
{
	atomic {
		word[i] = state;
		filling--;
		assert(filling > 0 || produced[now + prefix % TO] == 0 ||
		       complete)
	}
}

inline fill(i, s, p, q, touches)
{
	filling++;
	if
	:: produced[now + i] != 0 -> /* it was thrown away since */
		mapped[i] = true;
		give_back(i, PRESENT)
	:: else ->
		if
		:: touches -> take_island(s)
		:: take(s, p, q)
		fi;
		mine = cycle;
		if
		:: atomic { failures > 0 -> failures-- };
			give_back(i, ABSENT)
		:: true ->
			asked[i]++;
			read_from(i);
			if
			:: s < FROM -> use(s)
			:: else
			fi;
			read_from(i + 1);
			assert(!mapped[i]); /* else it would be lost */
			mapped[i] = true;
#ifdef PLANTED_DONE_BY_ITSELF
			atomic {
				if
				:: done < i + 1 -> done = i + 1
				:: else
				fi
			}
#endif
#ifndef PLANTED_LATE_ISLAND
			if
			:: touches -> found(i, s)
			:: else
			fi;
#endif
			produced[now + i] = 1 + i + 1;
			advance(p, q);
#ifdef PLANTED_LATE_ISLAND
			if
			:: touches -> found(i, s)
			:: else
			fi;
#endif
			give_back(i, PRESENT)
		fi
	fi;
	s = 0;
	mine = 0
}

/* ---- the threads ---- */

active [WORKERS] proctype worker()
{
	byte i, s, p, q, mine;

end:	do
	:: gate == RUNNING -> /* asked for a round */
		working++;
		if
		:: gate == RUNNING ->
			select (i : 0 .. TO - 1);
			atomic {
				if
				:: word[i] == ABSENT -> word[i] = BUSY
				:: else -> i = TO
				fi
			}
			if
			:: i < TO -> fill(i, s, p, q, false)
			:: else -> /* gives back, perhaps */
				if
				:: take(s, p, q);
					if
					:: s < FROM ->
						mine = cycle;
						skip; /* before madvise() */
						use(s)
					:: else
					fi
				:: true
				fi
			fi
		:: else
		fi;
		i = 0;
		s = 0;
		mine = 0;
		working--
	od
}

active [FAULTS] proctype fault()
{
	byte i, s, p, q, mine;

end:	do
	:: true ->
		select (i : 0 .. TO - 1);
		users++;
		atomic { /* claims it, or reclaims what was thrown away */
			if
			:: word[i] == ABSENT -> word[i] = BUSY
			:: word[i] == PRESENT && !mapped[i] -> word[i] = BUSY
			:: else -> i = TO
			fi
		}
		if
		:: i == TO
		:: i < TO && gate == IDLE ->
			skip; /* before the kernel is called */
			if
			:: !mapped[i] -> mapped[i] = true; zeros[i] = true
			:: else /* EEXIST */
			fi;
			word[i] = PRESENT
		:: i < TO && gate == FLIPPING -> word[i] = ABSENT
		:: i < TO && gate == RUNNING -> fill(i, s, p, q, true)
		fi;
		users--;
		i = 0
	od
}

#if DISCARDS > 0
active proctype program()
{
	byte i;

end:	do
	:: discards > 0 ->
		select (i : 0 .. TO - 1);
		atomic {
			if
			:: gate != FLIPPING && word[i] == PRESENT &&
			   produced[now + i] != 0 ->
				mapped[i] = false;
				discards--
			:: else
			fi
		}
	od
}
#endif

inline note_absent(i)
{
	i = 0;
	do
	:: i < TO ->
		atomic {
			if
			:: word[i] == PRESENT -> word[i] = ABSENT
			:: else
			fi
		}
		i++
	:: else -> break
	od
}

#ifdef PLANTED_ONE_TABLE
#define NEXT now
#else
#define NEXT (TO - now)
#endif

active proctype collector()
{
	byte i, x;

	do
	:: cycle < CYCLES ->
		/* begin */
		i = 0;
		do
		:: i < TO -> produced[NEXT + i] = 0; i++
		:: else -> break
		od;
		note_absent(i);
		/* flip; threads are stopped, but not those that are here */
		gate = FLIPPING;
#ifndef PLANTED_LOUD
		users == 0;
#endif
		note_absent(i);
		atomic {
			cycle++;
			x = 0;
			do
			:: x < FROM -> holds[x] = cycle; x++
			:: else -> break
			od;
			i = 0;
			do
			:: i < TO ->
				mapped[i] = false;
				zeros[i] = false;
				asked[i] = 0;
				i++
			:: else -> break
			od;
			now = NEXT;
			prefix = 0;
			done = 0;
			taken = 0;
			island = FROM;
			x = 0;
			do
			:: x < FROM -> gone[x] = false; x++
			:: else -> break
			od;
			x = 0;
			i = 0
		}
		gate = RUNNING;
		/* wait */
		complete;
		i = 0;
		do
		:: i < TO ->
			assert(asked[i] == 1 && !zeros[i]);
			i++
		:: else -> break
		od;
		/* finish */
		gate = IDLE;
#ifndef PLANTED_HASTY
		working == 0;
#endif
		atomic {
			x = 0;
			do
			:: x < FROM -> holds[x] = 0; x++
			:: else -> break
			od;
			x = 0
		}
	:: else -> break
	od
}
