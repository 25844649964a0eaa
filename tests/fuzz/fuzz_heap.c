/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The target of libFuzzer; ./dev fuzz builds and runs it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "heap_ops.h"
#include "ways.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
	static struct pagemv *pv[T_VARIANT_COUNT];
	size_t variant = bytes ? input[0] % T_VARIANT_COUNT : 0;
	struct heap_ops_result r;

	if (!pv[variant])
		pv[variant] = t_open((enum t_variant_id)variant);
	r = heap_ops_run(pv[variant], input, bytes);
	if (r.wrong) {
		fprintf(stderr, "step %zu, byte %zu: %s\n", r.step, r.off,
			r.wrong);
		abort();
	}
	return 0;
}
