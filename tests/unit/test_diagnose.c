/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every reason that mappings can give, by mappings that have it.
 */
#include "diagnose.h"

#include "scene.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1u
#endif

#define PAGES 4

/* Memory of a kind; MAP_FAILED where this machine has none. */
static void *map(int prot, int flags, int fd)
{
	return mmap(NULL, t_pages(PAGES), prot, flags, fd, 0);
}

static void *shared_anonymous(void)
{
	return map(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
}

static void *system_v(void)
{
	int id = shmget(IPC_PRIVATE, t_pages(PAGES), IPC_CREAT | 0600);
	void *addr = id < 0 ? MAP_FAILED : shmat(id, NULL, 0);

	if (id >= 0)
		shmctl(id, IPC_RMID, NULL);
	return addr;
}

static void *posix_shared(void)
{
	char name[40];
	void *addr;
	int fd;

	snprintf(name, sizeof(name), "/pagemv-unit-%d", (int)getpid());
	fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return MAP_FAILED;
	shm_unlink(name);
	if (ftruncate(fd, (off_t)t_pages(PAGES)) != 0)
		return MAP_FAILED;
	addr = map(PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	close(fd);
	return addr;
}

static int file_of_pages(void)
{
	char name[] = "/var/tmp/pagemv-unit-XXXXXX";
	int fd = mkstemp(name);

	if (fd >= 0) {
		unlink(name);
		if (ftruncate(fd, (off_t)t_pages(PAGES)) != 0)
			t_die("ftruncate");
	}
	return fd;
}

static void *file_shared(void)
{
	int fd = file_of_pages();

	return map(PROT_READ | PROT_WRITE, MAP_SHARED, fd);
}

static void *file_private(void)
{
	int fd = file_of_pages();
	void *addr = map(PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);

	/* Also where its pages are anonymous by now. */
	if (addr != MAP_FAILED)
		memset(addr, 1, t_pages(PAGES));
	return addr;
}

static void *memfd(int flags)
{
	int fd = memfd_create("unit test", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)t_pages(PAGES)) != 0)
		return MAP_FAILED;
	return map(PROT_READ | PROT_WRITE, flags, fd);
}

static void *memfd_shared(void)
{
	return memfd(MAP_SHARED);
}

static void *memfd_private(void)
{
	return memfd(MAP_PRIVATE);
}

