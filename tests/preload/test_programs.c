// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Programs that bring an allocator, or something else that the shim must be
 * aware of.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim_test.h"

static void nothing(void)
{
}

/* The shim is not there from the beginning. */
static void loaded_late(void)
{
	void *shim = dlopen(t_shim(), RTLD_NOW | RTLD_GLOBAL);
	char *p = malloc(MIB);

	t_check(shim);
	t_check(!t_served(p));
	free(p);
	dlclose(shim);
	p = realloc(malloc(100), MIB);
	t_check(!t_served(p));
	free(p);
}

static const struct shim_case cases[] = {
	{ .name = "an allocator of its own",
	  .program = "own_malloc",
	  .run = nothing,
	  .says = { "libpagemv-malloc: not used: malloc() is that of " } },
	{ .name = "a dlsym() that allocates",
	  .program = "own_dlsym",
	  .run = nothing },
	{ .name = "not position-independent",
	  .program = "fixed_program",
	  .run = nothing },
	{ .name = "loaded late",
	  .run = loaded_late,
	  .without = true,
	  .says = { "libpagemv-malloc: not used: malloc() is that of " } },
};

int main(int argc, char **argv)
{
	return shim_test(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
