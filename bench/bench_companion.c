// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv bench companion: the module against UFFDIO_MOVE of the same kernel.
 *
 * Instructions are counted where the clock is one of them: in QEMU with
 * -icount, which says so by PMV_ICOUNT=1 in the environment. There all CPUs
 * share it, so the neighbour, without which there is nobody to send an
 * interrupt to, computes only while those are counted.
 */
#include "advice.h"
#include "args.h"
#include "bench.h"
#include "companion_case.h"
#include "interrupt.h"
#include "neighbour.h"
#include "progress.h"
#include "shootdowns.h"
#include "tool.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS	     40
#define QUICK_ROUNDS 6
/* Pages moved between two looks at the clock, at least: a look is little. */
#define SAMPLE_PAGES 512
/* Passes for counting interrupts, to and fro. */
#define COUNT_PASSES 16

enum key { KEY_ICOUNT = BENCH_KEY_OWN };

struct options {
	struct bench_output output;
	bool quick;
	bool icount;
};

struct run {
	const struct options *options;
	struct companion_results *results;
	struct bench_progress progress;
	struct bench_cpus cpus;
	int device;
	struct bench_rawuffd uffd;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case KEY_ICOUNT:
		options->icount = true;
		return 0;
	default:
		return bench_args_common(state, key, arg, &options->output,
					 &options->quick);
	}
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct argp_option argp_options[] = {
		BENCH_ARGS_OUTPUT,
		{ "quick", BENCH_KEY_QUICK, NULL, 0,
		  "Fewer rounds: a second or two", 0 },
		{ "icount", KEY_ICOUNT, NULL, 0,
		  "The clock counts instructions, as in QEMU with -icount", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = argp_options,
		.parser = parse,
		.doc = "Measures what the companion module does to move pages, "
		       "and what UFFDIO_MOVE does, on the same kernel: a page, "
		       "and in interrupts for flushing TLBs.\v"
		       "Exit status: 0 all was measured that there is, 1 "
		       "contents were lost or something could not be written, "
		       "2 wrong usage, 3 there is no such module.",
	};
	const char *icount = getenv("PMV_ICOUNT");

	*options = (struct options){ .icount = icount && *icount == '1' };
	argp_parse(&argp, argc, argv, 0, NULL, options);
}

/* ---- what there is ---- */

static bool has_way(const struct run *run, enum companion_way way)
{
	return !run->results->missing[way][0];
}

static void find_move(struct run *run)
{
	char *missing = run->results->missing[COMPANION_MOVE];

	bench_rawuffd_open(&run->uffd, 0);
	if (!run->uffd.has_move)
		snprintf(missing, sizeof(run->results->missing[0]), "%s",
			 run->uffd.fd < 0 ? strerror(-run->uffd.error)
					  : "not in this kernel");
}

/* ---- measuring ---- */

static void note_failure(struct run *run, enum companion_way way, int rc)
{
	snprintf(run->results->missing[way], sizeof(run->results->missing[0]),
		 "%s", strerror(-rc));
}

/* To and fro, at least once; how often. 0 or -errno. */
static int passes(struct companion_case *c, enum companion_way way, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < 2 * n && !rc; i++)
		rc = companion_case_pass(c, way, i & 1);
	return rc;
}

static int sample(struct companion_case *c, enum companion_way way,
		  struct companion_row *row)
{
	size_t pages = c->shape.ranges * c->shape.pages;
	size_t n = (SAMPLE_PAGES + 2 * pages - 1) / (2 * pages);
	uint64_t begun = bench_now_ns();
	int rc = passes(c, way, n);
	double ticks = (double)(bench_now_ns() - begun);

	if (!rc)
		rc = bench_samples_add(&row->ticks,
				       ticks / (double)(2 * n * pages));
	return rc;
}

/* The ways in turn, each round in another order. */
static void time_case(struct run *run, struct companion_case *c, int shape)
{
	struct companion_row *rows = run->results->row[shape];
	size_t rounds = run->options->quick ? QUICK_ROUNDS : ROUNDS;
	size_t order[COMPANION_WAYS];

	for (size_t w = 0; w < COMPANION_WAYS; w++)
		order[w] = w;
	for (size_t i = 0; i <= rounds && !bench_interrupted(); i++) {
		bench_shuffle(order, COMPANION_WAYS);
		for (size_t k = 0; k < COMPANION_WAYS && !c->stuck; k++) {
			enum companion_way way = (enum companion_way)order[k];
			int rc = has_way(run, way) ? sample(c, way, &rows[way])
						   : 0;

			if (rc)
				note_failure(run, way, rc);
		}
		/* The first one warmed up. */
		for (size_t w = 0; w < COMPANION_WAYS && i == 0; w++)
			rows[w].ticks.n = 0;
	}
}

static uint64_t flushes(const struct run *run)
{
	struct bench_pagemvio_info info;

	return companion_device_info(run->device, &info) ? 0 : info.flushes;
}

