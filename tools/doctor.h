/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What pagemv doctor finds out, and the two ways it is told.
 */
#ifndef TOOLS_DOCTOR_H
#define TOOLS_DOCTOR_H

#include <stddef.h>
#include <stdio.h>

#include <pagemv/pagemv.h>

#include "tool.h"

struct doctor_settings {
	char thp[32]; /* "": the kernel has none */
	char thp_defrag[32];
	long long max_map_count; /* -1: not known, as the others */
	long long overcommit;
	long long unprivileged_uffd;
	size_t mappings;
	unsigned int swap_areas;
	int seccomp_mode;
};

struct doctor_report {
	struct pagemv_caps caps;
	struct doctor_settings settings;
	enum tool_status status;
	char verdict[400];
};

void doctor_print(const struct doctor_report *report, FILE *out);

/* 0 or -errno. */
int doctor_json(const struct doctor_report *report, FILE *out);

#endif /* TOOLS_DOCTOR_H */
