# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Tests of the shim. Those that run real programs are shell scripts, one a
# program, on programs.sh.

# The library whose system calls are refused now and then, of the same name and
# ABI as the real one, for LD_LIBRARY_PATH.
if PRELOAD
INJECT_WRAPS = -Wl,--wrap=pmv_sys_default -Wl,--wrap=pmv_kernel_probe
check_LTLIBRARIES += %D%/injecting/libpagemv.la
%C%_injecting_libpagemv_la_SOURCES = \
	%D%/inject.c \
	%D%/inject.h \
	%D%/inject_sys.c
%C%_injecting_libpagemv_la_CFLAGS = $(AM_CFLAGS) $(URCU_CFLAGS)
%C%_injecting_libpagemv_la_LIBADD = lib/libpagemv-internal.la
%C%_injecting_libpagemv_la_LDFLAGS = $(AM_LDFLAGS) -no-undefined \
	-rpath /nonexistent -version-info $(PMV_VERSION_INFO) \
	$(INJECT_WRAPS) \
	-Wl,--version-script=$(top_srcdir)/lib/libpagemv.map

check_PROGRAMS += $(pmv_shim_tests) $(pmv_shim_programs)
if LIVE_TESTS
pmv_tests += $(pmv_shim_tests) $(pmv_programs)
endif
endif

# These run themselves under the shim, or one of the programs that are beside
# them.
pmv_shim_tests = \
	%D%/test_confined \
	%D%/test_family \
	%D%/test_fork \
	%D%/test_programs \
	%D%/test_settings \
	%D%/test_threads
pmv_shim_programs = \
	%D%/fixed_program \
	%D%/linked_program \
	%D%/own_dlsym \
	%D%/own_malloc
pmv_shim_test = %D%/shim_test.c %D%/shim_test.h
# They do on purpose what compilers warn of, and no call may be left out.
SHIM_TEST_CFLAGS = $(AM_CFLAGS) -fno-builtin -Wno-maybe-uninitialized \
	-Wno-use-after-free -Wno-free-nonheap-object
%C%_test_confined_SOURCES = %D%/test_confined.c $(pmv_shim_test)
%C%_test_confined_CFLAGS = $(SHIM_TEST_CFLAGS)
%C%_test_confined_LDADD =
%C%_test_family_SOURCES = %D%/test_family.c $(pmv_shim_test)
%C%_test_family_CFLAGS = $(SHIM_TEST_CFLAGS)
%C%_test_family_LDADD =
%C%_test_fork_SOURCES = %D%/test_fork.c $(pmv_shim_test)
%C%_test_fork_CFLAGS = $(SHIM_TEST_CFLAGS)
%C%_test_fork_LDADD =
%C%_test_programs_SOURCES = %D%/test_programs.c $(pmv_shim_test)
%C%_test_programs_CFLAGS = $(SHIM_TEST_CFLAGS)
%C%_test_programs_LDADD =
%C%_test_settings_SOURCES = %D%/test_settings.c $(pmv_shim_test)
%C%_test_settings_CFLAGS = $(SHIM_TEST_CFLAGS)
%C%_test_settings_LDADD =
%C%_test_threads_SOURCES = %D%/test_threads.c $(pmv_shim_test)
%C%_test_threads_CFLAGS = $(SHIM_TEST_CFLAGS)
%C%_test_threads_LDADD =
%C%_fixed_program_SOURCES = %D%/fixed_program.c $(pmv_shim_test)
%C%_fixed_program_CFLAGS = $(SHIM_TEST_CFLAGS) -fno-pie
%C%_fixed_program_LDADD =
%C%_fixed_program_LDFLAGS = $(AM_LDFLAGS) -no-pie
%C%_linked_program_SOURCES = %D%/linked_program.c $(pmv_shim_test)
%C%_linked_program_CFLAGS = $(SHIM_TEST_CFLAGS)
%C%_linked_program_LDADD = preload/libpagemv-malloc.la lib/libpagemv.la
# Found without the environment; libtool would make it a script.
%C%_linked_program_LDFLAGS = $(AM_LDFLAGS) -Wl,--no-as-needed -no-install
%C%_own_dlsym_SOURCES = %D%/own_dlsym.c $(pmv_shim_test)
%C%_own_dlsym_CFLAGS = $(SHIM_TEST_CFLAGS) -fvisibility=default
%C%_own_dlsym_LDADD =
%C%_own_dlsym_LDFLAGS = $(AM_LDFLAGS) -Wl,--export-dynamic
%C%_own_malloc_SOURCES = %D%/own_malloc.c $(pmv_shim_test)
%C%_own_malloc_CFLAGS = $(SHIM_TEST_CFLAGS) -fvisibility=default
%C%_own_malloc_LDADD =

pmv_programs = \
	%D%/gcc.sh \
	%D%/git.sh \
	%D%/lua.sh \
	%D%/python-io.sh \
	%D%/python-tests.sh \
	%D%/python.sh \
	%D%/redis.sh \
	%D%/sqlite.sh \
	%D%/stress-ng.sh

EXTRA_DIST += \
	$(pmv_programs) \
	%D%/grow.lua \
	%D%/grow.py \
	%D%/programs.sh \
	%D%/unittests.py
