# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Built as a caller would build them: with the public headers and the shared
# library. tests/gates/install.sh builds them once more, from an installation.

pmv_examples = \
	%D%/hello-move

check_PROGRAMS += $(pmv_examples)
%C%_hello_move_SOURCES = %D%/hello-move.c
%C%_hello_move_CPPFLAGS = -I$(top_srcdir)/include
%C%_hello_move_LDADD = lib/libpagemv.la
