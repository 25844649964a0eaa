# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A test program tests/KIND/test_NAME has one source, tests/KIND/test_NAME.c;
# one that needs more names them in its own _SOURCES.
#
#   unit    Criterion, mirrors lib/; needs nothing of the kernel
#   live    Criterion, on the running kernel
#   fuzz    the same, on sequences of calls
#   tools   shell; pagemv(1)
#   stress  prints TAP itself, as ThreadSanitizer and Criterion do not go
#           together; also the tests of the build with ThreadSanitizer
#   gates   shell; what no compiler checks
#   preload shell and C; the shim, under real programs and alone: preload/local.mk

AM_DEFAULT_SOURCE_EXT = .c

pmv_unit_tests = \
	%D%/unit/test_answer \
	%D%/unit/test_arena \
	%D%/unit/test_batch \
	%D%/unit/test_blank \
	%D%/unit/test_calibrate \
	%D%/unit/test_channel \
	%D%/unit/test_choose \
	%D%/unit/test_companion \
	%D%/unit/test_diagnose \
	%D%/unit/test_engine \
	%D%/unit/test_evac \
	%D%/unit/test_event \
	%D%/unit/test_exchange \
	%D%/unit/test_extents \
	%D%/unit/test_fault \
	%D%/unit/test_fault_thread \
	%D%/unit/test_heap \
	%D%/unit/test_heap_alloc \
	%D%/unit/test_heap_decay \
	%D%/unit/test_heap_fit \
	%D%/unit/test_heap_fork \
	%D%/unit/test_heap_grow \
	%D%/unit/test_heap_huge \
	%D%/unit/test_heap_magazine \
	%D%/unit/test_heap_move \
	%D%/unit/test_heap_realloc \
	%D%/unit/test_heap_slot \
	%D%/unit/test_job \
	%D%/unit/test_kernel \
	%D%/unit/test_log \
	%D%/unit/test_mapping \
	%D%/unit/test_move \
	%D%/unit/test_mover_companion \
	%D%/unit/test_mover_copy \
	%D%/unit/test_mover_move \
	%D%/unit/test_mover_remap \
	%D%/unit/test_numa \
	%D%/unit/test_open \
	%D%/unit/test_page_state \
	%D%/unit/test_pages \
	%D%/unit/test_placement \
	%D%/unit/test_policy \
	%D%/unit/test_quirks \
	%D%/unit/test_region \
	%D%/unit/test_relocate \
	%D%/unit/test_slide \
	%D%/unit/test_staging \
	%D%/unit/test_stats \
	%D%/unit/test_strings \
	%D%/unit/test_sys \
	%D%/unit/test_track \
	%D%/unit/test_uffd

pmv_live_tests = \
	%D%/live/test_below \
	%D%/live/test_busy \
	%D%/live/test_callback \
	%D%/live/test_disturbed \
	%D%/live/test_evac \
	%D%/live/test_evac_wrong \
	%D%/live/test_events \
	%D%/live/test_exchange \
	%D%/live/test_fault \
	%D%/live/test_fork \
	%D%/live/test_handlers \
	%D%/live/test_heap_adopt \
	%D%/live/test_heap_confined \
	%D%/live/test_heap_fork \
	%D%/live/test_heap_give \
	%D%/live/test_heap_grow \
	%D%/live/test_heap_memory \
	%D%/live/test_heap_misuse \
	%D%/live/test_heap_reuse \
	%D%/live/test_heap_signal \
	%D%/live/test_huge \
	%D%/live/test_inherit \
	%D%/live/test_lifecycle \
	%D%/live/test_lost_stores \
	%D%/live/test_move \
	%D%/live/test_movev \
	%D%/live/test_open \
	%D%/live/test_options \
	%D%/live/test_overlap \
	%D%/live/test_property \
	%D%/live/test_quiet \
	%D%/live/test_refusals \
	%D%/live/test_registry \
	%D%/live/test_relocate \
	%D%/live/test_review \
	%D%/live/test_sigbus \
	%D%/live/test_steady \
	%D%/live/test_track \
	%D%/live/test_track_moves

pmv_stress_tests = \
	%D%/stress/storm_evac \
	%D%/stress/storm_fault \
	%D%/stress/storm_heap \
	%D%/stress/storm_miscount \
	%D%/stress/storm_move \
	%D%/stress/storm_page_state \
	%D%/stress/storm_region \
	%D%/stress/storm_source \
	%D%/stress/storm_track

# Of the companion module, in the lab only: vm/local.mk.
pmv_kmod_tests = \
	%D%/kmod/access \
	%D%/kmod/differential \
	%D%/kmod/errors \
	%D%/kmod/exchange \
	%D%/kmod/hostile \
	%D%/kmod/huge \
	%D%/kmod/load \
	%D%/kmod/mappings \
	%D%/kmod/nomem \
	%D%/kmod/notifier \
	%D%/kmod/pages \
	%D%/kmod/protect \
	%D%/kmod/races \
	%D%/kmod/registered \
	%D%/kmod/shared \
	%D%/kmod/storms \
	%D%/kmod/swap \
	%D%/kmod/vector

