# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2317 # called through in_each_mode
#
# What the tests of the shim with real programs share. Such a test is a shell
# script that says what the program is to do, in a function; it is run without
# the shim, and then with it in each mode, and what it writes to the file "same"
# must be the same each time.
#
#   native        all that this kernel offers
#   tight         blocks have no room to grow: they move each time
#   no-uffd       as where there is no userfaultfd, by the shim's settings; tight
#   seccomp       userfaultfd() is refused, as container runtimes do
#   copy          every move is a copy; tight
#   refused       system calls are refused now and then (inject.h); tight
#   refused-open  those too that the shim starts with
#   jemalloc      small blocks from jemalloc
#
# PMV_LONG=1: with more memory and more work. PMV_MODES="native copy": these.
# PMV_KEEP=1: the directories of the runs stay. PMV_SEED=N: other refusals,
# PMV_REFUSE=N: of one call in N.

# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

# shellcheck disable=SC2154 # from the Makefile
shim=$top_builddir/preload/.libs/libpagemv-malloc.so
library=$top_builddir/lib/.libs
injecting=$top_builddir/tests/preload/injecting/.libs
confined=$top_builddir/tests/vm/confined

# A script may set others. The modes, and the size from which on the shim serves
# blocks:
modes='native tight no-uffd seccomp copy refused refused-open jemalloc'
modes=${PMV_MODES-$modes}
threshold=16k
# One system call in so many is refused:
refuse=${PMV_REFUSE:-20}
# Set where the processes that do the work end by _exit() and tell nothing:
silent=

# need COMMAND PACKAGE: or the test is skipped.
need() {
	command -v "$1" >/dev/null || skip_all "$1 of $2 is not installed"
}

# larger A B: A, or B for PMV_LONG=1.
larger() {
	if [ -n "${PMV_LONG-}" ]; then
		echo "$2"
	else
		echo "$1"
	fi
}

libjemalloc() {
	ldconfig -p 2>/dev/null |
		sed -n 's/.*libjemalloc\.so\.2 .*=> //p' | head -n 1
}

# with COMMAND...: in the mode that is being tried, $mode.
with() {
	[ "$mode" != plain ] || {
		"$@"
		return
	}
	preload=$shim path=$library inject='' conf=threshold=$threshold
	case $mode in
	tight) conf=$conf,tight=on ;;
	no-uffd) conf=$conf,tight=on,uffd=off ;;
	copy) conf=$conf,tight=on,mechanism=copy ;;
	refused)
		path=$injecting conf=$conf,tight=on
		inject=rate=$refuse,after=12 ;;
	refused-open) path=$injecting inject=rate=$refuse,open=1 ;;
	jemalloc) preload=$shim:$(libjemalloc) ;;
	seccomp) set -- "$confined" seccomp "$@" ;;
	esac
	env LD_PRELOAD="$preload" LD_LIBRARY_PATH="$path" \
		PAGEMV_CONF="$conf,stats=exit:$dir/served" \
		PAGEMV_INJECT="seed=${PMV_SEED:-1},file=$dir/refusals${inject:+,$inject}" \
		"$@"
}

# sum KEY FILE: of all KEY=NUMBER in a file.
sum() {
	tr ' ' '\n' <"$2" 2>/dev/null | awk -F= -v key="$1" '
		$1 == key { sum += $2 } END { printf "%.0f\n", sum }'
}

# What the shim has to say of the run; a run that it had no part in, or in
# which nothing was refused, has tested nothing.
had_part() {
	case $mode in
	refused-open) ;; # perhaps it could not start
	*)
		[ "$(sum allocs served)" -gt 0 ] || {
			echo "the shim has served no blocks"
			return 1
		} ;;
	esac
	case $mode in
	copy)
		[ "$(sum moved_bytes served)" -eq 0 ] || {
			echo "pages were moved where copying was asked for"
			return 1
		} ;;
	refused*)
		refused=$(sed 's,/[0-9]*,,g' refusals | tr ' ' '\n' |
			awk -F= '{ sum += $2 } END { print sum + 0 }')
		[ "$refused" -gt 0 ] || [ -n "${silent-}" ] || {
			echo "no system call was refused"
			return 1
		} ;;
	esac
	! grep -F 'libpagemv-malloc: ' log
}

# in_mode MODE WORK: one run, in a directory of its own. set -e counts for
# nothing where a status is asked for, by this function's caller too; so they
# look at $? afterwards.
in_mode() {
	mode=$1
	dir=$gate_tmp/$1
	mkdir -p "$dir" && cd "$dir" || return
	(set -e; "$2") >log 2>&1
	status=$?
	[ "$status" -eq 0 ] || {
		echo "status $status"
		tail -n 50 log
		return 1
	}
	[ -s same ] || {
		echo "it has told nothing"
		return 1
	}
	[ "$mode" != plain ] || return 0
	diff ../plain/same same || return
	had_part
}

hundredths() {
	read -r up _ </proc/uptime
	echo "${up%.*}${up#*.}"
}

# tried WORK: a run in $mode; what there is to tell of it goes to files.
tried() {
	since=$(hundredths)
	in_mode "$mode" "$1" >"$gate_tmp/$mode.output" 2>&1
	echo "$? $(($(hundredths) - since))0" >"$gate_tmp/$mode.status"
}

served() { # FILE
	[ -s "$1" ] || return
	echo ", $(sum allocs "$1") blocks, $(sum in_place "$1") grew in place," \
		"$(($(sum moved_bytes "$1") >> 10)) KiB were moved," \
		"$(($(sum copied_bytes "$1") >> 10)) KiB copied"
}

# told: the result of a run in $mode; sets $verdict.
told() {
	read -r status ms <"$gate_tmp/$mode.status"
	verdict=ok
	[ "$status" -eq 0 ] || {
		verdict="not ok"
		cut -c 1-300 "$gate_tmp/$mode.output" | head -n 60 |
			sed 's/^/# /'
	}
	echo "# $mode: $ms ms$(served "$gate_tmp/$mode/served")"
	result "$verdict" "$mode"
}

# Why a mode cannot be tried here.
missing() {
	case $mode in
	jemalloc)
		[ -n "$(libjemalloc)" ] || echo "libjemalloc2 is not installed"
		;;
	seccomp)
		"$confined" seccomp true 2>/dev/null ||
			echo "no seccomp filters here" ;;
	esac
}

# in_each_mode WORK: the whole test; with at_once=1, all modes at once.
in_each_mode() {
	[ -z "${PMV_KEEP-}" ] || {
		trap - EXIT
		echo "# $gate_tmp"
	}
	for file in "$shim" "$injecting/libpagemv.so" "$confined"; do
		[ -e "$file" ] || {
			echo "Bail out! $file is not built"
			exit 99
		}
	done
	mode=plain
	tried "$1"
	told
	[ "$verdict" = ok ] || finish
	for mode in $modes; do
		[ -z "$(missing)" ] || continue
		case ${at_once-} in
		'') tried "$1" ;;
		*) tried "$1" & ;;
		esac
	done
	wait
	for mode in $modes; do
		case $(missing) in
		'') told ;;
		*) skip "$mode" "$(missing)" ;;
		esac
	done
	finish
}
