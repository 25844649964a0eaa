#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The lab: boots real kernels under QEMU and runs in each the tests and the
# scenarios of scenarios.txt. Called by "./dev vm", which builds first.

set -uo pipefail
PATH=$PATH:/usr/sbin:/sbin # kmod's are there, for users, too
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=$top/build
results=$top/build-vm
case ${PMV_KMOD_WAY-} in
builtin | device) builtin=1 ;; # in the kernel: there is no module
*) builtin= ;;
esac
cache=${PMV_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libpagemv}

usage() {
	cat <<'END'
usage: ./dev vm [OPTION...] [KERNEL...]

Boots Debian's kernels under QEMU (software emulation) and runs the tests and
the scenarios of the lab in them. KERNEL: a name of --list, or the beginning of
a version ("6.12"). Without one: bookworm and trixie-backports.

  --all             every kernel and every scenario; then writes doc/kernels.md,
                    unless KERNEL or --scenario leaves something out
  --quick           the two kernels and the scenarios of ./dev test, or those
                    scenarios on KERNEL
  --scenario NAME   only this scenario (again for more); "kmod*": all whose
                    name begins so
  --again           only programs that failed when their guest ran last; what
                    they say now takes the place of what they said then
  --kernel FILE     a kernel image of your own (bzImage), with
  --modules DIR     its modules, .../lib/modules/RELEASE
  --headers DIR     its build tree or headers, for the companion module
  --as NAME         what its results are called ("local")
  --parameters TEXT for the command line of every kernel
  --jobs N          guests at once (default: one for each two processors, and
                    two at least)
  --slow N          multiply all time limits by N (default 1)
  --write           write doc/kernels.md from all results that are there
  --list            the kernels and the scenarios
  --help

Kernels are fetched from the Debian mirror in this system's apt sources, with a
private apt state, into $PMV_VM_CACHE (~/.cache/libpagemv). Results, with the
whole kernel log of each guest, are in build-vm/KERNEL/SCENARIO/.
END
}

say() {
	clear_progress
	printf 'lab: %s\n' "$*" >&2
}

die() {
	say "$@"
	exit 2
}

# shellcheck source=tests/results.sh
. "$top/tests/results.sh"
# shellcheck source=tests/vm/fetch.sh
. "$here/fetch.sh"
# shellcheck source=tests/vm/kmod.sh
. "$here/kmod.sh"
# shellcheck source=tests/vm/pack.sh
. "$here/pack.sh"
# shellcheck source=tests/vm/guest.sh
. "$here/guest.sh"
# shellcheck source=tests/vm/again.sh
. "$here/again.sh"
# shellcheck source=tests/vm/matrix.sh
. "$here/matrix.sh"

# --- the tables --------------------------------------------------------------

# rows FILE: its lines without comments, fields trimmed and parted by one "|".
rows() {
	sed -E '/^ *(#|$)/d; s/^ +//; s/ *\| */|/g; s/ +$//' "$1"
}

list_all() {
	local name suite which lanes why

	echo "kernels:"
	while IFS='|' read -r name suite which lanes why; do
		printf '  %-19s %-9s %s\n' "$name" \
			"$(cut -d- -f1 "$cache/kernels/$name/version" \
				2>/dev/null)" "$why"
	done < <(rows "$here/kernels.txt")
	echo "scenarios:"
	rows "$here/scenarios.txt" | awk -F'|' '{
		printf "  %-10s %-8s %-6s %s\n", $1, $2, $3, $8 }'
}

# select_kernels: into $kernels, of the names wanted or of the lane.
select_kernels() {
	local name suite which lanes why word hit version

	kernels=()
	for word in "${names[@]}"; do
		hit=
		while IFS='|' read -r name suite which lanes why; do
			[ "$suite" != own ] || continue
			if [ "$word" = "$name" ]; then
				hit=$name
				break
			fi
			[[ -z $hit && $lanes == *all* ]] || continue
			version=$(version_of "$name" "$suite" "$which")
			[[ $version. != "$word"[.-]* ]] || hit=$name
		done < <(rows "$here/kernels.txt")
		[ -n "$hit" ] || die "no kernel $word: see ./dev vm --list"
		kernels+=("$hit")
	done
	[ "${#names[@]}" -eq 0 ] || return 0
	while IFS='|' read -r name suite which lanes why; do
		[ "$suite" != own ] || continue
		if only_kmod; then
			[[ $lanes != *kmod* ]] || kernels+=("$name")
		elif [ "$lane" = all ] || [[ $lanes == *quick* ]]; then
			kernels+=("$name")
		fi
	done < <(rows "$here/kernels.txt")
}

# only_kmod: is nothing asked for but scenarios of the companion module?
only_kmod() {
	local word

	[ "${#only[@]}" -gt 0 ] || return 1
	for word in "${only[@]}"; do
		[[ $word == kmod* ]] || return 1
	done
}

