#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Takes the program out of the EXAMPLES section of each page in man/*.3 and
# compiles it against include/. Speaks TAP: one line a page that has an
# example. No example found is a failure, and so is an example missing from a
# page that must have one.
#
# usage: man-examples.sh [--self-test]
# environment: top_srcdir (default: found from this file), CC
set -u

# Test runners may start it with another shell.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=${top_srcdir:-$here/../..}
cc=${CC:-gcc}
must_have=(pagemv_open pagemv_caps pagemv_region_register pagemv_move
	   pagemv_movev pagemv_relocate pagemv_exchange pagemv_populate
	   pagemv_region_unregister_part pagemv_sigbus pagemv_sigbus_install
	   pagemv_handlers_start pagemv_heap_create pagemv_heap_realloc
	   pagemv_heap_give pagemv_heap_adopt pagemv_evac_open
	   pagemv_evac_work pagemv_slide)

work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

# The text between .EX and .EE in section EXAMPLES of page $1, unescaped.
# '\e' goes last but one, so that what it yields is not taken for an escape.
extract() {
	awk '
		/^\.SH/ { examples = /^\.SH "?EXAMPLES?"?$/ }
		examples && /^\.EX/ { code = 1; next }
		/^\.EE/ { code = 0 }
		code' "$1" |
		sed -e 's/^\\&//' \
		    -e 's/\\-/-/g' -e "s/\\\\(aq/'/g" -e 's/\\(dq/"/g' \
		    -e 's/\\(ha/^/g' -e 's/\\(ti/~/g' -e 's/\\(ga/`/g' \
		    -e 's/\\e/\\/g'
}

compile() {
	# shellcheck disable=SC2086 # CC may carry options
	$cc -std=gnu11 -Wall -Wextra -Werror -fsyntax-only \
	    -I "$top/include" "$1"
}

# run DIR PAGE...: checks the pages of DIR; PAGEs must have an example.
run() {
	local dir=$1 page name found=0 failed=0
	shift

	for page in "$dir"/*.3; do
		[ -e "$page" ] || continue
		name=$(basename "$page" .3)
		extract "$page" >"$work/$name.c"
		[ -s "$work/$name.c" ] || continue
		found=$((found + 1))
		if compile "$work/$name.c" >"$work/$name.log" 2>&1; then
			echo "ok $found - example of $name(3) compiles"
		else
			sed 's/^/# /' "$work/$name.log"
			echo "not ok $found - example of $name(3) compiles"
			failed=1
		fi
	done
	for name in "$@"; do
		[ -s "$work/$name.c" ] && continue
		found=$((found + 1))
		echo "not ok $found - $name(3) has an example"
		failed=1
	done
	if [ "$found" -eq 0 ]; then
		found=1
		echo "not ok 1 - man pages with an example were found"
		failed=1
	fi
	echo "1..$found"
	return "$failed"
}

# The gate must notice each planted defect.
self_test() {
	local dir=$work/planted bad=0

	mkdir -p "$dir"
	run "$dir" >"$work/out" && { echo "# empty directory passed"; bad=1; }
	printf '.SH EXAMPLES\n.EX\nint main(void) { return x; }\n.EE\n' \
		>"$dir/broken.3"
	run "$dir" >"$work/out" && { echo "# broken code passed"; bad=1; }
	printf '.SH EXAMPLES\n.EX\nint c = \\(aq\\en\\(aq \\- 1;\n.EE\n' \
		>"$dir/broken.3"
	run "$dir" >"$work/out" || { echo "# good code failed"; bad=1; }
	run "$dir" absent >"$work/out" && { echo "# absence passed"; bad=1; }
	if [ "$bad" -eq 0 ]; then
		echo "ok 1 - the gate notices planted defects"
	else
		echo "not ok 1 - the gate notices planted defects"
	fi
	echo "1..1"
	return "$bad"
}

# shellcheck disable=SC2086
if ! command -v ${cc%% *} >/dev/null 2>&1; then
	echo "1..0 # SKIP no compiler $cc"
	exit 0
fi
case ${1-} in
--self-test) self_test ;;
'') run "$top/man" "${must_have[@]}" ;;
*) echo "usage: $0 [--self-test]" >&2; exit 2 ;;
esac
