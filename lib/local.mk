# SPDX-License-Identifier: LGPL-2.1-or-later
#
# All objects are in a convenience library, whose hidden symbols the unit tests
# reach. The installed library is the same objects behind the version script.

noinst_LTLIBRARIES += %D%/libpagemv-internal.la
%C%_libpagemv_internal_la_SOURCES = \
	%D%/base.h \
	%D%/answer.c \
	%D%/arena.c \
	%D%/arena.h \
	%D%/batch.c \
	%D%/blank.c \
	%D%/blank.h \
	%D%/calibrate.c \
	%D%/calm.c \
	%D%/calm.h \
	%D%/channel.c \
	%D%/channel.h \
	%D%/children.c \
	%D%/children.h \
	%D%/choose.c \
	%D%/companion.c \
	%D%/companion.h \
	%D%/companion_uapi.h \
	%D%/diagnose.c \
	%D%/diagnose.h \
	%D%/engine.c \
	%D%/engine.h \
	%D%/evac.c \
	%D%/evac.h \
	%D%/evac_cycle.c \
	%D%/evac_fill.c \
	%D%/evac_flip.c \
	%D%/evac_pool.c \
	%D%/evac_threads.c \
	%D%/evac_touch.c \
	%D%/evac_work.c \
	%D%/event.c \
	%D%/event.h \
	%D%/exchange.c \
	%D%/extents.c \
	%D%/extents.h \
	%D%/fault.c \
	%D%/fault.h \
	%D%/fault_signal.c \
	%D%/fault_thread.c \
	%D%/forks.c \
	%D%/forks.h \
	%D%/handlers.c \
	%D%/handlers.h \
	%D%/heap.c \
	%D%/heap.h \
	%D%/heap_adopt.c \
	%D%/heap_alloc.c \
	%D%/heap_change.h \
	%D%/heap_decay.c \
	%D%/heap_fit.c \
	%D%/heap_fork.c \
	%D%/heap_grow.c \
	%D%/heap_huge.c \
	%D%/heap_magazine.c \
	%D%/heap_move.c \
	%D%/heap_realloc.c \
	%D%/heap_relocate.c \
	%D%/heap_slot.c \
	%D%/inherit.c \
	%D%/inherit.h \
	%D%/internal.h \
	%D%/job.h \
	%D%/job.c \
	%D%/kernel.c \
	%D%/kernel.h \
	%D%/log.c \
	%D%/log.h \
	%D%/mapping.c \
	%D%/mapping.h \
	%D%/move.c \
	%D%/mover.h \
	%D%/mover_companion.c \
	%D%/mover_copy.c \
	%D%/mover_move.c \
	%D%/mover_remap.c \
	%D%/numa.c \
	%D%/numa.h \
	%D%/open.c \
	%D%/page_state.c \
	%D%/page_state.h \
	%D%/pages.c \
	%D%/pages.h \
	%D%/placement.c \
	%D%/placement.h \
	%D%/policy.c \
	%D%/policy.h \
	%D%/populate.c \
	%D%/raw_syscall.h \
	%D%/quirks.c \
	%D%/quirks.h \
	%D%/rcu.h \
	%D%/region.c \
	%D%/region.h \
	%D%/register.c \
	%D%/registry.h \
	%D%/relocate.c \
	%D%/scratch.c \
	%D%/scratch.h \
	%D%/slide.c \
	%D%/source.c \
	%D%/source.h \
	%D%/staging.c \
	%D%/staging.h \
	%D%/stats.c \
	%D%/stats.h \
	%D%/strings.c \
	%D%/sys.c \
	%D%/sys.h \
	%D%/trace.h \
	%D%/track.c \
	%D%/track.h \
	%D%/uffd.c \
	%D%/uffd.h \
	%D%/uffd_uapi.h \
	%D%/unregister.c
%C%_libpagemv_internal_la_CFLAGS = $(AM_CFLAGS) $(URCU_CFLAGS) $(NUMA_CFLAGS)
%C%_libpagemv_internal_la_LIBADD = $(URCU_LIBS)

lib_LTLIBRARIES += %D%/libpagemv.la
%C%_libpagemv_la_SOURCES =
%C%_libpagemv_la_LIBADD = %D%/libpagemv-internal.la
%C%_libpagemv_la_LDFLAGS = $(AM_LDFLAGS) -no-undefined \
	-version-info $(PMV_VERSION_INFO) \
	-Wl,--version-script=$(top_srcdir)/%D%/libpagemv.map
EXTRA_%C%_libpagemv_la_DEPENDENCIES = %D%/libpagemv.map
EXTRA_DIST += %D%/libpagemv.map
