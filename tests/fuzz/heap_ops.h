/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes as a sequence of calls of the heap: any bytes are one, so that a fuzzer
 * may change them as it likes. Each call is compared with the model.
 */
#ifndef TESTS_FUZZ_HEAP_OPS_H
#define TESTS_FUZZ_HEAP_OPS_H

#include <pagemv/pagemv.h>

#include <stddef.h>
#include <stdint.h>

struct heap_ops_result {
	const char *wrong; /* NULL: nothing; static */
	size_t step;	   /* the operation it was seen after, from 1 */
	size_t off;	   /* in the input, behind that operation */
};

/* Runs them on two new heaps of pv, ends these, and says what was wrong first.
 * PMV_TRACE=1 in the environment tells each step on standard error. */
struct heap_ops_result heap_ops_run(struct pagemv *pv, const uint8_t *input,
				    size_t bytes);

#endif /* TESTS_FUZZ_HEAP_OPS_H */
