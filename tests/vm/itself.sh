#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The lab itself, without a guest: what it makes of kernel logs, of guests that
# hang or never start, of what is missing and of what it is asked for. A copy of
# the lab runs, with a program in the place of QEMU that says what a guest would.

# shellcheck disable=SC2317 # called through passes and refuses
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

command -v bash >/dev/null || skip_all "no bash"

# shellcheck disable=SC2154 # from gatelib.sh
scratch=$gate_tmp
copy=$scratch/copy bin=$scratch/bin few=$scratch/few mirror=$scratch/mirror
export TMPDIR="$scratch/work" PMV_VM_CACHE="$scratch/cache"
unset PMV_VM_RESULTS PMV_KMOD_WAY

# ---- the copy, and what stands in for programs -------------------------------

mkdir -p "$copy/tests/vm" "$copy/build-aux" "$copy/doc" "$bin" "$few" "$TMPDIR"
mkdir -p "$copy/build/tests/vm" "$copy/build/tools/.libs" "$copy/build/lib/.libs"
touch "$copy/build/tests/vm/confined" "$copy/build/tools/.libs/pagemv" \
	"$copy/build/lib/.libs/libpagemv.so.0"
cp "$top_srcdir"/tests/vm/*.sh "$top_srcdir/tests/vm/init" \
	"$top_srcdir/tests/vm/kernels.head" "$copy/tests/vm/"
cp "$top_srcdir/tests/results.sh" "$top_srcdir/tests/conditions.sh" \
	"$top_srcdir/tests/expected-skips.txt" "$copy/tests/"
cp "$top_srcdir/build-aux/run-test" "$copy/build-aux/"
echo 'one | root | plain | | | 1 | quick all | unit/one' \
	>"$copy/tests/vm/scenarios.txt"
printf '%s\n' 'here | suite | meta | quick all | -' \
	'there | suite | 9.8 | all | -' >"$copy/tests/vm/kernels.txt"
echo image >"$scratch/image"

# stands_in PROGRAM: what follows on standard input, in its place.
stands_in() {
	{
		echo '#!/bin/sh'
		cat
	} >"$bin/$1"
	chmod 755 "$bin/$1"
}

for program in busybox cpio modprobe zstd xz; do
	echo 'cat >/dev/null' | stands_in "$program"
done
# A guest has a minute to boot, besides its time.
stands_in timeout <<END
limit=\$((\$3 - 60))
shift 3
exec $(command -v timeout) -k 1 "\$limit" "\$@"
END
stands_in qemu-system-x86_64 <<END
for argument; do
	case \$argument in
	file:*/console) exec 3>"\${argument#file:}" ;;
	file:*/tap) exec 4>"\${argument#file:}" ;;
	esac
done
echo \$\$ >"$scratch/pid"
. "$scratch/guest"
END
stands_in apt-get <<END
! [ "\$1" = indextargets ] || cat "$mirror"
[ "\$1" = indextargets ]
END
: >"$mirror"

lab() {
	PATH="$bin:$PATH" bash "$copy/tests/vm/lab.sh" "$@" </dev/null
}

# On a kernel of one's own.
own() {
	lab --kernel "$scratch/image" "$@"
}

# all_in FILE WORD...
all_in() {
	file=$1
	shift
	for word; do
		grep -qF -e "$word" "$file" || {
			echo "no \"$word\" in"
			cat "$file"
			return 1
		}
	done
}

# ---- guests ------------------------------------------------------------------

# guest: what follows is what the next one does.
guest() {
	cat >"$scratch/guest"
}

well='printf "%s\n" "=== release 9.9.9" "=== holds" "=== begin tests/unit/one" \
	"ok 1 - it works" "1..1" "=== end 0 1" "=== done" >&4'
hangs='printf "%s\n" "=== release 9.9.9" "=== begin tests/unit/one" >&4
	echo "it hangs here" >&3
	exec sleep 1000 3>&- 4>&-'

guest_is_gone() {
	! kill -0 "$(cat "$scratch/pid")" 2>/dev/null || {
		echo "the guest goes on"
		return 1
	}
	[ -z "$(ls "$TMPDIR")" ] || {
		echo "left in TMPDIR: $(ls "$TMPDIR")"
		return 1
	}
}

