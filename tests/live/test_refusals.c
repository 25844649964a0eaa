/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contract 5: bad input changes nothing, and each kind of it is told apart
 * from the others, by every mechanism, forced or chosen.
 */
#include "live.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/auxv.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "rawuffd.h"

#define PAGES 8

/* A request that is to be refused, and what may be looked at around it. */
struct request {
	char *dst;
	char *src;
	size_t bytes;
	const char *skip; /* set by a builder: cannot be tried here */
	bool pass_over;	  /* set by a builder: not refused by this case */
};

/* Puts src and dst in a bad state. Both are PAGES long; dst is a region. */
typedef void builder(struct t_case *c, struct request *q);

struct snapshot {
	struct t_maps maps;
	bool present[2 * PAGES];
	uint64_t sum[2 * PAGES];
};

static uint64_t sum_page(const char *p)
{
	const uint64_t *w = (const uint64_t *)(const void *)p;
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < t_page() / sizeof(*w); i++)
		sum = (sum << 5 | sum >> 59) ^ w[i];
	return sum;
}

/* Contents as another process would see them: no SIGSEGV, no fault-in. */
static uint64_t sum_safely(const char *p)
{
	static int fd = -1;
	char copy[65536];

	if (fd < 0)
		fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || t_page() > sizeof(copy) ||
	    pread(fd, copy, t_page(), (off_t)(uintptr_t)p) != (ssize_t)t_page())
		return 1;
	return sum_page(copy);
}

static void take(struct snapshot *s, const struct request *q)
{
	uintptr_t dst = (uintptr_t)q->dst & ~(t_page() - 1);
	uintptr_t src = (uintptr_t)q->src & ~(t_page() - 1);
	size_t i;

	t_maps_take(&s->maps, NULL, SIZE_MAX);
	for (i = 0; i < (size_t)2 * PAGES; i++) {
		const char *p =
			(const char *)(i < PAGES ? dst + t_pages(i)
						 : src + t_pages(i - PAGES));

		s->present[i] = t_present(p);
		s->sum[i] = s->present[i] ? sum_safely(p) : 0;
	}
}

static void expect_same(const struct t_case *c, const struct snapshot *a,
			const struct snapshot *b)
{
	char line[200];

	T_EXPECT(c, t_maps_same(&a->maps, &b->maps, line, sizeof(line)),
		 "mappings changed: %s", line);
	T_EXPECT(c, memcmp(a->present, b->present, sizeof(a->present)) == 0,
		 "pages came or went");
	T_EXPECT(c, memcmp(a->sum, b->sum, sizeof(a->sum)) == 0,
		 "contents changed");
}

static int ask(struct t_case *c, struct request *q, struct pagemv_result *res)
{
	memset(res, 0xa5, sizeof(*res));
	return pagemv_move(c->pv, q->dst, q->src, q->bytes, &c->opts, res);
}

/*
 * The builder's request is refused with error and reason by each way, and
 * changes nothing. or_reason, or_error: also right (NONE: nothing else is).
 */
static void expect_refused_or(builder *build, int error,
			      enum pagemv_reason reason, int or_error,
			      enum pagemv_reason or_reason)
{
	static struct snapshot before, after;
	struct pagemv_result res;
	struct request q;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		q.dst = t_case_heap(&c, PAGES);
		q.src = t_case_map(&c, PAGES);
		q.bytes = t_pages(PAGES);
		q.skip = NULL;
		q.pass_over = false;
		t_fill_range(q.src, PAGES, 1);
		build(&c, &q);
		if (q.skip != NULL)
			cr_skip("%s", q.skip);
		if (q.pass_over)
			continue;
		/* Both sides set up once what they need. */
		(void)sum_safely((char *)&q);
		(void)pagemv_move(c.pv, q.src, q.src + t_page(), t_page(),
				  &c.opts, NULL);
		take(&before, &q);
		r = ask(&c, &q, &res);
		take(&after, &q);
		if (or_reason == PAGEMV_REASON_NONE || r != or_error ||
		    res.reason != or_reason) {
			T_EXPECT(&c, r == error, "returned %d, not %d (%s)", r,
				 error, pagemv_reason_string(res.reason));
			T_EXPECT(&c, res.reason == reason,
				 "reason: %s; not: %s",
				 pagemv_reason_string(res.reason),
				 pagemv_reason_string(reason));
		}
		t_expect_sane(&c, r, &res, q.bytes);
		T_EXPECT(&c, res.left_bytes == q.bytes, "left %zu of %zu",
			 res.left_bytes, q.bytes);
		T_EXPECT(&c, res.left_off == 0, "left_off %zu", res.left_off);
		expect_same(&c, &before, &after);
	}
}

