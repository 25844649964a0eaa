#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# pagemv top, on processes that have a statistics page and count what they are
# told to.

# shellcheck disable=SC2317 # called through passes
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

# shellcheck disable=SC2154 # from the Makefile
pagemv=$top_builddir/tools/pagemv
paged=$top_builddir/tests/tools/paged
TERM=xterm
export TERM
cd "$gate_tmp" || exit 99

# Processes that are talked to end when nobody has the other end of their input
# any more: the others must not inherit it. Becomes the program.
become() {
	exec 5>&- 6>&- 7>&-
	exec "$@"
}

# until_true COMMAND...: within a minute times PMV_SLOW, as others may want the
# machine.
until_true() {
	tries=$((1200 * ${PMV_SLOW:-1}))
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || {
			echo "never: $*"
			return 1
		}
		sleep 0.05
	done
}

is_ready() { # NAME
	grep -q ready "$1.out"
}

# start NAME SETTINGS: its input is NAME.in, which the caller opens.
start() {
	mkfifo "$1.in"
	become "$paged" "$2" <"$1.in" >"$1.out" &
}

pid_of() { # NAME
	sed -n 's/^ready //p' "$1.out" | tail -n 1
}

has_done() { # NAME TIMES
	[ "$(grep -c '^done' "$1.out")" -ge "$2" ]
}

# tell FD NAME LINE...
tell() {
	fd=$1
	name=$2
	shift 2
	for line; do
		times=$(grep -c '^done' "$name.out")
		echo "$line" >&"$fd"
		until_true has_done "$name" $((times + 1)) || return 1
	done
}

top() {
	(become "$pagemv" top "$@")
}

# value KEY FILE: the first one of the name.
value() {
	sed -n "s/^ *\"$1\": *\"\{0,1\}\([^\"]*[^\",]\)\"\{0,1\},\{0,1\}$/\1/p" \
		"$2" | head -n 1
}

# json_says FILE KEY VALUE [KEY VALUE]...
json_says() {
	file=$1
	shift
	while [ $# -gt 1 ]; do
		[ "$(value "$1" "$file")" = "$2" ] || {
			echo "$1 is not $2 in:"
			cat "$file"
			return 1
		}
		shift 2
	done
}

tells_figures() {
	top --once --json "$one" >figures.json || return 1
	json_says figures.json pid "$one" command paged library \
		"$("$pagemv" --version | sed 's/.* //')" \
		settings threshold=128k,serve=all blocks 100 \
		live_bytes 1230000000 calls 1140 reallocs 1000 in_place 990 \
		moves 10 mappings_saved 8 moved_bytes 987654321 \
		copied_bytes 12345 given_back_bytes 4096 misuses 1 failures 3
}

# row FILE FIRST: the columns of a row, single spaces between them.
row() {
	sed -n "s/^ *$2 /$2 /p" "$1" | tr -s ' ' | head -n 1
}

prints_figures() {
	top --once "$one" >table || return 1
	case $(row table total) in
	'total 100 1.15G 1140 99% 942M 12.1K 8 '*) ;;
	*)
		cat table
		return 1 ;;
	esac
	grep -q "process $one (paged)" table &&
		grep -q '^settings: threshold=128k,serve=all$' table
}

lists() {
	top --once >list || return 1
	sed -n "/^ *$two /{=;q}" list >two.line
	sed -n "/^ *$one /{=;q}" list >one.line
	case $(row list "$one") in
	"$one 100 1.15G 1140 99% 942M 12.1K 8 "*" paged") ;;
	*)
		cat list
		return 1 ;;
	esac
	# The one with more memory comes first.
	[ "$(cat two.line)" -lt "$(cat one.line)" ] || {
		cat list
		return 1
	}
}

lists_json() {
	top --once --json >list.json &&
		grep -q '"hidden": [0-9]' list.json &&
		grep -q "\"pid\": $one,\$" list.json &&
		grep -q "\"pid\": $two,\$" list.json
}