static void *read_only(void)
{
	return map(PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void *no_access(void)
{
	return map(PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void *executable(void)
{
	return map(PROT_READ | PROT_WRITE | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void *locked(void)
{
	void *addr =
		map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	return lock_pages(addr, PAGES) ? addr : MAP_FAILED;
}

static void *unmapped(void)
{
	char *addr = map(PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	munmap(addr, t_pages(PAGES));
	return addr;
}

static void *unmapped_behind(void)
{
	char *addr =
		map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	munmap(addr + t_pages(2), t_pages(2));
	return addr;
}

static void *plain(void)
{
	return t_map(PAGES);
}

static const struct kind {
	const char *name;
	void *(*map)(void);
	enum pagemv_reason reason; /* against plain memory */
	bool itself;		   /* also without anything to compare with */
} kinds[] = {
	{ "plain", plain, PAGEMV_REASON_NONE, true },
	{ "shared anonymous", shared_anonymous, PAGEMV_REASON_SHARED, true },
	{ "System V", system_v, PAGEMV_REASON_SHMEM, true },
	{ "POSIX", posix_shared, PAGEMV_REASON_SHMEM, true },
	{ "file, shared", file_shared, PAGEMV_REASON_FILE, true },
	{ "file, private", file_private, PAGEMV_REASON_PRIVATE_FILE, true },
	{ "memfd, shared", memfd_shared, PAGEMV_REASON_MEMFD, true },
	{ "memfd, private", memfd_private, PAGEMV_REASON_MEMFD, true },
	{ "read-only", read_only, PAGEMV_REASON_READ_ONLY, true },
	{ "PROT_NONE", no_access, PAGEMV_REASON_NO_ACCESS, true },
	{ "executable", executable, PAGEMV_REASON_PROTECTION_DIFFERS, false },
	{ "locked", locked, PAGEMV_REASON_LOCK_DIFFERS, false },
	{ "unmapped", unmapped, PAGEMV_REASON_UNMAPPED, true },
	{ "unmapped behind", unmapped_behind, PAGEMV_REASON_UNMAPPED, true },
};

static void expect_reason(const struct kind *k, const char *how,
			  enum pagemv_reason reason,
			  enum pagemv_reason expected)
{
	cr_expect(reason == expected, "%s, %s: %s; not: %s", k->name, how,
		  pagemv_reason_string(reason), pagemv_reason_string(expected));
}

Test(diagnose, each_kind_of_memory_is_named)
{
	struct pagemv *pv = scene_handle(NULL);
	uintptr_t other = (uintptr_t)t_map(PAGES);
	size_t bytes = t_pages(PAGES);

	for (size_t i = 0; i < T_COUNT(kinds); i++) {
		const struct kind *k = &kinds[i];
		void *addr = k->map();
		uintptr_t at = (uintptr_t)addr;
		bool several;

		if (addr == MAP_FAILED) {
			fprintf(stderr, "# no such memory here: %s\n", k->name);
			continue;
		}
		expect_reason(k, "as source, deep",
			      pmv_diagnose(pv, other, at, bytes), k->reason);
		expect_reason(k, "as destination, deep",
			      pmv_diagnose(pv, at, other, bytes), k->reason);
		expect_reason(k, "as source, quick",
			      pmv_check(pv, other, at, bytes, &several),
			      k->reason);
		expect_reason(k, "as destination, quick",
			      pmv_check(pv, at, other, bytes, &several),
			      k->reason);
		expect_reason(k, "alone",
			      pmv_diagnose_range(pv, at, bytes, NULL),
			      k->itself ? k->reason : PAGEMV_REASON_NONE);
	}
	pagemv_close(pv);
}

Test(diagnose, what_is_alike_on_both_sides_does_not_differ)
{
	struct pagemv *pv = scene_handle(NULL);
	uintptr_t a = (uintptr_t)executable(), b = (uintptr_t)executable();
	void *c = locked(), *d = locked();
	bool several;

	cr_expect(pmv_diagnose(pv, a, b, t_pages(PAGES)) == 0);
	cr_expect(pmv_check(pv, a, b, t_pages(PAGES), &several) == 0);
	if (c == MAP_FAILED || d == MAP_FAILED)
		cr_skip("may not mlock");
	cr_expect(pmv_diagnose(pv, (uintptr_t)c, (uintptr_t)d,
			       t_pages(PAGES)) == 0);
	cr_expect(pmv_check(pv, (uintptr_t)c, (uintptr_t)d, t_pages(PAGES),
			    &several) == 0);
	pagemv_close(pv);
}

Test(diagnose, special_mappings_are_named)
{
	static const struct {
		uint32_t flags;
		enum pagemv_reason reason;
	} cases[] = {
		{ PMV_MAP_SPECIAL, PAGEMV_REASON_SPECIAL },
		{ PMV_MAP_HUGETLB, PAGEMV_REASON_HUGETLB },
		{ PMV_MAP_HUGETLB | PMV_MAP_SHARED | PMV_MAP_FILE,
		  PAGEMV_REASON_HUGETLB },
		{ PMV_MAP_SHARED | PMV_MAP_FILE, PAGEMV_REASON_FILE },
		{ PMV_MAP_SHARED, PAGEMV_REASON_SHARED },
		{ PMV_MAP_SHARED | PMV_MAP_FILE | PMV_MAP_ZERODEV,
		  PAGEMV_REASON_SHARED },
		{ PMV_MAP_UFFD, PAGEMV_REASON_NONE },
		{ PMV_MAP_LOCKED, PAGEMV_REASON_NONE },
	};

	for (size_t i = 0; i < T_COUNT(cases); i++) {
		struct pmv_mapping m = { .flags = cases[i].flags |
						  PMV_MAP_READ |
						  PMV_MAP_WRITE };

		cr_expect(pmv_mapping_reason(&m) == cases[i].reason,
			  "case %zu: %s", i,
			  pagemv_reason_string(pmv_mapping_reason(&m)));
	}
}

/* Parts of different kinds beside each other. */
Test(diagnose, a_bad_part_in_the_middle_is_found)
{
	struct pagemv *pv = scene_handle(NULL);
	char *a = t_map(6), *b = t_map(6);
	bool several;

	mprotect(a + t_pages(3), t_page(), PROT_READ);
	cr_expect(pmv_diagnose(pv, (uintptr_t)b, (uintptr_t)a, t_pages(6)) ==
		  PAGEMV_REASON_READ_ONLY);
	cr_expect(pmv_check(pv, (uintptr_t)a, (uintptr_t)b, t_pages(6),
			    &several) == PAGEMV_REASON_READ_ONLY);
	cr_expect(pmv_diagnose(pv, (uintptr_t)b, (uintptr_t)a, t_pages(3)) ==
		  PAGEMV_REASON_NONE);
	pagemv_close(pv);
}

Test(diagnose, parts_are_compared_with_their_counterparts)
{
	struct pagemv *pv = scene_handle(NULL);
	char *a = t_map(6), *b = t_map(6);
	bool several = false;

	mprotect(a + t_pages(2), t_pages(2),
		 PROT_READ | PROT_WRITE | PROT_EXEC);
	cr_expect(pmv_diagnose(pv, (uintptr_t)b, (uintptr_t)a, t_pages(6)) ==
		  PAGEMV_REASON_PROTECTION_DIFFERS);
	mprotect(b + t_pages(2), t_pages(2),
		 PROT_READ | PROT_WRITE | PROT_EXEC);
	cr_expect(pmv_diagnose(pv, (uintptr_t)b, (uintptr_t)a, t_pages(6)) ==
		  PAGEMV_REASON_NONE);
	cr_expect(pmv_check(pv, (uintptr_t)b, (uintptr_t)a, t_pages(6),
			    &several) == PAGEMV_REASON_NONE);
	cr_expect(several);
	pagemv_close(pv);
}

Test(diagnose, pieces_end_at_the_borders_of_both_sides)
{
	struct pagemv *pv = scene_handle(NULL);
	char *a = t_map(8), *b = t_map(8);
	bool several = true;

	cr_expect(pmv_piece(pv, (uintptr_t)a, (uintptr_t)b, t_pages(8)) ==
		  t_pages(8));
	cr_expect(pmv_check(pv, (uintptr_t)a, (uintptr_t)b, t_pages(8),
			    &several) == 0 &&
		  !several);
	t_split_mapping(a + t_pages(3), 2);
	t_split_mapping(b + t_pages(4), 2);
	cr_expect(pmv_piece(pv, (uintptr_t)a, (uintptr_t)b, t_pages(8)) ==
		  t_pages(3));
	cr_expect(pmv_piece(pv, (uintptr_t)a + t_pages(3),
			    (uintptr_t)b + t_pages(3), t_pages(5)) == t_page());
	cr_expect(pmv_piece(pv, (uintptr_t)a, (uintptr_t)b, t_pages(2)) ==
		  t_pages(2));
	pagemv_close(pv);
}

Test(diagnose, without_proc_the_caller_is_believed)
{
	struct pagemv *pv = scene_handle(NULL);
	char *a = t_map(4), *b = read_only();
	bool several, registered = true;

	fake_no_proc();
	fake_refuse(FAKE_QUERY, -EPERM);
	cr_expect(pmv_diagnose(pv, (uintptr_t)a, (uintptr_t)b, t_pages(4)) ==
		  PAGEMV_REASON_NONE);
	cr_expect(pmv_check(pv, (uintptr_t)a, (uintptr_t)b, t_pages(4),
			    &several) == PAGEMV_REASON_NONE);
	cr_expect(pmv_diagnose_range(pv, (uintptr_t)b, t_pages(4),
				     &registered) == PAGEMV_REASON_NONE);
	cr_expect(!registered);
	cr_expect(pmv_piece(pv, (uintptr_t)a, (uintptr_t)b, t_pages(4)) ==
		  t_pages(4));
	pagemv_close(pv);
}

Test(diagnose, registrations_are_seen)
{
	struct scene s = scene_open(4, NULL);
	bool registered;

	if (!fake_is_real())
		cr_skip("userfaultfd is played here");
	cr_expect(pmv_diagnose_range(s.pv, (uintptr_t)s.heap, t_pages(4),
				     &registered) == 0);
	cr_expect(registered);
	cr_expect(pmv_diagnose_range(s.pv, (uintptr_t)s.src, t_pages(4),
				     &registered) == 0);
	cr_expect(!registered);
	scene_close(&s);
}

Test(diagnose, every_reason_stops_a_move_untouched)
{
	struct pagemv *pv = scene_handle(NULL);
	char *heap = t_map(PAGES);

	if (!fake_is_real())
		cr_skip("userfaultfd is played here");
	scene_register(pv, heap, PAGES);
	for (size_t i = 1; i < T_COUNT(kinds); i++) {
		void *addr = kinds[i].map();
		struct pagemv_result res;
		int rc;

		if (addr == MAP_FAILED || kinds[i].map == unmapped_behind)
			continue;
		rc = pagemv_move(pv, heap, addr, t_pages(PAGES), NULL, &res);
		cr_expect(rc < 0 && res.reason == kinds[i].reason,
			  "%s: %d (%s)", kinds[i].name, rc,
			  pagemv_reason_string(res.reason));
		EXPECT_SANE(rc, &res, t_pages(PAGES));
		EXPECT_RIGHT(t_check_absent(heap, PAGES));
	}
	pagemv_close(pv);
}
