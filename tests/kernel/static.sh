# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What can be said of kmod/ without running it: sparse, all warnings of gcc,
# checkpatch, dkms. Sourced by kernel.sh, which sets $here, $top, $work, $tree.

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

# dkms_build FORM: as dkms does it, in directories of our own.
dkms_build() {
	local conf=$top/build/kmod/dkms.conf name where version

	if ! command -v dkms >/dev/null || [ ! -e "$conf" ]; then
		say "dkms: not there, not tried"
		return 0
	fi
	version=$(sed -nE 's/^PACKAGE_VERSION="(.*)"/\1/p' "$conf")
	name=pagemv-$version
	mkdir -p "$work/src" "$work/dkms"
	cp -r "$top/kmod" "$work/src/$name" && cp "$conf" "$work/src/$name/"
	where=(--dkmstree "$work/dkms" --sourcetree "$work/src")
	dkms add "${where[@]}" "pagemv/$version" >"$work/check.log" 2>&1 &&
		dkms build "${where[@]}" -m pagemv -v "$version" \
			-k "$(cat "$tree/$1/release")" -a x86_64 \
			--kernelsourcedir "$tree/$1" --no-depmod \
			>>"$work/check.log" 2>&1 || {
		tail -n 20 "$work/check.log" >&2
		return 1
	}
}

static_checks() {
	local status=0

	command -v sparse >/dev/null || { say "sparse is missing"; return 1; }
	"$here/checkpatch.sh" "$tree/source/scripts/checkpatch.pl" "$top/kmod" ||
		{ say "checkpatch has something to say"; status=1; }
	checked_build "$1" || { say "sparse or gcc has"; status=1; }
	dkms_build "$1" || { say "dkms cannot build it"; status=1; }
	[ "$status" -ne 0 ] || say "sparse, W=1 and checkpatch: clean"
	return "$status"
}
