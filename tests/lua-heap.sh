#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# examples/lua-heap runs Lua programs as Lua's own interpreter does.

# shellcheck disable=SC2317 # called through passes
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

command -v lua5.4 >/dev/null || skip_all "lua5.4 is not installed"
# shellcheck disable=SC2154 # from the Makefile
ours=$top_builddir/examples/lua-heap/lua-heap

# same SCRIPT [ARG...]: the same output and the same kind of end.
same() {
	lua5.4 "$@" >"$gate_tmp/stock" 2>/dev/null
	stock=$?
	"$ours" "$@" >"$gate_tmp/ours" 2>"$gate_tmp/errors"
	[ $? -eq "$stock" ] || {
		echo "lua5.4 ended with $stock"
		cat "$gate_tmp/errors"
		return 1
	}
	cmp "$gate_tmp/stock" "$gate_tmp/ours"
}

# moves SCRIPT [ARG...]: blocks grow, and hardly a byte of them is copied.
moves() {
	"$ours" --stats "$@" >/dev/null 2>"$gate_tmp/stats" || return 1
	cat "$gate_tmp/stats"
	grep -qE '[1-9][0-9]* grew or shrank' "$gate_tmp/stats"
}

for script in queens words matrix fails; do
	passes "$script.lua" same "$top_srcdir/tests/lua/$script.lua"
done
passes "a growing table" same "$top_srcdir/tests/preload/grow.lua" 400000
passes "arguments" same "$top_srcdir/tests/lua/queens.lua" 5
passes "a script that is not there" same "$gate_tmp/none.lua"
passes "blocks grow on the heap" moves "$top_srcdir/tests/lua/words.lua"
passes "its demonstration" "$ours"
echo 'print("planted")' >"$gate_tmp/planted.lua"
"$ours" "$gate_tmp/planted.lua" >"$gate_tmp/other"
refuses "another output" stock cmp "$gate_tmp/other" "$gate_tmp/stock"
finish
