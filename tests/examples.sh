#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Runs each example that was built here (PMV_EXAMPLES); its exit status is the
# result.

set -u

: "${top_builddir:?}"
n=0
for example in ${PMV_EXAMPLES:?}; do
	n=$((n + 1))
	if "$top_builddir/$example" >&2; then
		echo "ok $n - $example"
	else
		echo "not ok $n - $example: status $?"
	fi
done
echo "1..$n"
