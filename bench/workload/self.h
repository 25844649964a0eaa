/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What /proc tells of this process. Nothing is allocated.
 */
#ifndef BENCH_WORKLOAD_SELF_H
#define BENCH_WORKLOAD_SELF_H

#include <stdbool.h>
#include <stdint.h>

/* Lines of /proc/self/maps; -1: cannot be read. */
int64_t self_mappings(void);

/* Whether a file of that name is mapped, whatever its directory. */
bool self_maps_file(const char *name);

/* Of /proc/self/status, in KiB: "VmRSS:", "VmHWM:". 0: not there. */
uint64_t self_status_kib(const char *key);

#endif /* BENCH_WORKLOAD_SELF_H */
