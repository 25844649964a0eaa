#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Python's own tests of files and buffers. Most of their time is waiting, so parts
# of them run at once.

# shellcheck disable=SC2317 # called through in_each_mode
# shellcheck source=tests/preload/programs.sh
. "${top_srcdir:?}/tests/preload/programs.sh"
python=/usr/bin/python3 # Debian's, whatever else is in the PATH
need "$python" python3
"$python" -c 'import test.test_list' 2>/dev/null ||
	skip_all "the tests of libpython3-testsuite are not installed"
threshold=4k

# They are many.
[ -n "${PMV_LONG-}${PMV_MODES-}" ] || modes="native refused"

# part MODULE PART PARTS
part() {
	mkdir "$1-$2" && cd "$1-$2" || return
	# shellcheck disable=SC2154 # top_srcdir: from the Makefile
	with "$python" "$top_srcdir/tests/preload/unittests.py" "$@" \
		>results 2>told || {
		cat told
		return 1
	}
}

work() {
	parts=
	for n in 0 1 2 3 4 5; do
		part test_io "$n" 6 &
		parts="$parts $!"
	done
	for each in $parts; do
		wait "$each"
	done
	cat test_*/results >same
}

in_each_mode work
