/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mapping.h"

#include "scene.h"

#include <stdio.h>
#include <sys/mman.h>

#define MAPS  "/proc/self/maps"
#define SMAPS "/proc/self/smaps"

static struct pagemv *without_query(void)
{
	struct pagemv *pv = scene_handle(NULL);

	pv->facilities &= ~PAGEMV_HAS_PROCMAP_QUERY;
	return pv;
}

/* The first mapping that a file of this text tells of, at or above from. */
static int parse(const char *text, size_t chunk, uintptr_t from,
		 struct pmv_mapping *m)
{
	struct pagemv *pv = without_query();
	int rc;

	memset(m, 0, sizeof(*m));
	fake_file(MAPS, text, chunk);
	rc = pmv_mapping_find(pv, from, m);
	fake_behave();
	pagemv_close(pv);
	return rc;
}

/* ---- against the kernel ---- */

struct found {
	struct pmv_mapping all[512];
	size_t n;
};

static bool collect(void *arg, const struct pmv_mapping *m)
{
	struct found *f = arg;

	if (f->n < T_COUNT(f->all))
		f->all[f->n++] = *m;
	return true;
}

static bool same(const struct pmv_mapping *a, const struct pmv_mapping *b)
{
	const uint32_t plain = PMV_MAP_READ | PMV_MAP_WRITE | PMV_MAP_EXEC |
			       PMV_MAP_SHARED | PMV_MAP_FILE;

	return a->start == b->start && a->end == b->end &&
	       (a->flags & plain) == (b->flags & plain);
}

Test(mapping, query_and_maps_agree_about_every_mapping)
{
	static struct found f;
	struct pagemv *pv = scene_handle(NULL);
	size_t asked = 0;

	if (!(pv->facilities & PAGEMV_HAS_PROCMAP_QUERY))
		cr_skip("no PROCMAP_QUERY in this kernel");
	cr_assert(pmv_mapping_each(pv, 0, collect, &f) == 0);
	cr_assert(f.n > 10);
	for (size_t i = 0; i < f.n; i++) {
		const struct pmv_mapping *m = &f.all[i];
		const uintptr_t at[] = { m->start, m->start + 1, m->end - 1,
					 m->end, m->start - t_page() };

		for (size_t j = 0; j < T_COUNT(at); j++, asked++) {
			struct pmv_mapping q = { 0 }, r = { 0 };
			int by_query, by_reading;

			pv->facilities |= PAGEMV_HAS_PROCMAP_QUERY;
			by_query = pmv_mapping_find(pv, at[j], &q);
			pv->facilities &= ~PAGEMV_HAS_PROCMAP_QUERY;
			by_reading = pmv_mapping_find(pv, at[j], &r);
			/* vsyscall is in the file alone. */
			if (by_reading == 1 && r.flags & PMV_MAP_SPECIAL)
				continue;
			cr_expect(by_query == by_reading && same(&q, &r),
				  "at %lx: %d %lx-%lx %x, %d %lx-%lx %x", at[j],
				  by_query, q.start, q.end, q.flags, by_reading,
				  r.start, r.end, r.flags);
		}
	}
	cr_expect(asked > 50);
	pagemv_close(pv);
}

static void expect_found(struct pagemv *pv, char *area)
{
	struct pmv_mapping m;

	/* [guard][read-write][guard][read-only][guard] */
	cr_expect(pmv_mapping_find(pv, (uintptr_t)area + t_pages(1), &m) == 1);
	cr_expect(m.start == (uintptr_t)area + t_pages(1) &&
		  m.end == m.start + t_pages(2));
	cr_expect(m.flags == (PMV_MAP_READ | PMV_MAP_WRITE));
	cr_expect(pmv_mapping_find(pv, (uintptr_t)area + t_pages(4), &m) == 1);
	cr_expect(m.flags == PMV_MAP_READ);
	cr_expect(pmv_mapping_find(pv, (uintptr_t)area + t_pages(3), &m) == 1);
	cr_expect(m.flags == 0);
	munmap(area + t_pages(3), t_page());
	cr_expect(pmv_mapping_find(pv, (uintptr_t)area + t_pages(3), &m) == 1);
	cr_expect(m.start == (uintptr_t)area + t_pages(4),
		  "the next one above");
	cr_expect(pmv_mapping_find(pv, (uintptr_t)0 - t_page(), &m) == 0);
}