static void expect_refused(builder *build, int error, enum pagemv_reason reason)
{
	expect_refused_or(build, error, reason, 0, PAGEMV_REASON_NONE);
}

/* --- the numbers --- */

static void misaligned_dst(struct t_case *c, struct request *q)
{
	(void)c;
	q->dst += 8;
	q->bytes -= t_page();
}

Test(refusals, dst_misaligned)
{
	expect_refused(misaligned_dst, -EINVAL, PAGEMV_REASON_MISALIGNED);
}

static void misaligned_src(struct t_case *c, struct request *q)
{
	(void)c;
	q->src += t_page() / 2;
	q->bytes -= t_page();
}

Test(refusals, src_misaligned)
{
	expect_refused(misaligned_src, -EINVAL, PAGEMV_REASON_MISALIGNED);
}

static void misaligned_length(struct t_case *c, struct request *q)
{
	(void)c;
	q->bytes -= 1;
}

Test(refusals, length_misaligned)
{
	expect_refused(misaligned_length, -EINVAL, PAGEMV_REASON_MISALIGNED);
}

static void zero_length(struct t_case *c, struct request *q)
{
	(void)c;
	q->bytes = 0;
}

Test(refusals, length_zero)
{
	expect_refused(zero_length, -EINVAL, PAGEMV_REASON_ZERO_LENGTH);
}

static void wrapping(struct t_case *c, struct request *q)
{
	(void)c;
	q->bytes = SIZE_MAX - t_page() + 1;
}

Test(refusals, length_that_wraps)
{
	expect_refused(wrapping, -EINVAL, PAGEMV_REASON_WRAPS);
}

/* Nothing to take a snapshot of: the address is the kernel's. */
Test(refusals, src_beyond_the_address_space)
{
	static const uintptr_t at[] = {
		UINTPTR_MAX - 0xffff,
		(uintptr_t)1 << 63,
	};
	struct pagemv_result res;
	struct t_case c;
	size_t i;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);

		for (i = 0; i < T_COUNT(at); i++) {
			r = t_move(&c, heap, (void *)at[i], 2, 0, &res);
			T_EXPECT(&c,
				 (r == -EINVAL &&
				  res.reason == PAGEMV_REASON_WRAPS) ||
					 (r == -ENOENT &&
					  res.reason == PAGEMV_REASON_UNMAPPED),
				 "returned %d, %s", r,
				 pagemv_reason_string(res.reason));
			t_expect_sane(&c, r, &res, t_pages(2));
		}
	}
}

/* --- what is mapped at src --- */

static void replace_mapping(char *p, size_t bytes, int prot, int flags, int fd)
{
	if (mmap(p, bytes, prot, flags | MAP_FIXED, fd, 0) != p)
		t_die("replacing a mapping");
}

static void src_unmapped_builder(struct t_case *c, struct request *q)
{
	(void)c;
	if (munmap(q->src, q->bytes) != 0)
		t_die("munmap");
}

Test(refusals, src_unmapped)
{
	expect_refused(src_unmapped_builder, -ENOENT, PAGEMV_REASON_UNMAPPED);
}

static void src_half_unmapped_builder(struct t_case *c, struct request *q)
{
	(void)c;
	if (munmap(q->src + q->bytes / 2, q->bytes / 2) != 0)
		t_die("munmap");
}

Test(refusals, src_unmapped_in_its_second_half)
{
	expect_refused(src_half_unmapped_builder, -ENOENT,
		       PAGEMV_REASON_UNMAPPED);
}

