// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Linked at a fixed address, and takes the address of malloc(): the linker
 * makes that an address in the program.
 */
#include <stdlib.h>

#include "shim_test.h"

/* In code: in data they would be filled in when the program is loaded. */
static void *(*volatile allocate)(size_t bytes);
static void (*volatile release)(void *ptr);

int main(void)
{
	char *p, *q;

	allocate = malloc;
	release = free;
	p = allocate(MIB);
	q = malloc(MIB);

	t_check(t_served(p) && t_served(q));
	release(p);
	free(q);
	return 0;
}
