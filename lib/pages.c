// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Three ways to ask, best first: PAGEMAP_SCAN (6.7), /proc/self/pagemap,
 * mincore(2). The last takes a swapped-out page for a hole when it is not in
 * the swap cache; it is used only where /proc is missing.
 *
 * ASSUME(pagemap-unprivileged): bits 56 (mapped nowhere else), 57 (protected by
 *   userfaultfd, Linux 5.14), 62 (swapped) and 63 (present) are shown without
 *   privilege. Documentation/admin-guide/mm/pagemap.rst
 * ASSUME(scan-protects): PAGEMAP_SCAN looks and protects under one lock, and
 *   protects what it tells and nothing else, if it is given a vector; without
 *   one it would leave markers at absent pages, at which UFFDIO_MOVE says
 *   EEXIST. It stops at a mapping that is not allowed with EPERM, having
 *   told the ones before it. fs/proc/task_mmu.c of 6.10; tried on 6.18
 * ASSUME(scan-unregistered): PAGE_IS_WRITTEN says that a page is not protected,
 *   and from 7.3 on that its mapping can be, besides: what was mapped over a
 *   part of a tracked region has neither. Tried on 6.18 and 7.3
 */
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "internal.h"
#include "uffd.h"
#include "uffd_uapi.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define PAGEMAP_PRESENT_OR_SWAPPED (3ull << 62)
#define PAGEMAP_PRESENT		   (1ull << 63)
#define PAGEMAP_EXCLUSIVE	   (1ull << 56)
#define PAGEMAP_PROTECTED	   (1ull << 57)
#define ENTRIES			   64

/*
 * The first run of pages of any of the wanted categories: 1 and the run, 0
 * if there is none, or -errno. Which category a page has is not asked for,
 * so that present and swapped pages make one run.
 */
static int pagemap_scan(const struct pagemv *pv, uintptr_t addr, size_t bytes,
			uint32_t wanted, struct pmv_page_region *first)
{
	struct pmv_pm_scan scan = {
		.size = sizeof(scan),
		.start = addr,
		.end = addr + bytes,
		.vec = (uintptr_t)first,
		.vec_len = 1,
		.category_anyof_mask = wanted,
	};

	return pv->sys->ioctl(pv->pagemap_fd, PMV_PAGEMAP_SCAN, &scan);
}

static bool run_by_scan(const struct pagemv *pv, uintptr_t addr, size_t bytes,
			struct pmv_run *run)
{
	struct pmv_page_region first;
	int rc = pagemap_scan(pv, addr, bytes,
			      PMV_PAGE_IS_PRESENT | PMV_PAGE_IS_SWAPPED,
			      &first);

	if (rc < 0)
		return false;
	if (rc == 0)
		*run = (struct pmv_run){ bytes, false, true };
	else if (first.start > addr)
		*run = (struct pmv_run){ first.start - addr, false, true };
	else
		*run = (struct pmv_run){ first.end - addr, true, true };
	return true;
}

static bool run_by_pagemap(const struct pagemv *pv, uintptr_t addr,
			   size_t bytes, struct pmv_run *run)
{
	uint64_t entry[ENTRIES];
	size_t pages = bytes / pv->page_bytes, n = 0;
	off_t off = (off_t)(addr / pv->page_bytes * sizeof(entry[0]));

	while (n < pages) {
		size_t want = pmv_min(pages - n, ENTRIES);
		ssize_t got = pv->sys->pread(
			pv->pagemap_fd, entry, want * sizeof(entry[0]),
			off + (off_t)(n * sizeof(entry[0])));

		if (got < (ssize_t)sizeof(entry[0]))
			break;
		for (size_t i = 0; i < (size_t)got / sizeof(entry[0]); i++) {
			bool there = entry[i] & PAGEMAP_PRESENT_OR_SWAPPED;

			if (n == 0)
				run->populated = there;
			else if (there != run->populated)
				goto out;
			n++;
		}
	}
out:
	run->bytes = n * pv->page_bytes;
	run->known = true;
	return n > 0;
}

