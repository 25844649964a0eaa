// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results for programs.
 */
#include "json.h"
#include "realloc_results.h"

static json_t *kind_object(const struct realloc_row *row)
{
	return bench_json_kind(row->pattern->name, row->allocator,
			       row->threads);
}

static json_t *row_object(const struct realloc_row *row)
{
	json_t *object = kind_object(row);

	bench_json_add_cost(object, row->median_s * 1e9 / (double)row->ops,
			    row->median_s, row->median_peak_mib, row->mappings);
	return object;
}

static json_t *rows(const struct realloc_results *results)
{
	json_t *list = json_array();

	for (size_t i = 0; i < results->rows; i++)
		if (results->row[i].median_s)
			json_array_append_new(list,
					      row_object(&results->row[i]));
	return list;
}

static json_t *skipped(const struct realloc_results *results)
{
	json_t *list = json_array();

	for (size_t i = 0; i < results->rows; i++) {
		const struct realloc_row *row = &results->row[i];
		json_t *item;

		if (!row->why[0])
			continue;
		item = kind_object(row);
		json_object_set_new(item, "reason", json_string(row->why));
		json_array_append_new(list, item);
	}
	return list;
}

static json_t *heap_object(const struct realloc_results *results,
			   const struct realloc_heap *heap)
{
	json_t *object = json_object();

	json_object_set_new(object, "pages",
			    json_string(heap->huge ? "huge" : "small"));
	json_object_set_new(object, "bytes",
			    bench_json_size(results->max_bytes));
	json_object_set_new(object, "ms",
			    heap->median_ms ? bench_json_number(heap->median_ms)
					    : json_null());
	if (heap->why[0])
		json_object_set_new(object, "reason", json_string(heap->why));
	return object;
}

static json_t *heaps(const struct realloc_results *results)
{
	json_t *list = json_array();

	for (int i = 0; i < 2; i++)
		json_array_append_new(list,
				      heap_object(results, &results->heap[i]));
	return list;
}

static json_t *bar_object(const struct realloc_results *results,
			  const struct realloc_bar *bar)
{
	json_t *object = bench_json_bar(bar->name, bar->what, bar->at_least, 1);
	double value = 0;
	char where[100];
	bool measured = bar->worst(results, bar, &value, where);
	bool ok = realloc_bar_reached(bar, value);

	json_object_set_new(object, "limit",
			    bar->judged ? bench_json_number(bar->limit)
					: json_null());
	json_object_set_new(object, "value",
			    measured ? bench_json_number(value) : json_null());
	json_object_set_new(object, "worst",
			    measured ? json_string(where) : json_null());
	json_object_set_new(object, "ok",
			    measured && bar->judged ? json_boolean(ok)
						    : json_null());
	return object;
}

static json_t *bars(const struct realloc_results *results)
{
	json_t *list = json_array();

	for (int i = 0; i < REALLOC_BARS; i++)
		json_array_append_new(list,
				      bar_object(results, &realloc_bars[i]));
	return list;
}

int realloc_json(const void *of, FILE *out)
{
	const struct realloc_results *results = of;
	json_t *root = json_object();

	json_object_set_new(root, "rows", rows(results));
	bench_json_add_about(root, &results->about);
	json_object_set_new(root, "max_bytes",
			    bench_json_size(results->max_bytes));
	json_object_set_new(root, "clock",
			    json_string(results->cpu ? "cpu" : "wall"));
	json_object_set_new(root, "rounds", bench_json_size(results->rounds));
	json_object_set_new(root, "heap", heaps(results));
	json_object_set_new(root, "bars", bars(results));
	json_object_set_new(root, "skipped", skipped(results));
	bench_json_add_notes(root, &results->about);
	return bench_json_write(root, out);
}