/* A file of PAGES pages that is gone when closed, on a real file system. */
static int make_file(struct request *q)
{
	static const char *const dirs[] = { ".", "/var/tmp", "/tmp" };
	struct statfs fs;
	char path[64];
	size_t i;
	int fd;

	for (i = 0; i < T_COUNT(dirs); i++) {
		if (statfs(dirs[i], &fs) != 0 || fs.f_type == TMPFS_MAGIC)
			continue;
		snprintf(path, sizeof(path), "%s/pagemv-XXXXXX", dirs[i]);
		fd = mkostemp(path, O_CLOEXEC);
		if (fd < 0)
			continue;
		unlink(path);
		if (ftruncate(fd, (off_t)t_pages(PAGES)) != 0)
			t_die("ftruncate");
		return fd;
	}
	q->skip = "no directory to make a file in that is not on tmpfs";
	return -1;
}

static void map_file(struct request *q, size_t off, int flags)
{
	int fd = make_file(q);

	if (fd < 0)
		return;
	replace_mapping(q->src + off, q->bytes - off, PROT_READ | PROT_WRITE,
			flags, fd);
	close(fd);
	memset(q->src + off, 0x33, q->bytes - off);
}

static void shared_file(struct t_case *c, struct request *q)
{
	(void)c;
	map_file(q, 0, MAP_SHARED);
}

Test(refusals, src_is_a_shared_file)
{
	expect_refused(shared_file, -EINVAL, PAGEMV_REASON_FILE);
}

static void half_shared_file(struct t_case *c, struct request *q)
{
	(void)c;
	map_file(q, q->bytes / 2, MAP_SHARED);
}

Test(refusals, src_is_a_shared_file_in_its_second_half)
{
	expect_refused(half_shared_file, -EINVAL, PAGEMV_REASON_FILE);
}

static void private_file(struct t_case *c, struct request *q)
{
	(void)c;
	map_file(q, 0, MAP_PRIVATE);
}

Test(refusals, src_is_a_private_mapping_of_a_file)
{
	expect_refused(private_file, -EINVAL, PAGEMV_REASON_PRIVATE_FILE);
}

static void shared_anonymous(struct t_case *c, struct request *q)
{
	(void)c;
	replace_mapping(q->src, q->bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1);
	memset(q->src, 0x33, q->bytes);
}

Test(refusals, src_is_shared_anonymous)
{
	expect_refused(shared_anonymous, -EINVAL, PAGEMV_REASON_SHARED);
}

static void half_shared_anonymous(struct t_case *c, struct request *q)
{
	struct request half = { q->dst, q->src + q->bytes / 2, q->bytes / 2,
				NULL, false };

	shared_anonymous(c, &half);
}

Test(refusals, src_is_shared_anonymous_in_its_second_half)
{
	expect_refused(half_shared_anonymous, -EINVAL, PAGEMV_REASON_SHARED);
}

static void map_fd(struct request *q, int fd)
{
	if (ftruncate(fd, (off_t)q->bytes) != 0)
		t_die("ftruncate");
	replace_mapping(q->src, q->bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			fd);
	close(fd);
	memset(q->src, 0x33, q->bytes);
}

static void posix_shm(struct t_case *c, struct request *q)
{
	char name[64];
	int fd;

	(void)c;
	snprintf(name, sizeof(name), "/pagemv-test-%d", (int)getpid());
	fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0) {
		q->skip = "shm_open does not work here";
		return;
	}
	shm_unlink(name);
	map_fd(q, fd);
}

Test(refusals, src_is_posix_shared_memory)
{
	expect_refused(posix_shm, -EINVAL, PAGEMV_REASON_SHMEM);
}

static void sysv_shm(struct t_case *c, struct request *q)
{
	int id = shmget(IPC_PRIVATE, q->bytes, IPC_CREAT | 0600);

	(void)c;
	if (id < 0) {
		q->skip = "shmget does not work here";
		return;
	}
	if (shmat(id, q->src, SHM_REMAP) != q->src)
		t_die("shmat");
	shmctl(id, IPC_RMID, NULL);
	memset(q->src, 0x33, q->bytes);
}

Test(refusals, src_is_system_v_shared_memory)
{
	expect_refused(sysv_shm, -EINVAL, PAGEMV_REASON_SHMEM);
}

static void memfd(struct t_case *c, struct request *q)
{
	int fd = memfd_create("refused", MFD_CLOEXEC);

	(void)c;
	if (fd < 0) {
		q->skip = "memfd_create does not work here";
		return;
	}
	map_fd(q, fd);
}

Test(refusals, src_is_a_memfd)
{
	expect_refused(memfd, -EINVAL, PAGEMV_REASON_MEMFD);
}

