// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results for programs.
 */
#include "gc_results.h"
#include "json.h"

static json_t *kind_object(const struct gc_kind *kind)
{
	json_t *object = json_object();

	json_object_set_new(object, "workload",
			    json_string(gc_workload_name[kind->workload]));
	json_object_set_new(object, "mode",
			    json_string(gc_mode_name[kind->mode]));
	json_object_set_new(object, "heap_mib",
			    bench_json_size(kind->heap_mib));
	json_object_set_new(object, "mutators",
			    bench_json_size(kind->mutators));
	return object;
}

/* What rows tell; the rest stands in "details". */
static bool is_detail(int figure)
{
	return figure == GC_STALL_MAX_US || figure == GC_LIVE_MIB;
}

static json_t *rows(const struct gc_results *results, bool details)
{
	json_t *list = json_array();

	for (size_t i = 0; i < results->rows; i++) {
		const struct gc_row *row = &results->row[i];
		json_t *object;

		if (!gc_row_measured(row))
			continue;
		object = kind_object(&row->kind);
		for (int k = 0; k < GC_FIGURES; k++)
			if (is_detail(k) == details)
				json_object_set_new(
					object, gc_figure_name[k],
					bench_json_number(row->median[k]));
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *skipped(const struct gc_results *results)
{
	json_t *list = json_array();

	for (size_t i = 0; i < results->rows; i++) {
		const struct gc_row *row = &results->row[i];
		json_t *item;

		if (!row->why[0])
			continue;
		item = kind_object(&row->kind);
		json_object_set_new(item, "reason", json_string(row->why));
		json_array_append_new(list, item);
	}
	return list;
}

static json_t *bars(const struct gc_results *results)
{
	json_t *list = json_array();

	for (int i = 0; i < GC_BARS; i++) {
		const struct gc_bar *bar = &gc_bars[i];
		double ratio = gc_bar_ratio(bar, results);
		json_t *object = bench_json_bar(bar->name, bar->what,
						bar->at_least, bar->limit);

		json_object_set_new(object, "ratio",
				    ratio ? bench_json_number(ratio)
					  : json_null());
		json_object_set_new(
			object, "ok",
			ratio && bar->limit
				? json_boolean(gc_bar_reached(bar, ratio))
				: json_null());
		json_array_append_new(list, object);
	}
	return list;
}

int gc_json(const void *of, FILE *out)
{
	const struct gc_results *results = of;
	json_t *root = json_object();

	json_object_set_new(root, "rows", rows(results, false));
	bench_json_add_about(root, &results->about);
	json_object_set_new(root, "rounds", bench_json_size(results->rounds));
	json_object_set_new(root, "bars", bars(results));
	json_object_set_new(root, "details", rows(results, true));
	json_object_set_new(root, "skipped", skipped(results));
	bench_json_add_notes(root, &results->about);
	return bench_json_write(root, out);
}