# background FILE ARGUMENT...: top goes on, its number is in $watching.
background() {
	file=$1
	shift
	become "$pagemv" top "$@" >"$file" 2>"$file.errors" &
	watching=$!
}

# stop_watching STATUS FILE: of what was looked for in FILE.
stop_watching() {
	kill "$watching" 2>/dev/null
	wait "$watching"
	[ $? -eq 143 ] && [ "$1" -eq 0 ] && return
	cat "$2" "$2.errors"
	return 1
}

# A row for each interval, and what is counted is seen in one of them.
shows_intervals() {
	background rows --interval=0.2 "$one"
	until_true grep -qE '^[0-9:]{8} .* 0B ' rows &&
		tell 5 one 'moved_bytes 3145728' 'copied_bytes 2048' &&
		until_true grep -qE '^[0-9:]{8} .* 3\.00M ' rows &&
		until_true grep -qE '^[0-9:]{8} .* 2\.00K ' rows
	stop_watching $? rows
}

lines_are_objects() { # FILE PATTERN
	[ "$(wc -l <"$1")" -ge 3 ] && ! grep -qv "$2" "$1"
}

streams_json() {
	background stream --interval=0.1 --json "$one"
	until_true lines_are_objects stream \
		"^{\"pid\":$one,.*\"interval\":{.*}}\$" &&
		tell 5 one 'reallocs 7' &&
		until_true grep -q '"interval":{.*"reallocs":7,' stream
	stop_watching $? stream
}

repeats() { # PATTERN FILE
	[ "$(grep -c "$1" "$2")" -ge 3 ]
}

streams_list() {
	background stream.list --interval=0.1
	until_true repeats "^ *$two .* paged\$" stream.list
	stop_watching $? stream.list
}

may_unshare() {
	[ "$(id -u)" -eq 0 ] && unshare --fork --pid --mount-proc true
}

# Where there is no process to be seen but these.
tells_none_once() {
	# shellcheck disable=SC2016 # for that sh
	(become unshare --fork --pid --mount-proc sh -c '
		"$1" top --interval=0.1 >none &
		until grep -q "pagemv run" none; do sleep 0.05; done
		sleep 1' sh "$pagemv") && [ "$(wc -l <none)" -eq 1 ] || {
		cat none
		return 1
	}
}

# A forked child's figures are its own from the fork on; what it has of the
# parent's is blocks.
follows_fork() {
	tell 5 one fork || return 1
	child=$(sed -n 's/^child //p' one.out | tail -n 1)
	tell 5 one 'moves 5' || return 1
	top --once --json "$child" >child.json &&
		json_says child.json pid "$child" blocks 100 calls 0 moves 0 &&
		top --once >list && grep -q "^ *$child " list
	status=$?
	kill "$child"
	return "$status"
}

# Without handlers of fork() it has its own page all the same, of another's name.
sees_raw_fork() {
	tell 5 one raw-fork || return 1
	child=$(sed -n 's/^child //p' one.out | tail -n 1)
	top --once --json "$child" >child.json &&
		json_says child.json pid "$child" blocks 100
	status=$?
	kill "$child"
	return "$status"
}

# A child of vfork() is its parent for as long.
lists_no_vfork() {
	echo vfork >&5
	sleep 0.5
	top --once >list
	[ "$(grep -c ' paged$' list)" -eq 2 ] || {
		cat list
		return 1
	}
}

# has_ended PID: a child of this shell's.
has_ended() {
	[ "$(cut -d ' ' -f 3 "/proc/$1/stat" 2>/dev/null)" = Z ]
}

# waits_for_end STATUS: of the one in the background.
waits_for_end() {
	until_true has_ended "$watching" || {
		kill -9 "$watching"
		echo "it does not end"
	}
	wait "$watching"
	[ $? -eq "$1" ]
}

