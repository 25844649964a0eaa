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
	%D%/elf_file.c \
	%D%/elf_file.h \
	%D%/hazards.c \
	%D%/hazards.h \
	%D%/host.c \
	%D%/host.h \
	%D%/main.c \
	%D%/run.c \
	%D%/run.h \
	%D%/run_find.c \
	%D%/run_program.c \
	%D%/run_settings.c \
	%D%/tool.h \
	%D%/top.c \
	%D%/top.h \
	%D%/top_figures.c \
	%D%/top_json.c \
	%D%/top_list.c \
	%D%/top_page.c \
	%D%/top_proc.c \
	%D%/top_screen.c \
	%D%/top_table.c \
	%D%/top_watch.h \
	%D%/top_watch_all.c \
	%D%/top_watch_process.c \
	preload/stats_page.h
%C%_pagemv_CPPFLAGS = $(AM_CPPFLAGS) \
	-DTOOLS_BINDIR='"$(bindir)"' -DTOOLS_LIBDIR='"$(libdir)"' \
	-iquote $(top_srcdir)/%D% -iquote $(top_srcdir)/bench \
	-iquote $(top_srcdir)/preload \
	-I$(top_srcdir)/examples/compact-gc
%C%_pagemv_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
%C%_pagemv_LDADD = lib/libpagemv.la $(JANSSON_LIBS) -lm
