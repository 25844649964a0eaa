// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv bench malloc: the options, and the rounds that all rows take part in.
 */
#include "args.h"
#include "bench.h"
#include "interrupt.h"
#include "malloc_program.h"
#include "malloc_results.h"
#include "progress.h"
#include "tool.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SECONDS	      180
#define QUICK_SECONDS	      20
#define LEAST_ROUNDS	      9
#define QUICK_ROUNDS	      1
#define THRESHOLD_TURNS	      15
#define QUICK_THRESHOLD_TURNS 3
#define PATIENCE_S	      120
#define DEFAULT_ALLOCATORS                         \
	(BENCH_ALLOCATOR_BIT(BENCH_GLIBC) |        \
	 BENCH_ALLOCATOR_BIT(BENCH_JEMALLOC) |     \
	 BENCH_ALLOCATOR_BIT(BENCH_PAGEMV_GLIBC) | \
	 BENCH_ALLOCATOR_BIT(BENCH_PAGEMV_JEMALLOC))

enum key { KEY_TIME = BENCH_KEY_OWN, KEY_PATTERNS, KEY_ALLOCATORS };

struct options {
	struct bench_output output;
	bool quick;
	double seconds;	       /* 0: the default, as what follows */
	unsigned int patterns; /* bits, by their place in the table */
	unsigned int allocators;
};

struct run {
	const struct options *options;
	struct malloc_results *results;
	struct bench_progress progress;
	uint64_t start_ns;
};

static const struct argp_option argp_options[] = {
	BENCH_ARGS_OUTPUT,
	{ "quick", BENCH_KEY_QUICK, NULL, 0,
	  "Fewer samples: about half a minute", 0 },
	{ "time", KEY_TIME, "SECONDS", 0,
	  "How long to measure, about (180; 20 with --quick)", 0 },
	{ "patterns", KEY_PATTERNS, "NAME,...", 0, "Only these", 0 },
	{ "allocators", KEY_ALLOCATORS, "NAME,...", 0, "Only these", 0 },
	{ 0 },
};

static void take_pattern(struct argp_state *state, const char *name)
{
	const struct malloc_pattern *pattern = malloc_pattern_find(name);
	struct options *options = state->input;

	if (pattern)
		options->patterns |= 1u << (pattern - malloc_patterns);
	else
		argp_error(state, "unknown pattern '%s'", name);
}

static void take_allocator(struct argp_state *state, const char *name)
{
	struct options *options = state->input;

	options->allocators |= bench_args_allocator(state, name);
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
	default:
		return bench_args_common(state, key, arg, &options->output,
					 &options->quick);
	}
}

static void tell_names(FILE *out)
{
	fputs("Patterns:\n", out);
	for (size_t i = 0; i < MALLOC_PATTERNS; i++)
		fprintf(out, "  %-12s %s\n", malloc_patterns[i].name,
			malloc_patterns[i].summary);
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
		.doc = "Measures what the shim costs programs that it is of no "
		       "use to: small and mixed sizes, with the shim and "
		       "without, each sample in a process of its own.\v ",
		.help_filter = filter_help,
	};

	*options = (struct options){ 0 };
	argp_parse(&argp, argc, argv, 0, NULL, options);
	if (!options->seconds)
		options->seconds = options->quick ? QUICK_SECONDS
						  : DEFAULT_SECONDS;
	if (!options->patterns)
		options->patterns = (1u << MALLOC_PATTERNS) - 1;
	if (!options->allocators)
		options->allocators = DEFAULT_ALLOCATORS;
}

static void describe(struct malloc_results *results,
		     const struct options *options)
{
	for (size_t p = 0; p < MALLOC_PATTERNS; p++)
		for (unsigned int id = 0; id < BENCH_ALLOCATORS; id++)
			if (options->patterns & 1u << p &&
			    options->allocators & BENCH_ALLOCATOR_BIT(id))
				results->row[results->rows++] =
					(struct malloc_row){
						.pattern = &malloc_patterns[p],
						.allocator = id,
					};
	if (getenv("PAGEMV_CONF"))
		bench_about_note(&results->about, "PAGEMV_CONF is set: %s",
				 getenv("PAGEMV_CONF"));
}

static void show(struct run *run, const char *doing, double done)
{
	bench_progress_update(&run->progress, done, doing);
}

static bool is_program(const struct malloc_pattern *pattern)
{
	return pattern->kind == MALLOC_REDIS || pattern->kind == MALLOC_PYTHON;
}

