// SPDX-License-Identifier: LGPL-2.1-or-later
#include "json.h"

#include <errno.h>
#include <math.h>

#define FORMAT (JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6))

json_t *bench_json_number(double value)
{
	double unit;

	if (!isfinite(value) || value == 0)
		return json_real(0);
	unit = pow(10, floor(log10(fabs(value))) - 4);
	return json_real(round(value / unit) * unit);
}

json_t *bench_json_size(size_t value)
{
	return json_integer((json_int_t)value);
}

json_t *bench_json_kind(const char *pattern, enum bench_allocator allocator,
			unsigned int threads)
{
	json_t *object = json_object();

	json_object_set_new(object, "pattern", json_string(pattern));
	json_object_set_new(object, "allocator",
			    json_string(bench_allocator_name(allocator)));
	json_object_set_new(object, "threads", bench_json_size(threads));
	return object;
}

void bench_json_add_cost(json_t *row, double ns_per_op, double seconds,
			 double peak_rss_mib, long mappings)
{
	json_object_set_new(row, "ns_per_op", bench_json_number(ns_per_op));
	json_object_set_new(row, "seconds", bench_json_number(seconds));
	json_object_set_new(row, "peak_rss_mib",
			    bench_json_number(peak_rss_mib));
	json_object_set_new(row, "mappings", json_integer(mappings));
}

void bench_json_add_about(json_t *root, const struct bench_about *about)
{
	json_object_set_new(root, "kernel", json_string(about->kernel));
	json_object_set_new(root, "date", json_string(about->date));
	json_object_set_new(root, "command", json_string(about->command));
	json_object_set_new(root, "cpu", json_string(about->cpu));
	json_object_set_new(root, "seconds", bench_json_number(about->seconds));
	json_object_set_new(root, "interrupted",
			    json_boolean(about->interrupted));
}

void bench_json_add_notes(json_t *root, const struct bench_about *about)
{
	json_t *list = json_array();

	for (size_t i = 0; i < about->notes; i++)
		json_array_append_new(list, json_string(about->note[i]));
	json_object_set_new(root, "notes", list);
}

json_t *bench_json_bar(const char *name, const char *what, bool at_least,
		       double limit)
{
	json_t *object = json_object();

	json_object_set_new(object, "name", json_string(name));
	json_object_set_new(object, "what", json_string(what));
	json_object_set_new(object, "sense",
			    json_string(at_least ? "at least" : "at most"));
	json_object_set_new(object, "limit",
			    limit ? bench_json_number(limit) : json_null());
	return object;
}

int bench_json_write(json_t *root, FILE *out)
{
	int rc = json_dumpf(root, out, FORMAT);

	json_decref(root);
	if (rc || fputc('\n', out) == EOF || fflush(out))
		return -EIO;
	return 0;
}
