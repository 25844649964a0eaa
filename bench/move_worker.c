// SPDX-License-Identifier: LGPL-2.1-or-later
#include "move_worker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VERSION	   1
#define SAMPLE_NS  250000.0  /* a sample lasts about so long, or more */
#define WARM_NS	   2000000.0 /* longer ones do not care for warm caches */
#define MAX_REPEAT 256

void bench_worker_init(struct bench_worker *worker, enum bench_method_id id,
		       struct bench_backend *backend, size_t chunk_bytes)
{
	*worker = (struct bench_worker){
		.chunk_bytes = chunk_bytes,
		.repeat = 1,
		.stride = 1,
	};
	bench_target_init(&worker->target, id, backend);
}

void bench_worker_free(struct bench_worker *worker)
{
	bench_samples_free(&worker->samples);
	bench_samples_free(&worker->doubtful);
}

static void fail(struct bench_worker *worker, const char *doing, int rc)
{
	worker->failed = true;
	snprintf(worker->why, sizeof(worker->why), "%s: %s", doing,
		 pagemv_strerror(rc));
}

void bench_worker_open(struct bench_worker *worker, size_t len_bytes,
		       size_t huge_bytes, bool thp)
{
	struct bench_pair *pair = &worker->target.pair;
	int rc;

	worker->always_fresh = thp && worker->chunk_bytes < huge_bytes;
	rc = bench_pair_reserve(pair, len_bytes, huge_bytes, thp);
	if (!rc)
		rc = bench_pair_map(pair);
	if (!rc)
		rc = bench_target_attach(&worker->target);
	if (rc)
		fail(worker, "preparing memory", rc);
}

void bench_worker_fill(struct bench_worker *worker, size_t off,
		       size_t len_bytes)
{
	struct bench_pair *pair = &worker->target.pair;

	bench_pair_fill(pair, 0, off, len_bytes, VERSION);
	if (bench_method_keeps_source(worker->target.id))
		bench_pair_fill(pair, 1, off, len_bytes, VERSION);
}

void bench_worker_close(struct bench_worker *worker)
{
	bench_target_detach(&worker->target);
	bench_pair_release(&worker->target.pair);
}

/* The library tells more than an errno when it is asked again. */
static void fail_move(struct bench_worker *worker, void *dst, void *src, int rc)
{
	const struct bench_target *target = &worker->target;
	struct pagemv_result result = { 0 };

	fail(worker, "moving", rc);
	if (!target->region[0])
		return;
	if (pagemv_move(target->pv, dst, src, worker->chunk_bytes, target->opts,
			&result))
		snprintf(worker->why, sizeof(worker->why), "moving: %s (%s)",
			 pagemv_reason_string(result.reason),
			 strerrorname_np(-rc));
}

/* Moves the memory to the other side, one call a chunk. */
static bool sweep(struct bench_worker *worker)
{
	const struct bench_target *target = &worker->target;
	struct bench_pair *pair = &worker->target.pair;
	size_t chunk_bytes = worker->chunk_bytes;
	char *src = pair->side[pair->at];
	char *dst = pair->side[!pair->at];

	for (size_t off = 0; off < pair->len_bytes; off += chunk_bytes) {
		int rc = target->one(target, dst + off, src + off, chunk_bytes);

		if (rc) {
			fail_move(worker, dst + off, src + off, rc);
			return false;
		}
	}
	pair->at = !pair->at;
	return true;
}

static bool is_huge(struct bench_worker *worker)
{
	const struct bench_pair *pair = &worker->target.pair;
	bool both = bench_method_keeps_source(worker->target.id);

	for (unsigned int side = 0; side < 2; side++)
		if ((side == pair->at || both) &&
		    bench_pair_huge_bytes(pair, side) != pair->len_bytes)
			return false;
	return true;
}

/* Huge pages anew, at side 0, and nothing at side 1, not even page tables. */
static void rebuild(struct bench_worker *worker)
{
	struct bench_pair *pair = &worker->target.pair;
	int rc;

	bench_target_detach(&worker->target);
	rc = bench_pair_map(pair);
	if (!rc)
		rc = bench_target_attach(&worker->target);
	if (rc) {
		fail(worker, "preparing memory", rc);
		return;
	}
	bench_worker_fill(worker, 0, pair->len_bytes);
	if (is_huge(worker))
		return;
	worker->failed = true;
	snprintf(worker->why, sizeof(worker->why),
		 "only %zu of %zu KiB became huge pages",
		 bench_pair_huge_bytes(pair, 0) >> 10, pair->len_bytes >> 10);
}

