/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One line on what the heap has done, when the process ends by exit().
 */
#ifndef PRELOAD_EXIT_STATS_H
#define PRELOAD_EXIT_STATS_H

#include "conf.h"

/* As conf says: on stderr, or appended to a file; %p in its name is the
 * process ID. */
void pmv_exit_stats(const struct pmv_conf *conf);

#endif /* PRELOAD_EXIT_STATS_H */
