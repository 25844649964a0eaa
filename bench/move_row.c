// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The memory of all methods is alive at the same time and filled in small
 * slices in turn, so that none gets better physical pages than another. It
 * is given back and filled anew between epochs, for the same reason.
 */
#include "move_row.h"
#include "interrupt.h"
#include "move_worker.h"
#include "text.h"

#define MIN_RUNS     5	  /* of the slowest methods */
#define SLOW_PART    0.05 /* of a round: a slow method takes more */
#define TOO_FEW_RUNS 3	  /* even for a machine that is too slow */
#define MAX_ROUNDS   2000
#define BUSY_ENOUGH  0.95

struct job {
	struct bench_run *run;
	const struct bench_condition *at;
	struct bench_worker *worker;
	size_t n;
	size_t len_bytes;
	size_t huge_bytes;
	uint64_t budget_ns;
	uint64_t deadline_ns;
	uint64_t grace_ns; /* how much later is still tolerable */
	unsigned int epochs, epochs_min;
	unsigned int rounds;   /* in an epoch */
	unsigned int round;    /* of all */
	unsigned int taken;    /* samples beside a neighbour */
	unsigned int doubtful; /* of these: it was not busy */
};

static void shuffled(size_t *order, size_t n)
{
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	bench_shuffle(order, n);
}

static void show(const struct job *job, double part)
{
	struct bench_run *run = job->run;
	char size[24], label[80];

	bench_format_bytes(job->at->pages * run->results->page_bytes, size,
			   sizeof(size));
	snprintf(label, sizeof(label), "%s, THP %s, %d busy", size,
		 job->at->thp ? "on" : "off", job->at->busy);
	bench_progress_update(&run->progress,
			      ((double)run->row + part) / (double)run->rows,
			      label);
}

/* Maps and fills the memory of all. */
static void build(struct job *job)
{
	size_t order[BENCH_METHODS];

	shuffled(order, job->n);
	for (size_t i = 0; i < job->n; i++)
		bench_worker_open(&job->worker[order[i]], job->len_bytes,
				  job->huge_bytes, job->at->thp);
	for (size_t off = 0; off < job->len_bytes; off += job->huge_bytes) {
		shuffled(order, job->n);
		for (size_t i = 0; i < job->n; i++)
			if (!job->worker[order[i]].failed)
				bench_worker_fill(&job->worker[order[i]], off,
						  job->huge_bytes);
		if (bench_interrupted())
			return;
	}
	for (size_t i = 0; i < job->n && !bench_interrupted(); i++)
		bench_worker_warm(&job->worker[i]);
}

static double round_cost_ns(const struct job *job)
{
	double sum = 0;

	for (size_t i = 0; i < job->n; i++)
		if (!job->worker[i].failed)
			sum += job->worker[i].cost_ns / job->worker[i].stride;
	return sum;
}

/* The method that takes most of the time and can do with fewer samples. */
static struct bench_worker *find_slowest(struct job *job, double rounds)
{
	double most = round_cost_ns(job) * SLOW_PART;
	struct bench_worker *slowest = NULL;

	for (size_t i = 0; i < job->n; i++) {
		struct bench_worker *worker = &job->worker[i];
		double cost_ns = worker->cost_ns / worker->stride;

		if (worker->failed || cost_ns <= most ||
		    rounds / (worker->stride * 2) < MIN_RUNS)
			continue;
		most = cost_ns;
		slowest = worker;
	}
	return slowest;
}

/* Where there is no time for as many rounds as wanted after all. */
static void relax_strides(struct job *job, double rounds)
{
	for (size_t i = 0; i < job->n; i++) {
		struct bench_worker *worker = &job->worker[i];

		while (worker->stride > 1 && rounds / worker->stride < MIN_RUNS)
			worker->stride /= 2;
	}
}

/*
 * How many rounds the time is good for. Where they would be few, the slow
 * methods sit out some of them: the bars that are tight are between fast ones.
 */
