// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv bench realloc: the options, and the rounds that all rows take part in.
 */
#include "args.h"
#include "bench.h"
#include "interrupt.h"
#include "progress.h"
#include "realloc_results.h"
#include "tool.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SECONDS	 600
#define QUICK_SECONDS	 40
#define DEFAULT_BYTES	 ((size_t)1 << 30)
#define QUICK_BYTES	 ((size_t)128 << 20)
#define GIVE_UP_S	 15 /* those that copy at each step take hours */
#define QUICK_GIVE_UP_S	 5
#define LEAST_SAMPLES	 5 /* of what bars compare closely */
#define QUICK_HEAP_TURNS 3
#define HEAP_TURNS	 9
#define BUSY_FACTOR	 4 /* on a machine that does other things */
#define PATIENCE_FACTOR	 4 /* a step that copies is not interrupted */

enum key {
	KEY_TIME = BENCH_KEY_OWN,
	KEY_PATTERNS,
	KEY_ALLOCATORS,
	KEY_THREADS,
	KEY_MAX_SIZE,
	KEY_CPU
};

struct options {
	struct bench_output output;
	bool quick;
	bool cpu;
	double seconds; /* 0: the default, as what follows */
	size_t max_bytes;
	unsigned int patterns; /* bits, by their place in the table */
	unsigned int allocators;
	unsigned int threads[REALLOC_MAX_THREADS];
	size_t threads_n;
};

/* Of one row, while it is measured. */
struct turn {
	double used_s;
	bool over; /* it would not do better another time */
};

struct run {
	const struct options *options;
	struct realloc_results *results;
	struct bench_progress progress;
	struct turn turn[REALLOC_MAX_ROWS];
	uint64_t start_ns;
};

static const struct argp_option argp_options[] = {
	BENCH_ARGS_OUTPUT,
	{ "quick", BENCH_KEY_QUICK, NULL, 0,
	  "To 128 MiB, 1 and 8 threads, a sample or two: about a minute", 0 },
	{ "time", KEY_TIME, "SECONDS", 0,
	  "How long to measure, about (600; 40 with --quick)", 0 },
	{ "patterns", KEY_PATTERNS, "NAME,...", 0, "Only these", 0 },
	{ "allocators", KEY_ALLOCATORS, "NAME,...", 0, "Only these", 0 },
	{ "threads", KEY_THREADS, "N,...", 0,
	  "Only with so many threads, which share the size (1,2,8)", 0 },
	{ "max-size", KEY_MAX_SIZE, "MIB", 0,
	  "What is grown to, in MiB (1024; 128 with --quick)", 0 },
	{ "cpu", KEY_CPU, NULL, 0,
	  "Tell CPU time instead of what passed: for busy machines", 0 },
	{ 0 },
};

static void take_pattern(struct argp_state *state, const char *name)
{
	const struct realloc_pattern *pattern = realloc_pattern_find(name);
	struct options *options = state->input;

	if (pattern)
		options->patterns |= 1u << (pattern - realloc_patterns);
	else
		argp_error(state, "unknown pattern '%s'", name);
}

static void take_allocator(struct argp_state *state, const char *name)
{
	struct options *options = state->input;

	options->allocators |= bench_args_allocator(state, name);
}

static void take_threads(struct argp_state *state, const char *text)
{
	double n = bench_args_number(state, "--threads", text);
	struct options *options = state->input;

	if (n > 64 || n != (unsigned int)n ||
	    options->threads_n == REALLOC_MAX_THREADS)
		argp_error(state, "--threads: up to %d numbers, up to 64",
			   REALLOC_MAX_THREADS);
	options->threads[options->threads_n++] = (unsigned int)n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case KEY_TIME:
		options->seconds = bench_args_number(state, "--time", arg);
		return 0;
	case KEY_PATTERNS:
		bench_args_list(state, arg, take_pattern);
		return 0;
	case KEY_ALLOCATORS:
		bench_args_list(state, arg, take_allocator);
		return 0;
	case KEY_THREADS:
		bench_args_list(state, arg, take_threads);
		return 0;
	case KEY_MAX_SIZE:
		options->max_bytes =
			(size_t)bench_args_number(state, "--max-size", arg)
			<< 20;
		return 0;
	case KEY_CPU:
		options->cpu = true;
		return 0;
	default:
		return bench_args_common(state, key, arg, &options->output,
					 &options->quick);
	}
}

static void set_defaults(struct options *options)
{
	static const unsigned int full[] = { 1, 2, 8 }, quick[] = { 1, 8 };

	if (!options->seconds)
		options->seconds = options->quick ? QUICK_SECONDS
						  : DEFAULT_SECONDS;
	if (!options->max_bytes)
		options->max_bytes = options->quick ? QUICK_BYTES
						    : DEFAULT_BYTES;
	if (!options->patterns)
		options->patterns = (1u << REALLOC_PATTERNS) - 1;
	if (!options->allocators)
		options->allocators = BENCH_ALL_ALLOCATORS;
	if (options->threads_n)
		return;
	options->threads_n = options->quick ? 2 : 3;
	memcpy(options->threads, options->quick ? quick : full,
	       options->threads_n * sizeof(*full));
}