# is_own KERNEL: is it the one of the user's, given by --kernel?
is_own() {
	[ -n "$image" ] && [ "$1" = "$own" ]
}

# lanes_of KERNEL
lanes_of() {
	rows "$here/kernels.txt" | awk -F'|' -v name="$1" '
		$1 == name { print $4; found = 1 }
		END { if (!found) print "all" }'
}

# wants KERNEL SCENARIO LANES: is this guest part of what was asked for?
wants() {
	local kernel=$1 scenario=$2 lanes=$3 word

	if [[ $scenario == kmod* ]] && ! is_own "$kernel"; then
		[[ $(lanes_of "$kernel") == *kmod* ]] || return 1
	fi
	if [ "${#only[@]}" -gt 0 ]; then
		for word in "${only[@]}"; do
			# shellcheck disable=SC2053 # a pattern
			[[ $scenario != $word ]] || return 0
		done
		return 1
	fi
	[[ $scenario != kmod* || -n $headers_dir || -n $builtin ]] ||
		! is_own "$kernel" || return 1
	case $(lanes_of "$kernel") in
	*bad*) [[ $lanes == *bad* ]] ;;
	*own*) [[ $scenario == kmod* ]] ;;
	*)
		if [ "$lane" = quick ]; then
			[[ $lanes == *quick* ]]
		else
			[[ $lanes == *all* ]]
		fi ;;
	esac
}

# check_scenarios: is there one for each that is asked for?
check_scenarios() {
	local word name

	for word in "${only[@]}"; do
		while IFS='|' read -r name _; do
			# shellcheck disable=SC2053 # a pattern
			[[ $name != $word ]] || continue 2
		done < <(rows "$here/scenarios.txt")
		die "no scenario $word: see ./dev vm --list"
	done
}

# check_own: what results are called is a directory's name as well, and must not
# be that of a kernel that is fetched.
check_own() {
	[ -r "$image" ] || die "$image: cannot be read"
	[[ $own =~ ^[A-Za-z0-9][A-Za-z0-9._+-]*$ ]] ||
		die "no name for results: '$own'"
	rows "$here/kernels.txt" | awk -F'|' -v name="$own" '
		$1 == name && $2 != "own" { found = 1 }
		END { exit !found }' || return 0
	die "$own is one of the lab's own kernels: take another name with --as"
}

# get KERNEL...: fetches them into $cache; those that can be had are in $had, the
# others in $missed.
get() {
	local name suite which lanes why kernel

	had=()
	exec 8>"$cache/lock"
	flock -n 8 || { say "waiting for another lab in $cache"; flock 8; }
	for kernel; do
		if is_own "$kernel"; then
			own_kernel "$own" "$image" "$modules_dir" || exit 2
			had+=("$own")
			continue
		fi
		while IFS='|' read -r name suite which lanes why; do
			[ "$name" = "$kernel" ] || continue
			if fetch "$name" "$suite" "$which"; then
				had+=("$name")
			else
				missed+=("$name")
			fi
		done < <(rows "$here/kernels.txt")
	done
	exec 8>&-
}

# --- from start to end -------------------------------------------------------

check_tools() {
	local tool missing=()

	for tool in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static \
		cpio:cpio modprobe:kmod zstd:zstd xz:xz-utils; do
		command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
	done
	if [ "${#missing[@]}" -gt 0 ]; then
		die "missing: ${missing[*]}; on Debian:" \
			"apt-get install ${missing[*]}"
	fi
	command -v apt-get >/dev/null || [ -n "$image" ] ||
		die "there is no apt here to fetch kernels with: give one by" \
			"--kernel bzImage --modules DIR"
}

# get_kmod: builds the module for those kernels of the plan whose guests have it,
# and takes such guests out where there is none to be had.
get_kmod() {
	local entry kernel modules name kept=()
	local -A state=()

	exec 8>"$cache/lock"
	flock -n 8 || { say "waiting for another lab in $cache"; flock 8; }
	for entry in "${plan[@]}"; do
		IFS='|' read -r kernel name _ _ modules _ <<<"$entry"
		if needs_ours "$modules" && [ -z "${state[$kernel]-}" ]; then
			state[$kernel]=there
			make_kmod "$kernel" "$(rows "$here/kernels.txt" |
				awk -F'|' -v name="$kernel" '$1 == name {
					print $2 }')" || state[$kernel]=none
		fi
		if needs_ours "$modules" && [ "${state[$kernel]}" = none ]; then
			rm -rf "${results:?}/$kernel/$name"
		else
			kept+=("$entry")
		fi
	done
	exec 8>&-
	plan=("${kept[@]}")
}

