#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: checkpatch.sh CHECKPATCH.PL KMOD [FILE]
#
# checkpatch --strict over the sources and patches below KMOD, or over FILE of
# it. Prints what it has to say, and fails if it has anything to say.

set -u

# Where checkpatch misreads: calls of what a macro names look like parentheses
# around an argument; the lines of kernel-doc are not seen as comments; and
# symbols.[ch] are lists of names as macros, which are neither expressions nor
# statements.
everywhere=UNNECESSARY_PARENTHESES,UNCOMMENTED_DEFINITION
lists=$everywhere,COMPLEX_MACRO,MACRO_ARG_REUSE,MACRO_ARG_PRECEDENCE
lists=$lists,TRAILING_SEMICOLON,SPACING
# What compat/ is for.
versions=LINUX_VERSION_CODE,CONSTANT_COMPARISON

check() { # IGNORED ARGUMENT...
	ignored=$1
	shift
	perl "$checkpatch" -q --no-tree --no-summary --strict --show-types \
		--ignore "$ignored" "$@" || status=1
}

checkpatch=$1
cd "$2" || exit 2
if [ $# -gt 2 ]; then
	files=$3
else
	files=$(find . -name '*.[ch]' ! -name '*.mod.c' ! -name probed.h |
		sort)
fi
[ -n "$files" ] || {
	echo "no files"
	exit 1
}
status=0
for file in $files; do
	case $file in
	*/compat/*) check "$lists,$versions" -f "$file" ;;
	*/symbols.[ch]) check "$lists" -f "$file" ;;
	*) check "$everywhere" -f "$file" ;;
	esac
done
if [ $# -eq 2 ]; then
	check "$everywhere" patches/*.patch
fi
exit "$status"
