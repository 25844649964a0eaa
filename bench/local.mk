# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The measurements behind "pagemv bench": part of the tool.

tools_pagemv_SOURCES += \
	%D%/about.c \
	%D%/about.h \
	%D%/args.c \
	%D%/args.h \
	%D%/bench.c \
	%D%/bench.h \
	%D%/bench_fault.c \
	%D%/bench_gc.c \
	%D%/bench_move.c \
	%D%/child.c \
	%D%/child.h \
	%D%/fault_area.c \
	%D%/fault_area.h \
	%D%/fault_case.c \
	%D%/fault_case.h \
	%D%/fault_json.c \
	%D%/fault_kind.c \
	%D%/fault_kind.h \
	%D%/fault_library.c \
	%D%/fault_part.c \
	%D%/fault_part.h \
	%D%/fault_plain.c \
	%D%/fault_plot.c \
	%D%/fault_raw.c \
	%D%/fault_results.c \
	%D%/fault_results.h \
	%D%/fault_table.c \
	%D%/fault_turn.c \
	%D%/fault_turn.h \
	%D%/gc_case.c \
	%D%/gc_case.h \
	%D%/gc_json.c \
	%D%/gc_kind.c \
	%D%/gc_kind.h \
	%D%/gc_mutator.c \
	%D%/gc_mutator.h \
	%D%/gc_plot.c \
	%D%/gc_results.c \
	%D%/gc_results.h \
	%D%/gc_table.c \
	%D%/gc_work.c \
	%D%/gc_work.h \
	%D%/interrupt.c \
	%D%/interrupt.h \
	%D%/json.c \
	%D%/json.h \
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
	%D%/output.c \
	%D%/output.h \
	%D%/pair.c \
	%D%/pair.h \
	%D%/plot.c \
	%D%/plot.h \
	%D%/progress.c \
	%D%/progress.h \
	%D%/rawuffd.c \
	%D%/rawuffd.h \
	%D%/samples.c \
	%D%/samples.h \
	%D%/text.c \
	%D%/text.h \
	%D%/thread.c \
	%D%/thread.h

# The collector of the examples.
tools_pagemv_SOURCES += \
	examples/compact-gc/compact.c \
	examples/compact-gc/gc.c \
	examples/compact-gc/gc.h \
	examples/compact-gc/internal.h \
	examples/compact-gc/large.c \
	examples/compact-gc/mark.c \
	examples/compact-gc/small.c \
	examples/compact-gc/stop.c
