#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Each variable that our parts of the Makefile use is defined: make takes a
# misspelt one for an empty one.

# shellcheck disable=SC2317 # called through passes and refuses
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

# shellcheck disable=SC2016
used() { # PART...
	cat "$@" | grep -oE '\$\([A-Za-z_][A-Za-z0-9_]*\)' | tr -d '$()' |
		LC_ALL=C sort -u
}

# Also those of the other branch of a condition, which are comments.
defined() { # MAKEFILE
	sed -nE 's/^(@[A-Z_]+@)?#?([A-Za-z_][A-Za-z0-9_]*) *[+:?]?=.*/\2/p' \
		"$1" | LC_ALL=C sort -u
}

check() { # MAKEFILE PART...
	makefile=$1
	shift
	used "$@" >"$gate_tmp/used"
	[ -s "$gate_tmp/used" ] || {
		echo "no variables in $*"
		return 1
	}
	defined "$makefile" >"$gate_tmp/defined"
	! LC_ALL=C comm -23 "$gate_tmp/used" "$gate_tmp/defined" | grep .
}

# make and the user may set these.
{
	cat "$top_builddir/Makefile"
	printf '%s =\n' MAKE DESTDIR
} >"$gate_tmp/Makefile"

passes "all variables are defined" check "$gate_tmp/Makefile" \
	"$top_srcdir/Makefile.am" "$top_srcdir"/*/local.mk
refuses "nothing" "no variables" check "$gate_tmp/Makefile" /dev/null
# shellcheck disable=SC2016
echo 'X = $(AM_CFLAGS) $(URCU_LIB)' >"$gate_tmp/planted.mk"
refuses "a misspelt variable" URCU_LIB \
	check "$gate_tmp/Makefile" "$gate_tmp/planted.mk"
finish