# Sequences of calls, compared with a model: kept ones, and random ones.
pmv_fuzz_tests = \
	%D%/fuzz/random_heap \
	%D%/fuzz/replay_heap

# pagemv run needs the shim.
pmv_tool_tests = %D%/tools/top.sh
if PRELOAD
pmv_tool_tests += %D%/tools/run.sh
endif

pmv_gates = \
	%D%/gates/dist.sh \
	%D%/gates/headers.sh \
	%D%/gates/install.sh \
	%D%/gates/kmod.sh \
	%D%/gates/layers.sh \
	%D%/gates/links.sh \
	%D%/gates/man-examples.sh \
	%D%/gates/man.sh \
	%D%/gates/model.sh \
	%D%/gates/spdx.sh \
	%D%/gates/symbols.sh \
	%D%/gates/variables.sh

check_LTLIBRARIES += %D%/libtest.la
%C%_libtest_la_SOURCES = \
	%D%/live/evacs.h \
	%D%/live/faults.h \
	%D%/live/heaps.h \
	%D%/live/tracked.h \
	%D%/support/compact.h \
	%D%/support/confine.c \
	%D%/support/confine.h \
	%D%/support/forced.c \
	%D%/support/live.h \
	%D%/support/marks.c \
	%D%/support/marks.h \
	%D%/support/oracle.c \
	%D%/support/oracle.h \
	%D%/support/pin.c \
	%D%/support/pin.h \
	%D%/support/proc.c \
	%D%/support/proc.h \
	%D%/support/rawuffd.c \
	%D%/support/rawuffd.h \
	%D%/support/slow.h \
	%D%/support/storm.c \
	%D%/support/storm.h \
	%D%/support/t.c \
	%D%/support/t.h \
	%D%/support/tap.h \
	%D%/support/ways.c \
	%D%/support/ways.h
%C%_libtest_la_CFLAGS = $(AM_CFLAGS) $(URCU_CFLAGS) $(LIBURING_CFLAGS)
%C%_libtest_la_LIBADD = $(LIBURING_LIBS)

check_LTLIBRARIES += %D%/libkmodtest.la
%C%_libkmodtest_la_SOURCES = \
	%D%/kmod/bodies.c \
	%D%/kmod/calls.c \
	%D%/kmod/kmod.h \
	%D%/kmod/world.c \
	%D%/kmod/world.h

# What the unit tests share; its headers need Criterion.
pmv_unit_lib =
if HAVE_CRITERION
pmv_unit_lib += %D%/libunit.la
check_LTLIBRARIES += %D%/libunit.la
endif
%C%_libunit_la_SOURCES = \
	%D%/unit/fake_companion.c \
	%D%/unit/fake_companion.h \
	%D%/unit/fake_sys.c \
	%D%/unit/fake_sys.h \
	%D%/unit/fake_uffd.c \
	%D%/unit/fake_uffd.h \
	%D%/unit/heap_scene.h \
	%D%/unit/scene.c \
	%D%/unit/scene.h \
	%D%/unit/sweep.c \
	%D%/unit/sweep.h
# Failing allocations are for this one program.
FAKE_MALLOC_WRAPS = -Wl,--wrap=malloc -Wl,--wrap=calloc \
	-Wl,--wrap=aligned_alloc
%C%_unit_test_event_SOURCES = \
	%D%/unit/fake_malloc.c \
	%D%/unit/fake_malloc.h \
	%D%/unit/test_event.c
%C%_unit_test_event_LDFLAGS = $(AM_LDFLAGS) $(FAKE_MALLOC_WRAPS)
%C%_unit_test_extents_SOURCES = \
	%D%/unit/fake_malloc.c \
	%D%/unit/fake_malloc.h \
	%D%/unit/test_extents.c
%C%_unit_test_extents_LDFLAGS = $(AM_LDFLAGS) $(FAKE_MALLOC_WRAPS)
%C%_unit_test_region_SOURCES = \
	%D%/unit/fake_malloc.c \
	%D%/unit/fake_malloc.h \
	%D%/unit/test_region.c
%C%_unit_test_region_LDFLAGS = $(AM_LDFLAGS) $(FAKE_MALLOC_WRAPS)
# A machine with several nodes is for these.
FAKE_NUMA_WRAPS = -Wl,--wrap=dlopen -Wl,--wrap=dlsym
%C%_unit_test_numa_SOURCES = \
	%D%/unit/fake_numa.c \
	%D%/unit/fake_numa.h \
	%D%/unit/test_numa.c
%C%_unit_test_numa_LDFLAGS = $(AM_LDFLAGS) $(FAKE_NUMA_WRAPS)
%C%_unit_test_placement_SOURCES = \
	%D%/unit/fake_numa.c \
	%D%/unit/fake_numa.h \
	%D%/unit/test_placement.c