static char *patchwork(void)
{
	char *area = mmap(NULL, t_pages(6), PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert(area != MAP_FAILED);
	mprotect(area + t_page(), t_pages(2), PROT_READ | PROT_WRITE);
	mprotect(area + t_pages(4), t_page(), PROT_READ);
	return area;
}

Test(mapping, the_mapping_that_covers_or_follows_is_found_by_reading)
{
	struct pagemv *pv = without_query();

	expect_found(pv, patchwork());
	pagemv_close(pv);
}

Test(mapping, the_mapping_that_covers_or_follows_is_found_by_query)
{
	struct pagemv *pv = scene_handle(NULL);

	if (!(pv->facilities & PAGEMV_HAS_PROCMAP_QUERY))
		cr_skip("no PROCMAP_QUERY in this kernel");
	fake_refuse(FAKE_OPEN, -ENOENT);
	expect_found(pv, patchwork());
	pagemv_close(pv);
}

Test(mapping, a_query_that_fails_is_replaced_by_reading)
{
	static const int errors[] = { -ENOTTY, -EPERM, -EINVAL,
				      -ENOMEM, -EINTR, -ENOSYS };
	struct pagemv *pv = scene_handle(NULL);

	for (size_t i = 0; i < T_COUNT(errors); i++) {
		fake_behave();
		fake_refuse(FAKE_QUERY, errors[i]);
		expect_found(pv, patchwork());
	}
	pagemv_close(pv);
}

Test(mapping, without_proc_the_error_is_passed_on)
{
	struct pagemv *pv = without_query();
	struct pmv_mapping m;

	fake_no_proc();
	cr_expect(pmv_mapping_find(pv, 0, &m) == -ENOENT);
	cr_expect(pmv_mapping_each(pv, 0, collect, NULL) == -ENOENT);
	pagemv_close(pv);
}

Test(mapping, a_read_error_is_no_end_of_file)
{
	struct pagemv *pv = without_query();
	struct pmv_mapping m;

	fake_refuse(FAKE_READ, -EIO);
	cr_expect(pmv_mapping_find(pv, 0, &m) == -EIO);
	fake_behave();
	fake_fail(FAKE_READ, 2, -EINTR);
	cr_expect(pmv_mapping_find(pv, (uintptr_t)0 - t_page(), &m) == -EINTR);
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 0);
}

Test(mapping, locked_memory_is_recognised)
{
	struct pagemv *pv = scene_handle(NULL);
	char *addr = t_map(4);

	t_fill_range(addr, 4, 1);
	cr_expect(pmv_mapping_locked(pv, (uintptr_t)addr) == 0);
	if (!lock_pages(addr, 2))
		cr_skip("may not mlock");
	cr_expect(pmv_mapping_locked(pv, (uintptr_t)addr) == 1);
	cr_expect(pmv_mapping_locked(pv, (uintptr_t)addr + t_pages(2)) == 0);
	unlock_pages(addr, 2);
	cr_expect(pmv_mapping_locked(pv, (uintptr_t)addr) == 0);
	t_unmap(addr, 4);
	cr_expect(pmv_mapping_locked(pv, (uintptr_t)addr) < 0, "unmapped");
	pagemv_close(pv);
}

