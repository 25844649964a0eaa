/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locked memory: moved between mappings that are locked alike, whole and in
 * part, by the limit of RLIMIT_MEMLOCK, under mlockall(), and while others lock
 * and unlock it. What was locked stays locked, pages and mappings, and what the
 * kernel counts as locked (VmLck, which the limit is compared with) is what is.
 */
#include "lab.h"

#include <errno.h>
#include <sys/resource.h>

#include "cases.h"
#include "confine.h"
#include "storm.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define PAGES  64
#define BESIDE 16 /* pages of the mapping at each side of those moved */
#define ALL    (PAGES + 2 * BESIDE)

/* ---- what is locked ---- */

/* Pages of locked mappings, of those that touch [addr, + pages). */
static size_t locked_in(const void *addr, size_t pages)
{
	uintptr_t from = (uintptr_t)addr, to = from + t_pages(pages);
	FILE *f = fopen("/proc/self/smaps", "re");
	uintptr_t start = 0, end = 0, a, b;
	char line[4400];
	size_t n = 0;

	if (f == NULL)
		t_die("/proc/self/smaps");
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &a, &b) == 2) {
			start = a > from ? a : from;
			end = b < to ? b : to;
		} else if (strncmp(line, "VmFlags:", 8) == 0 && start < end &&
			   strstr(line, " lo ") != NULL) {
			n += (end - start) / t_page();
		}
	}
	fclose(f);
	return n;
}

static size_t vm_lck(void)
{
	uint64_t kb = counter_of("/proc/self/status", "VmLck:");

	return (size_t)kb * 1024 / t_page();
}

/* Does the kernel count as locked what is locked? */
static const char *check_count(void)
{
	size_t counted = vm_lck(), there = locked_in(NULL, SIZE_MAX / t_page());

	if (counted == there)
		return NULL;
	return wrong("VmLck is %zu pages, %zu are locked", counted, there);
}

static const char *check_locked(const char *where, const char *addr,
				size_t pages)
{
	size_t mapped = locked_in(addr, pages);
	size_t there = t_count_present(addr, pages);
	size_t kept = count_page_flag(addr, pages, PAGE_MLOCKED);

	if (mapped != pages)
		return wrong("%s: %zu of %zu pages are still locked", where,
			     mapped, pages);
	if (kept != there)
		return wrong("%s: %zu of %zu pages are locked in memory", where,
			     kept, there);
	return NULL;
}

static void lock(char *addr, size_t pages, unsigned int flags)
{
	if (mlock2(addr, t_pages(pages), flags) != 0)
		t_die("mlock2 of %zu pages", pages);
}

static void unlock(char *addr, size_t pages)
{
	if (munlock(addr, t_pages(pages)) != 0)
		t_die("munlock of %zu pages", pages);
}

static const char no_empty[] = "locked memory cannot be emptied here";

/* ---- both sides locked ---- */

static const struct flavour {
	const char *name;
	unsigned int src;
	unsigned int dst;
	uint32_t flags;
} flavours[] = {
	{ "both on fault", MLOCK_ONFAULT, MLOCK_ONFAULT, 0 },
	{ "src at once", 0, MLOCK_ONFAULT, 0 },
	{ "both at once", 0, 0, PAGEMV_MOVE_REPLACE },
};

static const char *check_both(const char *src, const char *dst, size_t before)
{
	const char *what = check_locked("src", src, ALL);

	if (what == NULL)
		what = check_locked("dst", dst, ALL);
	if (what == NULL && vm_lck() != before)
		what = wrong("VmLck was %zu pages, is %zu", before, vm_lck());
	return what != NULL ? what : check_count();
}

/* There and back again: part of a mapping into part of another. */
static const char *move_flavour(struct t_case *c, const struct flavour *f)
{
	char *src = t_case_map(c, ALL), *dst = t_case_heap(c, ALL);
	char *from = src + t_pages(BESIDE), *to = dst + t_pages(BESIDE);
	size_t before, unlocked = vm_lck();
	const char *what;

	lock(src, ALL, f->src);
	lock(dst, ALL, f->dst);
	t_fill_range(src, ALL, 1);
	before = vm_lck();
	what = move_and_check(c, to, from, PAGES, 1 + BESIDE, f->flags);
	if (what == NULL)
		what = check_both(src, dst, before);
	if (what == NULL)
		t_register(c->pv, src, ALL);
	if (what == NULL)
		what = move_and_check(c, from, to, PAGES, 1 + BESIDE, 0);
	if (what == NULL)
		what = wrong_at("back", check_both(src, dst, before));
	if (what == NULL)
		what = wrong_at("back", t_check_range(src, ALL, 1));
	unlock(src, ALL);
	unlock(dst, ALL);
	if (what == NULL && vm_lck() != unlocked)
		what = wrong("unlocked: VmLck was %zu pages, is %zu", unlocked,
			     vm_lck());
	return what;
}