/* Sees to it that a sample with huge pages starts with huge pages. */
static void refresh(struct bench_worker *worker)
{
	if (!worker->target.pair.thp)
		return;
	if (worker->always_fresh || !is_huge(worker)) {
		rebuild(worker);
		/* What one sweep splits, the next one would find split. */
		worker->repeat = 1;
	}
}

static void moved_by(const struct bench_worker *worker,
		     struct pagemv_stats *stats)
{
	*stats = (struct pagemv_stats){ .size = sizeof(*stats) };
	pagemv_stats(worker->target.pv, stats);
}

/* Which mechanisms the library used between two readings. */
static uint32_t mechanisms_between(const struct pagemv_stats *before,
				   const struct pagemv_stats *after)
{
	uint32_t used = 0;

	for (unsigned int m = 0; m < PAGEMV_MECH_COUNT; m++)
		if (after->moved_by[m] != before->moved_by[m])
			used |= PAGEMV_MECH_BIT(m);
	return used;
}

/* What the method before left in the caches is not this one's: a sweep that
 * is not timed goes first, where it is short enough to matter. */
static bool wants_warm_caches(const struct bench_worker *worker)
{
	return worker->stays && worker->sweep_ns < WARM_NS;
}

void bench_worker_warm(struct bench_worker *worker)
{
	struct pagemv_stats before, after;
	uint64_t start_ns, sweep_start_ns, end_ns;
	double repeat;

	if (worker->failed || !sweep(worker))
		return;
	moved_by(worker, &before);
	start_ns = bench_now_ns();
	refresh(worker);
	sweep_start_ns = bench_now_ns();
	if (worker->failed || !sweep(worker))
		return;
	end_ns = bench_now_ns();
	moved_by(worker, &after);
	worker->used = mechanisms_between(&before, &after);
	worker->stays = !worker->target.pair.thp ||
			(!worker->always_fresh && is_huge(worker));
	worker->sweep_ns = (double)(end_ns - sweep_start_ns);
	repeat = SAMPLE_NS / worker->sweep_ns;
	worker->repeat = repeat < 1	       ? 1
			 : repeat > MAX_REPEAT ? MAX_REPEAT
					       : (unsigned int)repeat;
	if (worker->always_fresh)
		worker->repeat = 1;
	worker->cost_ns =
		(double)(sweep_start_ns - start_ns) +
		worker->sweep_ns * (worker->repeat + wants_warm_caches(worker));
}

static void keep(struct bench_worker *worker, struct bench_samples *samples,
		 double value)
{
	if (bench_samples_add(samples, value))
		fail(worker, "keeping samples", -ENOMEM);
}

void bench_worker_sample(struct bench_worker *worker)
{
	struct bench_pair *pair = &worker->target.pair;
	uint64_t start_ns, end_ns;
	double pages;

	if (wants_warm_caches(worker) && !sweep(worker))
		return;
	refresh(worker);
	if (worker->failed)
		return;
	start_ns = bench_now_ns();
	for (unsigned int i = 0; i < worker->repeat; i++)
		if (!sweep(worker))
			return;
	end_ns = bench_now_ns();
	pages = (double)(pair->len_bytes / pair->page_bytes) * worker->repeat;
	keep(worker, &worker->samples, (double)(end_ns - start_ns) / pages);
}

void bench_worker_doubt(struct bench_worker *worker)
{
	if (worker->failed || !worker->samples.n)
		return;
	worker->samples.n--;
	keep(worker, &worker->doubtful,
	     worker->samples.value[worker->samples.n]);
}

void bench_worker_trust(struct bench_worker *worker)
{
	for (size_t i = 0; i < worker->doubtful.n; i++)
		keep(worker, &worker->samples, worker->doubtful.value[i]);
	worker->doubtful.n = 0;
}

void bench_worker_verify(struct bench_worker *worker)
{
	size_t first = 0, bad;

	if (worker->failed)
		return;
	bad = bench_pair_verify(&worker->target.pair, VERSION, &first);
	if (!bad)
		return;
	worker->failed = true;
	worker->corrupt = true;
	snprintf(worker->why, sizeof(worker->why),
		 "LOST OR CHANGED %zu pages, the first is number %zu", bad,
		 first);
}
