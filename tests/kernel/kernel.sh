#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Builds Debian's linux-source-6.1 with the companion in it, and runs the tests
# of the companion in that kernel: of the built-in form, and of the module,
# loaded into the same kernel. Called by "./dev kernel", which builds the tests.

set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
cache=${PMV_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libpagemv}

usage() {
	cat <<'EOF'
usage: ./dev kernel [OPTION...]

Builds linux-source-6.1 with kmod/patches/ and a small configuration, and runs
the tests of the companion in it, in the lab: as a module, by the device that is
built in, and by UFFDIO_REMAP.

  --plain           as people would run it
  --debug           with KASAN, PROVE_LOCKING, DEBUG_VM, DEBUG_ATOMIC_SLEEP and
                    checks of page tables
  --both            both of them (the default)
  --build           do not run anything
  --check           sparse and checkpatch over kmod/ and the patches besides
  --scenario NAME   of the lab, instead of all of the companion (kmod*); again
                    for more
  --jobs N          of make (default: one a processor)
  --slow N          multiply the time limits of the lab by N (default: 2, and 6
                    for the debug kernel)

The source is fetched as the lab fetches kernels, into $PMV_VM_CACHE
(~/.cache/libpagemv), which takes 4 GB; the first build of both takes a quarter
of an hour on two processors, and later ones what changed. Results are in
build-vm/own-*/, and go into doc/kernels.md by "./dev vm --write".
EOF
}

say() {
	printf 'kernel: %s\n' "$*" >&2
}

die() {
	say "$@"
	exit 2
}

# shellcheck source=tests/vm/fetch.sh
. "$top/tests/vm/fetch.sh"
# shellcheck source=tests/kernel/source.sh
. "$here/source.sh"
# shellcheck source=tests/kernel/static.sh
. "$here/static.sh"

# The three ways to the companion in one kernel: with the module, the device that
# is built in is kept away; the others have none to load. PMV_KMOD_WAY, and what
# the results are called.
ways=(module:module device:device builtin:remap)

# in_lab FORM WAY: the companion's tests in that kernel.
in_lab() {
	local form=$1 way=${2%:*} dir=$tree/$1 factor=$slow without=()

	if [ -z "$factor" ]; then
		factor=2
		[ "$form" != debug ] || factor=6
	fi
	[ "$way" != module ] ||
		without=(--parameters pagemv=off)
	PMV_KMOD_WAY=$way "$top/tests/vm/lab.sh" --as "own-$form-${2#*:}" \
		--kernel "$dir/arch/x86/boot/bzImage" --headers "$dir" \
		--modules "$dir/root/lib/modules/$(cat "$dir/release")" \
		--jobs 1 --slow "$factor" "${without[@]}" "${scenarios[@]}"
}

forms=() scenarios=() jobs=$(nproc) slow='' run=1 check=''
while [ $# -gt 0 ]; do
	case $1 in
	--plain) forms+=(plain) ;;
	--debug) forms+=(debug) ;;
	--both) forms+=(plain debug) ;;
	--build) run= ;;
	--check) check=1 ;;
	-h | --help) usage; exit 0 ;;
	--scenario | --jobs | --slow)
		[ $# -gt 1 ] || die "$1 takes an argument"
		case $1 in
		--scenario) scenarios+=(--scenario "$2") ;;
		--jobs) jobs=$2 ;;
		--slow) slow=$2 ;;
		esac
		shift ;;
	*) die "no option $1: see ./dev kernel --help" ;;
	esac
	shift
done
[ "${#forms[@]}" -gt 0 ] || forms=(plain debug)
[ "${#scenarios[@]}" -gt 0 ] || scenarios=(--scenario 'kmod*')
for number in "$jobs" "${slow:-1}"; do
	[[ $number =~ ^[1-9][0-9]*$ ]] || die "not a number above 0: $number"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/pagemv-kernel.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache" || die "cannot write to $cache"
exec 8>"$cache/lock.linux"
flock -n 8 || { say "waiting for another ./dev kernel"; flock 8; }
get_source && apply_series || exit 1
for form in "${forms[@]}"; do
	build_kernel "$form" "$jobs" || die "$form: not built"
done
if [ -n "$check" ]; then
	static_checks "${forms[0]}" || exit 1
fi
exec 8>&-
[ -n "$run" ] || exit 0
status=0
for form in "${forms[@]}"; do
	for way in "${ways[@]}"; do
		say "$form, ${way#*:}"
		in_lab "$form" "$way" || status=1
	done
done
exit "$status"