static const char *move_locked(struct t_case *c)
{
	const char *what = NULL;
	size_t i;

	for (i = 0; i < T_COUNT(flavours) && what == NULL; i++)
		if ((flavours[i].flags & PAGEMV_MOVE_REPLACE) == 0 ||
		    t_can_drop_locked())
			what = wrong_at(flavours[i].name,
					move_flavour(c, &flavours[i]));
	return what;
}

/* Locking must not fill what was absent. */
static const char *move_holes(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	const char *what;
	size_t i;

	lock(src, PAGES, MLOCK_ONFAULT);
	lock(dst, PAGES, MLOCK_ONFAULT);
	for (i = 0; i < PAGES; i += 2)
		t_fill(src + t_pages(i), 1 + i, 1);
	what = done_all(c, move(c, dst, src, PAGES, PAGEMV_MOVE_HOLES, &res),
			&res, PAGES);
	if (what == NULL)
		what = wrong_at("src", t_check_absent(src, PAGES));
	for (i = 0; i < PAGES && what == NULL; i += 2) {
		what = wrong_at("dst", t_check(dst + t_pages(i), 1 + i, 1));
		if (what == NULL)
			what = t_check_absent(dst + t_pages(i + 1), 1);
	}
	return what != NULL ? what : check_count();
}

/* ---- one side, or a part of it ---- */

static const char *refuse_one(struct t_case *c, bool locks_src)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	const char *what;
	size_t before;
	int r;

	lock(locks_src ? src : dst, PAGES, MLOCK_ONFAULT);
	t_fill_range(src, PAGES, 1);
	before = vm_lck();
	r = move(c, dst, src, PAGES, 0, &res);
	what = refused(r, &res, PAGES, -EINVAL, PAGEMV_REASON_LOCK_DIFFERS);
	if (what == NULL)
		what = wrong_at("src", t_check_range(src, PAGES, 1));
	if (what == NULL)
		what = wrong_at("dst", t_check_absent(dst, PAGES));
	if (what == NULL && vm_lck() != before)
		what = wrong("VmLck was %zu pages, is %zu", before, vm_lck());
	unlock(src, PAGES);
	unlock(dst, PAGES);
	return what != NULL ? what : move_and_check(c, dst, src, PAGES, 1, 0);
}

static const char *refuse_src(struct t_case *c)
{
	return refuse_one(c, true);
}

static const char *refuse_dst(struct t_case *c)
{
	return refuse_one(c, false);
}

/* Each in two mappings, the first of which is locked. */
static const char *move_halves(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	const char *what;
	size_t before;

	lock(src, PAGES / 2, MLOCK_ONFAULT);
	lock(dst, PAGES / 2, MLOCK_ONFAULT);
	t_fill_range(src, PAGES, 1);
	before = vm_lck();
	what = move_and_check(c, dst, src, PAGES, 1, 0);
	if (what == NULL)
		what = check_locked("src", src, PAGES / 2);
	if (what == NULL)
		what = check_locked("dst", dst, PAGES / 2);
	if (what == NULL && vm_lck() != before)
		what = wrong("VmLck was %zu pages, is %zu", before, vm_lck());
	return what != NULL ? what : check_count();
}

/* All there is, and all there will be. */
static const char *move_under_mlockall(struct t_case *c)
{
	char *src, *dst;
	const char *what;

	if (!t_can_drop_locked())
		return skip(no_empty);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		t_die("mlockall");
	src = t_case_map(c, ALL);
	dst = t_case_heap(c, ALL);
	t_fill_range(src, ALL, 1);
	what = move_and_check(c, dst, src, ALL, 1, PAGEMV_MOVE_REPLACE);
	if (what == NULL)
		what = check_locked("dst", dst, ALL);
	if (what == NULL)
		what = wrong_at("locked", check_count());
	if (munlockall() != 0)
		t_die("munlockall");
	if (what == NULL && vm_lck() != 0)
		what = wrong("unlocked: VmLck is %zu pages", vm_lck());
	return what;
}