static void plan(struct job *job, double build_ns)
{
	bool small = job->at->pages * job->run->results->page_bytes <
		     job->huge_bytes;
	double wanted = job->run->quick ? 41 : small ? 101 : 241;
	double left_ns = (double)job->deadline_ns - (double)bench_now_ns();
	double rounds, floor = job->run->quick ? 9 : small ? 41 : 15;
	struct bench_worker *slowest;

	if (left_ns < 2 * build_ns * (job->epochs - 1) &&
	    job->epochs > job->epochs_min)
		job->epochs = job->epochs_min;
	left_ns -= build_ns * (job->epochs - 1);
	rounds = left_ns / round_cost_ns(job);
	while (rounds < wanted && (slowest = find_slowest(job, wanted))) {
		slowest->stride *= 2;
		rounds = left_ns / round_cost_ns(job);
	}
	if (!(rounds >= floor))
		rounds = floor;
	if (rounds > MAX_ROUNDS)
		rounds = MAX_ROUNDS;
	job->rounds = (unsigned int)(rounds / job->epochs) + 1;
	relax_strides(job, rounds);
}

/* A neighbour that had to wait for its CPU was not busy all the time. */
static void sample(struct job *job, struct bench_worker *worker)
{
	const struct bench_neighbour *neighbour = &job->run->neighbour;
	uint64_t start_ns = bench_now_ns();
	uint64_t cpu_ns = 0;

	if (neighbour->running)
		cpu_ns = bench_neighbour_cpu_ns(neighbour);
	bench_worker_sample(worker);
	if (!neighbour->running)
		return;
	job->taken++;
	cpu_ns = bench_neighbour_cpu_ns(neighbour) - cpu_ns;
	if ((double)cpu_ns >= BUSY_ENOUGH * (double)(bench_now_ns() - start_ns))
		return;
	job->doubtful++;
	bench_worker_doubt(worker);
}

static void run_round(struct job *job)
{
	size_t order[BENCH_METHODS];

	shuffled(order, job->n);
	for (size_t i = 0; i < job->n && !bench_interrupted(); i++) {
		struct bench_worker *worker = &job->worker[order[i]];

		if (!worker->failed &&
		    (job->round + order[i]) % worker->stride == 0)
			sample(job, worker);
	}
	job->round++;
}

/* Where the machine is slower than planned, fewer rounds have to do. */
static bool out_of_time(const struct job *job, bool last)
{
	size_t least = SIZE_MAX;

	if (bench_now_ns() <= job->deadline_ns + job->grace_ns)
		return false;
	for (size_t i = 0; i < job->n; i++) {
		const struct bench_worker *worker = &job->worker[i];
		size_t n = worker->samples.n + worker->doubtful.n;

		if (!worker->failed && n < least)
			least = n;
	}
	return !last || least >= TOO_FEW_RUNS;
}

static void run_epoch(struct job *job, unsigned int epoch)
{
	uint64_t start_ns = bench_now_ns();
	bool last;

	build(job);
	if (epoch == 0 && !bench_interrupted())
		plan(job, (double)(bench_now_ns() - start_ns));
	last = epoch + 1 == job->epochs;
	for (unsigned int i = 0; i < job->rounds; i++) {
		if (bench_interrupted() || out_of_time(job, last))
			break;
		run_round(job);
		show(job, (double)job->round / (job->rounds * job->epochs));
	}
	for (size_t i = 0; i < job->n; i++) {
		if (!bench_interrupted())
			bench_worker_verify(&job->worker[i]);
		bench_worker_close(&job->worker[i]);
	}
}

/*
 * Doubtful samples are left out where the others suffice, for all methods
 * alike, so that what is compared was measured beside the same neighbour.
 */
static void settle_doubts(struct job *job, struct bench_row *row)
{
	bool enough = true;

	for (size_t i = 0; i < job->n; i++)
		enough &= job->worker[i].failed ||
			  job->worker[i].samples.n >= MIN_RUNS;
	row->disturbed |= !enough && job->doubtful > job->taken / 10;
	for (size_t i = 0; i < job->n && !enough; i++)
		bench_worker_trust(&job->worker[i]);
	if (job->doubtful > job->taken / 10)
		bench_about_note(
			&job->run->results->about,
			"%zu pages, THP %s: the neighbour had to wait for its "
			"CPU beside %u of %u samples; %s",
			job->at->pages, job->at->thp ? "on" : "off",
			job->doubtful, job->taken,
			enough ? "they are left out"
			       : "the others are too few, so that the row is "
				 "not judged");
}

