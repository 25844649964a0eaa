#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Spin finds nothing wrong with the models of pages on demand and of evacuation,
# and finds each fault that is planted in them.
#
#   model.sh         what takes a minute
#   model.sh --long  larger cases alone: some minutes, 4 GB; not in make check

# shellcheck disable=SC2317 # called through passes and refuses
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

command -v spin >/dev/null || skip_all "no spin"

# The program is Spin's: the warnings are not about us. CC may have options.
# shellcheck disable=SC2086
compile() { # FLAG...
	${CC:-cc} -w "$@" -o pan pan.c
}

# verdict: of what pan has said. It ends with 0 whatever it finds.
verdict() {
	cat out
	grep -q 'errors: 0$' out &&
		! grep -E '^error:|^pan: out of memory|search not completed|too small' \
			out
}

# safe OPTIMISE -DCASE...: no assertion fails, and nobody sleeps for ever.
safe() {
	optimise=$1
	shift
	spin -a "$@" "$model" &&
		compile "$optimise" -DSAFETY -DNOCLAIM -DMEMLIM=4000 &&
		./pan -m20000 -w22 >out && verdict
}

# live OPTIMISE -DCASE...: every access ends, with weak fairness.
live() {
	optimise=$1
	shift
	spin -a "$@" "$model" &&
		compile "$optimise" -DNFAIR=3 -DMEMLIM=4000 &&
		./pan -a -f -m20000 -w22 >out && verdict
}

model=$top_srcdir/doc/model/page_state.pml
cd "$gate_tmp" || exit 99

if [ "${1-}" = --long ]; then
	passes "three threads, a source that fails" \
		safe -O2 -DTHREADS=3 -DAROUND -DFAILURES=1
	passes "discarded pages, thrice" \
		safe -O2 -DAROUND -DFAILURES=1 -DDISCARDS=3
	passes "failures, discarded pages and pages moved in" \
		safe -O2 -DAROUND -DFAILURES=1 -DDISCARDS=1 -DMOVES=1
	passes "failures, discarded pages and the end of the region" \
		safe -O2 -DAROUND -DFAILURES=1 -DDISCARDS=1 -DENDS
	passes "discarded pages and the end of a part" \
		safe -O2 -DAROUND -DDISCARDS=1 -DPARTS
	passes "events, discarded pages and pages moved in" \
		safe -O2 -DAROUND -DDISCARDS=1 -DMOVES=1 -DNOTES
	passes "two handler threads and discarded pages" \
		safe -O2 -DHANDLERS=2 -DAROUND -DDISCARDS=1
	passes "every access ends, with the end of the region" \
		live -O2 -DAROUND -DFAILURES=1 -DENDS
	passes "every access ends, with two handler threads" \
		live -O2 -DHANDLERS=2 -DAROUND -DFAILURES=1
	model=$top_srcdir/doc/model/evac.pml
	passes "evacuation by two workers" safe -O2 -DWORKERS=2
	passes "evacuation, two threads that touch pages, one that fails" \
		safe -O2 -DFAULTS=2 -DFAILURES=1
	finish
fi

passes "three threads" safe -O1 -DTHREADS=3 -DAROUND
passes "a source that fails, and pages that share a lot" \
	safe -O1 -DAROUND -DROUNDS=2 -DFAILURES=2 -DLOTS=1
passes "discarded pages" safe -O1 -DAROUND -DFAILURES=1 -DDISCARDS=1
passes "pages moved in" safe -O1 -DAROUND -DDISCARDS=1 -DMOVES=1
passes "events" safe -O1 -DAROUND -DDISCARDS=1 -DNOTES
passes "the end of the region" safe -O1 -DAROUND -DFAILURES=1 -DENDS
passes "the end of a part" safe -O1 -DAROUND -DPARTS
passes "handler threads" safe -O0 -DHANDLERS=2 -DAROUND
passes "a handler thread and the end of the region" \
	safe -O0 -DHANDLERS=1 -DAROUND -DENDS
