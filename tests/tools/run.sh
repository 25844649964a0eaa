#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# pagemv run: what it hands to the program, and what it tells of programs that
# the shim cannot work in.

# shellcheck disable=SC2317 # called through passes
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

# shellcheck disable=SC2154 # from the Makefile
pagemv=$top_builddir/tools/pagemv
shim=$top_builddir/preload/.libs/libpagemv-malloc.so
unset LD_PRELOAD PAGEMV_CONF
cd "$gate_tmp" || exit 99

run() {
	"$pagemv" run "$@"
}

# same TEXT COMMAND...: it prints exactly this.
same() {
	text=$1
	shift
	printed=$("$@" 2>/dev/null) || return 1
	[ "$printed" = "$text" ] || {
		echo "printed: $printed"
		echo "not:     $text"
		return 1
	}
}

# ends STATUS COMMAND...
ends() {
	wanted=$1
	shift
	"$@"
	status=$?
	[ "$status" -eq "$wanted" ] || {
		echo "status $status, not $wanted"
		return 1
	}
}

# warns WORD FILE: that there is no effect, and why; and never of others.
warns() {
	run --print "$2" 2>warning >shown || return 1
	grep -q "warning: no effect: .*$1" warning || {
		echo "it said:"
		cat warning
		return 1
	}
}

is_silent() { # FILE
	run --print "$1" 2>warning >shown && cat warning && [ ! -s warning ]
}

compile() { # PROGRAM OPTION...
	program=$1
	shift
	echo 'int main(void) { return 3; }' >program.c
	# shellcheck disable=SC2086 # CC may carry options
	${CC:-cc} -o "$program" program.c "$@"
}

