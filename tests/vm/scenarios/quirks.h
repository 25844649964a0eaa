/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the scenario "quirks" share.
 */
#ifndef TESTS_VM_SCENARIOS_QUIRKS_H
#define TESTS_VM_SCENARIOS_QUIRKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pagemv/pagemv.h>

#include "tap.h"

extern struct tap tap;

/* Whether it is in force, as the library says for this kernel. */
bool knows(uint32_t quirk);

/* A result, and what there is to say when it is not as it should be. */
__attribute__((format(printf, 3, 4))) bool expect(bool ok, const char *name,
						  const char *format, ...);

struct pagemv *open_trusting(uint32_t trusted, struct pagemv_caps *caps);
int force_move(struct pagemv *pv, void *dst, void *src, size_t pages,
	       struct pagemv_result *res);

/* ---- quirks_huge.c ---- */

void test_huge_move(void);
void test_huge_pages(void);
/* Two movers out of one huge page. */
void test_two_movers(void);
/* Huge pages that migrate. */
void test_migration(void);

/* ---- quirks_miscount.c ---- */

void test_miscount_bare(void);
void test_miscount_library(void);
/* Who waits for a page that is moved and not counted. */
void test_forgotten(void);

#endif /* TESTS_VM_SCENARIOS_QUIRKS_H */
