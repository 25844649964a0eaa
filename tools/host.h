/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What /proc and /sys tell about this machine. Nothing here fails: what
 * cannot be read comes back as the fallback or as an empty string.
 */
#ifndef TOOLS_HOST_H
#define TOOLS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first line of a file without its newline; false when unreadable. */
bool host_read_line(const char *path, char *line, size_t cap);

/* The number in a file of one number. */
long long host_read_number(const char *path, long long fallback);

/* The word in brackets, as in "always [madvise] never". */
bool host_read_choice(const char *path, char *word, size_t cap);

/* MemAvailable, or less where a control group allows less. 0: not known. */
uint64_t host_memory_available_bytes(void);

/* Mappings of this process: lines of /proc/self/maps. 0: not known. */
size_t host_mapping_count(void);

/* Swap areas in use. */
unsigned int host_swap_areas(void);

/* 0: no filter, 1: strict, 2: filter; -1: not known. */
int host_seccomp_mode(void);

void host_cpu_model(char *model, size_t cap);

#endif /* TOOLS_HOST_H */
