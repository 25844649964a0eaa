#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# stress-ng allocates, grows and frees at random, in threads, and looks whether
# memory holds what was stored to it.

# shellcheck disable=SC2317 # called through in_each_mode
# shellcheck source=tests/preload/programs.sh
. "${top_srcdir:?}/tests/preload/programs.sh"
need stress-ng stress-ng
silent=1

seconds=$(larger 1 20)

# stress ARGUMENT...: the time that it took is not the same each time.
stress() {
	with stress-ng --verify --oomable --temp-path . "$@" >told 2>&1 || {
		cat told
		return 1
	}
	sed -n 's/^stress-ng: [a-z]*: *\[[0-9]*\] //p' told |
		sed 's/ completed in .*/ completed/' >>same
}

work() {
	stress --malloc 2 --malloc-bytes 4m --malloc-pthreads 2 --bigheap 1 \
		--bigheap-growth 64k --bigheap-ops "$(larger 2000 20000)" \
		--vm 1 --vm-bytes 16m --timeout "$seconds"
	stress --malloc 1 --malloc-bytes 1m --malloc-max 256 --malloc-touch \
		--bigheap 1 --bigheap-growth 1m \
		--bigheap-ops "$(larger 300 3000)" --timeout "$seconds"
}

in_each_mode work
