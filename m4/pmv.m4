# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The options and checks of libpagemv's configure. What they find goes to
# variables of our own; CFLAGS, CPPFLAGS and LDFLAGS belong to the user.

# PMV_ARG_WERROR
AC_DEFUN([PMV_ARG_WERROR], [
AC_ARG_ENABLE([werror],
	[AS_HELP_STRING([--enable-werror], [treat compiler warnings as errors])],
	[], [enable_werror=no])
AS_IF([test "x$enable_werror" = xyes], [WERROR_CFLAGS=-Werror],
	[WERROR_CFLAGS=])
AC_SUBST([WERROR_CFLAGS])
])

# PMV_ARG_DEBUG
# PMV_DEBUG is given on the command line, not in config.h, so that it is the
# same in every file.
AC_DEFUN([PMV_ARG_DEBUG], [
AC_ARG_ENABLE([debug],
	[AS_HELP_STRING([--enable-debug],
		[check the library's invariants at run time (PMV_DEBUG)])],
	[], [enable_debug=no])
AS_IF([test "x$enable_debug" = xyes], [DEBUG_CPPFLAGS=-DPMV_DEBUG=1],
	[DEBUG_CPPFLAGS=])
AC_SUBST([DEBUG_CPPFLAGS])
])

# PMV_ARG_SANITIZERS
AC_DEFUN([PMV_ARG_SANITIZERS], [
AC_ARG_ENABLE([sanitizers],
	[AS_HELP_STRING([--enable-sanitizers=LIST],
		[build with -fsanitize=LIST, for instance address,undefined
		 or thread; with thread, the tests are the stress programs])],
	[], [enable_sanitizers=no])
AS_CASE([$enable_sanitizers],
	[yes], [AC_MSG_ERROR([--enable-sanitizers needs a list, for instance
		--enable-sanitizers=address,undefined])],
	[no], [SANITIZE_CFLAGS=],
	[PMV_TRY_SANITIZERS])
AC_SUBST([SANITIZE_CFLAGS])
AC_SUBST([enable_sanitizers])
AM_CONDITIONAL([SANITIZE], [test "x$enable_sanitizers" != xno])
AM_CONDITIONAL([SANITIZE_THREAD],
	[AS_CASE([,$enable_sanitizers,], [*,thread,*], [true], [false])])
])

AC_DEFUN([PMV_TRY_SANITIZERS], [
SANITIZE_CFLAGS="-fsanitize=$enable_sanitizers -fno-sanitize-recover=all"
SANITIZE_CFLAGS="$SANITIZE_CFLAGS -fno-omit-frame-pointer"
AC_MSG_CHECKING([whether $CC links with $SANITIZE_CFLAGS])
pmv_save_CFLAGS=$CFLAGS
CFLAGS="$CFLAGS $SANITIZE_CFLAGS"
AC_LINK_IFELSE([AC_LANG_PROGRAM()],
	[AC_MSG_RESULT([yes])],
	[AC_MSG_RESULT([no])
	AC_MSG_ERROR([the compiler lacks these sanitizers])])
CFLAGS=$pmv_save_CFLAGS
])

# PMV_ARG_KMOD
# The module is not for the machine that builds alone: KDIR names the headers of
# any kernel that it supports.
AC_DEFUN([PMV_ARG_KMOD], [
AC_ARG_ENABLE([kmod],
	[AS_HELP_STRING([--enable-kmod],
		[build the companion module for the kernel whose headers are
		 KDIR, and install its source for DKMS])],
	[], [enable_kmod=no])
AC_ARG_VAR([KDIR], [headers, or a prepared tree, of the kernel for
	--enable-kmod @<:@/lib/modules/RELEASE/build of the running one@:>@])
AS_VAR_SET_IF([KDIR], [], [KDIR=/lib/modules/`uname -r`/build])
pmv_kmod=$enable_kmod
AS_IF([test "x$enable_kmod" != xno], [
	AS_IF([test -e "$KDIR/Makefile"], [],
		[AC_MSG_ERROR([--enable-kmod: no kernel headers in $KDIR])])
	pmv_kmod="for $KDIR"
])
AM_CONDITIONAL([KMOD], [test "x$enable_kmod" != xno])
])

# PMV_ARG_LIVE_TESTS
AC_DEFUN([PMV_ARG_LIVE_TESTS], [
AC_ARG_ENABLE([live-tests],
	[AS_HELP_STRING([--disable-live-tests],
		[make check builds, but does not run, the tests that work on
		 the running kernel (live and stress)])],
	[], [enable_live_tests=yes])
AM_CONDITIONAL([LIVE_TESTS], [test "x$enable_live_tests" != xno])
])

# PMV_WARNINGS
# The warning options that the compiler knows. An unknown one is only an error
# with -Werror, and only in some compilers.
AC_DEFUN([PMV_WARNINGS], [
WARN_CFLAGS=
pmv_save_CFLAGS=$CFLAGS
for pmv_flag in -Wall -Wextra -Wshadow -Wsign-compare -Wimplicit-fallthrough \
	-Wstrict-prototypes -Wmissing-prototypes -Wmissing-declarations \
	-Wundef -Wvla
do
	AS_VAR_PUSHDEF([pmv_cache], [pmv_cv_cc_flag_$pmv_flag])
	AC_CACHE_CHECK([whether $CC accepts $pmv_flag], [pmv_cache],
		[CFLAGS="$pmv_save_CFLAGS -Werror $pmv_flag"
		AC_COMPILE_IFELSE([AC_LANG_SOURCE([extern int pmv;])],
			[AS_VAR_SET([pmv_cache], [yes])],
			[AS_VAR_SET([pmv_cache], [no])])])
	AS_VAR_IF([pmv_cache], [yes], [WARN_CFLAGS="$WARN_CFLAGS $pmv_flag"])
	AS_VAR_POPDEF([pmv_cache])
done
CFLAGS=$pmv_save_CFLAGS
AC_SUBST([WARN_CFLAGS])
])

# PMV_PKG_OPTIONAL(NAME, MODULE, WHAT)
# Like PKG_CHECK_MODULES, but its absence only sets HAVE_NAME (define,
# conditional) and $pmv_have_name.
AC_DEFUN([PMV_PKG_OPTIONAL], [
AS_VAR_PUSHDEF([pmv_have], [pmv_have_]m4_tolower([$1]))
PKG_CHECK_MODULES([$1], [$2], [pmv_have=yes],
	[pmv_have=no
	AC_MSG_WARN([$3: not found, its tests will be skipped])])
AS_VAR_IF([pmv_have], [yes],
	[AC_DEFINE([HAVE_$1], [1], [Define to 1 if there is $3.])])
AM_CONDITIONAL([HAVE_$1], [test "x$pmv_have" = xyes])
AS_VAR_POPDEF([pmv_have])
])
