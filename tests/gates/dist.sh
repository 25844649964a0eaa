#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# "make dist" packs every file that git tracks, and every new source.

# shellcheck disable=SC2317 # called through passes and refuses
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

in_checkout || skip_all "not a git checkout"

# packed_all LIST TREE: each file of LIST is in TREE.
packed_all() {
	[ -s "$1" ] || {
		echo "no files in the list"
		return 1
	}
	status=0
	while IFS= read -r file; do
		[ -e "$2/$file" ] || {
			echo "not in the tarball: $file"
			status=1
		}
	done <"$1"
	return "$status"
}

cd "$gate_tmp" || exit 99
pack() {
	${MAKE:-make} -C "$top_builddir" distdir \
		"distdir=$gate_tmp/packed" "top_distdir=$gate_tmp/packed"
}
(cd "$top_srcdir" && git ls-files) >tracked
(cd "$top_srcdir" && git ls-files --others --exclude-standard -- bench doc \
	examples include kmod lib m4 man tests tools) >new

passes "make distdir" pack
passes "all tracked files are packed" packed_all tracked packed
if [ -s new ]; then
	passes "new sources are packed" packed_all new packed
fi
: >empty
echo lib/planted.c >planted
refuses "an empty list" "no files" packed_all empty packed
refuses "a file that is in no list" planted.c packed_all planted packed
finish
