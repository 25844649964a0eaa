// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv bench move: the options, and what is measured in which order.
 */
#include "args.h"
#include "bench.h"
#include "host.h"
#include "interrupt.h"
#include "move_row.h"
#include "samples.h"
#include "tool.h"

#include <argp.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SIZES	   16
#define DEFAULT_SECONDS	   150
#define QUICK_SECONDS	   20
#define DEFAULT_HUGE_BYTES (2u << 20)

enum key {
	KEY_CROSSOVER = BENCH_KEY_OWN,
	KEY_MAX_MIB,
	KEY_TIME,
	KEY_NO_CALIBRATE,
	KEY_METHODS,
	KEY_SIZES
};

struct options {
	struct bench_output output;
	bool quick;
	bool crossover;
	bool calibrate;
	double seconds; /* 0: the default */
	size_t max_mib;
	unsigned int methods;
	size_t size[MAX_SIZES]; /* pages */
	size_t sizes;		/* 0: the default */
};

static const struct argp_option argp_options[] = {
	BENCH_ARGS_OUTPUT,
	{ "quick", BENCH_KEY_QUICK, NULL, 0,
	  "Fewer sizes and samples: about 20 s", 0 },
	{ "crossover", KEY_CROSSOVER, NULL, 0,
	  "Tell from which size on one way beats another", 0 },
	{ "max-mib", KEY_MAX_MIB, "N", 0, "Largest call, in MiB (256)", 0 },
	{ "time", KEY_TIME, "SECONDS", 0,
	  "How long to measure, about (150; 20 with --quick)", 0 },
	{ "methods", KEY_METHODS, "NAME,...", 0, "Only these methods", 0 },
	{ "sizes", KEY_SIZES, "PAGES,...", 0, "Only these sizes of a call", 0 },
	{ "no-calibrate", KEY_NO_CALIBRATE, NULL, 0,
	  "Let AUTO choose by its built-in costs", 0 },
	{ 0 },
};

static void take_method(struct argp_state *state, const char *name)
{
	enum bench_method_id id = bench_method_find(name);
	struct options *options = state->input;

	if (id == BENCH_METHODS)
		argp_error(state, "unknown method '%s'", name);
	options->methods |= BENCH_METHOD_BIT(id);
}

static void take_size(struct argp_state *state, const char *text)
{
	size_t pages = (size_t)bench_args_number(state, "--sizes", text);
	struct options *options = state->input;

	if (pages & (pages - 1))
		argp_error(state, "--sizes: %zu is not a power of two", pages);
	if (options->sizes == MAX_SIZES)
		argp_error(state, "--sizes: at most %d", MAX_SIZES);
	options->size[options->sizes++] = pages;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case KEY_CROSSOVER:
		options->crossover = true;
		return 0;
	case KEY_MAX_MIB:
		options->max_mib =
			(size_t)bench_args_number(state, "--max-mib", arg);
		return 0;
	case KEY_TIME:
		options->seconds = bench_args_number(state, "--time", arg);
		return 0;
	case KEY_METHODS:
		options->methods = 0;
		bench_args_list(state, arg, take_method);
		return 0;
	case KEY_SIZES:
		bench_args_list(state, arg, take_size);
		return 0;
	case KEY_NO_CALIBRATE:
		options->calibrate = false;
		return 0;
	default:
		return bench_args_common(state, key, arg, &options->output,
					 &options->quick);
	}
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct argp argp = {
		.options = argp_options,
		.parser = parse,
		.doc = "Measures every way of moving memory, from one page to "
		       "256 MiB a call, with small and huge pages, with and "
		       "without a busy neighbour thread.\v"
		       "Methods: auto, auto-remap, move, remap, copy (through "
		       "the library); raw-move, raw-remap, raw-copy (the bare "
		       "system calls); memcpy-fresh (into new memory, then "
		       "MADV_DONTNEED), memcpy-warm. Machines are noisy: "
		       "compare figures of one run only. Ctrl-C leaves what "
		       "is measured.",
	};

	*options = (struct options){
		.calibrate = true,
		.max_mib = 256,
		.methods = (1u << BENCH_METHODS) - 1,
	};
	argp_parse(&argp, argc, argv, 0, NULL, options);
	if (!options->seconds)
		options->seconds = options->quick ? QUICK_SECONDS
						  : DEFAULT_SECONDS;
}

/* Powers of four up to 65536 pages, or every second of them. */
static void choose_sizes(struct options *options, size_t page_bytes)
{
	size_t max_pages = (options->max_mib << 20) / page_bytes;
	size_t factor = options->quick ? 16 : 4;
	size_t top = options->quick ? 4096 : 65536;
	size_t kept = 0;

	if (!options->sizes)
		for (size_t pages = 1; pages <= top; pages *= factor)
			options->size[options->sizes++] = pages;
	for (size_t i = 0; i < options->sizes; i++)
		if (options->size[i] <= max_pages)
			options->size[kept++] = options->size[i];
	options->sizes = kept;
}

static void calibrate(struct bench_results *results,
		      struct bench_backend *backend)
{
	int rc = pagemv_calibrate(backend->pv);

	results->calibrated = !rc;
	if (rc)
		bench_about_note(&results->about,
				 "calibrating failed (%s), auto "
				 "chooses by built-in costs",
				 pagemv_strerror(rc));
	else
		bench_about_note(&results->about, "the library was calibrated "
						  "before measuring");
	pagemv_caps(backend->pv, &backend->caps);
}

