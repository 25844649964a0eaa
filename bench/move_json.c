// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results for programs.
 */
#include "json.h"
#include "move_results.h"

static json_t *method_name(unsigned int id)
{
	return json_string(bench_method_name(id));
}

static void add_condition(json_t *object, const struct bench_condition *at)
{
	json_object_set_new(object, "pages", bench_json_size(at->pages));
	json_object_set_new(object, "thp", json_boolean(at->thp));
	json_object_set_new(object, "busy", json_integer(at->busy));
}

static json_t *condition(const struct bench_condition *at)
{
	json_t *object = json_object();

	add_condition(object, at);
	return object;
}

static json_t *mechanisms(uint32_t used)
{
	json_t *list = json_array();

	for (unsigned int m = 0; m < PAGEMV_MECH_COUNT; m++)
		if (used & PAGEMV_MECH_BIT(m))
			json_array_append_new(
				list, json_string(pagemv_mechanism_name(m)));
	return list;
}

static json_t *cell(const struct bench_row *row, unsigned int id)
{
	const struct bench_cell *it = &row->cell[id];
	json_t *object = json_object();

	json_object_set_new(object, "method", method_name(id));
	add_condition(object, &row->at);
	json_object_set_new(object, "ns_per_page",
			    bench_json_number(it->median_ns));
	json_object_set_new(object, "min", bench_json_number(it->min_ns));
	json_object_set_new(object, "max", bench_json_number(it->max_ns));
	json_object_set_new(object, "runs", json_integer(it->runs));
	return object;
}

static json_t *rows(const struct bench_results *results)
{
	json_t *list = json_array();

	for (size_t i = 0; i < results->rows; i++) {
		const struct bench_row *row = &results->row[i];

		for (unsigned int id = 0; id < BENCH_METHODS; id++)
			if (row->cell[id].runs)
				json_array_append_new(list, cell(row, id));
	}
	return list;
}

static json_t *choice(const struct bench_row *row, unsigned int id)
{
	json_t *object = json_object();

	json_object_set_new(object, "method", method_name(id));
	add_condition(object, &row->at);
	json_object_set_new(object, "used", mechanisms(row->cell[id].used));
	return object;
}

/* What AUTO chose. */
static json_t *choices(const struct bench_results *results)
{
	json_t *list = json_array();

	for (size_t i = 0; i < results->rows; i++) {
		const struct bench_row *row = &results->row[i];

		for (unsigned int id = BENCH_AUTO; id <= BENCH_AUTO_REMAP; id++)
			if (row->cell[id].runs)
				json_array_append_new(list, choice(row, id));
	}
	return list;
}

static json_t *bar_rows(const struct bench_results *results,
			const struct bench_bar *bar)
{
	json_t *list = json_array();

	for (size_t i = 0; i < results->rows; i++) {
		const struct bench_row *row = &results->row[i];
		double ratio = bench_bar_ratio(bar, results, row);
		bool ok = bench_bar_reached(bar, ratio);
		json_t *item;

		if (!ratio)
			continue;
		item = condition(&row->at);
		json_object_set_new(item, "ratio", bench_json_number(ratio));
		json_object_set_new(item, "ok",
				    bench_bar_judges(bar, row)
					    ? json_boolean(ok)
					    : json_null());
		json_array_append_new(list, item);
	}
	return list;
}

static json_t *bar_object(const struct bench_results *results,
			  const struct bench_bar *bar)
{
	double ratio = 0;
	const struct bench_row *worst = bench_bar_worst(bar, results, &ratio);
	bool ok = bench_bar_reached(bar, ratio);
	json_t *object =
		bench_json_bar(bar->name, bar->what, bar->at_least, bar->limit);

	json_object_set_new(object, "worst",
			    worst ? bench_json_number(ratio) : json_null());
	json_object_set_new(object, "at",
			    worst ? condition(&worst->at) : json_null());
	json_object_set_new(object, "ok",
			    worst && bar->limit ? json_boolean(ok)
						: json_null());
	json_object_set_new(object, "rows", bar_rows(results, bar));
	return object;
}

static json_t *bars(const struct bench_results *results)
{
	json_t *list = json_array();

	for (int i = 0; i < BENCH_BARS; i++)
		json_array_append_new(list,
				      bar_object(results, &bench_bars[i]));
	return list;
}

static json_t *skipped(const struct bench_results *results)
{
	json_t *list = json_array();

	for (size_t i = 0; i < results->skips; i++) {
		const struct bench_skip *skip = &results->skip[i];
		json_t *item = json_object();

		json_object_set_new(item, "method",
				    skip->method < 0
					    ? json_string("all")
					    : method_name(skip->method));
		json_object_set_new(item, "at",
				    skip->everywhere ? json_null()
						     : condition(&skip->at));
		json_object_set_new(item, "reason", json_string(skip->reason));
		json_array_append_new(list, item);
	}
	return list;
}

static json_t *crossover_object(const struct bench_crossover *it)
{
	const char *kind = it->never ? "never" : it->always ? "always" : "from";
	json_t *object = json_object();

	json_object_set_new(object, "faster", method_name(it->fast));
	json_object_set_new(object, "slower", method_name(it->slow));
	json_object_set_new(object, "thp", json_boolean(it->thp));
	json_object_set_new(object, "busy", json_integer(it->busy));
	json_object_set_new(object, "kind", json_string(kind));
	json_object_set_new(object, "pages",
			    it->pages ? bench_json_number(it->pages)
				      : json_null());
	json_object_set_new(object, "several", json_boolean(it->several));
	return object;
}

static json_t *crossovers(const struct bench_results *results)
{
	struct bench_crossover out[BENCH_MAX_CROSSOVERS];
	size_t n = bench_crossovers(results, out, BENCH_MAX_CROSSOVERS);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, crossover_object(&out[i]));
	return list;
}

/* What was expected of each mechanism: the costs that AUTO chose by. */
static json_t *costs(const struct bench_results *results)
{
	json_t *object = json_object();

	for (unsigned int m = PAGEMV_MECH_MOVE; m < PAGEMV_MECH_COUNT; m++) {
		const struct pagemv_mech_caps *caps =
			&results->backend->caps.mech[m];
		json_t *cost = json_object();

		json_object_set_new(cost, "call_ns",
				    bench_json_number(caps->call_ns));
		json_object_set_new(cost, "page_ns",
				    bench_json_number(caps->page_ns));
		json_object_set_new(cost, "huge_page_ns",
				    bench_json_number(caps->huge_page_ns));
		json_object_set_new(object, pagemv_mechanism_name(m), cost);
	}
	return object;
}

static void add_circumstances(json_t *root, const struct bench_results *results)
{
	size_t huge_bytes = results->huge_pages * results->page_bytes;

	bench_json_add_about(root, &results->about);
	json_object_set_new(root, "page_bytes",
			    bench_json_size(results->page_bytes));
	json_object_set_new(root, "huge_page_bytes",
			    bench_json_size(huge_bytes));
	json_object_set_new(root, "calibrated",
			    json_boolean(results->calibrated));
	json_object_set_new(root, "costs", costs(results));
}

int bench_move_json(const void *of, FILE *out)
{
	const struct bench_results *results = of;
	json_t *root = json_object();

	json_object_set_new(root, "rows", rows(results));
	add_circumstances(root, results);
	json_object_set_new(root, "bars", bars(results));
	if (results->crossover)
		json_object_set_new(root, "crossover", crossovers(results));
	json_object_set_new(root, "choices", choices(results));
	json_object_set_new(root, "skipped", skipped(results));
	bench_json_add_notes(root, &results->about);
	return bench_json_write(root, out);
}
