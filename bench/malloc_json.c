// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results for programs.
 */
#include "json.h"
#include "malloc_results.h"

static json_t *kind_object(const struct malloc_row *row)
{
	return bench_json_kind(row->pattern->name, row->allocator,
			       row->pattern->threads);
}

static json_t *row_object(const struct malloc_row *row)
{
	json_t *object = kind_object(row);

	bench_json_add_cost(object, row->median_ns, row->median_s,
			    row->median_peak_mib, row->mappings);
	return object;
}

static json_t *rows(const struct malloc_results *results)
{
	json_t *list = json_array();

	for (size_t i = 0; i < results->rows; i++)
		if (results->row[i].median_ns)
			json_array_append_new(list,
					      row_object(&results->row[i]));
	return list;
}

static json_t *skipped(const struct malloc_results *results)
{
	json_t *list = json_array();

	for (size_t i = 0; i < results->rows; i++) {
		const struct malloc_row *row = &results->row[i];
		json_t *item;

		if (!row->why[0])
			continue;
		item = kind_object(row);
		json_object_set_new(item, "reason", json_string(row->why));
		json_array_append_new(list, item);
	}
	return list;
}

static json_t *number_or_null(double value)
{
	return value ? bench_json_number(value) : json_null();
}

static json_t *threshold(const struct malloc_threshold *threshold)
{
	json_t *list = json_array();

	for (int i = 0; i < MALLOC_THRESHOLD_SIZES; i++) {
		const struct malloc_cost *libc = &threshold->libc[i];
		const struct malloc_cost *heap = &threshold->heap[i];
		json_t *object;

		if (!libc->cycle_ns || !heap->cycle_ns)
			continue;
		object = json_object();
		json_object_set_new(object, "bytes",
				    bench_json_size(threshold->bytes[i]));
		json_object_set_new(object, "glibc_ns",
				    bench_json_number(libc->cycle_ns));
		json_object_set_new(object, "heap_ns",
				    bench_json_number(heap->cycle_ns));
		json_object_set_new(object, "glibc_grow_ns",
				    number_or_null(libc->grow_ns));
		json_object_set_new(object, "heap_grow_ns",
				    number_or_null(heap->grow_ns));
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *bar_object(const struct malloc_results *results,
			  const struct malloc_bar *bar)
{
	json_t *object =
		bench_json_bar(bar->name, bar->what, false, bar->limit);
	double ratio = 0;
	const struct malloc_row *worst = malloc_bar_worst(bar, results, &ratio);

	json_object_set_new(object, "value", number_or_null(ratio));
	json_object_set_new(object, "worst",
			    worst ? json_string(worst->pattern->name)
				  : json_null());
	json_object_set_new(object, "ok",
			    worst && bar->limit
				    ? json_boolean(ratio <= bar->limit)
				    : json_null());
	return object;
}

static json_t *bars(const struct malloc_results *results)
{
	json_t *list = json_array();

	for (int i = 0; i < MALLOC_BARS; i++)
		json_array_append_new(list,
				      bar_object(results, &malloc_bars[i]));
	return list;
}

int malloc_json(const void *of, FILE *out)
{
	const struct malloc_results *results = of;
	json_t *root = json_object();

	json_object_set_new(root, "rows", rows(results));
	bench_json_add_about(root, &results->about);
	json_object_set_new(root, "rounds", bench_json_size(results->rounds));
	json_object_set_new(root, "threshold", threshold(&results->threshold));
	json_object_set_new(root, "bars", bars(results));
	json_object_set_new(root, "skipped", skipped(results));
	bench_json_add_notes(root, &results->about);
	return bench_json_write(root, out);
}
