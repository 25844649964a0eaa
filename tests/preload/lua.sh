#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Lua grows tables and strings by realloc().

# shellcheck disable=SC2317 # called through in_each_mode
# shellcheck source=tests/preload/programs.sh
. "${top_srcdir:?}/tests/preload/programs.sh"
need lua5.4 lua5.4

# shellcheck disable=SC2154 # top_srcdir: from the Makefile
work() {
	with lua5.4 "$top_srcdir/tests/preload/grow.lua" \
		"$(larger 600000 20000000)" >same
}

in_each_mode work