%C%_unit_test_placement_LDFLAGS = $(AM_LDFLAGS) $(FAKE_NUMA_WRAPS)
%C%_libunit_la_CFLAGS = $(AM_CFLAGS) $(URCU_CFLAGS) $(CRITERION_CFLAGS)

pmv_fuzz_heap = \
	%D%/fuzz/heap_model.c \
	%D%/fuzz/heap_model.h \
	%D%/fuzz/heap_ops.c \
	%D%/fuzz/heap_ops.h
%C%_fuzz_random_heap_SOURCES = $(pmv_fuzz_heap) %D%/fuzz/random_heap.c
%C%_fuzz_replay_heap_SOURCES = $(pmv_fuzz_heap) %D%/fuzz/replay_heap.c
# Only clang can make it: ./dev fuzz.
EXTRA_PROGRAMS = %D%/fuzz/fuzz_heap
%C%_fuzz_fuzz_heap_SOURCES = $(pmv_fuzz_heap) %D%/fuzz/fuzz_heap.c
%C%_fuzz_fuzz_heap_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

# A process for pagemv top to look at, and a terminal to look at it on.
%C%_tools_paged_SOURCES = \
	%D%/tools/paged.c \
	preload/stats_page.c \
	preload/stats_page.h
%C%_tools_paged_CPPFLAGS = $(AM_CPPFLAGS) -iquote $(top_srcdir)/preload
%C%_tools_paged_LDADD = %D%/libtest.la lib/libpagemv.la
%C%_tools_terminal_LDADD = %D%/libtest.la

# The libraries of every program that has no _LDADD of its own: the unit and
# live tests. A mechanism can be forced on them: support/forced.c.
LDADD = $(FORCED_WRAPS) $(pmv_unit_lib) %D%/libkmodtest.la %D%/libtest.la \
	lib/libpagemv-internal.la $(CRITERION_LIBS)
AM_CPPFLAGS += -iquote $(top_srcdir)/%D% -iquote $(top_srcdir)/%D%/support

# As no gate needs a sanitizer and ThreadSanitizer goes only with the stress
# programs, the set depends on the build.
pmv_tests =
if SANITIZE_THREAD
pmv_tests += $(pmv_stress_tests)
check_PROGRAMS += $(pmv_stress_tests)
else
check_PROGRAMS += $(pmv_stress_tests) $(pmv_fuzz_tests)
if HAVE_CRITERION
check_PROGRAMS += $(pmv_unit_tests) $(pmv_live_tests)
pmv_tests += $(pmv_unit_tests)
else
pmv_tests += %D%/no-criterion.sh
endif
if LIVE_TESTS
check_PROGRAMS += %D%/tools/paged %D%/tools/terminal
pmv_tests += %D%/bench.sh %D%/examples.sh $(pmv_tool_tests)
if HAVE_LUA
pmv_tests += %D%/lua-heap.sh
endif
if HAVE_CRITERION
pmv_tests += $(pmv_live_tests)
endif
pmv_tests += $(pmv_fuzz_tests) $(pmv_stress_tests)
endif
if !SANITIZE
pmv_tests += $(pmv_gates) %D%/vm/itself.sh
endif
endif

TESTS = $(pmv_tests)
TEST_EXTENSIONS = .sh
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) \
	$(top_srcdir)/build-aux/tap-driver.sh
LOG_COMPILER = $(SHELL) $(top_srcdir)/build-aux/run-test
SH_LOG_DRIVER = $(LOG_DRIVER)
SH_LOG_COMPILER = $(LOG_COMPILER)
AM_TESTS_ENVIRONMENT = \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	SHELL='$(SHELL)'; export SHELL; \
	CC='$(CC)'; export CC; \
	CXX='$(CXX)'; export CXX; \
	NM='$(NM)'; export NM; \
	PKG_CONFIG='$(PKG_CONFIG)'; export PKG_CONFIG; \
	PMV_SANITIZERS='$(enable_sanitizers)'; export PMV_SANITIZERS; \
	PMV_EXAMPLES='$(pmv_examples)'; export PMV_EXAMPLES; \
	unset MAKEFLAGS MFLAGS MAKELEVEL;

EXTRA_DIST += \
	$(pmv_gates) \
	%D%/bench.sh \
	%D%/conditions.sh \
	%D%/examples.sh \
	%D%/expected-skips.txt \
	%D%/fuzz/corpus \
	%D%/gates/gatelib.sh \
	%D%/kernel/checkpatch.sh \
	%D%/kernel/config \
	%D%/kernel/config.debug \
	%D%/kernel/config.plain \
	%D%/kernel/kernel.sh \
	%D%/kernel/source.sh \
	%D%/kernel/static.sh \
	%D%/lsan.supp \
	%D%/no-criterion.sh \
	%D%/results.sh \
	%D%/lua \
	%D%/lua-heap.sh \
	%D%/tools/run.sh \
	%D%/tools/top.sh \
	%D%/tsan.supp

clean-local: clean-reports
.PHONY: clean-reports
clean-reports:
	rm -rf %D%/fuzz/*.reports %D%/unit/*.reports %D%/live/*.reports \
		%D%/stress/*.reports