static void store(struct job *job, struct bench_row *row)
{
	struct bench_results *results = job->run->results;

	for (size_t i = 0; i < job->n; i++) {
		struct bench_worker *worker = &job->worker[i];
		enum bench_method_id id = worker->target.id;
		struct bench_cell *cell = &row->cell[id];

		if (worker->failed) {
			bench_results_skip(results, (int)id, job->at,
					   worker->why);
			results->corrupt |= worker->corrupt;
			continue;
		}
		cell->median_ns = bench_samples_median(&worker->samples);
		cell->min_ns = bench_samples_min(&worker->samples);
		cell->max_ns = bench_samples_max(&worker->samples);
		cell->runs = (unsigned int)worker->samples.n;
		cell->used = worker->used;
	}
}

/* Measures the methods that fit into memory together. */
static void run_group(struct job *job, struct bench_row *row,
		      const enum bench_method_id *id, size_t n)
{
	size_t chunk_bytes = job->at->pages * job->run->results->page_bytes;
	struct bench_worker worker[BENCH_METHODS];

	job->worker = worker;
	job->n = n;
	job->round = job->rounds = 0;
	job->taken = job->doubtful = 0;
	for (size_t i = 0; i < n; i++)
		bench_worker_init(&worker[i], id[i], job->run->backend,
				  chunk_bytes);
	for (unsigned int e = 0; e < job->epochs && !bench_interrupted(); e++)
		run_epoch(job, e);
	settle_doubts(job, row);
	store(job, row);
	for (size_t i = 0; i < n; i++)
		bench_worker_free(&worker[i]);
}

/*
 * How many of the methods fit into memory at the same time. One len_bytes is
 * for the copy that a copying method has for a moment.
 */
static size_t fitting(const struct job *job, const enum bench_method_id *id,
		      size_t n)
{
	uint64_t bytes = job->len_bytes;
	size_t i;

	for (i = 0; i < n; i++) {
		bytes += job->len_bytes;
		if (bench_method_keeps_source(id[i]))
			bytes += job->len_bytes;
		if (bytes > job->run->memory_bytes)
			break;
	}
	return i;
}

static void run_groups(struct job *job, struct bench_row *row,
		       const enum bench_method_id *id, size_t n)
{
	uint64_t per_method_ns = job->budget_ns / n;
	unsigned int groups = 0;
	size_t group;

	for (; n && !bench_interrupted(); n -= group, id += group) {
		group = fitting(job, id, n);
		if (!group)
			break;
		job->deadline_ns = bench_now_ns() + per_method_ns * group;
		job->grace_ns = per_method_ns * group / 2;
		run_group(job, row, id, group);
		groups++;
	}
	if (n && !bench_interrupted())
		bench_results_skip(job->run->results, -1, job->at,
				   "not enough memory");
	else if (groups > 1)
		bench_about_note(&job->run->results->about,
				 "%zu pages, THP %s, %d busy: memory allows "
				 "some methods at a time only, measured in %u "
				 "groups",
				 job->at->pages, job->at->thp ? "on" : "off",
				 job->at->busy, groups);
}

void bench_row_measure(struct bench_run *run, const struct bench_condition *at,
		       double seconds)
{
	size_t chunk_bytes = at->pages * run->results->page_bytes;
	size_t huge_bytes = run->results->huge_pages * run->results->page_bytes;
	bool small = chunk_bytes < huge_bytes;
	struct bench_row *row = bench_results_add_row(run->results, at);
	enum bench_method_id id[BENCH_METHODS];
	struct job job = {
		.run = run,
		.at = at,
		.len_bytes = small ? huge_bytes : chunk_bytes,
		.huge_bytes = huge_bytes,
		.budget_ns = (uint64_t)(seconds * 1e9),
		/* Small moves of huge pages start with new memory each time. */
		.epochs = small && at->thp		   ? 1
			  : chunk_bytes <= 16 * huge_bytes ? 4
			  : at->thp			   ? 5
							   : 2,
		/* Where the huge pages lie in memory is worth some percent. */
		.epochs_min = !small && at->thp && !run->quick ? 3 : 1,
	};
	size_t n = 0;

	if (!row)
		return;
	for (unsigned int i = 0; i < BENCH_METHODS; i++)
		if (run->methods & BENCH_METHOD_BIT(i))
			id[n++] = i;
	show(&job, 0);
	if (n)
		run_groups(&job, row, id, n);
}
