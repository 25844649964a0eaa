/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an answer of the kernel means and what would change it, in words.
 */
#ifndef TOOLS_ADVICE_H
#define TOOLS_ADVICE_H

#include <stdint.h>

#include <pagemv/pagemv.h>

struct advice {
	const char *why;
	const char *fix; /* a command or setting; NULL: none */
};

/* One way to open a userfaultfd; error as in pagemv_caps.uffd_errors. */
const char *advice_way_name(enum pagemv_uffd_how how);
struct advice advice_way(enum pagemv_uffd_how how, int32_t error);

/* A mechanism that is not available. */
struct advice advice_mechanism(enum pagemv_mechanism mechanism,
			       const struct pagemv_caps *caps);

/* Bit number i of each, or NULL behind the last. */
const char *advice_feature_name(unsigned int i);
const char *advice_quirk_name(unsigned int i);
const char *advice_quirk_action(unsigned int i);
const char *advice_facility_name(unsigned int i);
const char *advice_facility_use(unsigned int i);

#endif /* TOOLS_ADVICE_H */
