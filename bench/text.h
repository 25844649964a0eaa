/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Figures as people read them.
 */
#ifndef BENCH_TEXT_H
#define BENCH_TEXT_H

#include <stddef.h>

/* "4 KiB", "256 MiB" */
void bench_format_bytes(size_t bytes, char *text, size_t cap);

/* About three digits, whatever the size of the number. */
void bench_format_ns(double ns, char *text, size_t cap);
void bench_format_ratio(double ratio, char *text, size_t cap);

#endif /* BENCH_TEXT_H */
