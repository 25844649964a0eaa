// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shim.h"

void pmv_say(const char *format, ...)
{
	static const char prefix[] = "libpagemv-malloc: ";
	char line[512];
	int saved = errno;
	size_t n = sizeof(prefix) - 1;
	va_list ap;
	int more;

	memcpy(line, prefix, n);
	va_start(ap, format);
	more = vsnprintf(line + n, sizeof(line) - n - 1, format, ap);
	va_end(ap);
	if (more > 0)
		n += pmv_min((size_t)more, sizeof(line) - n - 2);
	line[n++] = '\n';
	/* Whole or not at all: there is nobody to tell. */
	if (write(STDERR_FILENO, line, n) < 0)
		n = 0;
	errno = saved;
}
