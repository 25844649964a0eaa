// SPDX-License-Identifier: LGPL-2.1-or-later
#include "advice.h"
#include "doctor.h"
#include "hazards.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#define FORMAT (JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6))

static json_t *text(const char *string)
{
	return string ? json_string(string) : json_null();
}

/* "EPERM" */
static json_t *error_name(int32_t error)
{
	return error < 0 ? text(strerrorname_np(-error)) : json_null();
}

static json_t *way(const struct pagemv_caps *caps, enum pagemv_uffd_how how)
{
	int32_t error = caps->uffd_errors[how];
	struct advice advice = advice_way(how, error);
	json_t *object = json_object();

	json_object_set_new(object, "way", text(advice_way_name(how)));
	json_object_set_new(object, "tried", json_boolean(error != 1));
	json_object_set_new(object, "works", json_boolean(error == 0));
	json_object_set_new(object, "error", error_name(error));
	json_object_set_new(object, "why", text(advice.why));
	json_object_set_new(object, "fix", text(advice.fix));
	return object;
}

static json_t *feature_names(uint64_t features)
{
	json_t *list = json_array();
	const char *name;

	for (unsigned int i = 0; (name = advice_feature_name(i)); i++)
		if (features & 1ull << i)
			json_array_append_new(list, text(name));
	return list;
}

static json_t *uffd(const struct pagemv_caps *caps)
{
	json_t *object = json_object();
	json_t *ways = json_array();
	char bits[24];

	for (unsigned int how = PAGEMV_UFFD_USER_MODE;
	     how < PAGEMV_UFFD_HOW_COUNT; how++)
		json_array_append_new(ways, way(caps, how));
	snprintf(bits, sizeof(bits), "%#" PRIx64, caps->uffd_features);
	json_object_set_new(object, "opened_by",
			    caps->uffd_how
				    ? text(advice_way_name(caps->uffd_how))
				    : json_null());
	json_object_set_new(object, "ways", ways);
	json_object_set_new(object, "features", text(bits));
	json_object_set_new(object, "feature_names",
			    feature_names(caps->uffd_features));
	return object;
}

static json_t *quirks(const struct pagemv_caps *caps)
{
	json_t *list = json_array();
	const char *name;

	for (unsigned int i = 0; (name = advice_quirk_name(i)); i++) {
		json_t *item;

		if (!((caps->quirks | caps->trusted) & 1u << i))
			continue;
		item = json_object();
		json_object_set_new(item, "name", text(name));
		json_object_set_new(item, "trusted",
				    json_boolean(caps->trusted & 1u << i));
		json_object_set_new(item, "action",
				    text(advice_quirk_action(i)));
		json_array_append_new(list, item);
	}
	return list;
}

static json_t *facilities(const struct pagemv_caps *caps)
{
	json_t *object = json_object();
	const char *name;

	for (unsigned int i = 0; (name = advice_facility_name(i)); i++)
		json_object_set_new(object, name,
				    json_boolean(caps->facilities & 1u << i));
	return object;
}

static json_t *mechanism(const struct pagemv_caps *caps,
			 enum pagemv_mechanism m)
{
	const struct pagemv_mech_caps *mech = &caps->mech[m];
	struct advice advice = { 0 };
	json_t *object = json_object();

	if (!mech->available)
		advice = advice_mechanism(m, caps);
	json_object_set_new(object, "name", text(pagemv_mechanism_name(m)));
	json_object_set_new(object, "available", json_boolean(mech->available));
	json_object_set_new(object, "reason", text(advice.why));
	json_object_set_new(object, "fix", text(advice.fix));
	json_object_set_new(object, "error", error_name(mech->error));
	json_object_set_new(object, "calibrated",
			    json_boolean(mech->calibrated));
	json_object_set_new(object, "call_ns", json_real(mech->call_ns));
	json_object_set_new(object, "page_ns", json_real(mech->page_ns));
	json_object_set_new(object, "huge_page_ns",
			    json_real(mech->huge_page_ns));
	return object;
}

static json_t *mechanisms(const struct pagemv_caps *caps)
{
	json_t *list = json_array();

	for (unsigned int m = PAGEMV_MECH_MOVE; m < PAGEMV_MECH_COUNT; m++)
		json_array_append_new(list, mechanism(caps, m));
	return list;
}

/* -1 is how settings say that they are not there. */
static json_t *setting(long long value)
{
	return value < 0 ? json_null() : json_integer(value);
}

static json_t *settings(const struct doctor_settings *it)
{
	json_t *object = json_object();

	json_object_set_new(object, "thp", text(it->thp));
	json_object_set_new(object, "thp_defrag", text(it->thp_defrag));
	json_object_set_new(object, "max_map_count",
			    setting(it->max_map_count));
	json_object_set_new(object, "mappings",
			    json_integer((json_int_t)it->mappings));
	json_object_set_new(object, "swap", json_boolean(it->swap_areas));
	json_object_set_new(object, "overcommit_memory",
			    setting(it->overcommit));
	json_object_set_new(object, "unprivileged_userfaultfd",
			    setting(it->unprivileged_uffd));
	json_object_set_new(object, "seccomp", setting(it->seccomp_mode));
	return object;
}

static json_t *hazards(const struct doctor_report *report)
{
	json_t *list = json_array();
	const char *it;

	for (unsigned int i = 0; (it = hazard(report, i)); i++)
		json_array_append_new(list, text(it));
	return list;
}

int doctor_json(const struct doctor_report *report, FILE *out)
{
	const struct pagemv_caps *caps = &report->caps;
	json_t *root = json_object();
	int rc;

	json_object_set_new(root, "version", text(pagemv_version()));
	json_object_set_new(root, "kernel", text(caps->kernel_release));
	json_object_set_new(root, "page_bytes",
			    json_integer((json_int_t)caps->page_bytes));
	json_object_set_new(root, "huge_page_bytes",
			    json_integer((json_int_t)caps->huge_page_bytes));
	json_object_set_new(root, "userfaultfd", uffd(caps));
	json_object_set_new(root, "quirks", quirks(caps));
	json_object_set_new(root, "facilities", facilities(caps));
	json_object_set_new(root, "mechanisms", mechanisms(caps));
	json_object_set_new(root, "settings", settings(&report->settings));
	json_object_set_new(root, "hazards", hazards(report));
	json_object_set_new(root, "status", json_integer(report->status));
	json_object_set_new(root, "verdict", text(report->verdict));
	rc = json_dumpf(root, out, FORMAT);
	json_decref(root);
	return rc || fputc('\n', out) == EOF ? -EIO : 0;
}