static const struct section sections[] = {
	{ "both sides locked", T_WAYS_ALL, move_locked },
	{ "holes between locked pages", T_WAYS_ALL, move_holes },
	{ "src alone is locked", T_WAYS_ALL, refuse_src },
	{ "dst alone is locked", T_WAYS_ALL, refuse_dst },
	{ "half of both is locked", T_WAYS_ALL, move_halves },
	{ "mlockall", T_WAYS_ALL, move_under_mlockall },
};

/* ---- the limit ---- */

#define HARD_LIMIT ((rlim_t)64 << 20)

static size_t refused_by_limit;

static void limit(rlim_t bytes)
{
	const struct rlimit r = { .rlim_cur = bytes, .rlim_max = HARD_LIMIT };

	if (setrlimit(RLIMIT_MEMLOCK, &r) != 0)
		t_die("RLIMIT_MEMLOCK");
}

/* At the limit: all moved, or nothing, for want of memory that may be locked.
 */
static const char *move_at_limit(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	const char *what;
	int r;

	lock(src, PAGES, MLOCK_ONFAULT);
	lock(dst, PAGES, MLOCK_ONFAULT);
	t_fill_range(src, PAGES, 1);
	limit(t_pages(vm_lck()));
	r = move(c, dst, src, PAGES, 0, &res);
	limit(HARD_LIMIT);
	if (r == 0) {
		what = t_check_range(dst, PAGES, 1);
		return what != NULL ? what : check_count();
	}
	refused_by_limit++;
	what = refused(r, &res, PAGES, -ENOMEM, PAGEMV_REASON_NO_MEMORY);
	if (what == NULL && !t_case_only_copies(c))
		what = "there was nothing to be locked";
	if (what == NULL)
		what = check_count();
	return what != NULL ? what : move_and_check(c, dst, src, PAGES, 1, 0);
}

static void run_limit(struct tap *tap)
{
	static const struct section section = { "at the limit of locked memory",
						T_WAYS_ALL, move_at_limit };

	limit(HARD_LIMIT);
	t_become_nobody();
	run_section(tap, &section);
	lab_seen("moves refused by RLIMIT_MEMLOCK", "%zu", refused_by_limit);
}

/* ---- storms ---- */

static struct {
	uint64_t locked; /* calls that locked something */
	uint64_t unlocked;
	uint64_t differed; /* moves refused, as locks differed */
	uint64_t moved;
	size_t lost; /* pages that VmLck was too high in the end */
} storms;

static void add(uint64_t *n, uint64_t more)
{
	__atomic_fetch_add(n, more, __ATOMIC_RELAXED);
}

/* Heaps are emptied while they are locked. */
static bool can_storm(struct storm *s, const char **why)
{
	(void)s;
	*why = no_empty;
	return t_can_drop_locked();
}

static bool lock_all_of(struct storm *s, const char **why)
{
	unsigned int i;

	if (!can_storm(s, why))
		return false;
	lock(s->src, s->src_pages, MLOCK_ONFAULT);
	for (i = 0; i < STORM_MOVERS && s->heaps[i] != NULL; i++)
		lock(s->heaps[i], s->heap_pages, MLOCK_ONFAULT);
	return true;
}

static void sum(struct storm *s)
{
	add(&storms.moved, s->moved_pages + s->copied_pages);
}

static void check_all_of(struct storm *s)
{
	const char *what = check_locked("src", s->src, s->src_pages);
	unsigned int i;

	for (i = 0; i < STORM_MOVERS && s->heaps[i] != NULL; i++)
		if (what == NULL)
			what = check_locked("heap", s->heaps[i], s->heap_pages);
	if (what == NULL)
		what = check_count();
	if (what != NULL)
		storm_wrong(s, "%s", what);
	sum(s);
}

/* Short pauses: each call keeps the movers waiting. */
static void lock_some(struct storm *s, struct t_random *random)
{
	unsigned int how = t_random_below(random, 4) == 0 ? 0 : MLOCK_ONFAULT;
	size_t pages;
	char *run = storm_pick(s, random, &pages);

	if (mlock2(run, t_pages(pages), how) == 0)
		add(&storms.locked, 1);
	else
		storm_wrong(s, "mlock2: errno %d", errno);
	t_sleep_ms((unsigned int)t_random_below(random, 3));
}

