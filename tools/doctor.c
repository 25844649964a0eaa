// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv doctor: what this kernel and this process can do.
 */
#include "doctor.h"
#include "host.h"

#include <argp.h>
#include <stdbool.h>
#include <string.h>

#define THP_DIR "/sys/kernel/mm/transparent_hugepage/"

enum key { KEY_JSON = 256, KEY_COSTS };

struct options {
	bool json;
	bool costs;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	(void)arg;
	switch (key) {
	case KEY_JSON:
		options->json = true;
		return 0;
	case KEY_COSTS:
		options->costs = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct argp_option argp_options[] = {
		{ "json", KEY_JSON, NULL, 0, "Tell it as JSON", 0 },
		{ "costs", KEY_COSTS, NULL, 0,
		  "Measure what each mechanism costs here", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = argp_options,
		.parser = parse,
		.doc = "Tells what this kernel and this process can do, and "
		       "what is in the way.\v"
		       "Exit status: 0 pages move by UFFDIO_MOVE or the "
		       "companion module, 1 only slower mechanisms work, 2 "
		       "wrong usage, 3 nothing works.",
	};

	*options = (struct options){ 0 };
	argp_parse(&argp, argc, argv, 0, NULL, options);
}

static void read_settings(struct doctor_settings *settings)
{
	host_read_choice(THP_DIR "enabled", settings->thp,
			 sizeof(settings->thp));
	host_read_choice(THP_DIR "defrag", settings->thp_defrag,
			 sizeof(settings->thp_defrag));
	settings->max_map_count =
		host_read_number("/proc/sys/vm/max_map_count", -1);
	settings->overcommit =
		host_read_number("/proc/sys/vm/overcommit_memory", -1);
	settings->unprivileged_uffd =
		host_read_number("/proc/sys/vm/unprivileged_userfaultfd", -1);
	settings->mappings = host_mapping_count();
	settings->swap_areas = host_swap_areas();
	settings->seccomp_mode = host_seccomp_mode();
}

/* The way down from UFFDIO_MOVE, in one sentence. */
static void judge(struct doctor_report *report)
{
	const struct pagemv_mech_caps *mech = report->caps.mech;
	char *verdict = report->verdict;
	size_t cap = sizeof(report->verdict);

	if (mech[PAGEMV_MECH_MOVE].available) {
		report->status = TOOL_OK;
		snprintf(verdict, cap,
			 "Pages move here without being copied, "
			 "and the mapping layout stays: UFFDIO_MOVE works%s.",
			 report->caps.quirks ? ", with the precautions named "
					       "above"
					     : "");
	} else if (mech[PAGEMV_MECH_COMPANION].available) {
		report->status = TOOL_OK;
		snprintf(verdict, cap,
			 "Pages move here without being copied, and the "
			 "mapping layout stays: by the companion module, as "
			 "UFFDIO_MOVE is not to be had (%s).",
			 pagemv_reason_string(mech[PAGEMV_MECH_MOVE].reason));
	} else if (mech[PAGEMV_MECH_REMAP].available) {
		report->status = TOOL_FALLBACK;
		snprintf(verdict, cap,
			 "Pages move here without being copied "
			 "only where mremap may change the mapping layout, "
			 "else they are copied: UFFDIO_MOVE is not to be had "
			 "(%s).",
			 pagemv_reason_string(mech[PAGEMV_MECH_MOVE].reason));
	} else if (mech[PAGEMV_MECH_COPY].available) {
		report->status = TOOL_FALLBACK;
		snprintf(verdict, cap,
			 "Pages are copied here: neither "
			 "UFFDIO_MOVE nor mremap is to be had.");
	} else {
		report->status = TOOL_NOTHING;
		snprintf(verdict, cap, "No mechanism works here.");
	}
}

static int examine(struct doctor_report *report, bool costs)
{
	struct pagemv *pv;
	int rc = pagemv_open(&pv, NULL);

	if (rc)
		return rc;
	if (costs)
		rc = pagemv_calibrate(pv);
	if (rc)
		fprintf(stderr, "pagemv: measuring costs: %s\n",
			pagemv_strerror(rc));
	report->caps.size = sizeof(report->caps);
	rc = pagemv_caps(pv, &report->caps);
	pagemv_close(pv);
	return rc;
}

int tool_doctor(int argc, char **argv)
{
	struct doctor_report report = { 0 };
	struct options options;
	int rc;

	parse_options(argc, argv, &options);
	read_settings(&report.settings);
	rc = examine(&report, options.costs);
	if (rc) {
		fprintf(stderr, "pagemv: the library cannot be opened: %s\n",
			pagemv_strerror(rc));
		return TOOL_NOTHING;
	}
	judge(&report);
	if (!options.json)
		doctor_print(&report, stdout);
	else if (doctor_json(&report, stdout))
		fprintf(stderr, "pagemv: writing JSON failed\n");
	return report.status;
}