static void tell_names(FILE *out)
{
	fputs("Patterns:\n", out);
	for (size_t i = 0; i < REALLOC_PATTERNS; i++)
		fprintf(out, "  %-15s %s\n", realloc_patterns[i].name,
			realloc_patterns[i].summary);
	bench_args_tell_allocators(out);
}

static char *filter_help(int key, const char *text, void *input)
{
	(void)input;
	return bench_args_help(key, text, tell_names);
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct argp argp = {
		.options = argp_options,
		.parser = parse,
		.doc = "Measures how a block grows by realloc(), under several "
		       "allocators, with the shim and without, each sample in "
		       "a process of its own.\v ",
		.help_filter = filter_help,
	};

	*options = (struct options){ 0 };
	argp_parse(&argp, argc, argv, 0, NULL, options);
	set_defaults(options);
}

/* --- rows -------------------------------------------------------------- */

static void add_group(struct realloc_results *results,
		      const struct realloc_pattern *pattern,
		      unsigned int threads, unsigned int allocators)
{
	for (unsigned int id = 0; id < BENCH_ALLOCATORS; id++) {
		if (!(allocators & BENCH_ALLOCATOR_BIT(id)))
			continue;
		results->row[results->rows++] = (struct realloc_row){
			.pattern = pattern,
			.allocator = id,
			.threads = threads,
		};
	}
}

static void describe(struct realloc_results *results,
		     const struct options *options)
{
	results->max_bytes = options->max_bytes;
	results->cpu = options->cpu;
	results->threads_n = options->threads_n;
	memcpy(results->threads, options->threads, sizeof(results->threads));
	results->heap[1].huge = true;
	for (size_t t = 0; t < options->threads_n; t++)
		for (size_t p = 0; p < REALLOC_PATTERNS; p++)
			if (options->patterns & 1u << p &&
			    (options->threads[t] == 1 ||
			     !realloc_patterns[p].one_thread))
				add_group(results, &realloc_patterns[p],
					  options->threads[t],
					  options->allocators);
	if (options->max_bytes < DEFAULT_BYTES)
		bench_about_note(&results->about,
				 "blocks grow to %zu MiB; the bars are about "
				 "1024 MiB",
				 options->max_bytes >> 20);
	if (options->cpu)
		bench_about_note(&results->about,
				 "seconds are CPU time, of all threads that "
				 "grow a block");
	if (getenv("PAGEMV_CONF"))
		bench_about_note(&results->about, "PAGEMV_CONF is set: %s",
				 getenv("PAGEMV_CONF"));
}

/* --- measuring --------------------------------------------------------- */

static void show(struct run *run, const char *doing, double done)
{
	bench_progress_update(&run->progress, done, doing);
}

/* Rows of allocators that are not there are over before they begin. */
static void check_allocators(struct run *run)
{
	struct realloc_results *results = run->results;

	bench_work_check_all(run->options->allocators, results->missing);
	for (size_t i = 0; i < results->rows; i++) {
		struct realloc_row *row = &results->row[i];
		const char *why = results->missing[row->allocator];

		memcpy(row->why, why, sizeof(row->why));
		run->turn[i].over = why[0];
	}
}

static unsigned int least_samples(const struct run *run,
				  const struct realloc_row *row)
{
	if (run->options->quick)
		return 1;
	return row->allocator == BENCH_GLIBC ||
			       bench_allocator_is_shim(row->allocator)
		       ? LEAST_SAMPLES
		       : 1;
}

static double passed_s(const struct run *run)
{
	return (double)(bench_now_ns() - run->start_ns) / 1e9;
}

/* All rows get the same time, but for those that take long. */
static bool wants(const struct run *run, size_t i)
{
	const struct realloc_row *row = &run->results->row[i];
	double seconds = run->options->seconds;

	if (run->turn[i].over)
		return false;
	if (row->seconds.n < least_samples(run, row))
		return true;
	return passed_s(run) < seconds &&
	       run->turn[i].used_s < seconds / (double)run->results->rows;
}

static unsigned int give_up_s(const struct run *run)
{
	unsigned int s = run->options->quick ? QUICK_GIVE_UP_S : GIVE_UP_S;

	return run->options->cpu ? BUSY_FACTOR * s : s;
}

static int run_row(const struct run *run, const struct realloc_row *row,
		   struct bench_work *work, char why[160])
{
	char threads[16], bytes[32], limit[16];
	const char *words[] = { row->pattern->name, threads, bytes, limit,
				NULL };

