#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the companion costs beside UFFDIO_MOVE, in a guest whose clock counts
# instructions: a nanosecond is one. The figures are in the guest's tap.

json=/tmp/companion.json

if ./pagemv bench companion --json >"$json" 2>/tmp/companion.err; then
	echo "ok 1 - pagemv bench companion"
else
	echo "not ok 1 - pagemv bench companion"
	sed 's/^/# /' /tmp/companion.err
fi
sed 's/^/# json: /' "$json"
echo "1..1"
