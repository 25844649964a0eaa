// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Filling a range before it is touched: as faults would, page by page.
 */
#include <errno.h>

#include <pagemv/fault.h>

#include "calm.h"
#include "event.h"
#include "fault.h"
#include "internal.h"
#include "pages.h"
#include "region.h"
#include "source.h"

/* Whether faulting regions cover [addr, end). */
static bool is_faulting(struct pagemv *pv, uintptr_t addr, uintptr_t end)
{
	bool is = true;

	while (is && addr < end) {
		struct pmv_hold hold;

		if (pmv_region_hold(pv, addr, &hold) != PMV_HELD)
			return false;
		is = hold.region->flags & PAGEMV_REGION_FAULTING;
		addr = hold.extent.end;
		pmv_region_put(&hold);
	}
	return is;
}

/*
 * The same once it has arrived: it may be on its way, where the program moved
 * it by mremap(). What was there may be known still until then, so that only
 * after all events are followed a no is one.
 */
static bool becomes_faulting(struct pagemv *pv, uintptr_t addr, uintptr_t end)
{
	if (is_faulting(pv, addr, end))
		return true;
	pmv_events_settle(pv);
	return is_faulting(pv, addr, end);
}

/*
 * No region was there, or not the one any more that was looked up: what was
 * known then, the program may have moved meanwhile. Returns 0 to look again.
 */
static int populate_elsewhere(struct pagemv *pv, uintptr_t page)
{
	if (!pmv_alive(pv))
		return -ESRCH;
	pmv_events_settle(pv);
	return pmv_region_has(pv, page, pv->page_bytes, PAGEMV_REGION_EVENTS)
		       ? 0
		       : -ENOENT;
}

/* Fills the page, and perhaps some around it. Returns 0 to look again; *gone:
 * as populate_elsewhere() says so. */
static int populate_page(struct pagemv *pv, uintptr_t page, size_t *filled,
			 bool *gone)
{
	struct pmv_fault_report report;
	enum pmv_fault_end end = pmv_fault_at(pv, page, &report);

	*filled = report.filled_pages * pv->page_bytes;
	if (end == PMV_FAULT_FAILED)
		return report.error;
	*gone = end == PMV_FAULT_FOREIGN || report.error == PMV_FILL_GONE;
	return *gone ? populate_elsewhere(pv, page) : report.error;
}

/* Passes what is there, fills what is not. */
static int populate(struct pagemv *pv, uintptr_t addr, uintptr_t end,
		    size_t *filled)
{
	const size_t most = PAGEMV_AROUND_MAX * pv->page_bytes;
	unsigned int idle = 0;
	size_t now;
	bool gone = false;
	int rc = 0;

	while (addr < end && rc == 0) {
		struct pmv_run run =
			pmv_pages_run(pv, addr, pmv_min(end - addr, most));

		if (run.populated && run.known) {
			addr += run.bytes;
			idle = 0;
			continue;
		}
		rc = populate_page(pv, addr, &now, &gone);
		*filled += now;
		/* What others throw away, or move, again and again. */
		if (rc == 0 && ++idle > PMV_IDLE_MAX)
			rc = gone ? -ENOENT : -EAGAIN;
		/* Only that it was filled says that it is there. */
		if (rc == 0 && !run.known && now)
			addr += pv->page_bytes;
	}
	return rc;
}

static int populate_calmly(struct pagemv *pv, uintptr_t addr, uintptr_t end,
			   size_t *filled)
{
	struct pmv_calm calm;
	int rc;

	pmv_calm_begin(&calm);
	rc = populate(pv, addr, end, filled);
	pmv_calm_end(&calm);
	return rc;
}

int pagemv_populate(struct pagemv *pv, void *addr, size_t len_bytes,
		    size_t *filled_bytes)
{
	uintptr_t start = (uintptr_t)addr, end = start + len_bytes;
	size_t filled = 0;
	int saved = errno, rc;

	if (filled_bytes)
		*filled_bytes = 0;
	if (!pv || !len_bytes || end < start ||
	    end > UINTPTR_MAX - pv->page_bytes)
		return -EINVAL;
	if (!pmv_alive(pv))
		return -ESRCH;
	start = pmv_round_down(start, pv->page_bytes);
	end = pmv_round_up(end, pv->page_bytes);
	if (!becomes_faulting(pv, start, end))
		rc = -ENOENT;
	else
		rc = populate_calmly(pv, start, end, &filled);
	if (filled_bytes)
		*filled_bytes = filled;
	errno = saved;
	return rc;
}
