// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A program that is linked with the shim. If it runs with more rights than who
 * started it, the shim must not listen to him: nothing is on stderr then.
 */
#include <stdlib.h>
#include <sys/auxv.h>

#include "shim_test.h"

int main(void)
{
	char *p = malloc(MIB);

	if (!getauxval(AT_SECURE))
		return 77;
	if (!t_served(p))
		return 1;
	free(p);
	return 0;
}
