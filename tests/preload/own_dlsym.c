// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A program whose dlsym() asks for memory, as that of older C libraries does,
 * and gives some of it back much later.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "shim_test.h"

#define BLOCKS 8

static char *block[BLOCKS];
static size_t n_blocks;

void *dlsym(void *restrict handle, const char *restrict name)
{
	static void *(*real)(void *, const char *);

	if (n_blocks < BLOCKS) {
		char *p = calloc(10, 10);

		t_check(p && t_is_zero(p, 100));
		p = realloc(p, 200);
		t_fill(p, 200, 4);
		free(malloc(300));
		free(NULL);
		/* Which may have called this again. */
		if (n_blocks < BLOCKS)
			block[n_blocks++] = p;
	}
	if (!real)
		real = (void *(*)(void *, const char *))dlvsym(
			RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
	if (!real)
		real = (void *(*)(void *, const char *))dlvsym(
			RTLD_NEXT, "dlsym", "GLIBC_2.34");
	t_check(real);
	/* RTLD_NEXT is what comes after the caller: here, the shim again. */
	if (handle == RTLD_NEXT) {
		static void *libc;

		if (!libc)
			libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
		handle = libc;
	}
	return real(handle, name);
}

int main(void)
{
	char *p = malloc(MIB);

	t_check(n_blocks == BLOCKS);
	t_check(t_served(p));
	free(p);
	for (size_t i = 0; i < BLOCKS; i++) {
		t_check(t_filled(block[i], 200, 4));
		if (i & 1)
			block[i] = realloc(block[i], i == 1 ? MIB : 300);
		t_check(t_filled(block[i], 200, 4));
		free(block[i]);
	}
	return 0;
}
