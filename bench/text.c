// SPDX-License-Identifier: LGPL-2.1-or-later
#include "text.h"

#include <stdio.h>

void bench_format_bytes(size_t bytes, char *text, size_t cap)
{
	if (bytes >= 1u << 30 && bytes % (1u << 30) == 0)
		snprintf(text, cap, "%zu GiB", bytes >> 30);
	else if (bytes >= 1u << 20)
		snprintf(text, cap, "%zu MiB", bytes >> 20);
	else
		snprintf(text, cap, "%zu KiB", bytes >> 10);
}

void bench_format_ns(double ns, char *text, size_t cap)
{
	int digits = ns < 10 ? 2 : ns < 100 ? 1 : 0;

	snprintf(text, cap, "%.*f", digits, ns);
}

void bench_format_ratio(double ratio, char *text, size_t cap)
{
	int digits = ratio < 10 ? 3 : ratio < 100 ? 1 : 0;

	snprintf(text, cap, "%.*f", digits, ratio);
}