static void count_way(struct run *run, struct companion_case *c,
		      enum companion_way way, struct companion_row *row)
{
	uint64_t before = 0, after = 0, flushed = flushes(run);
	bool known = run->cpus.other >= 0 && bench_shootdowns(&before);
	int rc = passes(c, way, COUNT_PASSES);

	if (rc) {
		note_failure(run, way, rc);
		return;
	}
	row->calls = (double)companion_case_calls(c, way);
	if (known && bench_shootdowns(&after))
		row->shootdowns = (double)(after - before) / (2 * COUNT_PASSES);
	if (way != COMPANION_MOVE)
		row->flushes =
			(double)(flushes(run) - flushed) / (2 * COUNT_PASSES);
}

static void count_case(struct run *run, struct companion_case *c, int shape)
{
	struct bench_neighbour neighbour = { .running = false };

	for (int w = 0; w < COMPANION_WAYS; w++)
		run->results->row[shape][w].shootdowns =
			run->results->row[shape][w].flushes = -1;
	if (run->cpus.other >= 0 &&
	    bench_neighbour_start(&neighbour, &run->cpus))
		run->cpus.other = -1;
	for (int w = 0; w < COMPANION_WAYS && !bench_interrupted() && !c->stuck;
	     w++)
		if (has_way(run, (enum companion_way)w))
			count_way(run, c, (enum companion_way)w,
				  &run->results->row[shape][w]);
	bench_neighbour_stop(&neighbour);
}

static void measure_shape(struct run *run, int shape)
{
	struct companion_case c = { .device = run->device, .uffd = run->uffd };
	int rc = companion_case_begin(&c, &companion_shapes[shape]);

	if (rc) {
		bench_about_note(&run->results->about, "%zu x %zu pages: %s",
				 companion_shapes[shape].ranges,
				 companion_shapes[shape].pages, strerror(-rc));
		return;
	}
	time_case(run, &c, shape);
	count_case(run, &c, shape);
	run->results->corrupt |= !c.stuck && !companion_case_intact(&c);
	companion_case_end(&c);
}

static void measure(struct run *run)
{
	struct companion_results *results = run->results;
	uint64_t begun = bench_now_ns();

	bench_cpus_choose(&run->cpus);
	bench_progress_begin(&run->progress);
	bench_interrupt_catch();
	bench_random_seed(begun);
	for (int s = 0; s < COMPANION_SHAPES && !bench_interrupted(); s++) {
		char label[40];

		companion_shape_name(&companion_shapes[s], label,
				     sizeof(label));
		bench_progress_update(&run->progress,
				      (double)s / COMPANION_SHAPES, label);
		measure_shape(run, s);
	}
	bench_progress_end(&run->progress);
	if (run->cpus.other < 0)
		bench_about_note(&results->about,
				 "there is one CPU only: nobody to interrupt");
	results->about.interrupted = bench_interrupted();
	results->about.seconds = (double)(bench_now_ns() - begun) / 1e9;
	companion_results_sum_up(results);
}

static int report(const struct options *options,
		  const struct companion_results *results)
{
	static const struct bench_telling telling = { companion_print,
						      companion_json,
						      companion_plot };
	const struct bench_end end = {
		.corrupt = results->corrupt ? "contents were lost or changed"
					    : NULL,
		.interrupted = results->about.interrupted,
		.measured = companion_results_any(results),
	};

	return bench_output_report(&options->output, &telling, results, &end);
}

/* What the library finds in the way of the module, and what helps. */
static int no_module(int error)
{
	struct pagemv_caps caps = { .size = sizeof(caps) };
	struct advice advice = { strerror(-error), NULL };
	struct pagemv *pv;

	if (pagemv_open(&pv, NULL) == 0) {
		if (pagemv_caps(pv, &caps) == 0 &&
		    !caps.mech[PAGEMV_MECH_COMPANION].available)
			advice = advice_mechanism(PAGEMV_MECH_COMPANION, &caps);
		pagemv_close(pv);
	}
	fprintf(stderr, "pagemv: nothing to measure: %s\n", advice.why);
	if (advice.fix)
		fprintf(stderr, "pagemv: to get it: %s\n", advice.fix);
	return TOOL_NOTHING;
}

int bench_companion(int argc, char **argv)
{
	static struct companion_results results;
	struct run run = { .results = &results };
	struct options options;
	int error, status;

	bench_about_init(&results.about, argc, argv);
	parse_options(argc, argv, &options);
	error = companion_device_open(&run.device);
	if (error)
		return no_module(error);
	if (!bench_output_ready(&options.output))
		return TOOL_FAILED;
	run.options = &options;
	results.instructions = options.icount;
	find_move(&run);
	measure(&run);
	status = report(&options, &results);
	bench_rawuffd_close(&run.uffd);
	companion_results_free(&results);
	return status;
}
