# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The allocator shim. Not with sanitizers, which have a malloc() of their own,
# nor without shared libraries.

if PRELOAD
lib_LTLIBRARIES += %D%/libpagemv-malloc.la
endif
%C%_libpagemv_malloc_la_SOURCES = \
	%D%/boot.c \
	%D%/boot.h \
	%D%/conf.c \
	%D%/conf.h \
	%D%/exit_stats.c \
	%D%/exit_stats.h \
	%D%/family.c \
	%D%/family.h \
	%D%/nearest.c \
	%D%/nearest.h \
	%D%/next.c \
	%D%/next.h \
	%D%/own_heap.c \
	%D%/own_heap.h \
	%D%/say.c \
	%D%/serve.c \
	%D%/serve.h \
	%D%/shim.h \
	%D%/start.c \
	%D%/stats_page.c \
	%D%/stats_page.h
# -fno-builtin: a malloc() and a memset() in calloc() are not to be made a
# calloc(). -fno-plt: a call of another library is a jump, not two.
%C%_libpagemv_malloc_la_CFLAGS = $(AM_CFLAGS) -fno-builtin -fno-plt
%C%_libpagemv_malloc_la_LIBADD = lib/libpagemv.la
# nodelete: its functions are called to the end. interpose: where a program is
# linked with it, it comes before the program's other allocators.
%C%_libpagemv_malloc_la_LDFLAGS = $(AM_LDFLAGS) -avoid-version \
	-shared -no-undefined -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete \
	-Wl,-z,interpose
