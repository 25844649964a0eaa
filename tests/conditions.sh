#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Prints the conditions of tests/expected-skips.txt that hold for the caller,
# here: on the machine that builds, or in a guest of the lab (busybox).
# PMV_CONFINED: further ones, known to whoever confines the caller.

kernel_before() { # MAJOR MINOR
	release=$(uname -r)
	major=${release%%.*}
	minor=${release#*.}
	minor=${minor%%[!0-9]*}
	[ "$major" -lt "$1" ] || { [ "$major" -eq "$1" ] &&
		[ "$minor" -lt "$2" ]; }
}

uring_disabled() {
	case $(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null) in
	'' | 0) return 1 ;;
	esac
}

# Not only of a user namespace: all users are what they seem.
is_root() {
	[ "$(id -u)" -eq 0 ] && { [ ! -e /proc/self/uid_map ] ||
		grep -q '^ *0 *0 *4294967295$' /proc/self/uid_map; }
}

# By opening it: what the mode says to root may be wrong.
can_write() { # FILE
	[ -e "$1" ] && (: >>"$1") 2>/dev/null
}

# Before Linux 5.11 there is none for user mode alone.
no_userfaultfd() {
	case $(cat /proc/sys/vm/unprivileged_userfaultfd 2>/dev/null) in
	'') return 0 ;;
	0) kernel_before 5 11 && ! is_root ;;
	*) return 1 ;;
	esac
}

# The releases of PAGEMV_QUIRK_HUGE_MOVE, by lib/quirks.c.
splits_huge() {
	uname -r | awk -F'[.+-]' '{
		v = $1 * 1000000 + $2 * 1000 + $3
		exit !((v >= 6008000 && v < 6008008) ||
			(v >= 6016000 && v < 6018020) ||
			(v >= 6019000 && v < 7001000)) }'
}

holds() { # CONDITION
	case $1 in
	no-root) ! is_root ;;
	no-swap) [ "$(wc -l </proc/swaps)" -le 1 ] ;;
	no-thp) ! grep -qE '\[(always|madvise)\]' \
		/sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null ;;
	no-hugetlb) ! awk '/^HugePages_Free:/ { exit !($2 > 0) }' \
		/proc/meminfo ;;
	no-uffd) no_userfaultfd ;;
	no-move) kernel_before 6 8 ;;
	no-whole) splits_huge ;;
	no-uring) uring_disabled ;;
	no-pkeys) ! grep -qw ospke /proc/cpuinfo ;;
	no-dev) ! can_write /dev/userfaultfd ;;
	no-seccomp) ! grep -q '^Seccomp_filters:' /proc/self/status ;;
	no-ksm) ! can_write /sys/kernel/mm/ksm/run ;;
	no-populate) kernel_before 5 14 ;;
	no-drop-locked) kernel_before 5 18 ;;
	no-query) kernel_before 6 11 ;;
	one-cpu) [ "$(nproc)" -eq 1 ] ;;
	one-node) [ ! -e /sys/devices/system/node/node1 ] ;;
	# What only the machine that builds can lack.
	no-criterion) [ -n "${PMV_LAB-}" ] || ! pkg-config --exists criterion ;;
	no-liburing) [ -z "${PMV_LAB-}" ] && ! pkg-config --exists liburing ;;
	no-mandoc) ! command -v mandoc >/dev/null ;;
	no-spin) ! command -v spin >/dev/null ;;
	esac
}

all=
for condition in no-root no-swap no-thp no-hugetlb no-uffd no-move no-whole \
	no-uring no-pkeys no-dev no-seccomp no-ksm no-populate no-drop-locked \
	no-query one-cpu one-node no-criterion no-liburing no-mandoc \
	no-spin; do
	! holds "$condition" || all="$all $condition"
done
echo "${all# } ${PMV_CONFINED-}"
