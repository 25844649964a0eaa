# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# The results of tests as lines "LANE <tab> RESULT <tab> TEST": made from logs,
# skips judged, counted. Sourced by ./dev and by the lab. Expects $conditions:
# what tests/conditions.sh says where the tests ran.

# results LANE LOG: "LANE RESULT test" lines from make's output, and to the
# standard error what does not add up. A Criterion program with a failed test
# also exits with 1: that is no second failure.
results() {
	awk -v lane="$1" '
	/^(PASS|FAIL|SKIP|XFAIL|XPASS|ERROR): / {
		result = $1
		sub(/:$/, "", result)
		sub(/^[A-Z]*: /, "")
		n++
		program = $1
		if (result == "FAIL" || result == "XPASS")
			failed[program] = 1
		if (result == "ERROR" && /exited with status 1$/ &&
		    program in failed)
			next
		print lane "\t" result "\t" $0
	}
	/^# TOTAL: / { total = $3 }
	END {
		if (total == "" || total != n + 0)
			print lane "\tERROR\tmake check: " n + 0 \
				" results, summary " \
				(total == "" ? "missing" : total)
	}' "$2"
}

# expected LANE TEST REASON: is this skip in the list, where $conditions hold?
expected() {
	local lane test reason needs condition

	while IFS='|' read -r lane test reason needs; do
		lane=$(trim "$lane") test=$(trim "$test")
		reason=$(trim "$reason")
		case $lane in
		'' | '#'*) continue ;;
		esac
		# shellcheck disable=SC2053 # patterns
		[[ $1 == $lane && $2 == $test && $3 == $reason ]] || continue
		for condition in $needs; do
			[[ " $conditions " == *" $condition "* ]] || continue 2
		done
		return 0
	done <"$(dirname "${BASH_SOURCE[0]}")/expected-skips.txt"
	return 1
}

trim() {
	local s=$1
	s=${s#"${s%%[![:space:]]*}"}
	printf '%s' "${s%"${s##*[![:space:]]}"}"
}

# parts_of_skip WHAT: into $test and $reason. A skipped test is
# "PROGRAM 3 - name # SKIP reason", a skipped program "PROGRAM - reason".
parts_of_skip() {
	if [[ $1 == *'# SKIP'* ]]; then
		test=${1%%# SKIP*} reason=${1#*# SKIP}
	else
		test=${1%% - *} reason=${1#* - }
	fi
	test=$(trim "$test") reason=$(trim "$reason")
}

# unexpected_skips: of the lines on standard input, an error for each skip that
# expected-skips.txt does not know.
unexpected_skips() {
	local lane what test reason

	grep -F $'\tSKIP\t' | while IFS=$'\t' read -r lane _ what; do
		parts_of_skip "$what"
		expected "$lane" "$test" "$reason" ||
			printf '%s\tERROR\tunexpected skip: %s: %s\n' \
				"$lane" "$test" "${reason:-no reason given}"
	done
}

# list_skips: those on standard input; of the lab, which has many, how often
# each reason was given.
list_skips() {
	local lane what test reason

	grep -F $'\tSKIP\t' | while IFS=$'\t' read -r lane _ what; do
		parts_of_skip "$what"
		case $lane in
		vm*) echo "vm: ${reason:-no reason given}" ;;
		*) echo "$lane: $test: ${reason:-no reason given}" ;;
		esac
	done | sort | uniq -c | sed -E 's/^ *1 /  /; s/^ +([0-9]+) (.*)/  \2 (\1 times)/'
}

# verdict FILE: the end of a run, which counts the lines of FILE.
verdict() {
	local passed failed skipped

	passed=$(grep -cE $'\t(PASS|XFAIL)\t' "$1")
	failed=$(grep -cE $'\t(FAIL|XPASS|ERROR)\t' "$1")
	skipped=$(grep -cF $'\tSKIP\t' "$1")
	if [ "$skipped" -gt 0 ]; then
		echo "skipped:"
		list_skips <"$1"
	fi
	if grep -qF $'\tXFAIL\t' "$1"; then
		echo "known to fail:"
		sed -n 's/\tXFAIL\t/: /p' "$1" | sed 's/^/  /'
	fi
	if [ "$failed" -gt 0 ]; then
		echo "failed:"
		sed -nE 's/\t(FAIL|XPASS|ERROR)\t/: /p' "$1" | sed 's/^/  /'
	fi
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ]
}
