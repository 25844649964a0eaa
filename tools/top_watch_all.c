// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv top without a PID: the list of all processes.
 */
#include "tool.h"
#include "top.h"
#include "top_watch.h"

#include <stdlib.h>
#include <string.h>

static void print_title(const struct top_list *list,
			const struct top_options *options, FILE *out)
{
	fprintf(out,
		"pagemv top: %zu process%s under the shim, every %g s; q "
		"ends",
		list->count, list->count == 1 ? "" : "es",
		(double)options->interval_ns / 1e9);
	if (list->hidden)
		fprintf(out, "; %zu not permitted", list->hidden);
	fputs("\n\n", out);
}

static void print_none(const struct top_list *list, FILE *out)
{
	fprintf(out,
		"No process%s runs under the shim. 'pagemv run PROG' "
		"starts one.\n",
		list->hidden ? " that you may look into" : "");
}

/* All figures since the start, but for the speed. */
static void print_table(const struct top_list *list, FILE *out)
{
	const struct top_process *process;
	struct top_figures total, interval;
	char pid[16];

	top_print_heading(out, "PID", "program");
	for (size_t i = 0; i < list->count; i++) {
		process = &list->process[i];
		total = top_total(process);
		interval = top_interval(process);
		snprintf(pid, sizeof(pid), "%d", (int)process->pid);
		top_print_row(
			out, pid, &total,
			top_speed(interval.seconds > 0 ? &interval : &total),
			process->command);
	}
}

static void show_screen(const struct top_list *list,
			const struct top_options *options)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		return;
	print_title(list, options, out);
	if (list->count)
		print_table(list, out);
	else
		print_none(list, out);
	if (!fclose(out))
		top_screen_show(text);
	free(text);
}

/* One list below the other; that there is none is news once. */
static int show_lines(const struct top_list *list)
{
	static enum { NOTHING, NONE, TABLE } shown;

	if (!list->count && shown == NONE)
		return 0;
	if (shown != NOTHING)
		putchar('\n');
	if (list->count)
		print_table(list, stdout);
	else
		print_none(list, stdout);
	shown = list->count ? TABLE : NONE;
	return fflush(stdout);
}

static int show(const struct top_list *list, const struct top_options *options)
{
	if (options->json)
		return top_json_list(list, options->once, stdout);
	if (!top_screen_is_on())
		return show_lines(list);
	show_screen(list, options);
	return 0;
}

static int fail(const char *what)
{
	top_screen_end();
	fprintf(stderr, "pagemv top: %s\n", what);
	return TOOL_FAILED;
}

int top_watch_all(const struct top_options *options)
{
	struct top_list list = { 0 };
	enum top_event event = TOP_TIME;
	uint64_t next_ns = top_now_ns();
	int rc;

	if (!options->once && !options->json)
		top_screen_begin();
	for (;;) {
		rc = event == TOP_TIME ? top_list_update(&list) : 0;
		if (rc) {
			top_list_free(&list);
			return fail(strerror(-rc));
		}
		if (show(&list, options)) {
			top_list_free(&list);
			return fail("standard output cannot be written to");
		}
		if (options->once)
			break;
		if (event == TOP_TIME)
			next_ns += options->interval_ns;
		event = top_wait(next_ns, -1);
		if (event == TOP_QUIT || event == TOP_SIGNAL)
			break;
	}
	top_list_free(&list);
	top_screen_end();
	return event == TOP_SIGNAL ? 128 + top_ended_by() : TOOL_OK;
}
