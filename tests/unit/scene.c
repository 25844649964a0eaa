/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scene.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

const struct way ways[] = {
	{ "auto", 0, 0, 0, PAGEMV_MECH_AUTO,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) },
	{ "auto, holes, replace", 0, 0, PAGEMV_MOVE_HOLES | PAGEMV_MOVE_REPLACE,
	  PAGEMV_MECH_AUTO, PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) },
	{ "remap", 0, 0, PAGEMV_MOVE_MAY_REMAP, PAGEMV_MECH_REMAP,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP) },
	{ "remap, holes, unchecked", 0, 0,
	  PAGEMV_MOVE_MAY_REMAP | PAGEMV_MOVE_HOLES | PAGEMV_MOVE_UNCHECKED,
	  PAGEMV_MECH_REMAP, PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP) },
	{ "copy", 0, 0, 0, PAGEMV_MECH_COPY,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_COPY) },
	{ "copy, quiescent", 0, 0, PAGEMV_MOVE_QUIESCENT, PAGEMV_MECH_COPY,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_COPY) },
	{ "companion", 0, 0, 0, PAGEMV_MECH_COMPANION,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION) },
	{ "companion, holes, replace", 0, 0,
	  PAGEMV_MOVE_HOLES | PAGEMV_MOVE_REPLACE, PAGEMV_MECH_COMPANION,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION) },
	{ "auto with the companion before 6.8", 0,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE), 0, PAGEMV_MECH_AUTO,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION) },
	{ "auto with the companion, without userfaultfd", PAGEMV_OPEN_NO_UFFD,
	  0, 0, PAGEMV_MECH_AUTO, PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION) },
	{ "auto before 6.8", 0, PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE), 0,
	  PAGEMV_MECH_AUTO, PAGEMV_MECH_BIT(PAGEMV_MECH_COPY) },
	{ "auto without userfaultfd", PAGEMV_OPEN_NO_UFFD, 0, 0,
	  PAGEMV_MECH_AUTO, PAGEMV_MECH_BIT(PAGEMV_MECH_COPY) },
	{ "quiescent without userfaultfd", PAGEMV_OPEN_NO_UFFD, 0,
	  PAGEMV_MOVE_QUIESCENT, PAGEMV_MECH_AUTO,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_COPY) },
};

const size_t n_ways = T_COUNT(ways);

struct pagemv *scene_handle(const struct way *way)
{
	struct pagemv_open_opts opts = { .size = sizeof(opts) };
	struct pagemv *pv = NULL;
	int rc;

	fake_companion(way &&
		       way->uses & PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION));
	if (way) {
		opts.flags = way->open_flags;
		opts.disabled = way->disabled;
	}
	rc = pmv_open_with(&pv, &opts, &fake_sys);
	if (rc != 0)
		t_die("opening a handle on the fake: %d", rc);
	return pv;
}

struct pagemv_region *scene_register(struct pagemv *pv, void *addr,
				     size_t pages)
{
	struct pagemv_region *region = NULL;
	enum pagemv_reason why;

	if (pagemv_region_register(pv, addr, t_pages(pages), NULL, &region,
				   &why) != 0)
		t_die("registering: %s", pagemv_reason_string(why));
	return region;
}

struct scene scene_open(size_t pages, const struct way *way)
{
	struct scene s = { .pages = pages };

	s.pv = scene_handle(way);
	s.heap = t_map(pages);
	s.src = t_map(pages);
	s.region = scene_register(s.pv, s.heap, pages);
	t_fill_range(s.src, pages, 1);
	fake_forget_counts();
	return s;
}

void scene_close(struct scene *s)
{
	pagemv_close(s->pv);
	t_unmap(s->heap, s->pages);
	t_unmap(s->src, s->pages);
	cr_expect(fake_open_fds() == 0, "%d descriptors left open",
		  fake_open_fds());
	cr_expect(fake_mapped_bytes() == 0, "%zu bytes left mapped",
		  fake_mapped_bytes());
	*s = (struct scene){ 0 };
}

int scene_move_opts(struct scene *s, uint32_t flags, uint32_t mechanism,
		    uint32_t busy, struct pagemv_result *res)
{
	struct pagemv_move_opts opts = { .size = sizeof(opts),
					 .flags = flags,
					 .mechanism = mechanism,
					 .busy = busy };

	memset(res, 0xa5, sizeof(*res));
	return pagemv_move(s->pv, s->heap, s->src, t_pages(s->pages), &opts,
			   res);
}

int scene_move(struct scene *s, uint32_t flags, struct pagemv_result *res)
{
	return scene_move_opts(s, flags, PAGEMV_MECH_AUTO, PAGEMV_BUSY_STAY,
			       res);
}

