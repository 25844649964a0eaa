#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The relative links of the Markdown files lead to files.

# shellcheck disable=SC2317 # called through passes and refuses
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

# links FILE: the targets, without those of code blocks and code spans.
links() {
	awk '
	/^[ \t]*```/ { code = !code; next }
	code { next }
	{
		gsub(/`[^`]*`/, "")
		while (match($0, /\]\([^)]*\)/)) {
			print substr($0, RSTART + 2, RLENGTH - 3)
			$0 = substr($0, RSTART + RLENGTH)
		}
	}' "$1"
}

# check TREE LIST
check() {
	[ -s "$2" ] || {
		echo "no Markdown files"
		return 1
	}
	status=0
	while IFS= read -r file; do
		for link in $(links "$1/$file"); do
			case $link in
			*://* | mailto:* | '#'*) continue ;;
			esac
			[ -e "$1/$(dirname "$file")/${link%%#*}" ] || {
				echo "$file: $link leads nowhere"
				status=1
			}
		done
	done <"$2"
	return "$status"
}

cd "$gate_tmp" || exit 99
project_files | grep '\.md$' >list
passes "links in Markdown files" check "$top_srcdir" list
: >empty
refuses "an empty list" "no Markdown" check "$top_srcdir" empty
# shellcheck disable=SC2016
printf '%s\n' '`[a](code.c)`' '```' '[b](block.c)' '```' \
	'[good](planted.md#x) [bad](nowhere.md)' >planted.md
echo planted.md >planted
refuses "a dead link" nowhere.md check . planted
finish