Test(mapping, a_deep_look_knows_locks_and_registrations)
{
	struct scene s = scene_open(4, NULL);
	static struct found f;

	cr_assert(lock_pages(s.src, 4));
	cr_assert(pmv_mapping_each(s.pv, (uintptr_t)s.src, collect, &f) == 0);
	cr_assert(f.n > 0);
	cr_expect(f.all[0].start == (uintptr_t)s.src);
	cr_expect(f.all[0].flags & PMV_MAP_LOCKED);
	cr_expect(!(f.all[0].flags & PMV_MAP_UFFD));
	f.n = 0;
	cr_assert(pmv_mapping_each(s.pv, (uintptr_t)s.heap, collect, &f) == 0);
	if (fake_is_real())
		cr_expect(f.all[0].flags & PMV_MAP_UFFD);
	unlock_pages(s.src, 4);
	scene_close(&s);
}

/* ---- the parser ---- */

#define HEAD "7f0000001000-7f0000003000 rw-p 00000000 00:00 0 "

Test(mapping, lines_are_parsed)
{
	static const struct {
		const char *line;
		uint32_t flags;
	} cases[] = {
		{ HEAD "\n", PMV_MAP_READ | PMV_MAP_WRITE },
		{ "7f0000001000-7f0000003000 ---p 00000000 00:00 0\n", 0 },
		{ "7f0000001000-7f0000003000 r-xp 00001000 fe:00 123   "
		  "/usr/lib/x.so\n",
		  PMV_MAP_READ | PMV_MAP_EXEC | PMV_MAP_FILE },
		{ "7f0000001000-7f0000003000 rw-s 00000000 00:01 77   "
		  "/dev/zero (deleted)\n",
		  PMV_MAP_READ | PMV_MAP_WRITE | PMV_MAP_SHARED | PMV_MAP_FILE |
			  PMV_MAP_ZERODEV },
		{ "7f0000001000-7f0000003000 rw-s 00000000 00:01 77 "
		  "/memfd:a b (deleted)\n",
		  PMV_MAP_READ | PMV_MAP_WRITE | PMV_MAP_SHARED | PMV_MAP_FILE |
			  PMV_MAP_MEMFD },
		{ "7f0000001000-7f0000003000 rw-s 00000000 00:01 77 "
		  "/SYSV00000000 (deleted)\n",
		  PMV_MAP_READ | PMV_MAP_WRITE | PMV_MAP_SHARED | PMV_MAP_FILE |
			  PMV_MAP_SHMEM },
		{ "7f0000001000-7f0000003000 rw-s 00000000 00:01 77 "
		  "/dev/shm/x\n",
		  PMV_MAP_READ | PMV_MAP_WRITE | PMV_MAP_SHARED | PMV_MAP_FILE |
			  PMV_MAP_SHMEM },
		{ "7f0000001000-7f0000003000 r-xp 00000000 00:00 0   "
		  "[vdso]\n",
		  PMV_MAP_READ | PMV_MAP_EXEC | PMV_MAP_SPECIAL },
		{ "7f0000001000-7f0000003000 rw-p 00000000 00:00 0   "
		  "[heap]\n",
		  PMV_MAP_READ | PMV_MAP_WRITE },
		{ "7f0000001000-7f0000003000 rw-p 00000000 00:00 0   "
		  "[anon:vector]\n",
		  PMV_MAP_READ | PMV_MAP_WRITE },
	};

	for (size_t i = 0; i < T_COUNT(cases); i++) {
		struct pmv_mapping m;

		cr_expect(parse(cases[i].line, 1000, 0, &m) == 1, "case %zu",
			  i);
		cr_expect(m.start == 0x7f0000001000 && m.end == 0x7f0000003000,
			  "case %zu: %lx-%lx", i, m.start, m.end);
		cr_expect(m.flags == cases[i].flags, "case %zu: 0x%x", i,
			  m.flags);
	}
}

