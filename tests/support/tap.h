/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Results of a plain program in the TAP format, for the stress programs:
 * Criterion does not go together with ThreadSanitizer.
 */
#ifndef TESTS_SUPPORT_TAP_H
#define TESTS_SUPPORT_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

struct tap {
	unsigned int count;
	unsigned int failed;
};

__attribute__((format(printf, 2, 3))) static inline void
tap_say(FILE *f, const char *format, ...)
{
	va_list ap;

	fputs("# ", f);
	va_start(ap, format);
	vfprintf(f, format, ap);
	va_end(ap);
	fputc('\n', f);
	fflush(f);
}

static inline bool tap_ok(struct tap *t, bool ok, const char *name)
{
	t->count++;
	t->failed += !ok;
	printf("%sok %u - %s\n", ok ? "" : "not ", t->count, name);
	fflush(stdout);
	return ok;
}

static inline void tap_skip(struct tap *t, const char *name, const char *why)
{
	t->count++;
	printf("ok %u - %s # SKIP %s\n", t->count, name, why);
	fflush(stdout);
}

/* The plan, and the exit status. */
static inline int tap_done(const struct tap *t)
{
	printf("1..%u\n", t->count);
	return t->failed == 0 ? 0 : 1;
}

#endif /* TESTS_SUPPORT_TAP_H */
