#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Each file says its licence in its first lines, and the text of that licence
# is in LICENSES/.

# shellcheck disable=SC2317 # called through passes and refuses
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

# exempt FILE: licence texts, and formats without comments.
exempt() {
	case $1 in
	LICENSES/* | *.png | *.json | *.dat | *.csv) return 0 ;;
	esac
	return 1
}

# check TREE: the files are named on standard input.
check() {
	seen=0
	status=0
	while IFS= read -r file; do
		exempt "$file" && continue
		seen=$((seen + 1))
		id=$(head -n 10 "$1/$file" |
			sed -n 's/.*SPDX-License-Identifier: *//p' | head -n 1 |
			sed -e 's/ *\*\/.*//' -e 's/ *-->.*//' -e 's/[ \t]*$//')
		if [ -z "$id" ]; then
			echo "$file: no SPDX-License-Identifier"
			status=1
		elif ! text_of "$id"; then
			echo "$file: no text for $id in LICENSES/"
			status=1
		fi
	done
	[ "$seen" -gt 0 ] || {
		echo "no files"
		return 1
	}
	return "$status"
}

# text_of EXPRESSION: LICENSES/ has each licence and exception in it.
text_of() {
	for word in $1; do
		case $word in
		AND | OR | WITH) continue ;;
		esac
		[ -s "$top_srcdir/LICENSES/$(echo "$word" | tr -d '()').txt" ] ||
			return 1
	done
}

project_files >"$gate_tmp/files"
check_list() { # LIST [TREE]
	check "${2:-$top_srcdir}" <"$1"
}

passes "all files say their licence" check_list "$gate_tmp/files"
refuses "an empty list" "no files" check_list /dev/null
cd "$gate_tmp" || exit 99
echo 'int x;' >bare.c
echo '/* SPDX-License-Identifier: Planted-1.0 */' >unknown.c
echo bare.c >list1
echo unknown.c >list2
refuses "a file without the line" bare.c check_list list1 .
refuses "a licence without a text" Planted-1.0 check_list list2 .
finish
