#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# git packs a repository that is made here, clones it by its own protocol, and
# looks whether every object is whole.

# shellcheck disable=SC2317 # called through in_each_mode
# shellcheck source=tests/preload/programs.sh
. "${top_srcdir:?}/tests/preload/programs.sh"
need git git
# Its processes are many, and each makes few.
refuse=${PMV_REFUSE:-3}

commits=$(larger 6 60)

HOME=$gate_tmp GIT_CONFIG_NOSYSTEM=1
GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test@example.org
GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test@example.org
export HOME GIT_CONFIG_NOSYSTEM GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL \
	GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL

# files N: those of commit N; a large one that changes a little each time.
files() {
	awk -v n="$1" 'BEGIN {
		for (i = 0; i < 60000; i++)
			print i, (i % 1000 == n) ? "changed " n : i * i % 7919
	}' >made/large
	for d in 1 2 3 4 5 6 7 8; do
		mkdir -p "made/d$d"
		head -n $((d * $1 * 100)) made/large >"made/d$d/part"
		echo "$d $1" >"made/d$d/small$1"
	done
}

work() {
	with git init -q -b main made
	i=1
	while [ "$i" -le "$commits" ]; do
		files "$i"
		with git -C made add .
		date="@$((1000000000 + i)) +0000"
		with env "GIT_AUTHOR_DATE=$date" "GIT_COMMITTER_DATE=$date" \
			git -C made commit -q -m "Commit $i"
		i=$((i + 1))
	done
	with git -C made repack -q -a -d -f --threads=2
	with git clone -q --no-local made cloned
	with git -C cloned fsck --full --strict >>same
	with git -C cloned log --stat >>same
	with git -C cloned diff HEAD~4 HEAD >changes
	cksum cloned/large changes >>same
	with git -C cloned bundle create -q ../bundle HEAD
	git -C cloned rev-list --objects --all | sort >>same
}

in_each_mode work
