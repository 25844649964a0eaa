/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kernel releases with known faults. Pure. */
#ifndef PMV_QUIRKS_H
#define PMV_QUIRKS_H

#include "base.h"

struct pmv_release {
	unsigned int major, minor, patch;
};

/* From "6.12.9-amd64" and the like; what is missing is 0. */
struct pmv_release pmv_release_parse(const char *text);

/* PAGEMV_QUIRK_* that this release is known to have. */
uint32_t pmv_quirks_of(struct pmv_release release);

#endif /* PMV_QUIRKS_H */