static bool run_by_mincore(const struct pagemv *pv, uintptr_t addr,
			   size_t bytes, struct pmv_run *run)
{
	unsigned char in_core[ENTRIES];
	size_t pages = pmv_min(bytes / pv->page_bytes, ENTRIES), n = 1;

	if (pv->sys->mincore(addr, pages * pv->page_bytes, in_core) < 0)
		return false;
	while (n < pages && (in_core[n] & 1) == (in_core[0] & 1))
		n++;
	/* What is not in core may be a hole, or swapped out. */
	*run = (struct pmv_run){ n * pv->page_bytes, in_core[0] & 1,
				 in_core[0] & 1 };
	return true;
}

struct pmv_run pmv_pages_run(const struct pagemv *pv, uintptr_t addr,
			     size_t bytes)
{
	struct pmv_run run = { bytes, true, false };

	pmv_assert(bytes > 0);
	if (pmv_has(pv, PAGEMV_HAS_PAGEMAP_SCAN) &&
	    run_by_scan(pv, addr, bytes, &run))
		return run;
	if (pmv_has(pv, PAGEMV_HAS_PAGEMAP) &&
	    run_by_pagemap(pv, addr, bytes, &run))
		return run;
	if (run_by_mincore(pv, addr, bytes, &run))
		return run;
	return (struct pmv_run){ bytes, true, false };
}

/* ---- write protection ---- */

/* ASSUME(scan-unregistered) */
static bool is_open(const struct pmv_page_region *r)
{
	return r->categories & PMV_PAGE_IS_WRITTEN ||
	       !(r->categories & PMV_PAGE_IS_WPALLOWED);
}

/* Adds a run. False: there is no more room. */
static bool add_run(const struct pmv_page_region *r, struct pmv_listing *out,
		    size_t n, size_t *count)
{
	if (*count && out[*count - 1].end == r->start) {
		out[*count - 1].end = r->end;
		return true;
	}
	if (*count == n)
		return false;
	out[(*count)++] = (struct pmv_listing){ r->start, r->end };
	return true;
}

/* The scan tells what is protected, too: "written to, or not registered" cannot
 * be asked for. */
static ssize_t list_open_by_scan(const struct pagemv *pv, uintptr_t addr,
				 size_t bytes, struct pmv_listing *out,
				 size_t n, uintptr_t *next)
{
	struct pmv_page_region found[PMV_LIST_MAX];
	struct pmv_pm_scan scan = {
		.size = sizeof(scan),
		.end = addr + bytes,
		.vec = (uintptr_t)found,
		.vec_len = PMV_LIST_MAX,
		.category_anyof_mask = PMV_PAGE_IS_PRESENT |
				       PMV_PAGE_IS_SWAPPED,
		.return_mask = PMV_PAGE_IS_WRITTEN | PMV_PAGE_IS_WPALLOWED,
	};
	size_t count = 0;

	for (*next = addr; *next < addr + bytes; *next = scan.walk_end) {
		int got;

		scan.start = *next;
		got = pv->sys->ioctl(pv->pagemap_fd, PMV_PAGEMAP_SCAN, &scan);
		if (got < 0)
			return count ? (ssize_t)count : got;
		for (int i = 0; i < got; i++) {
			*next = found[i].start;
			if (is_open(&found[i]) &&
			    !add_run(&found[i], out, n, &count))
				return (ssize_t)count;
		}
	}
	return (ssize_t)count;
}

static ssize_t list_by_scan(const struct pagemv *pv, enum pmv_listed which,
			    uintptr_t addr, size_t bytes,
			    struct pmv_listing *out, size_t n, uintptr_t *next)
{
	/* Zeros, as after an error nothing else says how many there are. */
	struct pmv_page_region found[PMV_LIST_MAX] = { 0 };
	struct pmv_pm_scan scan = {
		.size = sizeof(scan),
		.start = addr,
		.end = addr + bytes,
		.vec = (uintptr_t)found,
		.vec_len = n,
		.category_mask = PMV_PAGE_IS_WRITTEN,
		.category_anyof_mask = PMV_PAGE_IS_PRESENT |
				       PMV_PAGE_IS_SWAPPED,
	};
	size_t count = 0;
	int rc;

	if (which == PMV_LIST_PROTECTED) {
		scan.category_mask |= PMV_PAGE_IS_WPALLOWED;
		scan.category_inverted = PMV_PAGE_IS_WRITTEN;
	}
	if (which == PMV_LIST_PROTECT)
		scan.flags = PMV_PM_SCAN_WP_MATCHING |
			     PMV_PM_SCAN_CHECK_WPASYNC;
	rc = pv->sys->ioctl(pv->pagemap_fd, PMV_PAGEMAP_SCAN, &scan);
	for (; count < n && found[count].end; count++)
		out[count] = (struct pmv_listing){ found[count].start,
						   found[count].end };
	if (rc < 0 && !count)
		return rc;
	/* ASSUME(scan-protects): what was told before an error is protected,
	 * and it is the caller's to know. */
	*next = rc < 0 ? out[count - 1].end : scan.walk_end;
	return (ssize_t)count;
}