static char saved_huge[32];

static void give_back_huge_pages(void)
{
	if (saved_huge[0] != '\0')
		t_write_file("/proc/sys/vm/nr_hugepages", saved_huge);
}

static size_t huge_bytes(void)
{
	char path[80];
	size_t kb;

	for (kb = 2048; kb <= 1048576; kb *= 2) {
		snprintf(path, sizeof(path),
			 "/sys/kernel/mm/hugepages/hugepages-%zukB", kb);
		if (access(path, F_OK) == 0)
			return kb * 1024;
	}
	return 0;
}

/* Reserves one huge page for as long as the test runs. */
static const char *need_huge_page(void)
{
	const char *path = "/proc/sys/vm/nr_hugepages";
	char text[32], more[32];

	if (huge_bytes() == 0)
		return "this kernel has no hugetlb pages";
	if (saved_huge[0] != '\0')
		return NULL;
	if (!t_lock_setting(path) || !t_read_file(path, text, sizeof(text)))
		return "vm.nr_hugepages cannot be read";
	snprintf(more, sizeof(more), "%lu", strtoul(text, NULL, 10) + 2);
	if (!t_write_file(path, more))
		return "vm.nr_hugepages cannot be set (needs root)";
	memcpy(saved_huge, text, sizeof(saved_huge));
	return NULL;
}

static void map_huge_tlb(struct t_case *c, struct request *q)
{
	size_t bytes = huge_bytes();
	char *p;

	(void)c;
	q->skip = need_huge_page();
	if (q->skip != NULL)
		return;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (p == MAP_FAILED) {
		q->skip = "no hugetlb page is to be had";
		return;
	}
	memset(p, 0x33, bytes);
	/* Behind the request's own src: the page before it goes unused. */
	q->src = p;
}

Test(refusals, src_is_hugetlb, .fini = give_back_huge_pages)
{
	struct request q = { 0 };
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);

		map_huge_tlb(&c, &q);
		if (q.skip != NULL)
			cr_skip("%s", q.skip);
		r = t_move(&c, heap, q.src, PAGES, 0, &res);
		t_expect_stopped(&c, r, &res, t_pages(PAGES), -EINVAL,
				 PAGEMV_REASON_HUGETLB, 0);
		T_RIGHT(&c, t_check_absent(heap, PAGES), "dst");
		T_EXPECT(&c,
			 q.src[0] == 0x33 && q.src[huge_bytes() - 1] == 0x33,
			 "contents changed");
		munmap(q.src, huge_bytes());
	}
}

/* Where the kernel maps [vvar], [vdso] or the like. */
static void *find_mapping(const char *name)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	uintptr_t at = 0;

	if (f == NULL)
		return NULL;
	while (at == 0 && fgets(line, sizeof(line), f) != NULL)
		if (strstr(line, name) != NULL)
			at = (uintptr_t)strtoull(line, NULL, 16);
	fclose(f);
	return (void *)at;
}

static void expect_special(const char *name)
{
	void *src = find_mapping(name);
	struct pagemv_result res;
	struct t_case c;
	int r;

	if (src == NULL)
		cr_skip("no %s in this process", name);
	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);
		char *plain = t_case_map(&c, 2);
		size_t before;

		/* The library sets up once what it needs. */
		(void)t_move(&c, plain, plain + t_page(), 1, 0, &res);
		before = t_count_mappings();
		r = t_move(&c, heap, src, 1, 0, &res);
		t_expect_stopped(&c, r, &res, t_page(), -EINVAL,
				 PAGEMV_REASON_SPECIAL, 0);
		T_RIGHT(&c, t_check_absent(heap, PAGES), "dst");
		T_EXPECT(&c, t_count_mappings() == before, "mappings changed");
	}
}

Test(refusals, src_is_the_vdso)
{
	expect_special("[vdso]");
}

Test(refusals, src_is_the_vvar)
{
	expect_special("[vvar]");
}

/* --- protection and locks --- */

static void protect(char *p, size_t bytes, int prot)
{
	if (mprotect(p, bytes, prot) != 0)
		t_die("mprotect");
}

static void src_read_only_builder(struct t_case *c, struct request *q)
{
	(void)c;
	protect(q->src, q->bytes, PROT_READ);
}