static void unlock_some(struct storm *s, struct t_random *random)
{
	size_t pages;
	char *run = storm_pick(s, random, &pages);

	if (t_random_below(random, 4) == 0)
		munlockall();
	else if (munlock(run, t_pages(pages)) != 0)
		storm_wrong(s, "munlock: errno %d", errno);
	add(&storms.unlocked, 1);
	t_sleep_ms((unsigned int)t_random_below(random, 3));
}

/* All at once, now and then. */
static void lock_everything(struct storm *s, struct t_random *random)
{
	(void)s;
	if (mlockall(MCL_CURRENT | MCL_ONFAULT) == 0)
		add(&storms.locked, 1);
	t_sleep_ms((unsigned int)t_random_below(random, 20));
	munlockall();
	add(&storms.unlocked, 1);
	t_sleep_ms((unsigned int)t_random_below(random, 20));
}

/* Locking at once fills heaps, too. */
static bool differs(const struct storm *s, int r,
		    const struct pagemv_result *res)
{
	(void)s;
	if (r == -EINVAL && res->reason == PAGEMV_REASON_LOCK_DIFFERS) {
		add(&storms.differed, 1);
		return true;
	}
	return r == -EEXIST;
}

/*
 * When the last lock has gone, none is counted. But where a lock comes between
 * the library's munlock() and its mremap(), the kernel's count is lost.
 */
static void check_after(struct storm *s)
{
	bool remaps = s->c->way == T_REMAP || s->c->way == T_AUTO_REMAP ||
		      s->c->caps.mech[PAGEMV_MECH_MOVE].available == 0;
	static size_t lost;

	munlockall();
	if (vm_lck() != lost && !remaps)
		storm_wrong(s, "VmLck is %zu pages, was %zu", vm_lck(), lost);
	lost = vm_lck();
	storms.lost = lost;
	sum(s);
}

static const struct storm_plan locked_plan = {
	.name = "locked storm",
	.ways = T_WAYS_LIVE,
	.ms = 200,
	.set_up = lock_all_of,
	.tear_down = check_all_of,
};

static const struct storm_plan locking_plan = {
	.name = "locking storm",
	.ways = T_WAYS_LIVE,
	.ms = 300,
	.set_up = can_storm,
	.disturb = { lock_some, unlock_some, lock_everything },
	.tear_down = check_after,
	.allowed = differs,
};

static void run_storms(struct tap *tap)
{
	storm_run(tap, &locked_plan);
	storm_run(tap, &locking_plan);
	if (!t_can_drop_locked())
		return;
	tap_ok(tap, storms.locked > 0 && storms.unlocked > 0,
	       "locking storm: locks came and went");
	tap_ok(tap, storms.moved > 0 && storms.differed > 0,
	       "locking storm: they met moves");
	lab_seen("moves while locks come and go",
		 "%" PRIu64 " pages moved, %" PRIu64 " calls of mlock, %" PRIu64
		 " moves refused, VmLck %zu for no page",
		 storms.moved, storms.locked, storms.differed, storms.lost);
}

/* ---- what mremap does by itself ---- */

static void look_at_mremap(struct tap *tap)
{
	char *src = t_map(ALL), *dst = t_map(ALL);
	size_t rest, locked;

	(void)tap;
	lock(src, ALL, MLOCK_ONFAULT);
	t_fill_range(src, ALL, 1);
	if (mremap(src, t_pages(PAGES), t_pages(PAGES),
		   MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
		   dst) == MAP_FAILED)
		t_die("mremap");
	rest = locked_in(src + t_pages(PAGES), ALL - PAGES);
	locked = locked_in(NULL, SIZE_MAX / t_page());
	lab_seen("mremap of a part of a locked mapping",
		 "the rest of it %s, VmLck %zu for %zu pages",
		 rest > 0 ? "stays locked" : "is unlocked", vm_lck(), locked);
	t_unmap(src, ALL);
	t_unmap(dst, ALL);
}

static void run_all(struct tap *tap)
{
	size_t i;

	for (i = 0; i < T_COUNT(sections); i++)
		run_section(tap, &sections[i]);
	run_storms(tap);
}

int main(void)
{
	struct tap tap = { 0, 0 };

	lab_only();
	/* Each in a process of its own: what VmLck has lost stays lost. */
	run_apart(&tap, look_at_mremap);
	run_apart(&tap, run_all);
	run_apart(&tap, run_limit);
	return tap_done(&tap);
}