static bool is_listed(uint64_t entry, enum pmv_listed which)
{
	bool protected = entry & PAGEMAP_PROTECTED;

	return entry & PAGEMAP_PRESENT_OR_SWAPPED &&
	       protected == (which == PMV_LIST_PROTECTED);
}

static ssize_t list_by_pagemap(const struct pagemv *pv, enum pmv_listed which,
			       uintptr_t addr, size_t bytes,
			       struct pmv_listing *out, size_t n,
			       uintptr_t *next)
{
	uint64_t entry[ENTRIES];
	uintptr_t end = addr + bytes;
	size_t count = 0;

	for (*next = addr; *next < end;) {
		size_t want = pmv_min((end - *next) / pv->page_bytes, ENTRIES);
		ssize_t got = pv->sys->pread(
			pv->pagemap_fd, entry, want * sizeof(entry[0]),
			(off_t)(*next / pv->page_bytes * sizeof(entry[0])));

		if (got < (ssize_t)sizeof(entry[0]))
			return count ? (ssize_t)count : got < 0 ? got : -EIO;
		for (size_t i = 0; i < (size_t)got / sizeof(entry[0]);
		     i++, *next += pv->page_bytes) {
			if (!is_listed(entry[i], which))
				continue;
			if (!count || out[count - 1].end != *next) {
				if (count == n)
					return (ssize_t)count;
				out[count++].start = *next;
			}
			out[count - 1].end = *next + pv->page_bytes;
		}
	}
	return (ssize_t)count;
}

ssize_t pmv_pages_list(const struct pagemv *pv, enum pmv_listed which,
		       uintptr_t addr, size_t bytes, struct pmv_listing *out,
		       size_t n, uintptr_t *next)
{
	pmv_assert(bytes > 0 && n > 0 && n <= PMV_LIST_MAX);
	/* The scan says only of asynchronous protection where there may be any.
	 */
	if (pmv_has(pv, PAGEMV_HAS_PAGEMAP_SCAN) &&
	    pmv_has(pv, PAGEMV_HAS_ASYNC_WP))
		return which == PMV_LIST_OPEN
			       ? list_open_by_scan(pv, addr, bytes, out, n,
						   next)
			       : list_by_scan(pv, which, addr, bytes, out, n,
					      next);
	if (!pmv_has(pv, PAGEMV_HAS_PAGEMAP) || which == PMV_LIST_PROTECT)
		return -EOPNOTSUPP;
	return list_by_pagemap(pv, which, addr, bytes, out, n, next);
}

bool pmv_pages_zero(const struct pagemv *pv, uintptr_t page)
{
	const uint64_t *word = (const uint64_t *)page;

	for (size_t i = 0; i < pv->page_bytes / sizeof(*word); i++)
		if (word[i])
			return false;
	return true;
}

bool pmv_pages_huge(const struct pagemv *pv, uintptr_t addr)
{
	struct pmv_page_region first;

	return pmv_has(pv, PAGEMV_HAS_PAGEMAP_SCAN) &&
	       pagemap_scan(pv, addr, pv->page_bytes, PMV_PAGE_IS_HUGE,
			    &first) > 0;
}

size_t pmv_pages_huge_left(const struct pagemv *pv, uintptr_t addr)
{
	return pv->huge_bytes ? pmv_round_up(addr + 1, pv->huge_bytes) - addr
			      : SIZE_MAX;
}

bool pmv_pages_held_huge(const struct pagemv *pv, uintptr_t addr)
{
	return pmv_pages_huge(pv, addr) &&
	       pv->sys->madvise(addr, pv->page_bytes, MADV_COLD) == 0 &&
	       pmv_pages_huge(pv, addr);
}

