// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results for programs.
 */
#include "fault_results.h"
#include "json.h"

static void add_number(json_t *object, const char *key, double value)
{
	json_object_set_new(object, key, bench_json_number(value));
}

static json_t *kind_object(const struct fault_kind *kind)
{
	json_t *object = json_object();

	json_object_set_new(object, "delivery",
			    json_string(fault_delivery_name(kind->delivery)));
	json_object_set_new(object, "around", bench_json_size(kind->around));
	json_object_set_new(object, "threads", bench_json_size(kind->threads));
	json_object_set_new(object, "regions", bench_json_size(kind->regions));
	return object;
}

static json_t *row_object(const struct fault_row *row)
{
	json_t *object = kind_object(&row->kind);

	add_number(object, "ns_mean", row->mean_ns);
	add_number(object, "ns_p50", row->p50_ns);
	add_number(object, "ns_p99", row->p99_ns);
	add_number(object, "ns_p999", row->p999_ns);
	add_number(object, "ns_per_page", row->page_ns);
	return object;
}

static json_t *rows(const struct fault_results *results)
{
	json_t *list = json_array();

	for (size_t i = 0; i < results->rows; i++)
		if (results->row[i].p50_ns)
			json_array_append_new(list,
					      row_object(&results->row[i]));
	return list;
}

static json_t *skipped(const struct fault_results *results)
{
	json_t *list = json_array();

	for (size_t i = 0; i < results->rows; i++) {
		const struct fault_row *row = &results->row[i];
		json_t *item;

		if (!row->why[0])
			continue;
		item = kind_object(&row->kind);
		json_object_set_new(item, "reason", json_string(row->why));
		json_array_append_new(list, item);
	}
	return list;
}

static json_t *bar_object(const struct fault_results *results,
			  const struct fault_bar *bar)
{
	double ratio = fault_bar_ratio(bar, results);
	bool ok = fault_bar_reached(bar, ratio);
	json_t *object =
		bench_json_bar(bar->name, bar->what, bar->at_least, bar->limit);

	json_object_set_new(object, "ratio",
			    ratio ? bench_json_number(ratio) : json_null());
	json_object_set_new(object, "ok",
			    ratio && bar->limit ? json_boolean(ok)
						: json_null());
	return object;
}

static json_t *bars(const struct fault_results *results)
{
	json_t *list = json_array();

	for (int i = 0; i < FAULT_BARS; i++)
		json_array_append_new(list,
				      bar_object(results, &fault_bars[i]));
	return list;
}

int fault_json(const void *of, FILE *out)
{
	const struct fault_results *results = of;
	json_t *root = json_object();

	json_object_set_new(root, "rows", rows(results));
	bench_json_add_about(root, &results->about);
	json_object_set_new(root, "page_bytes",
			    bench_json_size(results->page_bytes));
	json_object_set_new(root, "pages_come_by",
			    json_string(results->moves ? "move" : "copy"));
	json_object_set_new(root, "rounds", bench_json_size(results->rounds));
	json_object_set_new(root, "state_bytes_per_page",
			    results->state_bytes
				    ? bench_json_number(results->state_bytes)
				    : json_null());
	json_object_set_new(root, "bars", bars(results));
	json_object_set_new(root, "skipped", skipped(results));
	bench_json_add_notes(root, &results->about);
	return bench_json_write(root, out);
}
