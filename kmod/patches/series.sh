#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: kmod/patches/series.sh DIRECTORY
#
# Writes the whole series for linux-source-6.1 into DIRECTORY, to be applied in
# the order of its names with patch -p1. The first patch, which adds the source of
# the companion to mm/pagemv/, is made here from kmod/, so that there is one
# source for the module and for the kernel.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
kmod=$(dirname "$here")

# sources: what becomes part of the kernel, relative to kmod/.
sources() {
	(cd "$kmod" && find . -maxdepth 2 \( -path './*.[ch]' -o \
		-path './compat/*.sh' -o -name Kbuild -o -name Kconfig \) \
		! -path './test/*' ! -name '*.mod.c' ! -name probed.h) |
		sed 's,^\./,,' | LC_ALL=C sort
	echo uapi/linux/pagemv.h
}

# place FILE: where it is in the kernel's tree.
place() {
	case $1 in
	uapi/*) echo "include/$1" ;;
	*) echo "mm/pagemv/$1" ;;
	esac
}

# added FILE: a patch that makes it.
added() {
	printf -- '--- /dev/null\n+++ b/%s\n@@ -0,0 +1,%d @@\n' \
		"$(place "$1")" "$(wc -l <"$kmod/$1")"
	sed 's/^/+/' "$kmod/$1"
}

first() {
	cat <<'EOF'
From: Seed 285fdb54 maintainers <maintainers@users.noreply.h-seed-285fdb54.example>
Subject: [PATCH 1/4] mm: pagemv, moving pages between addresses of a process
X-SPDX-License-Identifier: GPL-2.0-only

The companion of libpagemv. Nothing is built of it yet.

Signed-off-by: Seed 285fdb54 maintainers <maintainers@users.noreply.h-seed-285fdb54.example>
---
EOF
	sources | while IFS= read -r file; do
		added "$file"
	done
}

if [ $# -ne 1 ] || [ -z "$1" ]; then
	sed -n 's/^# usage: /usage: /p' "$0" >&2
	exit 2
fi
mkdir -p "$1"
first >"$1/0001-mm-pagemv.patch"
cp "$here"/[0-9]*.patch "$1/"
