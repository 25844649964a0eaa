// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv bench fault: the options, and the turns that all kinds take.
 */
#include "args.h"
#include "bench.h"
#include "fault_part.h"
#include "fault_results.h"
#include "interrupt.h"
#include "progress.h"
#include "tool.h"

#include <argp.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SECONDS 60
#define QUICK_SECONDS	12
#define MIN_ROUNDS	16

enum key { KEY_TIME = BENCH_KEY_OWN, KEY_DELIVERIES };

struct options {
	struct bench_output output;
	bool quick;
	double seconds; /* 0: the default */
	unsigned int deliveries;
};

struct run {
	const struct options *options;
	struct fault_results *results;
	struct bench_progress progress;
	struct bench_child child[FAULT_MAX_KINDS]; /* of each row */
};

static const struct argp_option argp_options[] = {
	BENCH_ARGS_OUTPUT,
	{ "quick", BENCH_KEY_QUICK, NULL, 0,
	  "Fewer rows and samples: about 15 s", 0 },
	{ "time", KEY_TIME, "SECONDS", 0,
	  "How long to measure, about (60; 12 with --quick)", 0 },
	{ "deliveries", KEY_DELIVERIES, "NAME,...", 0, "Only these", 0 },
	{ 0 },
};

static void take_delivery(struct argp_state *state, const char *name)
{
	enum fault_delivery delivery = fault_delivery_find(name);
	struct options *options = state->input;

	if (delivery == FAULT_DELIVERIES)
		argp_error(state, "unknown delivery '%s'", name);
	options->deliveries |= FAULT_BIT(delivery);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case KEY_TIME:
		options->seconds = bench_args_number(state, "--time", arg);
		return 0;
	case KEY_DELIVERIES:
		options->deliveries = 0;
		bench_args_list(state, arg, take_delivery);
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
		.doc = "Measures what an access to an absent page costs, by "
		       "who "
		       "fills it, how many pages come at once, how many "
		       "threads "
		       "fault at the same time and how many regions there "
		       "are.\v"
		       "Deliveries: signal, thread, thread-spin (through the "
		       "library); raw-signal, raw-thread (the least that does "
		       "it, on the bare ioctls); mprotect-segv (mprotect() in "
		       "a "
		       "SIGSEGV handler, on pages that are there); kernel (an "
		       "ordinary page fault). Machines are noisy: compare "
		       "figures of one run only. Ctrl-C leaves what is "
		       "measured.",
	};

	*options = (struct options){ .deliveries = ~0u };
	argp_parse(&argp, argc, argv, 0, NULL, options);
	if (!options->seconds)
		options->seconds = options->quick ? QUICK_SECONDS
						  : DEFAULT_SECONDS;
}

static void show(struct run *run, const struct fault_kind *kind,
		 const char *doing, double done)
{
	char label[100];

	snprintf(label, sizeof(label),
		 "%s%s, %u around, %u threads, %zu regions", doing,
		 fault_delivery_name(kind->delivery), kind->around,
		 kind->threads, kind->regions);
	bench_progress_update(&run->progress, done, label);
}

/* What went wrong in a process belongs to the row. */
static void take_why(struct fault_row *row, const struct bench_child *child,
		     int rc)
{
	const char *why = child->shared ? child->shared->why : "";

	if (rc != -EINTR)
		snprintf(row->why, sizeof(row->why), "%.159s",
			 why[0] ? why : strerror(-rc));
}

/* NULL, or why it makes no sense here. */
static const char *lacking(const struct fault_kind *kind)
{
	cpu_set_t allowed;

	if (kind->delivery != FAULT_THREAD_SPIN ||
	    sched_getaffinity(0, sizeof(allowed), &allowed) ||
	    (unsigned int)CPU_COUNT(&allowed) > kind->threads)
		return NULL;
	return "the thread that spins needs a CPU of its own";
}

static void start(struct run *run, size_t i)
{
	struct fault_row *row = &run->results->row[i];
	struct bench_child *child = &run->child[i];
	const char *why = lacking(&row->kind);
	struct fault_shared *shared;
	int rc;

	if (why) {
		snprintf(row->why, sizeof(row->why), "%s", why);
		return;
	}
	show(run, &row->kind, "preparing ", 0);
	rc = bench_child_start(child, &fault_case_part, &row->kind);
	if (rc) {
		take_why(row, child, rc);
		bench_child_stop(child);
		return;
	}
	shared = (struct fault_shared *)child->shared;
	run->results->moves = shared->moves;
}