# plan: every guest that is wanted, "KERNEL|row of scenarios.txt", in $plan.
make_plan() {
	local kernel row scenario lanes

	plan=()
	while read -r row; do
		IFS='|' read -r scenario _ _ _ _ _ lanes _ <<<"$row"
		for kernel in "${had[@]}"; do
			! wants "$kernel" "$scenario" "$lanes" ||
				{ [ -n "$again" ] &&
					is_green "$kernel" "$scenario"; } ||
				plan+=("$kernel|$row")
		done
	done < <(rows "$here/scenarios.txt")
	[ "${#plan[@]}" -gt 0 ] || [ "${#had[@]}" -eq 0 ] ||
		[ -n "$again" ] || die "nothing to run: ${only[*]} is not" \
			"for ${had[*]} (tests/vm/kernels.txt)"
}

clean_up() {
	local pid

	trap '' INT TERM
	for pid in "${!running[@]}"; do
		kill "$pid" 2>/dev/null
	done
	wait
	clear_progress
	[ -z "${work-}" ] || rm -rf "$work"
}

# Guests are numbered by the process that runs them.
run_plan() {
	local row pid next=0 at_once=$1

	while [ "$next" -lt "${#plan[@]}" ] || [ "${#running[@]}" -gt 0 ]; do
		while [ "$next" -lt "${#plan[@]}" ] &&
			[ "${#running[@]}" -lt "$at_once" ]; do
			row=${plan[next]}
			next=$((next + 1))
			start_guest "$row" &
			running[$!]=$row
		done
		for pid in "${!running[@]}"; do
			kill -0 "$pid" 2>/dev/null && continue
			wait "$pid"
			finish_guest "${running[$pid]}"
			unset "running[$pid]"
		done
		progress "$next"
		sleep 0.5
	done
	clear_progress
}

image='' modules_dir='' headers_dir='' own='' parameters='' lane='' again='' jobs='' slow=1 write='' names=() only=()
declare -A running=()
missed=() broken=()

while [ $# -gt 0 ]; do
	case $1 in
	--all) lane=all ;;
	--quick) lane=quick ;;
	--write) write=only ;;
	--again) again=1 ;;
	--list) list_all; exit 0 ;;
	-h | --help) usage; exit 0 ;;
	--scenario | --kernel | --modules | --headers | --as | --parameters | \
		--jobs | --slow)
		[ $# -gt 1 ] || die "$1 takes an argument"
		case $1 in
		--scenario) only+=("$2") ;;
		--kernel) image=$2 ;;
		--modules) modules_dir=$2 ;;
		--headers) headers_dir=$(realpath "$2") ;;
		--as) own=$2 ;;
		--parameters) parameters=$2 ;;
		--jobs) jobs=$2 ;;
		--slow) slow=$2 ;;
		esac
		shift ;;
	-*) die "no option $1: see ./dev vm --help" ;;
	*) names+=("$1") ;;
	esac
	shift
done
for number in ${jobs:-2} "$slow"; do
	[[ $number =~ ^[1-9][0-9]*$ ]] || die "not a number above 0: $number"
done
if [ "$write" = only ]; then
	write_matrix
	exit
fi
[ -z "$modules_dir$headers_dir$own" ] || [ -n "$image" ] ||
	die "--modules, --headers and --as go with --kernel"
[ -z "$image" ] || [ "${#names[@]}" -eq 0 ] ||
	die "--kernel and ${names[0]}: one of them at a time"
if [ "$lane" = all ] && [ -z "$image${names[*]}${only[*]}" ]; then
	write=1
fi
if [ -z "$lane" ]; then
	lane=quick
	[ -z "$image${names[*]}" ] || lane=all
fi
own=${own:-local}
[ -z "$image" ] || check_own
check_scenarios
check_tools
for dir in "$cache" "$results"; do
	{ mkdir -p "$dir" && [ -w "$dir" ]; } || die "cannot write to $dir"
done
work=$(mktemp -d "${TMPDIR:-/tmp}/pagemv-lab.XXXXXX") || exit 2
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [ -n "$image" ]; then
	kernels=("$own")
else
	select_kernels
fi
get "${kernels[@]}"
make_plan
get_kmod
: >"$work/all"
if [ "${#plan[@]}" -gt 0 ]; then
	pack_base || die "cannot pack what the guests start from, into $work"
	cores=$(nproc)
	run_plan "${jobs:-$((cores / 2 > 2 ? cores / 2 : 2))}"
fi
[ -z "$write" ] || write_matrix
for name in "${missed[@]}"; do
	printf 'vm %s\tSKIP\tkernel - not to be had\n' "$name" >>"$work/all"
done
for name in "${broken[@]}"; do
	printf 'vm %s\tERROR\tkmod - does not build\n' "$name" >>"$work/all"
done
if [ -n "${PMV_VM_RESULTS-}" ]; then
	cp "$work/all" "$PMV_VM_RESULTS"
	exit 0 # whoever asked for them counts them
fi
verdict "$work/all" || exit
# Where no kernel was to be had nothing was shown.
[ "${#missed[@]}" -eq 0 ] || grep -q $'\tPASS\t' "$work/all"
