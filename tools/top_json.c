// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv top: figures for programs.
 */
#include "top.h"

#include <errno.h>
#include <math.h>

#include <jansson.h>

static void put(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

/* Milliseconds, and KiB a second: what lies behind is noise. */
static void put_real(json_t *object, const char *key, double value)
{
	json_object_set_new(object, key, json_real(round(value * 1000) / 1000));
}

static json_t *figures_object(const struct top_figures *figures)
{
	json_t *object = json_object();

	put_real(object, "seconds", figures->seconds);
	put(object, "calls", figures->calls);
	put(object, "reallocs", figures->reallocs);
	put(object, "in_place", figures->in_place);
	put(object, "moves", figures->moves);
	put(object, "moved_bytes", figures->moved_bytes);
	put(object, "copied_bytes", figures->copied_bytes);
	put(object, "mappings_saved", figures->saved);
	put(object, "given_back_bytes", figures->given_back_bytes);
	put(object, "misuses", figures->misuses);
	put(object, "failures", figures->failures);
	put_real(object, "mib_per_second", top_speed(figures));
	return object;
}

static json_t *process_object(const struct top_process *process, bool once)
{
	struct top_figures interval = top_interval(process);
	struct top_figures total = top_total(process);
	json_t *object = json_object();

	put(object, "pid", (uint64_t)process->pid);
	json_object_set_new(object, "command", json_string(process->command));
	json_object_set_new(object, "library", json_string(process->library));
	json_object_set_new(object, "settings", json_string(process->settings));
	put(object, "blocks", total.blocks);
	put(object, "live_bytes", total.live_bytes);
	json_object_set_new(object, "total", figures_object(&total));
	if (!once)
		json_object_set_new(object, "interval",
				    figures_object(&interval));
	return object;
}

static int write_json(json_t *root, bool once, FILE *out)
{
	size_t flags = JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12) |
		       (once ? JSON_INDENT(1) : JSON_COMPACT);
	int rc = json_dumpf(root, out, flags);

	json_decref(root);
	return rc || fputc('\n', out) == EOF || fflush(out) ? -EIO : 0;
}

int top_json_process(const struct top_process *process, bool once, FILE *out)
{
	return write_json(process_object(process, once), once, out);
}

int top_json_list(const struct top_list *list, bool once, FILE *out)
{
	json_t *root = json_object(), *processes = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(processes,
				      process_object(&list->process[i], once));
	json_object_set_new(root, "processes", processes);
	put(root, "hidden", list->hidden);
	return write_json(root, once, out);
}

int top_json_ended(pid_t pid, FILE *out)
{
	json_t *root = json_object();

	put(root, "pid", (uint64_t)pid);
	json_object_set_new(root, "ended", json_true());
	return write_json(root, false, out);
}