bool pmv_pages_shared(const struct pagemv *pv, uintptr_t addr)
{
	off_t off = (off_t)(addr / pv->page_bytes * sizeof(uint64_t));
	uint64_t entry;

	return pmv_has(pv, PAGEMV_HAS_PAGEMAP) &&
	       pv->sys->pread(pv->pagemap_fd, &entry, sizeof(entry), off) ==
		       sizeof(entry) &&
	       (entry & (PAGEMAP_PRESENT | PAGEMAP_EXCLUSIVE)) ==
		       PAGEMAP_PRESENT;
}

bool pmv_pages_small_only(const struct pagemv *pv)
{
	return !pmv_has(pv, PAGEMV_HAS_QUIET) ||
	       pv->quirks & PAGEMV_QUIRK_HUGE_PAGES;
}

void pmv_pages_keep_small(const struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	if (pmv_pages_small_only(pv))
		pv->sys->madvise(addr, bytes, MADV_NOHUGEPAGE);
}

int pmv_pages_populate(const struct pmv_sys *sys, uintptr_t addr, size_t bytes)
{
	return sys->madvise(addr, bytes, MADV_POPULATE_WRITE);
}

/* Never written to: all of it is the kernel's one page of zeros, which stays in
 * the caches. */
static unsigned char zeros[128 << 10];

/* To have zeros copied costs a sixth less than to have pages cleared and looked
 * up, twice each, by populate(). */
int pmv_pages_make(const struct pmv_sys *sys, const struct pagemv *pv,
		   uintptr_t addr, size_t bytes)
{
	struct pmv_step step = { .error = 0 };
	size_t off = 0;

	if (!pv || !pmv_has(pv, PAGEMV_HAS_QUIET))
		return pmv_pages_populate(sys, addr, bytes);
	/* In a forked child these would be pages of the parent's. */
	for (; off < bytes && !step.error && pmv_alive(pv); off += step.done)
		step = pmv_uffd_copy(sys, pv->uffd, addr + off,
				     (uintptr_t)zeros,
				     pmv_min(bytes - off, sizeof(zeros)));
	if (off == bytes)
		return 0;
	return pmv_pages_populate(sys, addr + off, bytes - off);
}

int pmv_pages_put(const struct pagemv *pv, uintptr_t addr)
{
	int rc = pmv_pages_populate(pv->sys, addr, pv->page_bytes);
	ssize_t got;

	if (rc != -EINVAL || !pmv_has(pv, PAGEMV_HAS_PAGEMAP))
		return rc;
	/* Has the kernel write there, which fails where there is no memory: a
	 * store of our own would be tried again until there is some. */
	got = pv->sys->pread(pv->pagemap_fd, (void *)addr, sizeof(uint64_t), 0);
	return got == -EFAULT ? -ENOMEM : 0;
}

int pmv_pages_drop(const struct pmv_sys *sys, uintptr_t addr, size_t bytes)
{
	int rc = sys->madvise(addr, bytes, MADV_DONTNEED);

	/* Locked memory: Linux 5.18. */
	if (rc < 0)
		rc = sys->madvise(addr, bytes, MADV_DONTNEED_LOCKED);
	return rc;
}

int pmv_pages_discard(const struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	return pmv_pages_drop(pv->sys, addr, bytes);
}

int pmv_pages_open(struct pagemv *pv)
{
	struct pmv_page_region first;
	uint64_t entry;
	uintptr_t here = pmv_round_down((uintptr_t)&entry, pv->page_bytes);
	off_t off = (off_t)(here / pv->page_bytes * sizeof(entry));

	/* Of no memory: only whether the advice is known. */
	pv->drops_locked = pv->sys->madvise(0, 0, MADV_DONTNEED_LOCKED) == 0;
	pv->pagemap_fd = pv->sys->open("/proc/self/pagemap", O_RDONLY);
	if (pv->pagemap_fd == -EMFILE || pv->pagemap_fd == -ENFILE)
		return pv->pagemap_fd;
	if (pv->pagemap_fd < 0)
		return 0;
	if (pv->sys->pread(pv->pagemap_fd, &entry, sizeof(entry), off) !=
	    sizeof(entry)) {
		pv->sys->close(pv->pagemap_fd);
		pv->pagemap_fd = -1;
		return 0;
	}
	pv->facilities |= PAGEMV_HAS_PAGEMAP;
	if (pagemap_scan(pv, here, pv->page_bytes, PMV_PAGE_IS_PRESENT,
			 &first) == 1)
		pv->facilities |= PAGEMV_HAS_PAGEMAP_SCAN;
	return 0;
}
