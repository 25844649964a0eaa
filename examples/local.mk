# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Built as a caller would build them: with the public headers and the shared
# library. tests/gates/install.sh builds them once more, from an installation.

pmv_examples = \
	%D%/dirty-pages \
	%D%/hello-move \
	%D%/lazy-file

check_PROGRAMS += $(pmv_examples)
%C%_dirty_pages_SOURCES = %D%/dirty-pages.c
%C%_dirty_pages_CPPFLAGS = -I$(top_srcdir)/include
%C%_dirty_pages_LDADD = lib/libpagemv.la
%C%_hello_move_SOURCES = %D%/hello-move.c
%C%_hello_move_CPPFLAGS = -I$(top_srcdir)/include
%C%_hello_move_LDADD = lib/libpagemv.la
%C%_lazy_file_SOURCES = %D%/lazy-file.c
%C%_lazy_file_CPPFLAGS = -I$(top_srcdir)/include
%C%_lazy_file_LDADD = lib/libpagemv.la
