# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The measurements behind "pagemv bench": part of the tool.

tools_pagemv_SOURCES += \
	%D%/bench.c \
	%D%/bench.h \
	%D%/bench_move.c \
	%D%/interrupt.c \
	%D%/interrupt.h \
	%D%/kernel_abi.h \
	%D%/methods.c \
	%D%/methods.h \
	%D%/move_bars.c \
	%D%/move_json.c \
	%D%/move_plot.c \
	%D%/move_results.c \
	%D%/move_results.h \
	%D%/move_row.c \
	%D%/move_row.h \
	%D%/move_table.c \
	%D%/move_worker.c \
	%D%/move_worker.h \
	%D%/neighbour.c \
	%D%/neighbour.h \
	%D%/pair.c \
	%D%/pair.h \
	%D%/plot.c \
	%D%/plot.h \
	%D%/progress.c \
	%D%/progress.h \
	%D%/rawuffd.c \
	%D%/rawuffd.h \
	%D%/samples.c \
	%D%/samples.h