Test(mapping, a_line_cut_off_by_reads_is_put_together)
{
	static const char text[] =
		"00400000-00401000 r--p 00000000 fe:00 9  /bin/true\n" HEAD "\n"
		"7fff00000000-7fff00001000 rw-p 00000000 00:00 0 [stack]\n";

	for (size_t chunk = 1; chunk < 130; chunk++) {
		struct pmv_mapping m;

		cr_expect(parse(text, chunk, 0x500000, &m) == 1);
		cr_expect(m.start == 0x7f0000001000 &&
				  m.flags == (PMV_MAP_READ | PMV_MAP_WRITE),
			  "%zu bytes a read", chunk);
		cr_expect(parse(text, chunk, 0x7f0000003000, &m) == 1);
		cr_expect(m.end == 0x7fff00001000, "%zu bytes a read", chunk);
	}
}

Test(mapping, a_file_without_a_last_newline_ends_all_the_same)
{
	struct pmv_mapping m;

	cr_expect(parse(HEAD, 7, 0, &m) == 1);
	cr_expect(m.end == 0x7f0000003000);
}

Test(mapping, a_very_long_path_does_not_hide_the_next_line)
{
	static char text[8192];
	struct pmv_mapping m;
	size_t n;

	n = (size_t)snprintf(text, sizeof(text),
			     "00400000-00401000 r--p 00000000 fe:00 9  /");
	memset(text + n, 'a', 5000);
	snprintf(text + n + 5000, sizeof(text) - n - 5000, "\n" HEAD "\n");
	cr_expect(parse(text, 1000, 0, &m) == 1);
	cr_expect(m.end == 0x401000 &&
		  m.flags == (PMV_MAP_READ | PMV_MAP_FILE));
	cr_expect(parse(text, 1000, 0x401000, &m) == 1);
	cr_expect(m.end == 0x7f0000003000);
}

Test(mapping, lines_that_are_no_mappings_are_passed_over)
{
	static const char *const odd[] = {
		"",
		"\n",
		"garbage\n",
		"7f0000001000\n",
		"7f0000001000-\n",
		"7f0000001000-7f0000003000\n",
		"7f0000001000-7f0000003000 rw\n",
		"-7f00 rw-p\n",
		"zz-7f0000003000 rw-p 0 00:00 0\n",
		"Size:   8 kB\n",
		"VmFlags:\n",
		"VmFlags: rd wr\n",
		"ProtectionKey:\n",
		" \n",
		"7f0000001000-7f00000",
	};

	for (size_t i = 0; i < T_COUNT(odd); i++) {
		struct pmv_mapping m;

		cr_expect(parse(odd[i], 3, 0, &m) == 0, "case %zu: %lx-%lx", i,
			  m.start, m.end);
	}
}

Test(mapping, flags_of_smaps_belong_to_the_mapping_before_them)
{
	static const char text[] = "1000-2000 rw-p 00000000 00:00 0\n"
				   "Size: 4 kB\n"
				   "THPeligible:           1\n"
				   "ProtectionKey:         3\n"
				   "VmFlags: rd wr mr mw me lo ac sd \n"
				   "2000-3000 rw-p 00000000 00:00 0\n"
				   "THPeligible:    0\n"
				   "VmFlags: rd wr mr mw me uw ac sd\n"
				   "3000-4000 rw-p 00000000 00:00 0\n"
				   "VmFlags: rd wr de ht\n"
				   "4000-5000 rw-p 00000000 00:00 0\n"
				   "VmFlags: rd wr io pf dd\n"
				   "5000-6000 rw-p 00000000 00:00 0\n"
				   "THPeligible:\n"
				   "ProtectionKey: 15\n";
	static const struct {
		uint32_t flags;
		int pkey;
	} expected[] = {
		{ PMV_MAP_LOCKED | PMV_MAP_HUGE, 3 },
		{ PMV_MAP_UFFD, 0 },
		{ PMV_MAP_HUGETLB, 0 },
		{ PMV_MAP_SPECIAL, 0 },
		{ 0, 15 },
	};

	for (size_t chunk = 1; chunk < 40; chunk += 13) {
		struct pagemv *pv = scene_handle(NULL);
		static struct found f;

		f.n = 0;
		fake_file(SMAPS, text, chunk);
		cr_assert(pmv_mapping_each(pv, 0, collect, &f) == 0);
		cr_assert(f.n == 5);
		for (size_t i = 0; i < 5; i++)
			cr_expect(f.all[i].flags == (expected[i].flags |
						     PMV_MAP_READ |
						     PMV_MAP_WRITE) &&
					  f.all[i].pkey == expected[i].pkey,
				  "%zu: 0x%x, key %d", i, f.all[i].flags,
				  f.all[i].pkey);
		fake_behave();
		pagemv_close(pv);
	}
}

