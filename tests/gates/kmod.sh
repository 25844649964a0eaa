#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The companion: its licence, where it may look at the kernel's version, the
# package for DKMS, and the series of patches.

# shellcheck disable=SC2317 # called through passes and refuses
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

kmod=$top_srcdir/kmod
cache=${PMV_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libpagemv}
# The kernel's source, where "./dev kernel" has left it.
source=$(find "$cache/linux" -mindepth 2 -maxdepth 2 -name pristine \
	2>/dev/null | sort | tail -n 1)

# code TREE: what is compiled, or tells how.
code() {
	(cd "$1" && find . -name '*.[chS]' -o -name 'Kbuild*' -o \
		-name 'Kconfig*' -o -name Makefile -o -name '*.patch' |
		sed 's,^\./,,' | LC_ALL=C sort)
}

# licence TREE: GPL-2.0-only, and the note for what programs include.
licence() {
	code "$1" >"$gate_tmp/code"
	[ -s "$gate_tmp/code" ] || {
		echo "no files in $1"
		return 1
	}
	status=0
	while IFS= read -r file; do
		case $file in
		uapi/*) want='GPL-2.0-only WITH Linux-syscall-note' ;;
		*) want=GPL-2.0-only ;;
		esac
		head -n 10 "$1/$file" |
			grep -qE "SPDX-License-Identifier: $want( \*/)?\$" || {
			echo "$file: not $want"
			status=1
		}
	done <"$gate_tmp/code"
	return "$status"
}

# versions TREE: compat/ alone knows which kernel it is.
versions() {
	code "$1" | grep -E '\.[ch]$|Kbuild|Makefile' >"$gate_tmp/code"
	[ -s "$gate_tmp/code" ] || {
		echo "no files in $1"
		return 1
	}
	status=0
	while IFS= read -r file; do
		case $file in
		compat/* | */compat/*) continue ;;
		esac
		! grep -nE 'LINUX_VERSION|KERNEL_VERSION|RHEL_RELEASE|[^_]VERSION *[<>=]|PATCHLEVEL' \
			"$1/$file" | sed "s,^,$file:," | grep . || status=1
	done <"$gate_tmp/code"
	return "$status"
}

# both_ends HEADER: refuses kernels below and above those that were tried.
both_ends() {
	for end in '< KERNEL_VERSION' '>= KERNEL_VERSION'; do
		grep -A1 "^#if LINUX_VERSION_CODE $end" "$1" | grep -q '^#error' || {
			echo "$1: no #error for $end"
			return 1
		}
	done
}

# dkms CONF: what dkms reads of it by sourcing; for which kernels it builds.
dkms() {
	# shellcheck disable=SC2016 # for the other shell
	kernel_source_dir=/ bash -eu -c '. "$1"
		[ "$PACKAGE_NAME" = pagemv ] || { echo PACKAGE_NAME; exit 1; }
		[[ $PACKAGE_VERSION =~ ^[0-9.]+$ ]] || { echo PACKAGE_VERSION; exit 1; }
		[ "${BUILT_MODULE_NAME[0]}" = pagemv ] || { echo NAME; exit 1; }
		[ -n "${DEST_MODULE_LOCATION[0]}" ] || { echo LOCATION; exit 1; }
		for release in 6.1.0-50-cloud-amd64 6.1.176 6.12.95+deb12-amd64; do
			[[ $release =~ $BUILD_EXCLUSIVE_KERNEL ]] ||
				{ echo "refuses $release"; exit 1; }
		done
		for release in 5.10.0-32-amd64 6.0.1 6.13.0 6.18.15+deb13-amd64 \
			6.19.6 7.1.0 16.1.0; do
			[[ ! $release =~ $BUILD_EXCLUSIVE_KERNEL ]] ||
				{ echo "takes $release"; exit 1; }
		done' dkms "$1"
}

# series DIRECTORY: the script's first patch makes the very files of kmod/.
series() {
	rm -rf "$gate_tmp/tree" "$1"
	mkdir "$gate_tmp/tree"
	"$kmod/patches/series.sh" "$1" &&
		patch -s -p1 -d "$gate_tmp/tree" <"$1/0001-mm-pagemv.patch" &&
		same "$gate_tmp/tree"
}

same() { # TREE
	for file in "$kmod"/*.[ch] "$kmod"/compat/*.[ch] "$kmod/Kbuild" \
		"$kmod/Kconfig"; do
		cmp "$file" "$1/mm/pagemv/${file#"$kmod"/}" || return 1
	done
	cmp "$kmod/uapi/linux/pagemv.h" "$1/include/uapi/linux/pagemv.h"
}

# applies SERIES: each patch, to what the one before it has left, exactly.
applies() {
	rm -rf "$gate_tmp/tree"
	cp -R "$source" "$gate_tmp/tree"
	for patch in "$1"/[0-9]*.patch; do
		patch -s -p1 -F 0 -d "$gate_tmp/tree" <"$patch" || {
			echo "$(basename "$patch") does not apply"
			return 1
		}
	done
}

style() { # [FILE]
	"$top_srcdir/tests/kernel/checkpatch.sh" \
		"${source%/pristine}/source/scripts/checkpatch.pl" "$kmod" "$@"
}

passes "GPL-2.0-only, and Linux-syscall-note for the uapi" licence "$kmod"
passes "only compat/ looks at the kernel's version" versions "$kmod"
passes "other kernels are refused" both_ends "$kmod/compat/compat.h"
passes "dkms.conf" dkms "$top_builddir/kmod/dkms.conf"
if command -v patch >/dev/null; then
	passes "the series adds the files of kmod/" series "$gate_tmp/series"
else
	skip "the series adds the files of kmod/" "no patch(1)"
fi
if [ -n "$source" ] && command -v patch >/dev/null; then
	passes "the series applies to linux-source-6.1" \
		applies "$gate_tmp/series"
	passes "checkpatch --strict is content" style
else
	skip "the series applies to linux-source-6.1" "no kernel source"
	skip "checkpatch --strict is content" "no kernel source"
fi

cd "$gate_tmp" || exit 99
mkdir -p none planted/compat planted/uapi
refuses "an empty tree" "no files" licence none
refuses "no code to look at" "no files" versions none
echo '/* SPDX-License-Identifier: MIT */' >planted/planted.c
refuses "another licence" planted.c licence planted
echo '/* SPDX-License-Identifier: GPL-2.0-only */' >planted/planted.c
cp planted/planted.c planted/uapi/planted.h
refuses "a uapi header without the note" uapi/planted.h licence planted
echo '#if LINUX_VERSION_CODE < 5' >planted/compat/planted.h
echo '#if LINUX_VERSION_CODE > 5' >>planted/planted.c
refuses "a version test" planted.c:2 versions planted
refuses "an open end" '#error' both_ends planted/compat/planted.h
sed 's/^BUILD_EXCLUSIVE_KERNEL=.*/BUILD_EXCLUSIVE_KERNEL=6/' \
	"$top_builddir/kmod/dkms.conf" >planted/dkms.conf
refuses "a dkms.conf for all kernels" takes dkms planted/dkms.conf
if [ -n "$source" ] && [ -d "$gate_tmp/series" ]; then
	printf 'int f(void)\n{\n    return(0);\n}\n' >planted/style.c
	refuses "another style" style.c style "$gate_tmp/planted/style.c"
	cp -R series wrong
	sed 's/userfaultfd_continue/userfaultfd_planted/' \
		series/0004-*.patch >"$(echo wrong/0004-*.patch)"
	refuses "a patch for another source" 0004 applies wrong
fi
finish
