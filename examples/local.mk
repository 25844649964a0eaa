# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Built as a caller would build them: with the public headers and the shared
# library. tests/gates/install.sh builds them once more, from an installation.

pmv_examples = \
	%D%/compact-gc/compact-gc \
	%D%/dirty-pages \
	%D%/hello-move \
	%D%/lazy-file

check_PROGRAMS += $(pmv_examples)
# The collector, which the benchmark runs as well.
pmv_compact_gc = \
	%D%/compact-gc/compact.c \
	%D%/compact-gc/gc.c \
	%D%/compact-gc/gc.h \
	%D%/compact-gc/internal.h \
	%D%/compact-gc/large.c \
	%D%/compact-gc/mark.c \
	%D%/compact-gc/small.c \
	%D%/compact-gc/stop.c
%C%_compact_gc_compact_gc_SOURCES = %D%/compact-gc/main.c $(pmv_compact_gc)
%C%_compact_gc_compact_gc_CPPFLAGS = -include config.h \
	-I$(top_srcdir)/include -iquote $(top_srcdir)/%D%/compact-gc
%C%_compact_gc_compact_gc_LDADD = lib/libpagemv.la
%C%_dirty_pages_SOURCES = %D%/dirty-pages.c
%C%_dirty_pages_CPPFLAGS = -I$(top_srcdir)/include
%C%_dirty_pages_LDADD = lib/libpagemv.la
%C%_hello_move_SOURCES = %D%/hello-move.c
%C%_hello_move_CPPFLAGS = -I$(top_srcdir)/include
%C%_hello_move_LDADD = lib/libpagemv.la
%C%_lazy_file_SOURCES = %D%/lazy-file.c
%C%_lazy_file_CPPFLAGS = -I$(top_srcdir)/include
%C%_lazy_file_LDADD = lib/libpagemv.la

# Not among those that the gates run: it takes scripts, see tests/lua-heap.sh.
if HAVE_LUA
check_PROGRAMS += %D%/lua-heap/lua-heap
endif
%C%_lua_heap_lua_heap_SOURCES = %D%/lua-heap/lua-heap.c
%C%_lua_heap_lua_heap_CPPFLAGS = -I$(top_srcdir)/include
%C%_lua_heap_lua_heap_CFLAGS = $(AM_CFLAGS) $(LUA_CFLAGS)
%C%_lua_heap_lua_heap_LDADD = lib/libpagemv.la $(LUA_LIBS)
