#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Each public header compiles alone, as C11 and as C++11, without a warning,
# and needs nothing but the public headers.

# shellcheck disable=SC2317 # called through passes and refuses
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

# headers DIRECTORY: the names as a caller writes them.
headers() {
	(cd "$1" && for header in pagemv/*.h; do
		[ ! -e "$header" ] || echo "$header"
	done)
}

# compile DIRECTORY HEADER EXTENSION COMPILER...
compile() {
	dir=$1
	header=$2
	unit=$gate_tmp/unit.$3
	shift 3
	printf '#include <%s>\n#include <%s>\nextern int pagemv_unit;\n' \
		"$header" "$header" >"$unit"
	"$@" -I"$dir" -Wall -Wextra -Werror -pedantic -fsyntax-only "$unit" || {
		echo "$header"
		return 1
	}
}

# check DIRECTORY EXTENSION COMPILER...
check() {
	dir=$1
	extension=$2
	shift 2
	list=$(headers "$dir")
	[ -n "$list" ] || {
		echo "no headers in $dir"
		return 1
	}
	status=0
	for header in $list; do
		compile "$dir" "$header" "$extension" "$@" || status=1
	done
	return "$status"
}

# listed FILE: the headers on disk are those that are installed.
listed() {
	grep -oE 'pagemv/[a-z0-9_]+\.h' "$1" | LC_ALL=C sort >"$gate_tmp/listed"
	headers "$top_srcdir/include" | LC_ALL=C sort >"$gate_tmp/present"
	diff "$gate_tmp/listed" "$gate_tmp/present"
}

planted=$gate_tmp/planted
mkdir -p "$planted/pagemv" "$gate_tmp/empty/pagemv"
echo 'size_t pagemv_planted(void);' >"$planted/pagemv/planted.h"
echo 'struct pagemv_x { int class; };' >"$planted/pagemv/c_only.h"

# CC and CXX may carry options.
# shellcheck disable=SC2086
{
	passes "headers as C11" check "$top_srcdir/include" c ${CC:-cc} -std=c11
	refuses "an empty directory" "no headers" \
		check "$gate_tmp/empty" c ${CC:-cc} -std=c11
	refuses "a header that is not self-contained" planted.h \
		check "$planted" c ${CC:-cc} -std=c11
	if [ -n "${CXX:-}" ] && command -v ${CXX%% *} >/dev/null; then
		passes "headers as C++11" \
			check "$top_srcdir/include" cc $CXX -std=c++11
		refuses "a header that is only C" c_only.h \
			check "$planted" cc $CXX -std=c++11
	else
		skip "headers as C++11" "no C++ compiler"
	fi
}
passes "headers on disk are those installed" \
	listed "$top_srcdir/include/local.mk"
refuses "an empty list of headers" pagemv.h listed /dev/null
finish
