// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results for programs.
 */
#include "companion_results.h"
#include "json.h"

static json_t *count(double value)
{
	return value < 0 ? json_null() : bench_json_number(value);
}

static json_t *row_object(const struct companion_row *row, int shape,
			  enum companion_way way)
{
	json_t *object = json_object();

	json_object_set_new(object, "way",
			    json_string(companion_way_names[way]));
	json_object_set_new(object, "ranges",
			    bench_json_size(companion_shapes[shape].ranges));
	json_object_set_new(object, "pages",
			    bench_json_size(companion_shapes[shape].pages));
	json_object_set_new(object, "per_page", bench_json_number(row->median));
	json_object_set_new(object, "calls", bench_json_number(row->calls));
	json_object_set_new(object, "shootdowns", count(row->shootdowns));
	json_object_set_new(object, "flushes", count(row->flushes));
	return object;
}

static json_t *rows(const struct companion_results *results)
{
	json_t *list = json_array();

	for (int s = 0; s < COMPANION_SHAPES; s++)
		for (int w = 0; w < COMPANION_WAYS; w++)
			if (results->row[s][w].median)
				json_array_append_new(
					list,
					row_object(&results->row[s][w], s,
						   (enum companion_way)w));
	return list;
}

static json_t *bars(const struct companion_results *results)
{
	json_t *list = json_array();

	for (int i = 0; i < COMPANION_BARS; i++) {
		const struct companion_bar *bar = &companion_bars[i];
		json_t *object =
			bench_json_bar(bar->name, bar->what, false, bar->limit);
		double value = 0;
		char where[40];
		bool measured = bar->worst(results, &value, where);

		json_object_set_new(object, "value",
				    measured ? bench_json_number(value)
					     : json_null());
		json_object_set_new(object, "worst",
				    measured ? json_string(where)
					     : json_null());
		json_object_set_new(object, "ok",
				    measured ? json_boolean(value <= bar->limit)
					     : json_null());
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *skipped(const struct companion_results *results)
{
	json_t *list = json_array();

	for (int w = 0; w < COMPANION_WAYS; w++) {
		json_t *item;

		if (!results->missing[w][0])
			continue;
		item = json_object();
		json_object_set_new(item, "way",
				    json_string(companion_way_names[w]));
		json_object_set_new(item, "reason",
				    json_string(results->missing[w]));
		json_array_append_new(list, item);
	}
	return list;
}

int companion_json(const void *of, FILE *out)
{
	const struct companion_results *results = of;
	json_t *root = json_object();

	json_object_set_new(root, "rows", rows(results));
	bench_json_add_about(root, &results->about);
	json_object_set_new(
		root, "clock",
		json_string(results->instructions ? "instructions" : "ns"));
	json_object_set_new(root, "rounds", bench_json_size(results->rounds));
	json_object_set_new(root, "bars", bars(results));
	json_object_set_new(root, "skipped", skipped(results));
	bench_json_add_notes(root, &results->about);
	return bench_json_write(root, out);
}