# byte FILE OFFSET VALUE
byte() {
	# shellcheck disable=SC2059 # the format is the byte
	printf "\\$(printf %o "$3")" |
		dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

# The environment that the program sees.
# shellcheck disable=SC2016 # for that sh
sees() {
	"$@" sh -c 'echo "$LD_PRELOAD $PAGEMV_CONF"'
}

# shellcheck disable=SC2016 # for that sh
keeps_preload() {
	same "$shim:/x/lib1.so:/lib2.so" env LD_PRELOAD="$1" sh -c \
		'"$@" --print true | sed "s/.*LD_PRELOAD=\([^ ]*\).*/\1/"' \
		sh "$pagemv" run
}

# shellcheck disable=SC2016 # for that sh
merges_settings() {
	same 'warm=5m,threshold=2m,uffd=off' sh -c \
		'"$@" sh -c "echo \$PAGEMV_CONF"' sh \
		env PAGEMV_CONF=threshold=1m,warm=5m,uffd=on \
		"$pagemv" run --threshold=9m --threshold=2m --no-uffd
}

tells_stats() {
	run --stats=told env --chdir=/ true &&
		grep -q '^pagemv-malloc: pid=' told
}

tells_stats_on_stderr() {
	run --stats true 2>told && grep -q '^pagemv-malloc: .*program=true' told
}

# An allocator by its name goes behind the shim; what is not installed is named.
finds_allocator() { # NAME LIBRARY PACKAGE
	if run --allocator="$1" --print true >shown 2>&1; then
		grep -q "LD_PRELOAD=$shim:/[^: ]*/$2[^: ]* true" shown
	else
		[ $? -eq 125 ] && grep -q "apt install $3" shown
	fi || {
		cat shown
		return 1
	}
}

makes_path_absolute() {
	mkdir -p libraries && cp "$shim" libraries/libother.so &&
		same "env LD_PRELOAD=$shim:$PWD/libraries/libother.so true" \
			run --allocator=libraries/libother.so --print true
}

searches_library_path() {
	mkdir -p libraries && cp "$shim" libraries/libunheard.so.3 &&
		LD_LIBRARY_PATH=$PWD/libraries:$LD_LIBRARY_PATH \
			run --allocator=unheard --print true >shown &&
		grep -q "libraries/libunheard.so.3" shown
}

# What --print shows can be executed.
prints_what_works() {
	# shellcheck disable=SC2016 # for that sh
	run --print --threshold=3m sh -c 'echo "$0 $PAGEMV_CONF"' "it's" \
		>shown && same "it's threshold=3m" sh shown
}

warns_of_setuid() {
	compile gains && chown 65534 gains && chmod u+s gains &&
		warns "gains rights" ./gains
}

under_top() {
	"$pagemv" run sleep 20 &
	"$pagemv" top --once "$!" >shown
	status=$?
	kill "$!"
	[ "$status" -eq 0 ] && grep -q "no large block yet" shown
}

top_is_off() {
	PAGEMV_CONF=threshold=1m,top=off "$pagemv" run sleep 20 &
	"$pagemv" top --once "$!"
	status=$?
	kill "$!"
	return "$status"
}

passes "the shim is there" test -r "$shim"
passes "the shim is handed on" same "$shim " sees run
passes "settings are handed on" \
	same "$shim threshold=64k,serve=realloc,huge=never,node=interleave,decay=5" \
	sees run --threshold=64k --serve=realloc --huge=never \
	--node=interleave --set decay=5
passes "settings of the environment stay, but for those given" merges_settings
passes "other libraries stay, behind the shim" \
	keeps_preload "/x/lib1.so /lib2.so"
passes "the shim is loaded once" \
	keeps_preload "/x/lib1.so:/y/libpagemv-malloc.so::/lib2.so"
passes "statistics go to a file, wherever the program goes" tells_stats
passes "statistics go to standard error" tells_stats_on_stderr
passes "jemalloc goes behind the shim" \
	finds_allocator jemalloc libjemalloc.so libjemalloc2
passes "mimalloc goes behind the shim" \
	finds_allocator mimalloc libmimalloc.so libmimalloc2.0
passes "tcmalloc goes behind the shim" \
	finds_allocator tcmalloc libtcmalloc libtcmalloc-minimal4
passes "any library goes behind the shim" makes_path_absolute
passes "libraries are found where the loader finds them" searches_library_path
passes "glibc needs no library" \
	same "env LD_PRELOAD=$shim true" run --allocator=glibc -n true
passes "what is shown can be executed" prints_what_works
passes "pagemv top sees it" under_top
refuses "to watch what keeps no statistics" "top=off" top_is_off

passes "the status is the program's" ends 5 run sh -c 'exit 5'
passes "options behind the program are its own" \
	same "--print -n" run echo --print -n
passes "127: a program that is not there" ends 127 run no-such-program
: >program.txt
passes "126: a file that cannot be executed" ends 126 run ./program.txt
passes "126: a directory" ends 126 run /
passes "125: wrong usage" ends 125 run --serve=some true
refuses "no program" "no program given" run
refuses "a size that is none" "--threshold=5x" run --threshold=5x true
refuses "a node that is none" "--node=x" run --node=x true
refuses "a comma in a setting" "does not fit" run --stats=a,b true
refuses "a setting without a value" "KEY=VALUE" run --set top true
refuses "an allocator that nobody knows" "libnonsense.so" \
	run --allocator=nonsense true
refuses "a library that is none" "no library" \
	run --allocator=./program.c true

passes "no warning of an ordinary program" is_silent sh
compile dynamic
printf '#!%s\n' "$PWD/dynamic" >script && chmod +x script
passes "no warning of a script" is_silent ./script
passes "a program without a loader for it is told" \
	compile musl -Wl,--dynamic-linker=/lib/ld-musl-x.so.1
passes "warns of musl" warns "musl libc" ./musl
passes "does not load the shim there" same "env ./musl" \
	run --print ./musl
refuses "a program whose loader is not there" "not the loader" run ./musl
if compile static -static 2>/dev/null; then
	passes "warns of a static program" warns "statically linked" ./static
	printf '#!%s -x\n' "$PWD/static" >script
	passes "warns of a script of a static interpreter" \
		warns "statically linked" ./script
	printf '#!/usr/bin/env -S A=b ./static -x\n' >script
	passes "warns of a script behind env" \
		warns "statically linked" ./script
else
	skip "warns of a static program" "no static C library"
fi
# EM_MIPS, and a class that is not ours.
cp dynamic foreign && byte foreign 18 8 && byte foreign 19 0 &&
	byte foreign 4 $((3 - $(od -An -tu1 -j4 -N1 foreign)))
passes "warns of a program of another machine" warns "for .*mips" ./foreign
if [ "$(id -u)" -eq 0 ] && ! findmnt -no OPTIONS -T . | grep -q nosuid; then
	passes "warns of a program that gains rights" warns_of_setuid
else
	skip "warns of a program that gains rights" "not root, or nosuid here"
fi
finish
