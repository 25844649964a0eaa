#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The benches run, tell what they should in the form they should, and are ended
# by Ctrl-C. What they measure is not judged here: machines are noisy.

# shellcheck disable=SC2317 # called through passes
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

# shellcheck disable=SC2154 # from the Makefile
pagemv=$top_builddir/tools/pagemv
mark=--time=60.0$$

# quiet COMMAND...: it succeeds, and says nothing to those who do not watch.
quiet() {
	# shellcheck disable=SC2154 # from gatelib.sh
	if ! "$@" 2>"$gate_tmp/errors" || [ -s "$gate_tmp/errors" ]; then
		cat "$gate_tmp/errors"
		return 1
	fi
}

has_row() { # FILE DELIVERY
	sed '/"bars"/,$d' "$1" | grep -q "\"delivery\": \"$2\"" || {
		echo "no $2"
		return 1
	}
}

# fault_rows FILE: rows with all their members, and those that are never missing.
fault_rows() {
	rows=$(grep -c '"ns_per_page"' "$1") || return 1
	for member in delivery around threads regions ns_mean ns_p50 ns_p99 \
		ns_p999; do
		[ "$(sed '/"bars"/,$d' "$1" | grep -c "\"$member\":")" -eq \
			"$rows" ] || {
			echo "$rows rows, but not so many have $member"
			return 1
		}
	done
	has_row "$1" kernel && has_row "$1" mprotect-segv || return 1
	# Where the kernel lets anybody do it, the library does.
	has_row "$1" raw-signal >/dev/null || return 0
	has_row "$1" signal && has_row "$1" thread && has_row "$1" raw-thread
}

# alloc_rows FILE PATTERN...: rows with exactly the members that they should have,
# a row of glibc for each of the patterns, and a verdict in each bar.
alloc_rows() {
	sed '/"kernel"/,$d' "$1" >rows
	rows=$(grep -c '"pattern"' rows) || return 1
	for member in pattern allocator threads ns_per_op seconds \
		peak_rss_mib mappings; do
		[ "$(grep -c "\"$member\":" rows)" -eq "$rows" ] || {
			echo "$rows rows, but not so many have $member"
			return 1
		}
	done
	[ "$(grep -c '":' rows)" -eq $((7 * rows + 1)) ] || {
		echo "rows have other members, too"
		return 1
	}
	bars=$(grep -c '"sense"' "$1") || return 1
	[ "$(grep -c '"ok":' "$1")" -eq "$bars" ] || return 1
	shift
	for pattern; do
		grep -A1 "\"pattern\": \"$pattern\"" rows |
			grep -q '"allocator": "glibc"' || {
			echo "no row of $pattern"
			return 1
		}
	done
}

# gc_rows FILE: a row of each workload and mode, with exactly the members that it
# should have, and a verdict in each bar.
gc_rows() {
	sed '/"kernel"/,$d' "$1" >rows
	for member in workload mode heap_mib mutators pause_max_us mark_ms \
		stall_p99_us compact_ms mutator_ops_per_s peak_rss_mib; do
		[ "$(grep -c "\"$member\":" rows)" -eq 15 ] || {
			echo "not 15 rows that have $member"
			return 1
		}
	done
	[ "$(grep -c '":' rows)" -eq $((10 * 15 + 1)) ] || {
		echo "rows have other members, too"
		return 1
	}
	[ "$(grep -c '"ok":' "$1")" -eq "$(grep -c '"sense"' "$1")" ]
}

# nobody_left MARK: no process has MARK among its arguments.
nobody_left() {
	for file in /proc/[0-9]*/cmdline; do
		! grep -qsaF -e "$1" "$file" || {
			echo "still there: $file"
			return 1
		}
	done
}

# interrupted BENCH: status 130, and no process stays behind.
interrupted() {
	"$pagemv" bench "$1" --quick "$mark" >/dev/null 2>&1 &
	sleep 2
	kill -INT $!
	wait $!
	status=$?
	[ "$status" -eq 130 ] || {
		echo "status $status"
		return 1
	}
	nobody_left "$mark"
}

cd "$gate_tmp" || exit 99
passes "bench move runs" quiet \
	"$pagemv" bench move --quick --sizes=1,16 --time=2 --json=move.json
passes "bench move tells rows" grep -q '"ns_per_page"' move.json
passes "bench fault runs" quiet \
	"$pagemv" bench fault --quick --time=1 --json=fault.json
passes "bench fault tells rows" fault_rows fault.json
refuses "a delivery that is not there" nonsense \
	"$pagemv" bench fault --deliveries=nonsense
passes "Ctrl-C ends bench fault" interrupted fault
passes "bench realloc runs" quiet "$pagemv" bench realloc --quick \
	--max-size=8 --time=1 --json=realloc.json
passes "bench realloc tells rows" alloc_rows realloc.json double-touched \
	double-sparse 1.1-touched 1.1-sparse 4k-touched 4k-sparse 1m-touched \
	1m-sparse shrink-grow after-fork neighbour
sed '/"threads":/a "planted": 1,' realloc.json >planted.json
refuses "a row with another member" "other members" \
	alloc_rows planted.json double-touched
passes "bench realloc measures the heap" grep -q '"heap-move-huge"' realloc.json
passes "bench malloc runs" quiet "$pagemv" bench malloc --quick --time=1 \
	--patterns=loop-64,mixed,larson,mstress --json=malloc.json
passes "bench malloc tells rows" alloc_rows malloc.json loop-64 mixed larson \
	mstress
refuses "a pattern that is not there" nonsense \
	"$pagemv" bench realloc --patterns=nonsense
refuses "an allocator that is not there" nonsense \
	"$pagemv" bench malloc --allocators=nonsense
passes "Ctrl-C ends bench realloc" interrupted realloc
passes "Ctrl-C ends bench malloc" interrupted malloc
passes "bench gc runs" quiet "$pagemv" bench gc --heaps=8 --turns=1 \
	--mutators=1 --json=gc.json
passes "bench gc tells rows" gc_rows gc.json
refuses "a mode that is not there" nonsense \
	"$pagemv" bench gc --modes=nonsense
# companion: with the module it measures, and else it says how to get it.
companion() {
	if "$pagemv" bench companion --quick --json=companion.json \
		>/dev/null 2>companion.errors; then
		[ "$(grep -c '"way": "remapv"' companion.json)" -eq 6 ] &&
			grep -q '"shootdowns-64"' companion.json
	else
		[ $? -eq 3 ] && grep -q 'to get it' companion.errors
	fi
}
passes "bench companion measures, or says what is missing" companion
mark=--turns=$((900000 + $$ % 90000))
passes "Ctrl-C ends bench gc" interrupted gc
passes "nothing is lost or changed" sh -c \
	'! grep -q LOST move.json fault.json realloc.json malloc.json'
finish
