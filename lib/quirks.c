// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A release says little: distributions backport fixes. So the table can be
 * overridden (pagemv_open_opts.trusted), and what can be found out by trying
 * is found out so (kernel.c). The sources of each row are in
 * doc/kernel-facts.md.
 */
#include "quirks.h"

#include <stddef.h>
#include <stdlib.h>

#include <pagemv/caps.h>

struct quirk_range {
	struct pmv_release from;  /* the first that has it */
	struct pmv_release until; /* the first of the series that has not */
	uint32_t quirks;
};

#define ALL_OF 9999u

static const struct quirk_range table[] = {
	/* CVE-2024-27007: src folio changed though MOVE fails */
	{ { 6, 8, 0 }, { 6, 8, 8 }, PAGEMV_QUIRK_HUGE_MOVE },
	/* CVE-2026-31397: bogus page when a huge zero page is moved */
	{ { 6, 16, 0 }, { 6, 18, 20 }, PAGEMV_QUIRK_HUGE_MOVE },
	{ { 6, 19, 0 }, { 6, 19, 10 }, PAGEMV_QUIRK_HUGE_MOVE },
	/* 4165b7d1c45c: an Oops where a huge page is migrating. These series
	 * ended without the mend; other kernels have it, or have not shown it
	 */
	{ { 6, 19, 10 }, { 7, 0, ALL_OF }, PAGEMV_QUIRK_HUGE_MOVE },
	/* 37b338eed105: livelock on a shared large folio; and PMD migration
	 * entries taken for folios (syzbot b446dbe27035) */
	{ { 6, 8, 0 }, { 6, 11, ALL_OF }, PAGEMV_QUIRK_HUGE_PAGES },
	{ { 6, 12, 0 }, { 6, 12, 43 }, PAGEMV_QUIRK_HUGE_PAGES },
	{ { 6, 13, 0 }, { 6, 15, ALL_OF }, PAGEMV_QUIRK_HUGE_PAGES },
	{ { 6, 16, 0 }, { 6, 16, 2 }, PAGEMV_QUIRK_HUGE_PAGES },
	/* CVE-2025-21984, CVE-2025-38242: races with the swap cache */
	{ { 6, 8, 0 }, { 6, 11, ALL_OF }, PAGEMV_QUIRK_SWAP },
	{ { 6, 12, 0 }, { 6, 12, 37 }, PAGEMV_QUIRK_SWAP },
	{ { 6, 13, 0 }, { 6, 14, ALL_OF }, PAGEMV_QUIRK_SWAP },
	{ { 6, 15, 0 }, { 6, 15, 5 }, PAGEMV_QUIRK_SWAP },
	/* zero pages refused until "handle zeropages in UFFDIO_MOVE" */
	{ { 6, 8, 0 }, { 6, 8, ALL_OF }, PAGEMV_QUIRK_ZERO_PAGE },
	/* err is not cleared after a retry; which release of 6.18 has the fix
	 * is not known, and the repair does no harm there */
	{ { 6, 18, 0 }, { 7, 2, 5 }, PAGEMV_QUIRK_MISCOUNT },
};

struct pmv_release pmv_release_parse(const char *text)
{
	struct pmv_release r = { 0 };
	unsigned int *part[] = { &r.major, &r.minor, &r.patch };

	for (size_t i = 0; i < 3; i++) {
		char *end;

		*part[i] = (unsigned int)strtoul(text, &end, 10);
		if (end == text || *end != '.')
			break;
		text = end + 1;
	}
	return r;
}

static bool before(struct pmv_release a, struct pmv_release b)
{
	if (a.major != b.major)
		return a.major < b.major;
	if (a.minor != b.minor)
		return a.minor < b.minor;
	return a.patch < b.patch;
}

uint32_t pmv_quirks_of(struct pmv_release release)
{
	uint32_t quirks = 0;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (!before(release, table[i].from) &&
		    before(release, table[i].until))
			quirks |= table[i].quirks;
	return quirks;
}
