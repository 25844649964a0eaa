#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Python grows lists, bytearrays and buffers, and forks with them.

# shellcheck disable=SC2317 # called through in_each_mode
# shellcheck source=tests/preload/programs.sh
. "${top_srcdir:?}/tests/preload/programs.sh"
python=/usr/bin/python3 # Debian's, whatever else is in the PATH
need "$python" python3
threshold=4k

# Once with Python's own allocator of small objects, and once without.
# shellcheck disable=SC2154 # top_srcdir: from the Makefile
work() {
	with "$python" "$top_srcdir/tests/preload/grow.py" "$(larger 16 512)" \
		>same
	with env PYTHONMALLOC=malloc "$python" \
		"$top_srcdir/tests/preload/grow.py" "$(larger 4 64)" >>same
}

in_each_mode work