static char wrong[240];

static const char *parts_wrong(const struct pagemv_result *res, size_t len)
{
	size_t sum = res->moved_bytes + res->copied_bytes + res->hole_bytes +
		     res->left_bytes;

	if (sum == len && res->repaired_bytes <= res->moved_bytes)
		return NULL;
	snprintf(wrong, sizeof(wrong),
		 "moved %zu (repaired %zu) + copied %zu "
		 "+ hole %zu + left %zu of %zu",
		 res->moved_bytes, res->repaired_bytes, res->copied_bytes,
		 res->hole_bytes, res->left_bytes, len);
	return wrong;
}

const char *result_wrong(int rc, const struct pagemv_result *res, size_t len)
{
	if (parts_wrong(res, len))
		return wrong;
	snprintf(wrong, sizeof(wrong),
		 "returned %d, error %d, reason %u (%s), "
		 "left %zu at %zu, stray %p + %zu",
		 rc, res->error, res->reason, pagemv_reason_string(res->reason),
		 res->left_bytes, res->left_off, res->stray, res->stray_bytes);
	if (rc != res->error || rc > 0 || (rc == 0) != (res->reason == 0) ||
	    (rc == 0) != (res->left_bytes == 0) || res->left_off > len ||
	    (rc == 0) != (res->left_off == len))
		return wrong;
	if ((res->stray != NULL) != (res->reason == PAGEMV_REASON_RACED) ||
	    (res->stray != NULL) != (res->stray_bytes != 0))
		return wrong;
	return NULL;
}

/* Where page id is, of the places that a move may leave it at: how often. */
static unsigned int times_found(const char *place, uint64_t id)
{
	uint64_t found = 0, version = 0;

	return place && t_look(place, &found, &version) == T_GOOD &&
	       found == id && version == 1;
}

const char *pages_wrong(const void *dst, const void *src, size_t pages,
			const struct pagemv_result *res)
{
	size_t arrived = 0, first = res->stray_off / t_page();

	for (size_t i = 0; i < pages; i++) {
		const char *stray = NULL;
		unsigned int at_dst, at_src, at_stray;

		if (res->stray && i >= first &&
		    i - first < res->stray_bytes / t_page())
			stray = (const char *)res->stray + t_pages(i - first);
		at_dst = times_found((const char *)dst + t_pages(i), i + 1);
		at_src = times_found((const char *)src + t_pages(i), i + 1);
		at_stray = times_found(stray, i + 1);
		arrived += at_dst;
		if (at_dst + at_src + at_stray == 1)
			continue;
		snprintf(wrong, sizeof(wrong),
			 "page %zu is %u times at dst, "
			 "%u at src, %u stray",
			 i, at_dst, at_src, at_stray);
		return wrong;
	}
	if (t_pages(arrived) == res->moved_bytes + res->copied_bytes)
		return NULL;
	snprintf(wrong, sizeof(wrong),
		 "%zu pages are at dst, but moved %zu "
		 "and copied %zu bytes",
		 arrived, res->moved_bytes, res->copied_bytes);
	return wrong;
}

bool lock_pages(void *addr, size_t pages)
{
	return syscall(SYS_mlock, addr, t_pages(pages)) == 0;
}

void unlock_pages(void *addr, size_t pages)
{
	syscall(SYS_munlock, addr, t_pages(pages));
}

void take_stray(const struct pagemv_result *res)
{
	if (res->stray)
		fake_sys.munmap((uintptr_t)res->stray, res->stray_bytes);
}

void expect_all_moved(const struct scene *s, int rc,
		      const struct pagemv_result *res)
{
	cr_expect(rc == 0, "returned %d (%s)", rc,
		  pagemv_reason_string(res->reason));
	EXPECT_SANE(rc, res, t_pages(s->pages));
	cr_expect(res->moved_bytes == t_pages(s->pages));
	EXPECT_RIGHT(t_check_range(s->heap, s->pages, 1));
	EXPECT_RIGHT(t_check_absent(s->src, s->pages));
}

void expect_stopped_at(const struct scene *s, int rc,
		       const struct pagemv_result *res, size_t done)
{
	EXPECT_SANE(rc, res, t_pages(s->pages));
	EXPECT_RIGHT(pages_wrong(s->heap, s->src, s->pages, res));
	cr_expect(res->left_off == t_pages(done), "left_off %zu",
		  res->left_off);
	cr_expect(res->left_bytes == t_pages(s->pages - done));
	EXPECT_RIGHT(t_check_range(s->heap, done, 1));
	EXPECT_RIGHT(t_check_range(s->src + t_pages(done), s->pages - done,
				   done + 1));
}
