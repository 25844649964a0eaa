/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random sequences of calls of the heap, compared with the model.
 *
 * PMV_SECONDS: how long for each way to move (2; with PMV_LONG, 60), PMV_SEED:
 * the first sequence's number. One that fails is written to a file, for
 * replay_heap.
 */
#include <inttypes.h>
#include <stdio.h>

#include "heap_ops.h"
#include "t.h"
#include "tap.h"
#include "ways.h"

#define INPUT_MAX 600

static size_t make_input(uint64_t seed, uint8_t *input)
{
	struct t_random random = t_random_make(seed);
	size_t bytes = 1 + t_random_below(&random, INPUT_MAX);

	for (size_t i = 0; i < bytes; i++)
		input[i] = (uint8_t)t_random_below(&random, 256);
	return bytes;
}

static void keep(uint64_t seed, const uint8_t *input, size_t bytes)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "heap-%" PRIu64 ".dat", seed);
	f = fopen(path, "wb");
	if (!f)
		return;
	if (fwrite(input, 1, bytes, f) == bytes)
		tap_say(stdout, "kept as %s", path);
	fclose(f);
}

static void run_variant(struct tap *tap, enum t_variant_id variant,
			const char *name)
{
	uint64_t seconds = t_env("PMV_SECONDS", t_env("PMV_LONG", 0) ? 60 : 2);
	uint64_t seed = t_env("PMV_SEED", 1), first = seed;
	uint64_t until = t_now_ns() + seconds * 1000000000u;
	struct heap_ops_result r = { 0 };
	uint8_t input[INPUT_MAX];
	struct pagemv *pv = t_open(variant);

	do {
		size_t bytes = make_input(seed, input);

		r = heap_ops_run(pv, input, bytes);
		if (r.wrong) {
			tap_say(stdout, "seed %" PRIu64 ", step %zu: %s", seed,
				r.step, r.wrong);
			keep(seed, input, bytes);
		}
		seed++;
	} while (!r.wrong && t_now_ns() < until);
	pagemv_close(pv);
	tap_say(stdout, "%s: %" PRIu64 " sequences", name, seed - first);
	tap_ok(tap, !r.wrong, name);
}

int main(void)
{
	struct tap tap = { 0, 0 };

	run_variant(&tap, T_NORMAL, "as it is here");
	run_variant(&tap, T_NO_MOVE, "without UFFDIO_MOVE");
	run_variant(&tap, T_NO_UFFD, "without userfaultfd");
	return tap_done(&tap);
}
