# SPDX-License-Identifier: LGPL-2.1-or-later

bin_PROGRAMS += %D%/pagemv
%C%_pagemv_SOURCES = \
	%D%/advice.c \
	%D%/advice.h \
	%D%/cmd_bench.c \
	%D%/demo.c \
	%D%/demo.h \
	%D%/demo_heap.c \
	%D%/doctor.c \
	%D%/doctor.h \
	%D%/doctor_json.c \
	%D%/doctor_text.c \
	%D%/hazards.c \
	%D%/hazards.h \
	%D%/host.c \
	%D%/host.h \
	%D%/main.c \
	%D%/tool.h
%C%_pagemv_CPPFLAGS = $(AM_CPPFLAGS) \
	-iquote $(top_srcdir)/%D% -iquote $(top_srcdir)/bench \
	-I$(top_srcdir)/examples/compact-gc
%C%_pagemv_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
%C%_pagemv_LDADD = lib/libpagemv.la $(JANSSON_LIBS) -lm
