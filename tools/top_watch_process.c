// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv top PID: one process, a row for each interval.
 */
#include "tool.h"
#include "top.h"
#include "top_watch.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Rows that a screen of any height can show. */
#define ROWS 512

/* A program that has just been executed gets so long to load the shim. */
#define PATIENCE_NS 2000000000u
#define LOOK_NS	    20000000u

struct row {
	time_t at;
	struct top_figures figures;
};

struct watch {
	const struct top_options *options;
	struct top_process process;
	int pidfd;
	struct row row[ROWS]; /* the oldest one first */
	size_t rows;
};

/* Waits for the shim where it may be coming. */
static int attach(struct watch *watch)
{
	uint64_t until_ns = top_now_ns() + PATIENCE_NS;
	int rc;

	for (;;) {
		rc = top_attach(watch->options->pid, &watch->process);
		if ((rc != -ENOENT && rc != -EPROTO) ||
		    top_now_ns() >= until_ns)
			return rc;
		if (!top_is_alive(watch->options->pid))
			return -ESRCH;
		if (top_wait(top_now_ns() + LOOK_NS, watch->pidfd) ==
		    TOP_SIGNAL)
			return -EINTR;
	}
}

static void add_row(struct watch *watch)
{
	if (watch->rows == ROWS) {
		watch->rows--;
		memmove(&watch->row[0], &watch->row[1],
			watch->rows * sizeof(watch->row[0]));
	}
	watch->row[watch->rows++] =
		(struct row){ .at = time(NULL),
			      .figures = top_interval(&watch->process) };
}

static void print_row(const struct row *row, FILE *out)
{
	char at[16];
	struct tm tm;

	strftime(at, sizeof(at), "%H:%M:%S", localtime_r(&row->at, &tm));
	top_print_row(out, at, &row->figures, top_speed(&row->figures), "");
}

static void print_total(const struct watch *watch, FILE *out)
{
	struct top_figures total = top_total(&watch->process);

	top_print_row(out, "total", &total, top_speed(&total), "");
}

static void print_title(const struct watch *watch, FILE *out)
{
	const struct top_process *process = &watch->process;
	char span[24];

	top_format_span(top_total(process).seconds, span, sizeof(span));
	fprintf(out, "pagemv top: process %d (%s), %s under the shim%s%s\n",
		(int)process->pid, process->command, span,
		process->library[0] ? " of libpagemv " : "", process->library);
	if (!process->page)
		fprintf(out, "it has asked for no large block yet\n");
	else
		fprintf(out, "settings: %s\n", process->settings);
}

static void show_screen(const struct watch *watch)
{
	/* Title, settings, empty line, heading of two, total. */
	const unsigned int above = 7;
	unsigned int lines = top_screen_lines();
	size_t fit = lines > above ? lines - above : 1;
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		return;
	print_title(watch, out);
	fprintf(out, "every %g s; q ends\n\n",
		(double)watch->options->interval_ns / 1e9);
	top_print_heading(out, "time", "");
	print_total(watch, out);
	for (size_t i = watch->rows > fit ? watch->rows - fit : 0;
	     i < watch->rows; i++)
		print_row(&watch->row[i], out);
	if (!fclose(out))
		top_screen_show(text);
	free(text);
}

/* A line each time; the first time what is above it, too. */
static int show_lines(const struct watch *watch)
{
	if (watch->rows) {
		print_row(&watch->row[watch->rows - 1], stdout);
	} else {
		print_title(watch, stdout);
		top_print_heading(stdout, "time", "");
		print_total(watch, stdout);
	}
	return fflush(stdout) ? -EIO : 0;
}

static int show(const struct watch *watch)
{
	const struct top_options *options = watch->options;

	if (options->json)
		return top_json_process(&watch->process, options->once, stdout);
	if (!top_screen_is_on())
		return show_lines(watch);
	show_screen(watch);
	return 0;
}

static int cannot_write(void)
{
	top_screen_end();
	fprintf(stderr, "pagemv top: standard output cannot be written to\n");
	return TOOL_FAILED;
}

static int fail(const struct watch *watch, int error)
{
	char why[512];

	top_screen_end();
	if (error == -EINTR)
		return 128 + top_ended_by();
	top_explain(watch->options->pid, error, why, sizeof(why));
	fprintf(stderr, "pagemv top: %s\n", why);
	return TOOL_FAILED;
}

/* What there was to see of it stays to be read. */
static int ended(const struct watch *watch)
{
	bool screen = top_screen_is_on();

	top_screen_end();
	if (screen) {
		print_title(watch, stdout);
		top_print_heading(stdout, "", "");
		print_total(watch, stdout);
	}
	if (watch->options->json)
		top_json_ended(watch->options->pid, stdout);
	fflush(stdout);
	fprintf(stderr, "pagemv top: process %d (%s) has ended\n",
		(int)watch->options->pid, watch->process.command);
	return TOOL_OK;
}

/* The program has gone: with the process, or by an exec. 0, or an error of
 * attach(). */
static int follow(struct watch *watch)
{
	struct top_process gone = watch->process;
	int rc = -ESRCH;

	top_detach(&gone);
	if (top_is_alive(watch->options->pid))
		rc = attach(watch);
	if (rc) {
		watch->process = gone;
		return rc;
	}
	watch->rows = 0;
	return 0;
}

static int look_again(struct watch *watch)
{
	int rc = top_sample(&watch->process);

	if (!rc)
		add_row(watch);
	else if (rc == -ESRCH)
		rc = follow(watch);
	return rc;
}

static int watch_on(struct watch *watch)
{
	uint64_t interval_ns = watch->options->interval_ns;
	uint64_t next_ns = top_now_ns() + interval_ns;
	enum top_event event;
	int rc;

	for (;;) {
		event = top_wait(next_ns, watch->pidfd);
		if (event == TOP_SIGNAL)
			return fail(watch, -EINTR);
		if (event == TOP_QUIT)
			return TOOL_OK;
		if (event == TOP_ENDED)
			return ended(watch);
		if (event == TOP_TIME) {
			next_ns += interval_ns;
			rc = look_again(watch);
			if (rc)
				return rc == -ESRCH ? ended(watch)
						    : fail(watch, rc);
		}
		if (show(watch))
			return cannot_write();
	}
}

static int start(struct watch *watch)
{
	int rc = attach(watch);

	if (rc)
		return fail(watch, rc);
	if (!watch->options->once && !watch->options->json)
		top_screen_begin();
	if (show(watch))
		return cannot_write();
	return watch->options->once ? TOOL_OK : watch_on(watch);
}

int top_watch_process(const struct top_options *options)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	int status;

	if (!watch) {
		fprintf(stderr, "pagemv top: %s\n", strerror(ENOMEM));
		return TOOL_FAILED;
	}
	watch->options = options;
	/* -1 before Linux 5.3: the end is seen at the next look then. */
	watch->pidfd = (int)syscall(SYS_pidfd_open, options->pid, 0);
	status = start(watch);
	top_screen_end();
	top_detach(&watch->process);
	if (watch->pidfd >= 0)
		close(watch->pidfd);
	free(watch);
	return status;
}