passes "every access ends" live -O1 -DAROUND -DFAILURES=1 -DDISCARDS=1
passes "every access ends, beside a page that always fails" \
	live -O0 -DAROUND -DBAD
passes "every access ends, with the region" live -O1 -DENDS
passes "every access ends, by a handler thread" \
	live -O0 -DHANDLERS=1 -DFAILURES=1

# planted NAME WHAT-SPIN-SAYS HOW -DCASE...
planted() {
	name=$1
	word=$2
	how=$3
	shift 3
	refuses "$name" "$word" "$how" -O0 "$@"
}

planted "a release that does not raise the sequence" "invalid end state" \
	safe -DPLANTED_NO_RAISE
planted "a sequence that is read too late" "invalid end state" \
	safe -DPLANTED_LATE_SEQUENCE
planted "WAITED stored without looking" "invalid end state" \
	safe -DPLANTED_WAITED_STORED
planted "a release that wakes one lot of two" "invalid end state" \
	safe -DTHREADS=3 -DAROUND -DPLANTED_ONE_LOT
planted "one look before the reclaim, none after" "owed[" \
	safe -DROUNDS=2 -DDISCARDS=1 -DPLANTED_LOOK_ONCE
planted "a page reclaimed without looking" "assertion violated" \
	safe -DAROUND -DDISCARDS=1 -DPLANTED_RECLAIM_STORED
planted "a half-done window that is told as absent" "ours[" \
	safe -DAROUND -DFAILURES=1 -DPLANTED_HALF_ABSENT
planted "a page noted as absent after it went" "ours[" \
	safe -DAROUND -DDISCARDS=1 -DNOTES -DPLANTED_LATE_NOTE
planted "a region freed under its users" "freed" \
	safe -DENDS -DPLANTED_FREE_EARLY
planted "a region freed under its readers" "freed" \
	safe -DENDS -DPLANTED_UNSETTLED
planted "a last user who wakes nobody" "invalid end state" \
	safe -DENDS -DPLANTED_SILENT_PUT
planted "a page of an ended part that stays busy" "invalid end state" \
	safe -DPARTS -DPLANTED_ENDED_BUSY
planted "a page of an ended part that can be reclaimed" "gone[" \
	safe -DPARTS -DPLANTED_ENDED_PRESENT
planted "a handler thread that does not wake who asked" "invalid end state" \
	safe -DHANDLERS=1 -DFAILURES=1 -DPLANTED_NOT_WOKEN
planted "a window that is given up whole before the page alone" \
	"acceptance cycle" live -DAROUND -DBAD -DPLANTED_RETRY_RELEASED
planted "a page that is never reclaimed" "acceptance cycle" \
	live -DROUNDS=2 -DDISCARDS=1 -DPLANTED_NO_RECLAIM

# Evacuation.
model=$top_srcdir/doc/model/evac.pml
passes "evacuation of three pages" safe -O1 -DTO=3
passes "evacuation, and two threads that touch pages" safe -O1 -DFAULTS=2
passes "evacuation, produced pages discarded, and a page that fails" \
	safe -O1 -DDISCARDS=1 -DFAILURES=1
planted "a watermark that looks for one's own page alone" \
	"assertion violated" safe -DPLANTED_ONE_STEP
planted "from-space that is taken before others have read it" "holds[" \
	safe -DPLANTED_DONE_BY_ITSELF
planted "a flip that does not wait for faults" "holds[" safe -DPLANTED_LOUD
planted "a finish that does not wait for workers" "holds[" \
	safe -DPLANTED_HASTY
planted "an island that is taken when the watermark may have come by" "holds[" \
	safe -DTO=3 -DPLANTED_LATE_ISLAND
planted "one table for two cycles" "holds[" \
	safe -DDISCARDS=1 -DPLANTED_ONE_TABLE
: >empty.pml
model=empty.pml
refuses "no model" "no runable" safe -O0
finish
