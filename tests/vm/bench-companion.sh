#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# bench-companion.sh BAR: what the companion costs beside UFFDIO_MOVE, in a
# guest, and whether it keeps the bar of that name. Instructions are counted
# where the clock is made of them (the machine icount); interrupts of another
# processor where two really run. The figures are in the guest's tap.

bar=${1:?}
json=/tmp/companion.json

fields() { # NAME: "value limit ok" of that bar
	awk -v name="$1" '
		/"name":/ { at = index($0, "\"" name "\"") > 0 }
		at && /"(value|limit|ok)":/ {
			key = $1; gsub(/[":,]/, "", key)
			value = $2; gsub(/,/, "", value)
			found[key] = value
		}
		END { print found["value"], found["limit"], found["ok"] }' \
		"$json"
}

./pagemv bench companion --json >"$json" 2>/tmp/companion.err
status=$?
sed 's/^/# json: /' "$json"
sed 's/^/# /' /tmp/companion.err
# A bar that is not kept is told by the status as well.
if [ -s "$json" ] && [ "$status" -le 1 ]; then
	echo "ok 1 - pagemv bench companion"
else
	echo "not ok 1 - pagemv bench companion: status $status"
fi
# shellcheck disable=SC2046 # words
set -- $(fields "$bar")
case ${3-} in
true) echo "ok 2 - $bar: $1, at most $2" ;;
false) echo "not ok 2 - $bar: $1, at most $2" ;;
*) echo "ok 2 - $bar # SKIP this kernel has no UFFDIO_MOVE to compare with" ;;
esac
[ "${3-}" != true ] || echo "# seen: $bar, at most ${2-}: ${1-}"
echo "1..2"
