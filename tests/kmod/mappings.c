/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which memory is accepted: private, anonymous, writable, with the same
 * protection at both sides, neither locked alone, and nothing special. All
 * other is EINVAL, before any page is touched.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kmod.h"

#define PAGES 4
#define RW    (PROT_READ | PROT_WRITE)

static char *map_of(int prot, int flags, int fd)
{
	char *p = mmap(NULL, t_pages(PAGES), prot, flags, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

/*
 * As source and as destination of a range that is all right by itself.
 * UFFDIO_MOVE cannot have all of these registered; it is refused as well then.
 */
static const char *refused_both_ways(char *other)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	int64_t moved;
	int r;

	RIGHT("as src", refuses(dst, other, PAGES, 0, -EINVAL));
	r = kmod_remap(other, src, PAGES, 0, &moved);
	RIGHT("as dst", ended(r, moved, -EINVAL, -EINVAL));
	RIGHT("src", t_check_range(src, PAGES, 1));
	RIGHT("dst", t_check_absent(dst, PAGES));
	return NULL;
}

static const char *shared_anonymous(void)
{
	char *p = map_of(RW, MAP_SHARED | MAP_ANONYMOUS, -1);

	t_fill_range(p, PAGES, 100);
	RIGHT("refusal", refused_both_ways(p));
	return t_check_range(p, PAGES, 100);
}

static const char *of_file(int flags)
{
	int fd = memfd_create("kmod", MFD_CLOEXEC);
	char *p;

	if (fd < 0 || ftruncate(fd, (off_t)t_pages(PAGES)) != 0)
		t_die("memfd");
	p = map_of(RW, flags, fd);
	t_fill_range(p, PAGES, 100);
	RIGHT("refusal", refused_both_ways(p));
	return t_check_range(p, PAGES, 100);
}

static const char *shared_file(void)
{
	return of_file(MAP_SHARED);
}

/* Its pages are anonymous ones, once written to. The mapping is not. */
static const char *private_file(void)
{
	return of_file(MAP_PRIVATE);
}

static const char *file_on_disk(void)
{
	int fd = t_temp_file();
	char *p;

	if (ftruncate(fd, (off_t)t_pages(PAGES)) != 0)
		t_die("ftruncate");
	p = map_of(RW, MAP_PRIVATE, fd);
	return refused_both_ways(p);
}

static const char *hugetlb(void)
{
	char *p, *dst;
	int64_t moved;
	int r;

	/* Of the lab: nobody else has any. */
	if (!t_write_file("/proc/sys/vm/nr_hugepages", "4"))
		return skip("no hugetlb pages");
	p = mmap(NULL, 2 * KMOD_HUGE, RW,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (p == MAP_FAILED)
		return skip("no hugetlb pages");
	dst = kmod_dst(t_map_at(KMOD_HUGE / t_page(), KMOD_HUGE, 0, true),
		       KMOD_HUGE / t_page());
	memset(p, 7, KMOD_HUGE);
	r = kmod_remap(dst, p, KMOD_HUGE / t_page(), 0, &moved);
	RIGHT("as src", ended(r, moved, -EINVAL, -EINVAL));
	memset(dst, 8, KMOD_HUGE);
	r = kmod_remap(p + KMOD_HUGE, dst, KMOD_HUGE / t_page(), 0, &moved);
	RIGHT("as dst", ended(r, moved, -EINVAL, -EINVAL));
	MUST(p[0] == 7 && dst[0] == 8, "they have changed");
	t_write_file("/proc/sys/vm/nr_hugepages", "0");
	return NULL;
}

/* A mapping of the kernel's own pages: [vvar], [vdso]. */
static char *mapping_named(const char *name)
{
	char line[256], *found = NULL;
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strstr(line, name) != NULL &&
		    sscanf(line, "%lx", &start) == 1)
			found = (char *)start;
	if (f != NULL)
		fclose(f);
	return found;
}

static const char *special(void)
{
	char *vdso = mapping_named("[vdso]"), *vvar = mapping_named("[vvar");
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1);
	char *const places[] = { vdso, vvar };
	int64_t moved;
	size_t i;
	int r;

	for (i = 0; i < T_COUNT(places); i++) {
		if (places[i] == NULL)
			continue;
		RIGHT("as src", refuses(dst, places[i], 1, 0, -EINVAL));
		r = kmod_remap(places[i], src, 1, 0, &moved);
		RIGHT("as dst", ended(r, moved, -EINVAL, -EINVAL));
	}
	return t_check_range(src, 1, 1);
}

/* What /dev/mem maps is PFNMAP; a ring of io_uring is shared. */
static const char *device_memory(void)
{
	int fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
	char *p = MAP_FAILED;

	if (fd >= 0)
		p = mmap(NULL, t_pages(PAGES), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE, fd, 0xf0000);
	if (p == MAP_FAILED)
		return skip("no /dev/mem");
	return refused_both_ways(p);
}

/* ---- protection ---- */

static const char *protected(int src_prot, int dst_prot)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);

	if (mprotect(src, t_pages(PAGES), src_prot) != 0 ||
	    mprotect(dst, t_pages(PAGES), dst_prot) != 0)
		t_die("mprotect");
	RIGHT("refusal", refuses(dst, src, PAGES, 0, -EINVAL));
	mprotect(src, t_pages(PAGES), RW);
	return t_check_range(src, PAGES, 1);
}

static const char *different_protection(void)
{
	RIGHT("src r", protected(PROT_READ, RW));
	RIGHT("dst r", protected(RW, PROT_READ));
	RIGHT("src rwx", protected(RW | PROT_EXEC, RW));
	RIGHT("dst rwx", protected(RW, RW | PROT_EXEC));
	RIGHT("dst none", protected(RW, PROT_NONE));
	return NULL;
}

