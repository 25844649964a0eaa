/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the scenarios of the lab have in common. They change the whole system
 * (swap, huge pages, devices), so they run in guests only.
 */
#ifndef TESTS_VM_SCENARIOS_LAB_H
#define TESTS_VM_SCENARIOS_LAB_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tap.h"

/* Call first: outside the lab nothing is done, and that is said. */
static inline void lab_only(void)
{
	if (getenv("PMV_LAB") != NULL)
		return;
	puts("1..0 # SKIP changes the whole system: only in the lab, ./dev vm");
	exit(0);
}

/*
 * What was seen on this kernel that a reader of doc/kernels.md wants to know:
 * a topic, the same words on every kernel, and what was seen.
 */
__attribute__((format(printf, 2, 3))) static inline void
lab_seen(const char *topic, const char *format, ...)
{
	va_list ap;

	printf("# seen: %s: ", topic);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

#endif /* TESTS_VM_SCENARIOS_LAB_H */