passes_quietly() {
	own --scenario one >"$scratch/said" 2>"$scratch/errors" || {
		cat "$scratch/said"
		return 1
	}
	all_in "$scratch/said" "1 passed, 0 failed, 0 skipped" || return 1
	[ ! -s "$scratch/errors" ] || {
		echo "said to those who do not watch:"
		cat "$scratch/errors"
		return 1
	}
	guest_is_gone
}

# fails WORD...: the lab does, says so, and nothing of the guest is left but what
# it said.
fails() {
	! own --scenario one >"$scratch/said" 2>&1 || {
		echo "it passed"
		return 1
	}
	all_in "$scratch/said" FAILED "$@" && guest_is_gone
}

keeps_the_log() {
	all_in "$copy/build-vm/local/one/console" "it hangs here"
}

# ended_by SIGNAL: and takes the guest along.
ended_by() {
	rm -f "$scratch/pid"
	PATH="$bin:$PATH" bash "$copy/tests/vm/lab.sh" --slow 1000 \
		--kernel "$scratch/image" </dev/null &
	lab=$!
	for _ in $(seq 600); do
		[ ! -s "$scratch/pid" ] || break
		sleep 0.1
	done
	kill "-$1" "$lab"
	wait "$lab"
	guest_is_gone
}

guest <<END
$well
END
passes "a guest passes, and nothing is said but its results" passes_quietly
guest <<END
$well
echo "[    1.0] BUG: Bad page state in process x  pfn:1" >&3
END
passes "a guest fails whose kernel log is bad, whatever its tests said" \
	fails "1 passed, 1 failed" "kernel log: [    1.0] BUG: Bad page"
guest <<END
$hangs
END
passes "a guest that hangs is ended and fails" \
	fails "tests/unit/one - never ended" "its time was up"
passes "its kernel log is kept" keeps_the_log
passes "ended by SIGTERM" ended_by TERM
passes "ended by SIGHUP" ended_by HUP
guest <<END
echo "no such machine" >&2
exit 1
END
passes "what QEMU says when it does not start is told" fails "no such machine"

# ---- kernel logs -------------------------------------------------------------

# judged_bad: all lines on standard input, each by itself.
judged_bad() {
	mkdir -p "$scratch/log"
	while IFS= read -r line; do
		printf '[    1.234567] %s\r\n' "$line" >"$scratch/log/console"
		# shellcheck disable=SC2016 # for bash
		bash -c '. "$0/tests/vm/guest.sh"; log_of "$1"' "$top_srcdir" \
			"$scratch/log" | grep -q . || echo "not bad: $line"
	done >"$scratch/fine"
	cat "$scratch/fine"
	[ ! -s "$scratch/fine" ]
}

