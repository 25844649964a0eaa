#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The manual pages are well-formed, and those on disk are those installed.

# shellcheck disable=SC2317 # called through passes and refuses
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

pages() { # DIRECTORY
	for page in "$1"/*.[1-9]; do
		[ ! -e "$page" ] || echo "$page"
	done
}

lint() { # DIRECTORY
	list=$(pages "$1")
	[ -n "$list" ] || {
		echo "no pages in $1"
		return 1
	}
	if command -v mandoc >/dev/null; then
		# shellcheck disable=SC2086
		mandoc -T lint -W warning $list
	else
		! for page in $list; do
			LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 \
				man --warnings -E UTF-8 -l -Tutf8 -Z "$page" \
				2>&1 >/dev/null
		done | grep .
	fi
}

# listed FILE DIRECTORY: what FILE lists is what DIRECTORY has.
listed() {
	grep -oE '%D%/[a-z0-9_-]+\.[1-9]' "$1" | sed 's,^%D%/,,' |
		LC_ALL=C sort >"$gate_tmp/listed"
	pages "$2" | sed 's,.*/,,' | LC_ALL=C sort >"$gate_tmp/present"
	[ -s "$gate_tmp/listed" ] || {
		echo "no pages listed"
		return 1
	}
	diff "$gate_tmp/listed" "$gate_tmp/present"
}

mkdir "$gate_tmp/empty" "$gate_tmp/planted"
printf '%s\n' '.TH planted 3 2025-01-01 x y' '.SH NAME' 'planted \- x' \
	'.PLANTEDMACRO x' '.SH "DESCRIPTION' '.TP' >"$gate_tmp/planted/planted.3"
if command -v mandoc >/dev/null || command -v man >/dev/null; then
	passes "the pages are well-formed" lint "$top_srcdir/man"
	refuses "no pages" "no pages" lint "$gate_tmp/empty"
	refuses "a malformed page" planted.3 lint "$gate_tmp/planted"
else
	skip "the pages are well-formed" "neither mandoc nor man"
fi
passes "pages on disk are those installed" \
	listed "$top_srcdir/man/local.mk" "$top_srcdir/man"
refuses "an empty list" "no pages" listed /dev/null "$top_srcdir/man"
refuses "a page that is not listed" planted.3 \
	listed "$top_srcdir/man/local.mk" "$gate_tmp/planted"
examples=$top_srcdir/tests/gates/man-examples.sh
passes "man-examples.sh refuses its planted defects" \
	"$examples" --self-test
finish
