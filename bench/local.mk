# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The measurements behind "pagemv bench": part of the tool.

tools_pagemv_SOURCES += \
	%D%/about.c \
	%D%/about.h \
	%D%/allocator.c \
	%D%/allocator.h \
	%D%/args.c \
	%D%/args.h \
	%D%/bench.c \
	%D%/bench.h \
	%D%/bench_companion.c \
	%D%/bench_fault.c \
	%D%/bench_gc.c \
	%D%/bench_malloc.c \
	%D%/bench_move.c \
	%D%/bench_realloc.c \
	%D%/child.c \
	%D%/child.h \
	%D%/companion_case.c \
	%D%/companion_case.h \
	%D%/companion_json.c \
	%D%/companion_plot.c \
	%D%/companion_results.c \
	%D%/companion_results.h \
	%D%/companion_table.c \
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
	%D%/malloc_json.c \
	%D%/malloc_pattern.c \
	%D%/malloc_pattern.h \
	%D%/malloc_plot.c \
	%D%/malloc_program.c \
	%D%/malloc_program.h \
	%D%/malloc_results.c \
	%D%/malloc_results.h \
	%D%/malloc_table.c \
	%D%/malloc_threshold.c \
	%D%/malloc_threshold.h \
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
	%D%/program.c \
	%D%/program.h \
	%D%/progress.c \
	%D%/progress.h \
	%D%/rawuffd.c \
	%D%/rawuffd.h \
	%D%/realloc_bars.c \
	%D%/realloc_heap.c \
	%D%/realloc_json.c \
	%D%/realloc_pattern.c \
	%D%/realloc_pattern.h \
	%D%/realloc_plot.c \
	%D%/realloc_results.c \
	%D%/realloc_results.h \
	%D%/realloc_table.c \
	%D%/samples.c \
	%D%/samples.h \
	%D%/shootdowns.c \
	%D%/shootdowns.h \
	%D%/text.c \
	%D%/text.h \
	%D%/thread.c \
	%D%/thread.h \
	%D%/work.c \
	%D%/work.h
tools_pagemv_CPPFLAGS += -DBENCH_LIBEXECDIR='"$(pkglibexecdir)"'

# What they run under other allocators. It links the C library alone, and no
# sanitizer, so that nothing else is in the way of an allocator.
pkglibexec_PROGRAMS = %D%/pagemv-workload
%C%_pagemv_workload_SOURCES = \
	%D%/malloc_pattern.c \
	%D%/malloc_pattern.h \
	%D%/realloc_pattern.c \
	%D%/realloc_pattern.h \
	%D%/workload/block.c \
	%D%/workload/block.h \
	%D%/workload/churn.c \
	%D%/workload/grow.c \
	%D%/workload/main.c \
	%D%/workload/parcel.h \
	%D%/workload/self.c \
	%D%/workload/self.h \
	%D%/workload/workload.h
%C%_pagemv_workload_CPPFLAGS = $(AM_CPPFLAGS) \
	-iquote $(top_srcdir)/%D% -iquote $(top_srcdir)/%D%/workload
%C%_pagemv_workload_CFLAGS = -std=gnu11 -fvisibility=hidden -pthread \
	$(WARN_CFLAGS) $(WERROR_CFLAGS)
%C%_pagemv_workload_LDFLAGS = -pthread
%C%_pagemv_workload_LDADD =

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