static void take_turn(struct run *run, size_t i)
{
	struct fault_row *row = &run->results->row[i];
	struct bench_child *child = &run->child[i];
	struct fault_shared *shared;
	int rc;

	if (!child->pid)
		return;
	rc = bench_child_turn(child);
	shared = (struct fault_shared *)child->shared;
	if (rc) {
		take_why(row, child, rc);
		run->results->corrupt |= shared->timed.wrong != 0;
		return;
	}
	fault_row_add(row, shared->timed.ns, shared->timed.n);
}

static void run_rounds(struct run *run)
{
	struct fault_results *results = run->results;
	double wanted_ns = run->options->seconds * 1e9;
	uint64_t start_ns = bench_now_ns();
	size_t order[FAULT_MAX_KINDS];
	double passed_ns = 0;

	for (size_t i = 0; i < results->rows; i++)
		order[i] = i;
	for (unsigned int n = 0; n < MIN_ROUNDS || passed_ns < wanted_ns; n++) {
		bench_shuffle(order, results->rows);
		for (size_t i = 0; i < results->rows; i++) {
			if (bench_interrupted())
				return;
			show(run, &results->row[order[i]].kind, "",
			     passed_ns / wanted_ns);
			take_turn(run, order[i]);
			passed_ns = (double)(bench_now_ns() - start_ns);
		}
	}
}

static void measure_state(struct fault_results *results)
{
	struct bench_child child;
	struct fault_shared *shared;
	int rc = bench_child_start(&child, &fault_state_part, NULL);

	shared = (struct fault_shared *)child.shared;
	if (!rc)
		results->state_bytes = shared->state_bytes;
	else if (rc != -EINTR)
		snprintf(results->state_why, sizeof(results->state_why),
			 "%.159s",
			 shared && shared->head.why[0] ? shared->head.why
						       : strerror(-rc));
	bench_child_free(&child);
}

static void measure(struct run *run)
{
	struct fault_results *results = run->results;
	uint64_t start_ns = bench_now_ns();

	bench_progress_begin(&run->progress);
	bench_interrupt_catch();
	measure_state(results);
	for (size_t i = 0; i < results->rows && !bench_interrupted(); i++)
		start(run, i);
	bench_random_seed(bench_now_ns());
	if (!bench_interrupted())
		run_rounds(run);
	for (size_t i = 0; i < results->rows; i++)
		bench_child_free(&run->child[i]);
	bench_progress_end(&run->progress);
	results->about.interrupted = bench_interrupted();
	results->about.seconds = (double)(bench_now_ns() - start_ns) / 1e9;
	fault_results_sum_up(results);
}

static void describe(struct fault_results *results,
		     const struct options *options)
{
	struct fault_kind kind[FAULT_MAX_KINDS];

	results->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	results->rows = fault_kinds(kind, options->deliveries, options->quick);
	for (size_t i = 0; i < results->rows; i++)
		results->row[i].kind = kind[i];
}

static bool measured_any(const struct fault_results *results)
{
	for (size_t i = 0; i < results->rows; i++)
		if (results->row[i].p50_ns)
			return true;
	return false;
}

static int report(const struct options *options,
		  const struct fault_results *results)
{
	const struct bench_end end = {
		.corrupt = results->corrupt ? "pages were lost or changed"
					    : NULL,
		.interrupted = results->about.interrupted,
		.measured = measured_any(results),
	};

	return bench_output_report(&options->output, &fault_telling, results,
				   &end);
}

int bench_fault(int argc, char **argv)
{
	static struct fault_results results;
	static struct run run = { .results = &results };
	struct options options;
	int status;

	bench_about_init(&results.about, argc, argv);
	parse_options(argc, argv, &options);
	if (!bench_output_ready(&options.output))
		return TOOL_FAILED;
	run.options = &options;
	describe(&results, &options);
	measure(&run);
	status = report(&options, &results);
	fault_results_free(&results);
	return status;
}
