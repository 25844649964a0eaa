#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# gcc compiles a large source: the same object each time.

# shellcheck disable=SC2317 # called through in_each_mode
# shellcheck source=tests/preload/programs.sh
. "${top_srcdir:?}/tests/preload/programs.sh"
need gcc gcc

functions=$(larger 60 10000)

source_of() {
	awk -v n="$functions" 'BEGIN {
		print "#include <stdio.h>"
		print "#include <string.h>"
		for (i = 0; i < n; i++) {
			print "static int table" i "[] = {"
			for (k = 0; k < 200; k++)
				printf "%d,%s", (i * 7919 + k * k) % 9973, \
					k % 12 == 11 ? "\n" : " "
			print "};"
			print "int f" i "(int x, char *s)\n{"
			print "\tfor (int i = 0; i < 200; i++)"
			print "\t\tx = x * " i + 3 " + table" i "[(x ^ i) % 199U];"
			print "\tswitch (x & 7) {"
			for (k = 0; k < 7; k++)
				print "\tcase " k ": return x / " k + i + 1 \
					" + (int)strlen(s + " k ");"
			print "\tdefault: return snprintf(s, 99, \"%d " i "\", x);"
			print "\t}\n}"
		}
	}'
}

work() {
	source_of >large.c
	with gcc -O1 -g "-ffile-prefix-map=$dir=." -c large.c -o large.o
	cksum large.o >same
}

in_each_mode work
