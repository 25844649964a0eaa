# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What can be said of kmod/ without running it: sparse, all warnings of gcc,
# checkpatch. Sourced by kernel.sh, which sets $here, $top, $work,
# $tree.

# checked_build FORM: with sparse and W=1, as a module and as a part of the
# kernel; a warning is an error.
checked_build() {
	local copy=$work/kmod

	rm -rf "$copy"
	cp -r "$top/kmod" "$copy"
	make -C "$copy" check KDIR="$tree/$1" >"$work/check.log" 2>&1 || {
		grep -E 'warning:|error:' "$work/check.log" ||
			tail -n 20 "$work/check.log"
		return 1
	} >&2
	rm -f "$tree/$1"/mm/pagemv/*.o
	kmake "$1" C=2 W=1 mm/pagemv/ fs/userfaultfd.o mm/rmap.o \
		>"$work/check.log" 2>&1 || {
		tail -n 20 "$work/check.log" >&2
		return 1
	}
	! grep -E '(mm/pagemv/|fs/userfaultfd.c).*(warning|error):' \
		"$work/check.log" >&2
}

static_checks() {
	local status=0

	command -v sparse >/dev/null || { say "sparse is missing"; return 1; }
	"$here/checkpatch.sh" "$tree/source/scripts/checkpatch.pl" "$top/kmod" ||
		{ say "checkpatch has something to say"; status=1; }
	checked_build "$1" || { say "sparse or gcc has"; status=1; }
	[ "$status" -ne 0 ] || say "sparse, W=1 and checkpatch: clean"
	return "$status"
}