Test(refusals, src_read_only)
{
	expect_refused(src_read_only_builder, -EINVAL, PAGEMV_REASON_READ_ONLY);
}

static void src_half_read_only_builder(struct t_case *c, struct request *q)
{
	(void)c;
	protect(q->src + q->bytes / 2, q->bytes / 2, PROT_READ);
}

Test(refusals, src_read_only_in_its_second_half)
{
	expect_refused(src_half_read_only_builder, -EINVAL,
		       PAGEMV_REASON_READ_ONLY);
}

static void dst_read_only_builder(struct t_case *c, struct request *q)
{
	(void)c;
	protect(q->dst, q->bytes, PROT_READ);
}

Test(refusals, dst_read_only)
{
	expect_refused(dst_read_only_builder, -EINVAL, PAGEMV_REASON_READ_ONLY);
}

static void dst_half_read_only_builder(struct t_case *c, struct request *q)
{
	(void)c;
	protect(q->dst + q->bytes / 2, q->bytes / 2, PROT_READ);
}

Test(refusals, dst_read_only_in_its_second_half)
{
	expect_refused(dst_half_read_only_builder, -EINVAL,
		       PAGEMV_REASON_READ_ONLY);
}

static void both_read_only_builder(struct t_case *c, struct request *q)
{
	src_read_only_builder(c, q);
	dst_read_only_builder(c, q);
}

Test(refusals, both_read_only)
{
	expect_refused(both_read_only_builder, -EINVAL,
		       PAGEMV_REASON_READ_ONLY);
}

static void src_no_access_builder(struct t_case *c, struct request *q)
{
	(void)c;
	protect(q->src, q->bytes, PROT_NONE);
}

Test(refusals, src_without_access)
{
	expect_refused(src_no_access_builder, -EINVAL, PAGEMV_REASON_NO_ACCESS);
}

static void src_half_no_access_builder(struct t_case *c, struct request *q)
{
	(void)c;
	protect(q->src + q->bytes / 2, q->bytes / 2, PROT_NONE);
}

Test(refusals, src_without_access_in_its_second_half)
{
	expect_refused(src_half_no_access_builder, -EINVAL,
		       PAGEMV_REASON_NO_ACCESS);
}

static void dst_no_access_builder(struct t_case *c, struct request *q)
{
	(void)c;
	protect(q->dst, q->bytes, PROT_NONE);
}

Test(refusals, dst_without_access)
{
	expect_refused(dst_no_access_builder, -EINVAL, PAGEMV_REASON_NO_ACCESS);
}

