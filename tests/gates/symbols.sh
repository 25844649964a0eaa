#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the library exports is what the version script names, what the headers
# declare PAGEMV_API, and what has a manual page.

# shellcheck disable=SC2317 # called through passes and refuses
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

# Each prints names, one a line, sorted.

exported() { # LIBRARY
	${NM:-nm} -D --defined-only "$1" |
		awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
		LC_ALL=C sort
}

mapped() { # VERSION-SCRIPT
	awk '
	/global:/ { global = 1; next }
	/local:/ { global = 0 }
	global && /;/ { gsub(/[ \t;]/, ""); print }' "$1" | LC_ALL=C sort
}

declared() { # HEADER...
	strip_c "$@" | awk '
	{ continued = sub(/\\$/, "") }
	directive || /^[ \t]*#/ { directive = continued; next }
	{ printf "%s ", $0 }' | tr ';{}' '\n\n\n' | awk '
	/PAGEMV_API/ && match($0, /pagemv_[a-z0-9_]+ *\(/) {
		name = substr($0, RSTART, RLENGTH)
		sub(/ *\(/, "", name)
		print name
	}' | LC_ALL=C sort
}

documented() { # DIRECTORY
	for page in "$1"/*.3; do
		[ ! -e "$page" ] || basename "$page" .3
	done | LC_ALL=C sort
}

# same A B: two lists of names, in files, are equal and not empty.
same() {
	[ -s "$1" ] && [ -s "$2" ] || {
		echo "empty: one of $1 $2"
		return 1
	}
	diff "$1" "$2"
}

# versioned LIBRARY: each symbol has a node.
versioned() {
	${NM:-nm} -D --defined-only "$1" >"$gate_tmp/all"
	[ -s "$gate_tmp/all" ] || {
		echo "empty: no symbols in $1"
		return 1
	}
	! awk '$2 != "A" && $3 !~ /@@?LIBPAGEMV_/ { print $3 }' \
		"$gate_tmp/all" | grep .
}

cd "$gate_tmp" || exit 99
library=$top_builddir/lib/.libs/libpagemv.so
if [ -e "$library" ]; then
	exported "$library" >exported
else
	: >exported
fi
mapped "$top_srcdir/lib/libpagemv.map" >mapped
declared "$top_srcdir"/include/pagemv/*.h >declared
documented "$top_srcdir/man" >documented

passes "the headers declare what the version script names" same mapped declared
if [ -e "$library" ]; then
	passes "the library exports what the version script names" \
		same mapped exported
	passes "exported symbols have a version" versioned "$library"
else
	skip "the library exports what the version script names" \
		"built without a shared library"
fi
passes "the manual has what the version script names" same mapped documented

: >empty
refuses "empty lists" empty same empty empty
{
	cat declared
	echo pagemv_zplanted
} >planted
refuses "a name more on one side" pagemv_zplanted same mapped planted
cat >planted.h <<'END'
#define PAGEMV_API __attribute__((visibility("default")))
/* PAGEMV_API int pagemv_comment(void); */
PAGEMV_API PAGEMV_X(1) const struct pagemv_a *pagemv_planted(int (*f)(void),
	struct pagemv_b *b);
struct pagemv_c { int pagemv_field; };
END
declared planted.h >found
echo pagemv_planted >wanted
passes "finds the one declaration in a planted header" same wanted found
finish
