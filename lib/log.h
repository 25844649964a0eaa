/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The caller's log callback; AS-Safe as far as the callback is. */
#ifndef PMV_LOG_H
#define PMV_LOG_H

#include <pagemv/pagemv.h>

struct pmv_log {
	void (*fn)(void *arg, enum pagemv_log_level level, const char *line);
	void *arg;
};

__attribute__((format(printf, 3, 4))) void pmv_log(const struct pmv_log *log,
						   enum pagemv_log_level level,
						   const char *format, ...);

#endif /* PMV_LOG_H */