	snprintf(threads, sizeof(threads), "%u", row->threads);
	snprintf(bytes, sizeof(bytes), "%zu", run->results->max_bytes);
	snprintf(limit, sizeof(limit), "%u", give_up_s(run));
	return bench_work_run(row->allocator, "grow", words,
			      30 + PATIENCE_FACTOR * give_up_s(run), work, why);
}

static void take_turn(struct run *run, size_t i)
{
	struct realloc_row *row = &run->results->row[i];
	uint64_t start_ns = bench_now_ns();
	struct bench_work work = { 0 };
	char why[160];
	int rc = run_row(run, row, &work, why);

	run->turn[i].used_s += (double)(bench_now_ns() - start_ns) / 1e9;
	if (rc == -EINTR)
		return;
	run->results->corrupt |= rc == -EIO;
	if (!rc && work.gave_up)
		snprintf(why, sizeof(why), "gave up after %u s, at %.0f MiB",
			 give_up_s(run), (double)work.bytes / (1 << 20));
	if (rc || work.gave_up) {
		memcpy(row->why, why, sizeof(row->why));
		run->turn[i].over = true;
		return;
	}
	realloc_row_add(row,
			run->options->cpu ? work.cpu_seconds : work.seconds,
			&work);
}

/* Rows of a group, one pattern under all allocators, follow each other. */
static size_t group_end(const struct realloc_results *results, size_t i)
{
	const struct realloc_row *first = &results->row[i];

	while (i < results->rows && results->row[i].pattern == first->pattern &&
	       results->row[i].threads == first->threads)
		i++;
	return i;
}

static bool run_group(struct run *run, size_t first)
{
	size_t n = group_end(run->results, first) - first;
	size_t order[BENCH_ALLOCATORS];
	bool any = false;

	for (size_t i = 0; i < n; i++)
		order[i] = first + i;
	bench_shuffle(order, n);
	for (size_t i = 0; i < n && !bench_interrupted(); i++) {
		const struct realloc_row *row = &run->results->row[order[i]];
		char label[100];

		if (!wants(run, order[i]))
			continue;
		snprintf(label, sizeof(label), "%s, %s, %u threads",
			 row->pattern->name,
			 bench_allocator_name(row->allocator), row->threads);
		show(run, label, passed_s(run) / run->options->seconds);
		take_turn(run, order[i]);
		any = true;
	}
	return any;
}

static void run_rounds(struct run *run)
{
	struct realloc_results *results = run->results;
	size_t group[REALLOC_MAX_ROWS];
	size_t groups = 0;
	bool any = true;

	for (size_t i = 0; i < results->rows; i = group_end(results, i))
		group[groups++] = i;
	while (any && !bench_interrupted()) {
		any = false;
		bench_shuffle(group, groups);
		for (size_t i = 0; i < groups && !bench_interrupted(); i++)
			any |= run_group(run, group[i]);
	}
}

static void measure(struct run *run)
{
	struct realloc_results *results = run->results;

	run->start_ns = bench_now_ns();
	bench_progress_begin(&run->progress);
	bench_interrupt_catch();
	bench_random_seed(bench_now_ns());
	show(run, "looking for allocators", 0);
	check_allocators(run);
	show(run, "heap", 0);
	realloc_heap_measure(results, run->options->quick ? QUICK_HEAP_TURNS
							  : HEAP_TURNS);
	run_rounds(run);
	bench_progress_end(&run->progress);
	results->about.interrupted = bench_interrupted();
	results->about.seconds = passed_s(run);
	realloc_results_sum_up(results);
}

static bool measured_any(const struct realloc_results *results)
{
	for (size_t i = 0; i < results->rows; i++)
		if (results->row[i].median_s)
			return true;
	return false;
}

static int report(const struct options *options,
		  const struct realloc_results *results)
{
	const struct bench_end end = {
		.corrupt = results->corrupt ? "contents were lost or changed"
					    : NULL,
		.interrupted = results->about.interrupted,
		.measured = measured_any(results),
	};

	return bench_output_report(&options->output, &realloc_telling, results,
				   &end);
}

int bench_realloc(int argc, char **argv)
{
	static struct realloc_results results;
	static struct run run = { .results = &results };
	struct options options;
	const char *missing;
	int status;

	bench_about_init(&results.about, argc, argv);
	parse_options(argc, argv, &options);
	missing = bench_work_find();
	if (missing) {
		fprintf(stderr, "pagemv: %s is not there\n", missing);
		return TOOL_FAILED;
	}
	if (!bench_output_ready(&options.output))
		return TOOL_FAILED;
	run.options = &options;
	describe(&results, &options);
	measure(&run);
	status = report(&options, &results);
	realloc_results_free(&results);
	return status;
}
