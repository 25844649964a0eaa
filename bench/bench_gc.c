// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv bench gc: the options, and the turns that all kinds take.
 */
#include "args.h"
#include "bench.h"
#include "gc_results.h"
#include "interrupt.h"
#include "progress.h"
#include "tool.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURNS	    5
#define QUICK_TURNS 2
/* A heap is measured where there is memory for three of them. */
#define HEAPS_NEEDED 3

enum key {
	KEY_TURNS = BENCH_KEY_OWN,
	KEY_MODES,
	KEY_WORKLOADS,
	KEY_HEAPS,
	KEY_MUTATORS
};

struct options {
	struct bench_output output;
	bool quick;
	unsigned int turns; /* 0: the default */
	struct gc_choice choice;
};

struct run {
	const struct options *options;
	struct gc_results *results;
	struct bench_progress progress;
};

static const struct argp_option argp_options[] = {
	BENCH_ARGS_OUTPUT,
	{ "quick", BENCH_KEY_QUICK, NULL, 0,
	  "64 MiB, one mutator, two collections: about half a minute", 0 },
	{ "turns", KEY_TURNS, "N", 0, "Collections of each row (5)", 0 },
	{ "modes", KEY_MODES, "NAME,...", 0, "Only these", 0 },
	{ "workloads", KEY_WORKLOADS, "NAME,...", 0, "Only these", 0 },
	{ "heaps", KEY_HEAPS, "MIB,...", 0,
	  "What is to be alive (64,256,1024), up to four of them", 0 },
	{ "mutators", KEY_MUTATORS, "N", 0, "1 to N of them, 2 at most (2)",
	  0 },
	{ 0 },
};

/* ---- options ---- */

static unsigned int find(const char *const names[], unsigned int n,
			 const char *word)
{
	for (unsigned int i = 0; i < n; i++)
		if (!strcmp(names[i], word))
			return i;
	return n;
}

static void take_mode(struct argp_state *state, const char *word)
{
	struct options *options = state->input;
	unsigned int mode = find(gc_mode_name, GC_MODES, word);

	if (mode == GC_MODES)
		argp_error(state, "unknown mode '%s'", word);
	options->choice.modes |= 1u << mode;
}

static void take_workload(struct argp_state *state, const char *word)
{
	struct options *options = state->input;
	unsigned int workload = find(gc_workload_name, GC_WORKLOADS, word);

	if (workload == GC_WORKLOADS)
		argp_error(state, "unknown workload '%s'", word);
	options->choice.workloads |= 1u << workload;
}

static void take_heap(struct argp_state *state, const char *word)
{
	struct options *options = state->input;
	double mib = bench_args_number(state, "--heaps", word);

	if (options->choice.heaps == 4 || mib < 1 || mib > 65536)
		argp_error(state, "--heaps: up to four, of 1 to 65536 MiB");
	options->choice.heap_mib[options->choice.heaps++] = (unsigned int)mib;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case KEY_TURNS:
		options->turns =
			(unsigned int)bench_args_number(state, "--turns", arg);
		return 0;
	case KEY_MODES:
		bench_args_list(state, arg, take_mode);
		return 0;
	case KEY_WORKLOADS:
		bench_args_list(state, arg, take_workload);
		return 0;
	case KEY_HEAPS:
		bench_args_list(state, arg, take_heap);
		return 0;
	case KEY_MUTATORS:
		options->choice.mutators_max =
			bench_args_number(state, "--mutators", arg) < 2 ? 1 : 2;
		return 0;
	default:
		return bench_args_common(state, key, arg, &options->output,
					 &options->quick);
	}
}

static void fill_in(struct options *options)
{
	static const unsigned int heaps[] = { 64, 256, 1024 };
	struct gc_choice *choice = &options->choice;

	if (!options->turns)
		options->turns = options->quick ? QUICK_TURNS : TURNS;
	if (!choice->modes)
		choice->modes = ~0u;
	if (!choice->workloads)
		choice->workloads = ~0u;
	if (!choice->mutators_max)
		choice->mutators_max = options->quick ? 1 : 2;
	if (choice->heaps)
		return;
	choice->heaps = options->quick ? 1 : 3;
	memcpy(choice->heap_mib, heaps, sizeof(heaps));
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct argp argp = {
		.options = argp_options,
		.parser = parse,
		.doc = "Measures a compacting collector (examples/compact-gc) "
		       "on the library, by workload, heap and number of "
		       "threads: how long threads stop, and how long it "
		       "takes.\v"
		       "Modes: stw-copy (threads are stopped while objects "
		       "are copied), stw-move (while pages are moved), "
		       "conc-copy-thread, conc-copy-signal (beside them, by "
		       "UFFDIO_COPY), conc-move (by UFFDIO_MOVE). Workloads: "
		       "binary-trees, lru-cache, large-arrays. All that is "
		       "read is verified. Machines are noisy: compare figures "
		       "of one run only. Ctrl-C leaves what is measured.",
	};

	*options = (struct options){ 0 };
	argp_parse(&argp, argc, argv, 0, NULL, options);
	fill_in(options);
}

/* ---- measuring ---- */

