// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hazards.h"

#include <stdbool.h>
#include <string.h>

static bool moves(const struct doctor_report *r)
{
	return r->caps.mech[PAGEMV_MECH_MOVE].available;
}

static bool has(const struct doctor_report *r, uint32_t facility)
{
	return r->caps.facilities & facility;
}

static bool huge_pages(const struct doctor_report *r)
{
	return r->settings.thp[0] && strcmp(r->settings.thp, "never") != 0;
}

static bool held_huge_page(const struct doctor_report *r)
{
	return moves(r) && huge_pages(r);
}

static bool copies_by_stores(const struct doctor_report *r)
{
	return !has(r, PAGEMV_HAS_QUIET) &&
	       strcmp(r->settings.thp, "always") == 0;
}

static bool unseen_pins(const struct doctor_report *r)
{
	return !has(r, PAGEMV_HAS_PIN_CHECK);
}

static bool slow_swap(const struct doctor_report *r)
{
	return moves(r) && r->settings.swap_areas;
}

static const struct {
	bool (*here)(const struct doctor_report *r);
	const char *text;
} hazards[] = {
	{ held_huge_page,
	  "UFFDIO_MOVE of a part of a huge page that a device or a pipe holds "
	  "may not return until it lets go (seen on 6.12 to 7.2): advise "
	  "MADV_NOHUGEPAGE on memory that is pinned for DMA" },
	{ copies_by_stores,
	  "without userfaultfd pages are copied by stores, which make huge "
	  "pages here: regions are advised MADV_NOHUGEPAGE" },
	{ unseen_pins,
	  "pages under DMA cannot be told from others: copying parts them from "
	  "their device, remap (PAGEMV_MOVE_MAY_REMAP) takes them along" },
	{ slow_swap, "a large page that is being written to the swap is busy "
		     "until it is written: such a move waits up to 60 ms" },
};

const char *hazard(const struct doctor_report *report, unsigned int i)
{
	for (size_t k = 0; k < sizeof(hazards) / sizeof(hazards[0]); k++)
		if (hazards[k].here(report) && i-- == 0)
			return hazards[k].text;
	return NULL;
}
