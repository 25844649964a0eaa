// SPDX-License-Identifier: LGPL-2.1-or-later
#include "advice.h"
#include "doctor.h"
#include "hazards.h"

#include <inttypes.h>
#include <string.h>

static void print_way(const struct pagemv_caps *caps, enum pagemv_uffd_how how,
		      FILE *out)
{
	int32_t error = caps->uffd_errors[how];
	struct advice advice = advice_way(how, error);
	const char *code = error < 0 ? strerrorname_np(-error) : NULL;

	fprintf(out, "  %-33s %s%s%s%s\n", advice_way_name(how),
		code ? code : "", code ? " (" : "", advice.why,
		code ? ")" : "");
	if (advice.fix)
		fprintf(out, "  %-33s to get it: %s\n", "", advice.fix);
}

static void print_features(uint64_t features, FILE *out)
{
	const char *name;

	fprintf(out, "  features %#" PRIx64 ":", features);
	for (unsigned int i = 0; (name = advice_feature_name(i)); i++) {
		if (i % 6 == 0 && i)
			fprintf(out, "\n                   ");
		fprintf(out, " %s%s", features & 1ull << i ? "" : "no-", name);
	}
	fputc('\n', out);
}

static void print_uffd(const struct pagemv_caps *caps, FILE *out)
{
	fprintf(out, "\nuserfaultfd: %s%s\n",
		caps->uffd_how ? "opened by " : "",
		caps->uffd_how ? advice_way_name(caps->uffd_how) : "none");
	for (unsigned int how = PAGEMV_UFFD_USER_MODE;
	     how < PAGEMV_UFFD_HOW_COUNT; how++)
		print_way(caps, how, out);
	if (caps->uffd_how)
		print_features(caps->uffd_features, out);
}

static void print_quirks(const struct pagemv_caps *caps, FILE *out)
{
	const char *name;

	fprintf(out, "\nKnown faults of this kernel release:%s\n",
		caps->quirks | caps->trusted ? "" : " none");
	for (unsigned int i = 0; (name = advice_quirk_name(i)); i++) {
		if (caps->quirks & 1u << i)
			fprintf(out, "  %-14s %s\n", name,
				advice_quirk_action(i));
		else if (caps->trusted & 1u << i)
			fprintf(out, "  %-14s trusted to be absent\n", name);
	}
}

static void print_facilities(const struct pagemv_caps *caps, FILE *out)
{
	const char *name;

	fprintf(out, "\nWhat else the kernel offers:\n");
	for (unsigned int i = 0; (name = advice_facility_name(i)); i++)
		fprintf(out, "  %-3s  %-16s %s\n",
			caps->facilities & 1u << i ? "yes" : "no", name,
			advice_facility_use(i));
}

static void print_costs(const struct pagemv_mech_caps *mech, FILE *out)
{
	fprintf(out,
		"%6.0f ns a call + %.3g ns a page (%.3g of a huge page), "
		"%s\n",
		mech->call_ns, mech->page_ns, mech->huge_page_ns,
		mech->calibrated ? "measured now" : "built-in");
}

static void print_mechanism(const struct pagemv_caps *caps,
			    enum pagemv_mechanism m, FILE *out)
{
	const struct pagemv_mech_caps *mech = &caps->mech[m];
	struct advice advice;

	fprintf(out, "  %-9s ", pagemv_mechanism_name(m));
	if (mech->available) {
		fputs("works ", out);
		print_costs(mech, out);
		return;
	}
	advice = advice_mechanism(m, caps);
	fprintf(out, "not available: %s", advice.why);
	if (mech->error)
		fprintf(out, " (%s)", strerrorname_np(-mech->error));
	fputc('\n', out);
	if (advice.fix)
		fprintf(out, "            to get it: %s\n", advice.fix);
}

static void print_number(const char *name, long long value, FILE *out)
{
	if (value < 0)
		fprintf(out, "  %-32s not there\n", name);
	else
		fprintf(out, "  %-32s %lld\n", name, value);
}

static void print_settings(const struct doctor_settings *settings, FILE *out)
{
	static const char *const seccomp[] = { "none", "strict", "filter" };
	int mode = settings->seccomp_mode;

	fprintf(out, "\nSettings:\n");
	fprintf(out, "  %-32s %s, defrag %s\n", "transparent huge pages",
		settings->thp[0] ? settings->thp : "not there",
		settings->thp_defrag[0] ? settings->thp_defrag : "not there");
	print_number("vm.max_map_count", settings->max_map_count, out);
	fprintf(out, "  %-32s %zu\n", "mappings of this process",
		settings->mappings);
	fprintf(out, "  %-32s %s\n", "swap",
		settings->swap_areas ? "on" : "off");
	print_number("vm.overcommit_memory", settings->overcommit, out);
	print_number("vm.unprivileged_userfaultfd", settings->unprivileged_uffd,
		     out);
	fprintf(out, "  %-32s %s\n", "seccomp",
		mode >= 0 && mode <= 2 ? seccomp[mode] : "not known");
}

static void print_hazards(const struct doctor_report *report, FILE *out)
{
	const char *text;

	for (unsigned int i = 0; (text = hazard(report, i)); i++)
		fprintf(out, "%s  - %s\n", i ? "" : "\nWorth knowing here:\n",
			text);
}

void doctor_print(const struct doctor_report *report, FILE *out)
{
	const struct pagemv_caps *caps = &report->caps;

	fprintf(out,
		"libpagemv %s on Linux %s, pages of %" PRIu64 " KiB, "
		"huge pages of %" PRIu64 " KiB\n",
		pagemv_version(), caps->kernel_release, caps->page_bytes >> 10,
		caps->huge_page_bytes >> 10);
	print_uffd(caps, out);
	print_quirks(caps, out);
	print_facilities(caps, out);
	fprintf(out, "\nMechanisms:\n");
	for (unsigned int m = PAGEMV_MECH_MOVE; m < PAGEMV_MECH_COUNT; m++)
		print_mechanism(caps, m, out);
	print_settings(&report->settings, out);
	print_hazards(report, out);
	fprintf(out, "\n%s\n", report->verdict);
}