bad_lines() {
	judged_bad <<'END'
BUG: unable to handle page fault for address: ffbb1f7d0b02b2e8
BUG: kernel NULL pointer dereference, address: 0000000000000008
kernel BUG at mm/rmap.c:1234!
BUG: KASAN: slab-use-after-free in move_pages_huge_pmd+0x10/0x20
UBSAN: array-index-out-of-bounds in mm/userfaultfd.c:1:2
WARNING: CPU: 1 PID: 212 at mm/page_counter.c:60 page_counter_cancel+0x5a/0x70
WARNING: mm/rmap.c:12 at folio_move_anon_rmap+0x1/0x2, CPU#1: storm/212
Oops: 0000 [#1] PREEMPT SMP NOPTI
general protection fault, probably for non-canonical address 0xdead: 0000 [#1]
BUG: Bad page state in process storm  pfn:12345
BUG: Bad page map in process storm  pte:0 pmd:0
BUG: Bad rss-counter state mm:000000001 type:MM_ANONPAGES val:1
get_swap_device: Bad swap file entry 3ffffffffffff
WARNING: possible circular locking dependency detected
WARNING: possible recursive locking detected
WARNING: possible irq lock inversion dependency detected
WARNING: inconsistent lock state
WARNING: bad unlock balance detected!
WARNING: suspicious RCU usage
[ BUG: Invalid wait context ]
BUG: sleeping function called from invalid context at mm/memory.c:1
INFO: task storm:212 blocked for more than 60 seconds.
watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [storm:212]
watchdog: Watchdog detected hard LOCKUP on cpu 1
rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
rcu: INFO: rcu_preempt self-detected stall on CPU
rcu: INFO: rcu_sched detected expedited stalls on CPUs/tasks: { 1-... }
list_del corruption, 0000000000000001->next is LIST_POISON1
refcount_t: underflow; use-after-free.
Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b
END
}

passes "each of these is bad in a kernel log" bad_lines
fine_lines() {
	judged_bad <<'END'
Linux version 6.1.0-50-cloud-amd64 (gcc-12, GNU ld) #1 SMP PREEMPT_DYNAMIC
console [ttyS0] enabled, ignoring loglevel, bug fixed
rcu: Hierarchical RCU implementation.
Out of memory: Killed process 12 (storm) total-vm:1kB, anon-rss:1kB
sysrq: Show Blocked State
END
}
refuses "to call these bad" "not bad: Out of memory" fine_lines
passes "and none of them is" [ "$(wc -l <"$scratch/fine")" -eq 5 ]

# ---- what is missing ---------------------------------------------------------

# What the lab needs to say that the rest is missing.
for program in awk bash cat dirname grep rm sed; do
	ln -s "$(command -v "$program")" "$few/"
done

without_programs() {
	PATH=$few bash "$copy/tests/vm/lab.sh" </dev/null
}

without_apt() {
	for program in qemu-system-x86_64 busybox cpio modprobe zstd xz; do
		ln -sf "$bin/$program" "$few/"
	done
	PATH=$few bash "$copy/tests/vm/lab.sh" </dev/null
}

refuses "a machine without QEMU, and says what to install" \
	"apt-get install qemu-system-x86 busybox-static cpio" without_programs
refuses "a machine without apt, but not one's own kernel" \
	"--kernel bzImage" without_apt
refuses "apt sources without a mirror" "no Debian mirror among" lab
refuses "to say nothing of a kernel that is missing" \
	"here: NOT TO BE HAD: no index of suite" lab
echo "http://localhost:9/debian/ stable" >"$mirror"
refuses "a mirror without an index" "here: NOT TO BE HAD: no index of suite" lab

# A kernel of an earlier day, in the cache.
earlier=$PMV_VM_CACHE/kernels/here
mkdir -p "$earlier"
echo 9.7.1 | tee "$earlier/stamp" "$earlier/release" "$earlier/version" \
	"$earlier/suite" "$earlier/vmlinuz" >/dev/null
guest <<END
$well
END
takes_the_earlier() {
	lab >"$scratch/said" 2>&1 || {
		cat "$scratch/said"
		return 1
	}
	all_in "$scratch/said" "here: the kernel of an earlier day, 9.7.1" \
		"1 passed, 0 failed, 0 skipped"
}
passes "a kernel of an earlier day takes the place of today's" takes_the_earlier

cache_is_no_directory() {
	PMV_VM_CACHE=/dev/null/cache lab
}
refuses "a cache that cannot be written" "cannot write to /dev/null/cache" \
	cache_is_no_directory

# ---- what it is asked for ----------------------------------------------------

table=$copy/doc/kernels.md

# Of all, one can be had.
part_of_all() {
	lab --all --scenario one && [ ! -e "$table" ]
}

writes() {
	lab --write && all_in "$table" "| one | ok, 1 |"
}

passes "a part of all of it is not written" part_of_all
passes "the results that are there are, when asked for" writes
refuses "a scenario that is not there" "no scenario two" \
	lab --scenario one --scenario two
refuses "a kernel that is not there" "no kernel 5.0" lab 5.0
refuses "an option that is not there" "no option --some" lab --some
refuses "results that would lie elsewhere" "no name for results" \
	own --as ../elsewhere
refuses "results in the place of a kernel's" "take another name" own --as here
refuses "no image" "cannot be read" lab --kernel "$scratch/no-image"
finish