static void show(struct run *run, size_t i, double done)
{
	const struct gc_kind *kind = &run->results->row[i].kind;
	char label[100];

	snprintf(label, sizeof(label), "%s, %s, %u MiB, %u mutators",
		 gc_workload_name[kind->workload], gc_mode_name[kind->mode],
		 kind->heap_mib, kind->mutators);
	bench_progress_update(&run->progress, done, label);
}

static size_t free_mib(void)
{
	return (size_t)sysconf(_SC_AVPHYS_PAGES) /
	       ((1u << 20) / (size_t)sysconf(_SC_PAGESIZE));
}

static void take_why(struct gc_row *row, const struct bench_child *child,
		     int rc)
{
	const char *why = child->shared ? child->shared->why : "";

	if (rc != -EINTR)
		snprintf(row->why, sizeof(row->why), "%.159s",
			 why[0] ? why : strerror(-rc));
}

static void start(struct run *run, size_t i, struct bench_child *child)
{
	struct gc_row *row = &run->results->row[i];
	size_t mib = (size_t)HEAPS_NEEDED * row->kind.heap_mib;
	int rc;

	if (free_mib() < mib) {
		snprintf(row->why, sizeof(row->why),
			 "it needs %zu MiB of free memory, there are %zu", mib,
			 free_mib());
		return;
	}
	rc = bench_child_start(child, &gc_case_part, &row->kind);
	if (rc < 0) {
		take_why(row, child, rc);
		bench_child_stop(child);
	}
}

static void take_turn(struct run *run, size_t i, struct bench_child *child)
{
	struct gc_row *row = &run->results->row[i];
	const struct gc_shared *shared;
	int rc;

	if (!child->pid)
		return;
	rc = bench_child_turn(child);
	shared = (const struct gc_shared *)child->shared;
	run->results->corrupt |= shared->wrong != 0;
	if (rc == 0)
		gc_row_add(row, shared);
	else
		take_why(row, child, rc);
}

/* Rows that are measured in turns; those that differ in their mode alone, if
 * there is memory for all of them. */
static size_t batch(const struct gc_results *results, size_t first)
{
	const struct gc_kind *kind = &results->row[first].kind;
	size_t n = 1;

	while (first + n < results->rows) {
		struct gc_kind next = results->row[first + n].kind;

		next.mode = kind->mode;
		if (!gc_kind_equal(&next, kind))
			break;
		n++;
	}
	return free_mib() < n * HEAPS_NEEDED * kind->heap_mib ? 1 : n;
}

static void measure_batch(struct run *run, size_t first, size_t n)
{
	struct bench_child child[GC_MODES] = { 0 };
	unsigned int turns = run->options->turns;
	size_t order[GC_MODES];

	for (size_t i = 0; i < n; i++) {
		order[i] = i;
		child[i].fd = -1;
		if (!bench_interrupted())
			start(run, first + i, &child[i]);
	}
	for (unsigned int t = 0; t < turns; t++) {
		bench_shuffle(order, n);
		for (size_t i = 0; i < n && !bench_interrupted(); i++) {
			show(run, first + order[i],
			     ((double)first + (double)(t * n + i) / turns) /
				     (double)run->results->rows);
			take_turn(run, first + order[i], &child[order[i]]);
		}
	}
	for (size_t i = 0; i < n; i++)
		bench_child_free(&child[i]);
}

static void measure(struct run *run)
{
	struct gc_results *results = run->results;
	uint64_t start_ns = bench_now_ns();
	size_t n;

	bench_progress_begin(&run->progress);
	bench_interrupt_catch();
	bench_random_seed(start_ns);
	for (size_t i = 0; i < results->rows && !bench_interrupted(); i += n) {
		n = batch(results, i);
		measure_batch(run, i, n);
	}
	bench_progress_end(&run->progress);
	results->about.interrupted = bench_interrupted();
	results->about.seconds = (double)(bench_now_ns() - start_ns) / 1e9;
	gc_results_sum_up(results);
}

static bool measured_any(const struct gc_results *results)
{
	for (size_t i = 0; i < results->rows; i++)
		if (gc_row_measured(&results->row[i]))
			return true;
	return false;
}

static int report(const struct options *options,
		  const struct gc_results *results)
{
	const struct bench_end end = {
		.corrupt = results->corrupt ? "objects were lost or changed"
					    : NULL,
		.interrupted = results->about.interrupted,
		.measured = measured_any(results),
	};

	return bench_output_report(&options->output, &gc_telling, results,
				   &end);
}

int bench_gc(int argc, char **argv)
{
	static struct gc_results results;
	struct gc_kind kind[GC_MAX_KINDS];
	struct run run = { .results = &results };
	struct options options;
	int status;

	bench_about_init(&results.about, argc, argv);
	parse_options(argc, argv, &options);
	if (!bench_output_ready(&options.output))
		return TOOL_FAILED;
	run.options = &options;
	results.rows = gc_kinds(kind, &options.choice);
	for (size_t i = 0; i < results.rows; i++)
		results.row[i].kind = kind[i];
	measure(&run);
	status = report(&options, &results);
	gc_results_free(&results);
	return status;
}