Test(mapping, a_deep_look_finds_the_mapping_that_covers_or_follows)
{
	struct pagemv *pv = scene_handle(NULL);
	struct pmv_mapping m;

	fake_file(SMAPS,
		  "1000-2000 rw-p 00000000 00:00 0\n"
		  "VmFlags: rd wr lo\n"
		  "4000-6000 rw-p 00000000 00:00 0\n"
		  "THPeligible:           1\n",
		  9);
	cr_expect(pmv_mapping_find_deep(pv, 0x1fff, &m) == 1);
	cr_expect(m.start == 0x1000 && m.flags & PMV_MAP_LOCKED);
	cr_expect(pmv_mapping_find_deep(pv, 0x2000, &m) == 1);
	cr_expect(m.start == 0x4000 && m.flags & PMV_MAP_HUGE);
	cr_expect(pmv_mapping_find_deep(pv, 0x6000, &m) == 0);
	fake_behave();
	fake_no_proc();
	cr_expect(pmv_mapping_find_deep(pv, 0x1000, &m) == -ENOENT);
	pagemv_close(pv);
}

Test(mapping, the_kernel_tells_where_huge_pages_may_be_made)
{
	struct pagemv *pv = scene_handle(NULL);
	size_t huge = pv->huge_bytes;
	struct pmv_mapping m;
	char *small, *large;

	if (!huge)
		cr_skip("no huge pages in this kernel");
	small = t_map_at(2 * huge / t_page(), huge, 0, false);
	large = t_map_at(2 * huge / t_page(), huge, 0, true);
	cr_expect(pmv_mapping_find_deep(pv, (uintptr_t)small, &m) == 1);
	cr_expect(m.start == (uintptr_t)small && !(m.flags & PMV_MAP_HUGE));
	memset(large, 1, huge);
	if (t_huge_bytes(large, huge) == 0)
		cr_skip("no huge page to be had");
	cr_expect(pmv_mapping_find_deep(pv, (uintptr_t)large, &m) == 1);
	cr_expect(m.start == (uintptr_t)large && m.flags & PMV_MAP_HUGE);
	pagemv_close(pv);
}

static bool stop_at_once(void *arg, const struct pmv_mapping *m)
{
	(void)m;
	++*(int *)arg;
	return false;
}

Test(mapping, a_visitor_can_end_it)
{
	struct pagemv *pv = scene_handle(NULL);
	int seen = 0;

	cr_expect(pmv_mapping_each(pv, 0, stop_at_once, &seen) == 0);
	cr_expect(seen == 1);
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 0);
}

Test(mapping, what_cannot_be_opened_is_done_without)
{
	struct pagemv *pv;

	fake_add((struct fake_rule){ .call = FAKE_OPEN,
				     .path = MAPS,
				     .error = -EACCES,
				     .times = FAKE_EVER });
	pv = scene_handle(NULL);
	cr_expect(pv->maps_fd < 0);
	cr_expect(!(pv->facilities & PAGEMV_HAS_PROCMAP_QUERY));
	pagemv_close(pv);
	fake_behave();
	fake_refuse(FAKE_QUERY, -ENOTTY);
	pv = scene_handle(NULL);
	cr_expect(pv->maps_fd < 0);
	cr_expect(!(pv->facilities & PAGEMV_HAS_PROCMAP_QUERY));
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 0);
}
