// SPDX-License-Identifier: LGPL-2.1-or-later
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

void pmv_log(const struct pmv_log *log, enum pagemv_log_level level,
	     const char *format, ...)
{
	char line[256];
	va_list args;

	if (!log->fn)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log->fn(log->arg, level, line);
}
