#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The rooms of doc/design.md: who may touch the kernel, and who may include
# whom. Comments and strings do not count.

# shellcheck disable=SC2317 # called through passes and refuses
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

# layer FILE: the number of its layer; calls go down, never up.
layer() {
	case $1 in
	base.h | raw_syscall.h | uffd_uapi.h | companion_uapi.h | rcu.h | \
		trace.h) echo 0 ;;
	sys.* | log.* | calm.* | policy.* | quirks.* | strings.c | forks.*) echo 1 ;;
	internal.h | channel.h | stats.* | uffd.* | companion.* | numa.*) echo 2 ;;
	kernel.* | mapping.* | pages.* | placement.* | staging.* | diagnose.* | blank.*)
		echo 3 ;;
	channel.c | extents.* | page_state.* | region.* | register.c | \
		registry.h | unregister.c | scratch.*) echo 3 ;;
	mover.h | mover_* | track.*) echo 4 ;;
	engine.* | job.* | choose.* | answer.*) echo 5 ;;
	move.c | batch.c | relocate.c | slide.c | exchange.c | calibrate.* | source.* | \
		event.*) echo 6 ;;
	fault.* | fault_* | populate.c | handlers.* | inherit.* | \
		children.* | evac.* | evac_*) echo 7 ;;
	open.c | arena.* | heap*) echo 8 ;;
	*) return 1 ;;
	esac
}

# sources DIRECTORY: the names of the C files in it, or failure if none.
sources() {
	list=$(cd "$1" && for file in *.c *.h; do
		[ ! -e "$file" ] || echo "$file"
	done)
	[ -n "$list" ] || {
		echo "no sources in $1"
		return 1
	}
	echo "$list"
}

# only PATTERN DIRECTORY FILE...: no file but these has a match.
only() {
	pattern=$1
	dir=$2
	shift 2
	list=$(sources "$dir") || {
		echo "$list"
		return 1
	}
	status=0
	for file in $list; do
		case " $* " in
		*" $file "*) continue ;;
		esac
		strip_c "$dir/$file" | grep -nE -e "$pattern" |
			sed "s/^/$file:/" | grep . && status=1
	done
	return "$status"
}

# A call by name, not through a table (p->close()) nor of pmv_close().
call() {
	echo "(^|[^>._[:alnum:]])($1) *\\("
}

# included FILE: the private headers it includes.
included() {
	sed -nE 's/^[ \t]*#[ \t]*include[ \t]+"([^"]+)".*/\1/p' "$1"
}

# downwards DIRECTORY: no file includes a header of a higher layer.
downwards() {
	list=$(sources "$1") || {
		echo "$list"
		return 1
	}
	status=0
	for file in $list; do
		from=$(layer "$file") || {
			echo "$file: give it a layer in tests/gates/layers.sh"
			status=1
			continue
		}
		for header in $(included "$1/$file"); do
			[ "$header" != config.h ] || continue
			to=$(layer "$header") || to=99
			[ "$to" -le "$from" ] || {
				echo "$file includes $header, which is above it"
				status=1
			}
		done
	done
	return "$status"
}

# pure DIRECTORY FILE...: these have no way to a system call.
pure() {
	dir=$1
	shift
	status=0
	for file; do
		[ -e "$dir/$file" ] || continue
		included "$dir/$file" | grep -E '^(sys|internal|uffd)\.h$' |
			sed "s/^/$file includes /" | grep . && status=1
	done
	return "$status"
}

syscalls=$(call "ioctl|mmap|munmap|mremap|madvise|process_madvise|mprotect|\
mincore|mlock|mlock2|munlock|prctl|getrlimit|syscall|open|openat|close|read|\
pread|write|pwrite|poll|ppoll|eventfd|fork|getpid|clock_gettime|nanosleep|sched_yield|\
signal|sigaction|kill|tgkill|pthread_kill|sigqueue|pthread_sigqueue")
leaving=$(call "exit|_exit|_Exit|quick_exit|printf|vprintf|fprintf|vfprintf|\
puts|fputs|perror")

lib=$top_srcdir/lib
uffdio='(^|[^_[:alnum:]])UFFDIO_'
urcu='urcu|(^|[^_[:alnum:]])(rcu|cds)_'

passes "only uffd.c issues userfaultfd ioctls" \
	only "$uffdio" "$lib" uffd.c uffd_uapi.h
passes "only companion.c issues ioctls of the companion" \
	only "PMV_COMPANION_(IO|INFO|REMAP|REMAPV|EXCHANGE)([^_[:alnum:]]|\$)" \
	"$lib" companion.c companion_uapi.h
passes "only sys.c makes system calls" only "$syscalls" "$lib" \
	sys.c raw_syscall.h
passes "only rcu.h knows liburcu" only "$urcu" "$lib" rcu.h
passes "only numa.c knows libnuma" only '<numa(if)?\.h>' "$lib" numa.c
passes "nothing exits or prints" only "$leaving" "$lib"
passes "only base.h, for failed assertions, aborts" \
	only "$(call abort)" "$lib" base.h
passes "includes go down the layers" downwards "$lib"
passes "policy.c and quirks.c have no system calls" \
	pure "$lib" policy.c policy.h quirks.c quirks.h

cd "$gate_tmp" || exit 99
mkdir empty planted
cat >planted/uffd.c <<'END'
#include "engine.h"
int f(int fd) { return g(UFFDIO_ZEROPAGE, sys->ioctl(fd)); }
END
cat >planted/policy.c <<'END'
#include "sys.h"
/* UFFDIO_MOVE and mmap() in a comment */
const char *s = "mmap(\" UFFDIO_X"; int pmv_mmap(void);
END
cat >planted/planted.c <<'END'
int f(void) { return 1 + mmap(0); }
END
refuses "no sources" "no sources" only x empty
refuses "a planted ioctl" uffd.c only "$uffdio" planted
refuses "a planted system call" planted.c only "$syscalls" planted
passes "takes no comment, string or table for one" \
	only "$syscalls" planted planted.c
refuses "a planted include" "uffd.c includes engine.h" downwards planted
refuses "a file without a layer" "planted.c: give it" downwards planted
refuses "a system-call table in policy.c" sys.h pure planted policy.c
finish