follows_exec() {
	start three first && exec 7>three.in && until_true is_ready three ||
		return 1
	three=$(pid_of three)
	background exec.rows --interval=0.2 "$three"
	until_true grep -q total exec.rows &&
		tell 7 three 'allocs 5' &&
		until_true grep -q '^[0-9:]*  *5 ' exec.rows || return 1
	# Not by way of a script that takes its time.
	echo "exec $(readlink "/proc/$three/exe")" >&7
	until_true grep -q '^ *total  *0 ' exec.rows || {
		cat exec.rows exec.rows.errors
		return 1
	}
	echo 'exec /bin/cat' >&7
	waits_for_end 1 && grep -q 'does not run under the shim' \
		exec.rows.errors || return 1
	exec 7>&-
}

tells_end() {
	start four x && exec 7>four.in && until_true is_ready four || return 1
	four=$(pid_of four)
	background end --interval=3000 "$four"
	until_true grep -q total end || return 1
	exec 7>&-
	until_true grep -q "$four (paged) has ended" end.errors ||
		kill "$watching"
	waits_for_end 0
}

tells_end_in_json() {
	start five x && exec 7>five.in && until_true is_ready five || return 1
	five=$(pid_of five)
	background end.json --json --interval=3000 "$five"
	until_true grep -q pid end.json || return 1
	exec 7>&-
	until_true grep -qx "{\"pid\":$five,\"ended\":true}" end.json ||
		kill "$watching"
	waits_for_end 0
}

# Where a process that was started by libtool's script has its libraries.
libraries() { # PID
	tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^LD_LIBRARY_PATH=//p'
}

# The shim may be on its way: in a program that is only now executed.
waits_for_shim() {
	mkfifo six.in
	# Not by way of a script that takes its time.
	LD_LIBRARY_PATH=$(libraries "$one") become sh -c 'sleep 0.2; exec "$@"' \
		sh "$(readlink "/proc/$one/exe")" x <six.in >six.out &
	exec 7>six.in
	top --once "$!" >/dev/null
	status=$?
	exec 7>&-
	return "$status"
}

# shellcheck disable=SC2034 # used by eval
terminal=$top_builddir/tests/tools/terminal

