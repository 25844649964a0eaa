# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Guests in which only those programs run that failed the last time, and whose
# results go to where the old ones were. Sourced by lab.sh.

# is_green KERNEL SCENARIO: did nothing fail the last time?
is_green() {
	local failed=1

	IFS='|' read -r _ _ _ failed _ 2>/dev/null \
		<"$results/$1/$2/verdict" || return 1
	[ "$failed" -eq 0 ]
}

# failed_in LANE TAP: the programs that failed in it, or skipped what they should
# not.
failed_in() {
	judged_lines_of "$1" "$2" | grep -E $'\t(FAIL|ERROR)\t' | cut -f3- |
		sed 's/^unexpected skip: //' | cut -d' ' -f1 | sort -u
}

# only_failed DIR BEFORE PROGRAMS: which of them are to run; then $BEFORE is what
# was said the last time. All, where the kernel said something bad, or the guest
# did not come to its end: what follows a program is not to be known then. None,
# where what was wrong is expected now.
only_failed() {
	local failed word

	failed=$(failed_in "vm again ${1##*/}" "$1/tap" 2>/dev/null)
	if ! grep -q '^=== done' "$1/tap" 2>/dev/null ||
		[ -n "$(log_of "$1")" ] ||
		grep -qvE '^(tests/.*)?$' <<<"$failed"; then
		echo "$3"
		return
	fi
	cp "$1/tap" "$2"
	# shellcheck disable=SC2086 # words
	for word in $(programs_of $3); do
		[[ $word != *=* ]] && ! grep -qxF "tests/${word%%:*}" \
			<<<"$failed" || echo "$word"
	done
}

# put_in TAP BEFORE: what the programs of TAP said, into what was said before.
put_in() {
	awk '
	FNR == NR {
		if (/^=== begin /)
			program = $3
		if (program != "")
			said[program] = said[program] $0 "\n"
		if (/^=== end /)
			program = ""
		next
	}
	/^=== begin / && $3 in said {
		printf "%s", said[$3]
		said[$3] = "" # of all its arguments
		old = 1
	}
	!old
	/^=== end / { old = 0 }
	' <(tr -d '\r' <"$1") <(tr -d '\r' <"$2") >"$1.whole" &&
		mv "$1.whole" "$1"
}