static void protection_differs_builder(struct t_case *c, struct request *q)
{
	(void)c;
	if (mprotect(q->src, q->bytes, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
		q->skip = "writable and executable memory is not allowed here";
}

Test(refusals, protection_differs)
{
	expect_refused(protection_differs_builder, -EINVAL,
		       PAGEMV_REASON_PROTECTION_DIFFERS);
}

static void dst_protection_differs_builder(struct t_case *c, struct request *q)
{
	(void)c;
	if (mprotect(q->dst + q->bytes / 2, q->bytes / 2,
		     PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
		q->skip = "writable and executable memory is not allowed here";
}

Test(refusals, protection_of_dst_differs_in_its_second_half)
{
	expect_refused(dst_protection_differs_builder, -EINVAL,
		       PAGEMV_REASON_PROTECTION_DIFFERS);
}

/* Only UFFDIO_MOVE compares protection keys. */
static void pkey_differs_builder(struct t_case *c, struct request *q)
{
	static int key = -1;

	q->pass_over = c->caps.mech[PAGEMV_MECH_MOVE].available == 0 ||
		       c->way == T_REMAP || c->way == T_COPY ||
		       c->way == T_COPY_QUIESCENT;
	if (key < 0)
		key = pkey_alloc(0, 0);
	if (key < 0) {
		q->skip = "this processor or kernel has no protection keys";
		return;
	}
	if (pkey_mprotect(q->src, q->bytes, PROT_READ | PROT_WRITE, key) != 0)
		t_die("pkey_mprotect");
}

Test(refusals, protection_key_differs)
{
	expect_refused(pkey_differs_builder, -EINVAL,
		       PAGEMV_REASON_PROTECTION_DIFFERS);
}

static void lock_pages(struct request *q, char *p, size_t bytes)
{
	if (mlock2(p, bytes, MLOCK_ONFAULT) != 0)
		q->skip = "mlock2 does not work here (RLIMIT_MEMLOCK?)";
}

static void src_locked_builder(struct t_case *c, struct request *q)
{
	(void)c;
	lock_pages(q, q->src, q->bytes);
}

Test(refusals, src_locked_alone)
{
	expect_refused(src_locked_builder, -EINVAL, PAGEMV_REASON_LOCK_DIFFERS);
}

static void src_half_locked_builder(struct t_case *c, struct request *q)
{
	(void)c;
	lock_pages(q, q->src + q->bytes / 2, q->bytes / 2);
}

Test(refusals, src_locked_alone_in_its_second_half)
{
	expect_refused(src_half_locked_builder, -EINVAL,
		       PAGEMV_REASON_LOCK_DIFFERS);
}

static void dst_locked_builder(struct t_case *c, struct request *q)
{
	(void)c;
	lock_pages(q, q->dst, q->bytes);
}

Test(refusals, dst_locked_alone)
{
	expect_refused(dst_locked_builder, -EINVAL, PAGEMV_REASON_LOCK_DIFFERS);
}

/* --- registration --- */

static void dst_plain_builder(struct t_case *c, struct request *q)
{
	q->dst = t_case_map(c, PAGES);
}

Test(refusals, dst_not_registered)
{
	expect_refused(dst_plain_builder, -EINVAL,
		       PAGEMV_REASON_NOT_REGISTERED);
}

static void dst_beyond_region_builder(struct t_case *c, struct request *q)
{
	char *area = t_case_map(c, 2 * PAGES);

	t_register(c->pv, area, PAGES);
	q->dst = area + t_pages(PAGES / 2);
}

Test(refusals, dst_reaches_beyond_its_region)
{
	expect_refused(dst_beyond_region_builder, -EINVAL,
		       PAGEMV_REASON_NOT_REGISTERED);
}

static void dst_foreign_builder(struct t_case *c, struct request *q)
{
	static int fd = -1;

	q->dst = t_case_map(c, PAGES);
	if (fd < 0)
		fd = t_uffd_open();
	if (fd < 0)
		q->skip = "no userfaultfd to be the foreign one";
	else if (t_uffd_register_missing(fd, q->dst, q->bytes) != 0)
		t_die("registering by hand");
}

Test(refusals, dst_registered_by_a_foreign_userfaultfd)
{
	expect_refused_or(dst_foreign_builder, -EINVAL,
			  PAGEMV_REASON_NOT_REGISTERED, -EBUSY,
			  PAGEMV_REASON_FOREIGN_UFFD);
}

static void dst_other_handle_builder(struct t_case *c, struct request *q)
{
	static struct pagemv *other;

	if (other == NULL)
		other = t_open(T_NORMAL);
	(void)c;
	q->dst = t_map(PAGES); /* stays for as long as the other handle does */
	t_register(other, q->dst, PAGES);
}

Test(refusals, dst_registered_by_another_handle)
{
	expect_refused_or(dst_other_handle_builder, -EINVAL,
			  PAGEMV_REASON_NOT_REGISTERED, -EBUSY,
			  PAGEMV_REASON_FOREIGN_UFFD);
}

/*
 * Mapping something over a region breaks the contract, but must not break
 * the caller's memory: the mechanisms that do not ask the kernel could.
 */
static void dst_unmapped_builder(struct t_case *c, struct request *q)
{
	(void)c;
	if (munmap(q->dst + q->bytes / 2, q->bytes / 2) != 0)
		t_die("munmap");
}

Test(refusals, dst_unmapped_in_its_second_half)
{
	expect_refused_or(dst_unmapped_builder, -ENOENT, PAGEMV_REASON_UNMAPPED,
			  -EINVAL, PAGEMV_REASON_NOT_REGISTERED);
}

static void dst_shared_builder(struct t_case *c, struct request *q)
{
	struct request as_src = { NULL, q->dst, q->bytes, NULL, false };

	shared_anonymous(c, &as_src);
}

Test(refusals, dst_replaced_by_shared_memory)
{
	expect_refused_or(dst_shared_builder, -EINVAL, PAGEMV_REASON_SHARED,
			  -EINVAL, PAGEMV_REASON_NOT_REGISTERED);
}