/* One huge page, to see whether there are any. */
static bool try_huge_page(struct bench_results *results)
{
	size_t bytes = results->huge_pages * results->page_bytes;
	struct bench_pair pair;
	size_t huge = 0;
	char setting[32], reason[100];

	if (!bench_pair_reserve(&pair, bytes, bytes, true)) {
		if (!bench_pair_map(&pair)) {
			bench_pair_fill(&pair, 0, 0, bytes, 1);
			huge = bench_pair_huge_bytes(&pair, 0);
		}
		bench_pair_release(&pair);
	}
	if (huge == bytes)
		return true;
	host_read_choice("/sys/kernel/mm/transparent_hugepage/enabled", setting,
			 sizeof(setting));
	snprintf(reason, sizeof(reason),
		 "no huge pages to be had "
		 "(transparent_hugepage/enabled: %s)",
		 setting[0] ? setting : "not there");
	bench_results_skip(results, -1, &(struct bench_condition){ .thp = 1 },
			   reason);
	return false;
}

static unsigned int usable_methods(struct bench_results *results,
				   const struct bench_backend *backend,
				   unsigned int wanted)
{
	unsigned int usable = 0;

	for (unsigned int id = 0; id < BENCH_METHODS; id++) {
		const char *why;

		if (!(wanted & BENCH_METHOD_BIT(id)))
			continue;
		why = bench_method_lacking(id, backend);
		if (why)
			bench_results_skip(results, (int)id, NULL, why);
		else
			usable |= BENCH_METHOD_BIT(id);
	}
	return usable;
}

/* Large rows take long to set up, and their samples take long. */
static double row_weight(size_t pages)
{
	return 1 + (double)pages / 16384;
}

static double block_weight(const struct options *options, size_t from)
{
	double sum = 0;

	for (size_t i = from; i < options->sizes; i++)
		sum += row_weight(options->size[i]);
	return sum;
}

/* The rows of one block, each with its share of the time that is left. */
static void measure_block(struct bench_run *run, const struct options *options,
			  bool thp, int busy, uint64_t end_ns)
{
	for (size_t i = 0; i < options->sizes && !bench_interrupted(); i++) {
		struct bench_condition at = { options->size[i], thp, busy };
		uint64_t now_ns = bench_now_ns();
		double left_s =
			now_ns < end_ns ? (double)(end_ns - now_ns) / 1e9 : 0;
		size_t blocks = (run->rows - run->row - 1) / options->sizes;
		double weight = block_weight(options, i) +
				block_weight(options, 0) * (double)blocks;

		/* Rows before that took longer must not starve this one. */
		bench_row_measure(
			run, &at,
			fmax(left_s * row_weight(at.pages) / weight,
			     options->seconds / 4 / (double)run->rows));
		run->row++;
	}
}

static void measure(struct bench_run *run, const struct options *options)
{
	uint64_t start_ns = bench_now_ns();
	uint64_t end_ns = start_ns + (uint64_t)(options->seconds * 1e9);
	int thp_max = try_huge_page(run->results);
	struct bench_cpus cpus;
	int busy_max;

	bench_cpus_choose(&cpus);
	busy_max = cpus.other >= 0;
	if (!busy_max)
		bench_about_note(&run->results->about,
				 "there is one CPU: rows with "
				 "a busy neighbour are left out");
	run->rows = options->sizes * (size_t)((thp_max + 1) * (busy_max + 1));
	for (int thp = 0; thp <= thp_max; thp++)
		for (int busy = 0; busy <= busy_max; busy++) {
			if (busy &&
			    bench_neighbour_start(&run->neighbour, &cpus))
				break;
			measure_block(run, options, thp, busy, end_ns);
			bench_neighbour_stop(&run->neighbour);
		}
	run->results->about.interrupted = bench_interrupted();
	run->results->about.seconds = (double)(bench_now_ns() - start_ns) / 1e9;
}

static int report(const struct options *options,
		  const struct bench_results *results)
{
	const struct bench_end end = {
		.corrupt = results->corrupt ? "a method lost or changed pages"
					    : NULL,
		.interrupted = results->about.interrupted,
		.measured = true,
	};

	return bench_output_report(&options->output, &bench_move_telling,
				   results, &end);
}

static void run_bench(struct bench_run *run, const struct options *options)
{
	struct bench_results *results = run->results;
	struct bench_backend *backend = run->backend;
	size_t huge_bytes = backend->caps.huge_page_bytes;

	results->backend = backend;
	results->page_bytes = backend->caps.page_bytes;
	if (!huge_bytes)
		huge_bytes = DEFAULT_HUGE_BYTES;
	results->huge_pages = huge_bytes / results->page_bytes;
	if (options->calibrate)
		calibrate(results, backend);
	run->quick = options->quick;
	run->memory_bytes = host_memory_available_bytes() / 2;
	run->methods = usable_methods(results, backend, options->methods);
	bench_random_seed(bench_now_ns());
	bench_progress_begin(&run->progress);
	bench_interrupt_catch();
	measure(run, options);
	bench_progress_end(&run->progress);
}

int bench_move(int argc, char **argv)
{
	struct bench_results results = { 0 };
	struct bench_backend backend;
	struct bench_run run = { .results = &results, .backend = &backend };
	struct options options;
	int status;
	int rc;

	bench_about_init(&results.about, argc, argv);
	parse_options(argc, argv, &options);
	results.crossover = options.crossover;
	if (!bench_output_ready(&options.output))
		return TOOL_FAILED;
	rc = bench_backend_open(&backend);
	if (rc) {
		fprintf(stderr, "pagemv: cannot open the library: %s\n",
			pagemv_strerror(rc));
		return TOOL_NOTHING;
	}
	choose_sizes(&options, backend.caps.page_bytes);
	run_bench(&run, &options);
	status = report(&options, &results);
	bench_results_free(&results);
	bench_backend_close(&backend);
	return status;
}