/* What is not there is told before anything is measured. */
static void check(struct run *run)
{
	struct malloc_results *results = run->results;

	bench_work_check_all(run->options->allocators, results->missing);
	for (size_t i = 0; i < results->rows; i++) {
		struct malloc_row *row = &results->row[i];

		memcpy(row->why, results->missing[row->allocator],
		       sizeof(row->why));
		if (!row->why[0] && is_program(row->pattern))
			(void)malloc_program_available(row->pattern, row->why);
	}
}

static double passed_s(const struct run *run)
{
	return (double)(bench_now_ns() - run->start_ns) / 1e9;
}

static void take_turn(struct run *run, struct malloc_row *row)
{
	const char *words[] = { row->pattern->name, NULL };
	struct bench_work work = { 0 };
	char why[160];
	int rc;

	if (is_program(row->pattern))
		rc = malloc_program_run(row->pattern, row->allocator, &work,
					why);
	else
		rc = bench_work_run(row->allocator, "churn", words, PATIENCE_S,
				    &work, why);
	if (rc == -EINTR)
		return;
	run->results->corrupt |= rc == -EIO;
	if (rc)
		snprintf(row->why, sizeof(row->why), "%.159s",
			 why[0] ? why : strerror(-rc));
	else
		malloc_row_add(row, &work);
}

/* All allocators one after the other, in random order. */
static void run_pattern(struct run *run, size_t first)
{
	struct malloc_results *results = run->results;
	const struct malloc_pattern *pattern = results->row[first].pattern;
	size_t order[BENCH_ALLOCATORS];
	size_t n = 0;

	for (size_t i = first;
	     i < results->rows && results->row[i].pattern == pattern; i++)
		order[n++] = i;
	bench_shuffle(order, n);
	for (size_t i = 0; i < n && !bench_interrupted(); i++) {
		struct malloc_row *row = &results->row[order[i]];
		char label[100];

		if (row->why[0])
			continue;
		snprintf(label, sizeof(label), "%s, %s", pattern->name,
			 bench_allocator_name(row->allocator));
		show(run, label, passed_s(run) / run->options->seconds);
		take_turn(run, row);
	}
}

static void run_rounds(struct run *run)
{
	struct malloc_results *results = run->results;
	unsigned int least = run->options->quick ? QUICK_ROUNDS : LEAST_ROUNDS;
	size_t first[MALLOC_PATTERNS];
	size_t patterns = 0;

	for (size_t i = 0; i < results->rows; i++)
		if (!i ||
		    results->row[i].pattern != results->row[i - 1].pattern)
			first[patterns++] = i;
	for (unsigned int n = 0;
	     n < least || passed_s(run) < run->options->seconds; n++) {
		bench_shuffle(first, patterns);
		for (size_t i = 0; i < patterns; i++) {
			if (bench_interrupted())
				return;
			run_pattern(run, first[i]);
		}
	}
}

static bool measured_any(const struct malloc_results *results)
{
	for (size_t i = 0; i < results->rows; i++)
		if (results->row[i].median_ns)
			return true;
	return false;
}

static bool any_to_measure(const struct malloc_results *results)
{
	for (size_t i = 0; i < results->rows; i++)
		if (!results->row[i].why[0])
			return true;
	return false;
}

static void measure(struct run *run)
{
	struct malloc_results *results = run->results;

	run->start_ns = bench_now_ns();
	bench_progress_begin(&run->progress);
	bench_interrupt_catch();
	bench_random_seed(bench_now_ns());
	show(run, "looking for allocators", 0);
	check(run);
	show(run, "threshold", 0);
	malloc_threshold_measure(&results->threshold,
				 run->options->quick ? QUICK_THRESHOLD_TURNS
						     : THRESHOLD_TURNS);
	if (any_to_measure(results))
		run_rounds(run);
	bench_progress_end(&run->progress);
	results->about.interrupted = bench_interrupted();
	results->about.seconds = passed_s(run);
	malloc_results_sum_up(results);
}

static int report(const struct options *options,
		  const struct malloc_results *results)
{
	const struct bench_end end = {
		.corrupt = results->corrupt ? "contents were lost or changed"
					    : NULL,
		.interrupted = results->about.interrupted,
		.measured = measured_any(results),
	};

	return bench_output_report(&options->output, &malloc_telling, results,
				   &end);
}

int bench_malloc(int argc, char **argv)
{
	static struct malloc_results results;
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
	malloc_results_free(&results);
	return status;
}
