/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which pages are there: what the page tables say, without touching them.
 * AS-Safe; all take addresses and lengths in whole pages.
 */
#ifndef PMV_PAGES_H
#define PMV_PAGES_H

#include "base.h"
#include "sys.h"

struct pagemv;

/* Consecutive pages in the same state. */
struct pmv_run {
	size_t bytes;	/* from the address asked for; > 0 */
	bool populated; /* present or swapped out; else a hole */
	bool known;	/* false: nothing could tell, and it is a guess */
};

/* The run at addr, at most bytes long. Where nothing can tell, everything is
 * taken as populated, but not known. */
struct pmv_run pmv_pages_run(const struct pagemv *pv, uintptr_t addr,
			     size_t bytes);

/* What pmv_pages_list() lists, of the pages that are there or swapped out. */
enum pmv_listed {
	PMV_LIST_OPEN,	    /* not write-protected by userfaultfd */
	PMV_LIST_PROTECTED, /* those that are */
	PMV_LIST_PROTECT,   /* as OPEN, and protects them, with no store between
			     * the two missed. Asynchronous write protection
			     * and PAGEMAP_SCAN only */
};

struct pmv_listing {
	uintptr_t start;
	uintptr_t end;
};

/* No more are listed at once. */
#define PMV_LIST_MAX 64

/*
 * The first n runs of such pages, in order, each as long as it can be; 1 <= n
 * <= PMV_LIST_MAX. next: receives where to go on. Returns how many, or -errno
 * and has protected nothing: EPERM where a part of the range is not registered
 * for asynchronous write protection.
 */
ssize_t pmv_pages_list(const struct pagemv *pv, enum pmv_listed which,
		       uintptr_t addr, size_t bytes, struct pmv_listing *out,
		       size_t n, uintptr_t *next);

/* Whether a page that is there is all zeros; it is read. */
bool pmv_pages_zero(const struct pagemv *pv, uintptr_t page);

/* Whether the range begins with a huge page. */
bool pmv_pages_huge(const struct pagemv *pv, uintptr_t addr);

/* How far it is from there to the end of the huge page, if it is one. */
size_t pmv_pages_huge_left(const struct pagemv *pv, uintptr_t addr);

/*
 * Whether the page is part of a huge page that cannot be split, as a device or
 * a pipe holds it: asked to move a part of such a page, UFFDIO_MOVE tries to
 * split it for ever. MADV_COLD of a part splits as well, and tries once. False
 * where nothing can tell, as in locked memory.
 */
bool pmv_pages_held_huge(const struct pagemv *pv, uintptr_t addr);

/* Whether the page is there and mapped elsewhere as well, as after fork().
 * False where nothing can tell. */
bool pmv_pages_shared(const struct pagemv *pv, uintptr_t addr);

/*
 * Whether no huge pages may be made where pages are moved to: without
 * userfaultfd, as copying has to store there, and the store would fill a huge
 * page's worth of neighbours; on kernels with PAGEMV_QUIRK_HUGE_PAGES.
 */
bool pmv_pages_small_only(const struct pagemv *pv);

/* Then sees to it. Huge pages that are moved there stay whole. A kernel without
 * huge pages refuses, which is as good. */
void pmv_pages_keep_small(const struct pagemv *pv, uintptr_t addr,
			  size_t bytes);

/* Makes pages exclusive to this process and writable, changing no data.
 * Returns 0 or -errno. Linux 5.14. */
int pmv_pages_populate(const struct pmv_sys *sys, uintptr_t addr, size_t bytes);

/*
 * Makes small pages of zeros where there are none, at lower cost where pv is
 * not NULL and the range is registered with it: for memory that has no huge
 * pages. Returns as pmv_pages_populate().
 */
int pmv_pages_make(const struct pmv_sys *sys, const struct pagemv *pv,
		   uintptr_t addr, size_t bytes);

/*
 * Makes a page of private memory at addr, whatever is in it then. Returns 0,
 * or -ENOMEM, without waiting for memory; any other error: nothing is known.
 */
int pmv_pages_put(const struct pagemv *pv, uintptr_t addr);

/* Throws the pages away; they read as zeros then. The first needs no handle. */
int pmv_pages_drop(const struct pmv_sys *sys, uintptr_t addr, size_t bytes);
int pmv_pages_discard(const struct pagemv *pv, uintptr_t addr, size_t bytes);

/* Opens what the functions above look at: fills in pv->pagemap_fd,
 * pv->drops_locked and PAGEMV_HAS_PAGEMAP, PAGEMV_HAS_PAGEMAP_SCAN. Returns 0,
 * also where there is nothing to open, or -EMFILE, -ENFILE. */
int pmv_pages_open(struct pagemv *pv);

#endif /* PMV_PAGES_H */
