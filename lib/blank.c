// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Copying by stores, where there is no userfaultfd, leaves traces: in a mapping
 * that may have huge pages, the store to an absent page is answered with a huge
 * page, and the neighbours that nobody has asked for are pages of zeros now.
 * Regions and staging ranges are kept from it (pmv_pages_keep_small()); but a
 * program may allow huge pages in its regions again.
 *
 * ASSUME(thp-eligible): THPeligible in /proc/self/smaps is 1 where a store may
 *   make a huge page of any size. Documentation/filesystems/proc.rst
 */
#include "blank.h"

#include "internal.h"
#include "mapping.h"
#include "region.h"

/* Bytes of pages of zeros at the head of a populated range. */
static size_t zero_bytes(const struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	size_t zeros = 0;

	while (zeros < bytes && pmv_pages_zero(pv, addr + zeros))
		zeros += pv->page_bytes;
	return zeros;
}

/* Whether the kernel makes huge pages at addr. Slow when it does not. */
static bool gets_huge(const struct pagemv *pv, uintptr_t addr)
{
	struct pmv_mapping m;

	if (pmv_region_gets_huge(pv, addr))
		return true;
	/* ASSUME(thp-eligible) */
	if (pmv_mapping_find_deep(pv, addr, &m) != 1 || m.start > addr ||
	    !(m.flags & PMV_MAP_HUGE))
		return false;
	pmv_region_learn_huge(pv, addr);
	return true;
}

/* How much of a run at addr is no page in the way. */
static size_t blank_bytes(const struct pagemv *pv, uintptr_t addr,
			  const struct pmv_run *run)
{
	size_t zeros;

	if (!run->populated)
		return run->bytes;
	zeros = run->known ? zero_bytes(pv, addr, run->bytes) : 0;
	return zeros && gets_huge(pv, addr) ? zeros : 0;
}

struct pmv_run pmv_blank_run(const struct pagemv *pv, uintptr_t addr,
			     size_t bytes)
{
	struct pmv_run run = pmv_pages_run(pv, addr, bytes);
	struct pmv_run blank = { .known = true };
	size_t more;

	if (pmv_has(pv, PAGEMV_HAS_QUIET))
		return run;
	while ((more = blank_bytes(pv, addr + blank.bytes, &run)) > 0) {
		blank.bytes += more;
		blank.known = blank.known && run.known;
		if (blank.bytes == bytes)
			break;
		run = pmv_pages_run(pv, addr + blank.bytes,
				    bytes - blank.bytes);
	}
	return blank.bytes ? blank : run;
}
