// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A program with an allocator of its own, which lacks some functions of the
 * family: those are another one's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim_test.h"

#define AREA (256 * MIB)

static _Alignas(4096) char area[AREA];
static size_t used;

/* Its blocks have their size in front. */
void *malloc(size_t bytes)
{
	size_t at = (used + 15) & ~(size_t)15;

	if (bytes > AREA - 16 - at) {
		errno = ENOMEM;
		return NULL;
	}
	used = at + 16 + bytes;
	memcpy(area + at, &bytes, sizeof(bytes));
	return area + at + 16;
}

void free(void *ptr)
{
	if (ptr && ((char *)ptr < area || (char *)ptr >= area + AREA)) {
		static const char line[] = "free() of another's block\n";

		write(STDERR_FILENO, line, sizeof(line) - 1);
		_exit(3);
	}
}

void *calloc(size_t n, size_t bytes)
{
	return malloc(n * bytes);
}

void *realloc(void *ptr, size_t bytes)
{
	size_t old = 0;
	char *new = malloc(bytes);

	if (ptr)
		memcpy(&old, (char *)ptr - 16, sizeof(old));
	if (new &&ptr)
		memcpy(new, ptr, old < bytes ? old : bytes);
	return new;
}

int main(void)
{
	char *p = malloc(MIB), *q = NULL;

	t_fill(p, MIB, 1);
	p = realloc(p, 3 * MIB);
	t_check(p >= area && p < area + AREA && t_filled(p, MIB, 1));
	free(p);
	/* As without the shim: of the C library's allocator. */
	t_check(!posix_memalign((void **)&q, 64, 5 * MIB));
	t_fill(q, 5 * MIB, 2);
	t_check(t_filled(q, 5 * MIB, 2));
	q = reallocarray(NULL, 5, MIB);
	t_check(q >= area && q < area + AREA);
	free(q);
	return 0;
}