static const char *not_writable(void)
{
	RIGHT("both r", protected(PROT_READ, PROT_READ));
	RIGHT("both none", protected(PROT_NONE, PROT_NONE));
	return NULL;
}

static const char *executable(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);

	if (mprotect(src, t_pages(PAGES), RW | PROT_EXEC) != 0 ||
	    mprotect(dst, t_pages(PAGES), RW | PROT_EXEC) != 0)
		t_die("mprotect");
	return moves(dst, src, PAGES, 1);
}

/* A page that was written through a mapping that is writable again. */
static const char *writable_again(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);

	mprotect(src, t_pages(PAGES), PROT_READ);
	mprotect(src, t_pages(PAGES), RW);
	RIGHT("move", moves(dst, src, PAGES, 1));
	t_fill_range(dst, PAGES, 50);
	return t_check_range(dst, PAGES, 50);
}

static const char *keys(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	int key = (int)syscall(SYS_pkey_alloc, 0, 0);

	if (key < 0)
		return skip("no protection keys");
	if (syscall(SYS_pkey_mprotect, src, t_pages(PAGES), RW, key) != 0)
		t_die("pkey_mprotect");
	RIGHT("one key", refuses(dst, src, PAGES, 1, -EINVAL));
	if (syscall(SYS_pkey_mprotect, dst, t_pages(PAGES), RW, key) != 0)
		t_die("pkey_mprotect");
	return moves(dst, src, PAGES, 1);
}

/* ---- locked ---- */

static const char *locked_alone(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);

	if (mlock(src, t_pages(PAGES)) != 0)
		return skip("nothing can be locked");
	RIGHT("src", refuses(dst, src, PAGES, 1, -EINVAL));
	munlock(src, t_pages(PAGES));
	if (mlock2(dst, t_pages(PAGES), MLOCK_ONFAULT) != 0)
		t_die("mlock2");
	RIGHT("dst", refuses(dst, src, PAGES, 1, -EINVAL));
	munlock(dst, t_pages(PAGES));
	return moves(dst, src, PAGES, 1);
}

/* They stay off the list of what can be reclaimed (kpageflags bit 33). */
static const char *locked_both(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	uint64_t before;

	if (mlock(src, t_pages(PAGES)) != 0 ||
	    mlock2(dst, t_pages(PAGES), MLOCK_ONFAULT) != 0)
		return skip("nothing can be locked");
	before = status_kb("VmLck:");
	MUST(page_flag(src, 33), "the source is not marked as locked");
	RIGHT("move", moves(dst, src, PAGES, 1));
	MUST(page_flag(dst, 33), "moved, the page is not locked any more");
	MUST(status_kb("VmLck:") == before,
	     "VmLck %" PRIu64 " kB, was %" PRIu64, status_kb("VmLck:"), before);
	munlock(dst, t_pages(PAGES));
	MUST(!page_flag(dst, 33), "unlocked, it is still marked as locked");
	return NULL;
}

/* ---- unlike, and nevertheless all right ---- */

static const char *heap_and_stack(void)
{
	char *heap = sbrk(0), *dst = kmod_map_dst(PAGES);

	heap += -(uintptr_t)heap & (t_page() - 1);
	if (brk(heap + t_pages(PAGES)) != 0)
		return skip("no heap");
	t_fill_range(heap, PAGES, 1);
	return moves(dst, heap, PAGES, 1);
}

static const char *advised(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);

	if (madvise(dst, t_pages(PAGES), MADV_DONTFORK) != 0 ||
	    madvise(src, t_pages(PAGES), MADV_SEQUENTIAL) != 0)
		t_die("madvise");
	return moves(dst, src, PAGES, 1);
}

static const char *same_mapping(void)
{
	char *both = kmod_map_dst(2 * PAGES);

	t_fill_range(both, PAGES, 1);
	RIGHT("up", moves(both + t_pages(PAGES), both, PAGES, 1));
	return moves(both, both + t_pages(PAGES), PAGES, 1);
}

/* The source of a source, from mremap: another offset in its anon_vma. */
static const char *remapped_before(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	char *room = t_map(PAGES);

	if (mremap(src, t_pages(PAGES), t_pages(PAGES),
		   MREMAP_MAYMOVE | MREMAP_FIXED, room) != room)
		t_die("mremap");
	RIGHT("move", moves(dst, room, PAGES, 1));
	if (madvise(dst, t_pages(PAGES), MADV_COLD) != 0)
		t_die("MADV_COLD");
	return t_check_range(dst, PAGES, 1);
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "EINVAL: shared anonymous memory", shared_anonymous },
		{ "EINVAL: a shared mapping of a file", shared_file },
		{ "EINVAL: a private mapping of a file, written to",
		  private_file },
		{ "EINVAL: a private mapping of a file on disk", file_on_disk },
		{ "EINVAL: hugetlb", hugetlb },
		{ "EINVAL: the kernel's own mappings", special },
		{ "EINVAL: device memory", device_memory },
		{ "EINVAL: different protection", different_protection },
		{ "EINVAL: not writable", not_writable },
		{ "executable at both sides", executable },
		{ "writable again", writable_again },
		{ "EINVAL: different protection keys", keys },
		{ "EINVAL: locked at one side", locked_alone },
		{ "locked at both sides, and then not", locked_both },
		{ "the heap", heap_and_stack },
		{ "advised differently", advised },
		{ "both in one mapping", same_mapping },
		{ "a mapping that mremap moved", remapped_before },
	};

	return kmod_main(tests, T_COUNT(tests));
}
