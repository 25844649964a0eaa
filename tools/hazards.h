/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the lab has taught about machines like this one (doc/kernels.md,
 * doc/kernel-facts.md), for those who are about to use the library on it.
 */
#ifndef TOOLS_HAZARDS_H
#define TOOLS_HAZARDS_H

#include "doctor.h"

/* Hazard number i that this machine has, in words; NULL behind the last. */
const char *hazard(const struct doctor_report *report, unsigned int i);

#endif /* TOOLS_HAZARDS_H */
