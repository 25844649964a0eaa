# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# doc/kernels.md from the results of all guests. Sourced by lab.sh, which sets
# $results, $top, $here, $cache and has rows() and wants().

# column KERNEL: a word of the table's head.
column() {
	local version='' suite=''

	IFS='|' read -r version _ _ _ _ _ _ suite < <(
		cat "$results/$1"/*/verdict 2>/dev/null | head -n 1)
	# Of one version there are several of our own.
	[ "$suite" != local ] || version+=-${1#own-}
	echo "${version:-$1}"
}

# used KERNEL SCENARIO: by which mechanisms pages went, as the storms said.
used() {
	sed -nE 's/^# used: //p' "$results/$1/$2/tap" | tr -d '\r' |
		sed 's/, /\n/g' | sort -u | paste -sd, - | sed 's/,/, /g'
}

# planned KERNEL SCENARIO: is it a part of the whole matrix?
planned() {
	local only=() lane=all # for wants()

	wants "$1" "$2" "$(rows "$here/scenarios.txt" |
		awk -F'|' -v name="$2" '$1 == name { print $7 }')"
}

# cell KERNEL SCENARIO: empty where none is planned.
cell() {
	local verdict=$results/$1/$2/verdict passed failed skipped day how

	if [ ! -e "$verdict" ]; then
		! planned "$1" "$2" || echo "-"
		return
	fi
	IFS='|' read -r _ _ passed failed skipped _ day _ <"$verdict"
	if [ "$failed" -gt 0 ]; then
		echo "**FAILED** ($failed of $((passed + failed)))"
	elif [ "$passed" -eq 0 ]; then
		echo "not there"
	else
		how=$(used "$1" "$2")
		echo "ok, $passed${how:+: $how}"
	fi
}

# seen KERNEL SCENARIO: "topic<TAB>text" lines.
seen() {
	sed -nE 's/^# seen: ([^:]+): (.*)/\1\t\2/p' "$results/$1/$2/tap" \
		2>/dev/null | tr -d '\r'
}

kernels_there() {
	local name

	while IFS='|' read -r name _; do
		! compgen -G "$results/$name/*/verdict" >/dev/null ||
			echo "$(column "$name") $name"
	done < <(rows "$here/kernels.txt") | sort -V | cut -d' ' -f2
}

# scenarios_there: but for parts of others, which are in the quick lane alone.
scenarios_there() {
	rows "$here/scenarios.txt" | awk -F'|' '$7 != "quick" { print $1 }'
}

# table KERNEL...: scenarios down, kernels across.
table() {
	local kernel scenario line="| |" rule="|---|"

	for kernel; do
		line+=" $(column "$kernel") |"
		rule+="---|"
	done
	echo "$line"
	echo "$rule"
	while read -r scenario; do
		line="| $scenario |"
		for kernel; do
			line+=" $(cell "$kernel" "$scenario") |"
		done
		echo "$line"
	done
}

# facts SCENARIO KERNEL...: a table of what was seen, a topic a line.
facts() {
	local scenario=$1 kernel topic line rule="|---|" head="| seen |"
	shift

	for kernel; do
		head+=" $(column "$kernel") |"
		rule+="---|"
	done
	printf '\n### %s\n\n%s\n\n%s\n%s\n' "$scenario" \
		"$(title "$scenario")" "$head" "$rule"
	while read -r topic; do
		line="| $topic |"
		for kernel; do
			line+=" $(seen "$kernel" "$scenario" |
				awk -F'\t' -v topic="$topic" '
				$1 == topic { print $2 }' | paste -sd';' - |
				sed 's/;/; /g; s/|/\\|/g') |"
		done
		echo "$line"
	done < <(for kernel; do seen "$kernel" "$scenario"; done |
		cut -f1 | awk '!seen[$0]++')
}

# title SCENARIO: the sentence that scenarios.txt has for it.
title() {
	sed -nE "s/^#: $1: (.*)/\1/p" "$here/scenarios.txt"
}

write_matrix() {
	local out=$top/doc/kernels.md kernels scenario kernel

	mapfile -t kernels < <(kernels_there)
	if [ "${#kernels[@]}" -eq 0 ]; then
		say "no results in $results: nothing to write"
		return 1
	fi
	{
		cat "$here/kernels.head"
		echo
		echo "## Kernels"
		echo
		echo "| kernel | from | MOVE | quirks in force | seen on |"
		echo "|---|---|---|---|---|"
		for kernel in "${kernels[@]}"; do
			kernel_row "$kernel"
		done
		printf '\n## Scenarios\n\n'
		scenarios_there | table "${kernels[@]}"
		printf '\n## What was seen\n'
		while read -r scenario; do
			[ -z "$(for kernel in "${kernels[@]}"; do
				seen "$kernel" "$scenario"
			done)" ] || facts "$scenario" "${kernels[@]}"
		done < <(scenarios_there)
	} >"$out.new" && mv "$out.new" "$out"
	say "wrote doc/kernels.md"
}

# root_scenarios: those in which the library may all that root may.
root_scenarios() {
	rows "$here/scenarios.txt" | awk -F'|' '$2 == "root" { print $1 }'
}

# kernel_row KERNEL: what pagemv doctor said to root in its guests.
kernel_row() {
	local kernel=$1 tap='' doctor scenario

	while read -r scenario; do
		[ -z "$tap" ] || break
		tap=$(grep -lE '^=== doctor' "$results/$kernel/$scenario/tap" \
			2>/dev/null)
	done < <(root_scenarios)
	doctor=$(sed -n 's/^=== doctor //p' "${tap:-/dev/null}" | tr -d '\r')
	printf '| %s | %s | %s | %s | %s |\n' \
		"$(sed -n 's/^=== release //p' "${tap:-/dev/null}" |
			tr -d '\r')" \
		"$(cat "$results/$kernel"/*/verdict | head -n 1 |
			cut -d'|' -f8 | sed 's,^local$,./dev kernel,')" \
		"$(awk '/"name": "move"/ { at = 1 }
			at && /"available":/ {
				print /true/ ? "yes" : "no"
				exit
			}' <<<"$doctor")" \
		"$(awk '/"quirks": \[$/ { on = 1 } /^ \]/ { on = 0 }
			on && /"name":/ { gsub(/[",]/, ""); print $2 }' \
			<<<"$doctor" | paste -sd, - | sed 's/,/, /g')" \
		"$(cat "$results/$kernel"/*/verdict | cut -d'|' -f7 |
			sort | tail -n 1)"
}