# shows STEP... -- ARGUMENT...: on a terminal.
shows() {
	steps=
	while [ "$1" != -- ]; do
		# No step of ours has a quote in it.
		steps="$steps '$1'"
		shift
	done
	shift
	eval "(become \"\$terminal\" $steps -- \"\$pagemv\" top \"\$@\")" \
		>screen
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

# The last picture has no line that is longer than the screen is wide.
cuts_lines() {
	shows wait:MiB/s size:12x30 wait:total wait:total wait:total keys:q -- \
		--interval=0.1 "$one" || return 1
	esc=$(printf '\033')
	tr -d '\r\n' <screen | sed -e "s/.*$esc\[H//" >picture
	# shellcheck disable=SC1087 # no array
	sed -e "s/$esc\[[?J][^$esc]*//g" -e "s/$esc\[K/\\n/g" picture >lines
	[ "$(wc -l <lines)" -ge 6 ] && ! grep -E '.{31}' lines
}

leaves_last_figures() {
	start seven x && exec 7>seven.in && until_true is_ready seven ||
		return 1
	seven=$(pid_of seven)
	shows wait:total "kill:15:$seven" 'wait:[?1049l' wait:total \
		"wait:has ended" -- --interval=30 "$seven"
	status=$?
	exec 7>&-
	return "$status"
}

# Nothing that another process says commands the terminal.
prints_no_control() {
	start eight "$(printf 'a\033[2Jb')" && exec 7>eight.in &&
		until_true is_ready eight || return 1
	top --once "$(pid_of eight)" >printed
	status=$?
	exec 7>&-
	[ "$status" -eq 0 ] && grep -q '^settings: a?\[2Jb$' printed
}

# garbled BYTE: the description of the counters is not believed.
garbled() {
	start "garbled$1" x && exec 7>"garbled$1.in" &&
		until_true is_ready "garbled$1" || return 1
	tell 7 "garbled$1" "garble $1" || return 1
	top --once "$(pid_of "garbled$1")"
	status=$?
	exec 7>&-
	return "$status"
}

# Root without what makes it root.
drop=
[ "$(id -u)" -ne 0 ] || drop='setpriv --bounding-set=-all --inh-caps=-all'

# shellcheck disable=SC2086 # words
top_unprivileged() {
	(become $drop "$pagemv" top "$@")
}

hidden() {
	start hidden x && exec 7>hidden.in && until_true is_ready hidden ||
		return 1
	tell 7 hidden hide || return 1
	top_unprivileged "$(pid_of hidden)"
	status=$?
	exec 7>&-
	return "$status"
}

of_another() {
	become setpriv --reuid=65534 --clear-groups sleep 30 &
	sleep 0.3
	top_unprivileged "$!"
	status=$?
	kill "$!"
	return "$status"
}

start one threshold=128k,serve=all
exec 5>one.in
start two serve=realloc
exec 6>two.in
until_true is_ready one && until_true is_ready two || exit 99
one=$(pid_of one)
two=$(pid_of two)
tell 6 two 'allocs 1' 'alloc_bytes 5000000000' || exit 99
tell 5 one 'allocs 100' 'allocs 20' 'frees 20' 'alloc_bytes 1234567890' \
	'free_bytes 4567890' 'reallocs 1000' 'in_place 990' 'moves 10' \
	'remaps 2' 'moved_bytes 987654321' 'copied_bytes 12345' \
	'given_back_bytes 4096' 'misuses 1' 'failures 3' || exit 99

passes "figures of a process" tells_figures
passes "figures of a process as a table" prints_figures
passes "a list of all processes" lists
passes "a list as JSON" lists_json
passes "a line for each interval" shows_intervals
passes "a JSON object for each interval" streams_json
passes "a list for each interval" streams_list
if may_unshare 2>/dev/null; then
	passes "that there is none is told once" tells_none_once
else
	skip "that there is none is told once" "no namespaces"
fi
passes "a forked child has figures of its own" follows_fork
passes "so has one that no handler has seen" sees_raw_fork
passes "a child of vfork() is not listed" lists_no_vfork
passes "a process that executes another program is followed" follows_exec
passes "the end of a process is told at once" tells_end
passes "the end of a process is told in JSON" tells_end_in_json
passes "the shim may take its time to come" waits_for_shim

ctrl_c=$(printf '\003')
ctrl_z=$(printf '\032')
passes "q leaves the terminal as it was" \
	shows wait:total keys:xq -- "$one"
passes "Ctrl-C leaves the terminal as it was" \
	ends 130 shows wait:total "keys:$ctrl_c" -- "$one"
passes "so do other signals" ends 143 shows wait:total kill:15 -- "$one"
passes "Ctrl-Z gives the terminal back for as long" \
	shows wait:total "keys:$ctrl_z" stopped same kill:18 wait:1049h \
	wait:total keys:q -- --interval=30 "$one"
passes "a screen that becomes smaller" cuts_lines
passes "the list on a terminal" \
	shows wait:MiB/s wait:paged wait:paged keys:q --
passes "the end of a process leaves its figures on the terminal" \
	leaves_last_figures
passes "what a process says is no command to the terminal" prints_no_control
TERM=dumb
passes "lines on a terminal that knows no more" \
	ends 130 shows wait:total "keys:$ctrl_c" -- "$one"
passes "no control sequences there" sh -c "! grep -q '\[' screen"
TERM=xterm

refuses "a process that is not there" "there is no process" \
	top 4194305
refuses "a process without the shim" "pagemv run PROG" top "$$"
refuses "a page of another version" "another version" garbled 255
refuses "a page of nothing" "another version" garbled 0
if [ "$(id -u)" -eq 0 ] && ! command -v setpriv >/dev/null; then
	skip "a process that may not be looked into" "no setpriv"
else
	refuses "a process that may not be looked into" "be root" hidden
fi
if [ "$(id -u)" -ne 0 ] || ! command -v setpriv >/dev/null; then
	skip "a process of another user" "not root, or no setpriv"
else
	refuses "a process of another user" "another user" of_another
fi
refuses "what is not a process number" "not the number" top 12x
refuses "an interval of nothing" "--interval=0" top --interval=0
refuses "two processes" "one PID" top "$one" "$two"
exec 5>&- 6>&-
finish
