# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The lab: ./dev vm boots kernels and runs in them the unit, live and stress
# tests and the scenarios here, which change the whole system. "make check"
# builds the scenarios and does not run them.

pmv_scenarios = \
	%D%/scenarios/coredump \
	%D%/scenarios/fork \
	%D%/scenarios/heap_numa \
	%D%/scenarios/huge \
	%D%/scenarios/ksm \
	%D%/scenarios/memcg \
	%D%/scenarios/mlock \
	%D%/scenarios/numa \
	%D%/scenarios/quirks \
	%D%/scenarios/swap \
	%D%/scenarios/trace \
	%D%/scenarios/uring \
	%D%/scenarios/vfio

# Those of more than one file.
%C%_scenarios_quirks_SOURCES = \
	%D%/scenarios/quirks.c \
	%D%/scenarios/quirks.h \
	%D%/scenarios/quirks_huge.c \
	%D%/scenarios/quirks_miscount.c
%C%_scenarios_swap_SOURCES = \
	%D%/scenarios/swap.c \
	%D%/scenarios/swap.h \
	%D%/scenarios/swap_moves.c \
	%D%/scenarios/swap_pages.c \
	%D%/scenarios/swap_storms.c
%C%_scenarios_trace_SOURCES = \
	%D%/scenarios/trace.c \
	%D%/scenarios/trace.h \
	%D%/scenarios/trace_other.c \
	%D%/scenarios/trace_words.c
%C%_scenarios_uring_SOURCES = \
	%D%/scenarios/pinned.c \
	%D%/scenarios/pinned.h \
	%D%/scenarios/pinned_storm.c \
	%D%/scenarios/uring.c
%C%_scenarios_vfio_SOURCES = \
	%D%/scenarios/edu.c \
	%D%/scenarios/edu.h \
	%D%/scenarios/pinned.c \
	%D%/scenarios/pinned.h \
	%D%/scenarios/pinned_storm.c \
	%D%/scenarios/vfio.c

if !SANITIZE
check_PROGRAMS += %D%/confined $(pmv_scenarios) $(pmv_kmod_tests)
endif

EXTRA_DIST += \
	%D%/again.sh \
	%D%/bench-companion.sh \
	%D%/fetch.sh \
	%D%/guest.sh \
	%D%/init \
	%D%/itself.sh \
	%D%/kmod.sh \
	%D%/kernels.head \
	%D%/kernels.txt \
	%D%/lab.sh \
	%D%/matrix.sh \
	%D%/pack.sh \
	%D%/scenarios.txt \
	%D%/scenarios/cases.h \
	%D%/scenarios/lab.h \
	%D%/scenarios/snapshot.h \
	%D%/scenarios/thp.h
