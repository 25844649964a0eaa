/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory of every kind that comes to a heap: none of it is lost, whether this
 * process has its pages or not.
 */
#include "heaps.h"

#include <sys/mman.h>
#include <unistd.h>

#define BYTES (4 * MIB)

static const struct kind {
	const char *name;
	int flags;
	bool file; /* of a file, or of a memfd */
	bool memfd;
} kinds[] = {
	{ "private memory", MAP_PRIVATE | MAP_ANONYMOUS, false, false },
	{ "shared memory", MAP_SHARED | MAP_ANONYMOUS, false, false },
	{ "a private file", MAP_PRIVATE, true, false },
	{ "a shared file", MAP_SHARED, true, false },
	{ "a private memfd", MAP_PRIVATE, false, true },
	{ "a shared memfd", MAP_SHARED, false, true },
};

/* What is in it, without having it mapped. */
static int full_fd(const struct kind *k)
{
	int fd = k->memfd ? memfd_create("kind", MFD_CLOEXEC) : t_temp_file();
	char page[4096];

	memset(page, 7, sizeof(page));
	cr_assert(fd >= 0);
	for (size_t i = 0; i < BYTES / sizeof(page); i++)
		cr_assert(write(fd, page, sizeof(page)) == sizeof(page));
	return fd;
}

static char *memory_of(const struct kind *k)
{
	int fd = k->flags & MAP_ANONYMOUS ? -1 : full_fd(k);
	char *at = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, k->flags, fd, 0);

	cr_assert(at != MAP_FAILED);
	if (fd >= 0) {
		close(fd);
		return at;
	}
	memset(at, 7, BYTES);
	/* Others may have made it: then it is in no page table here. */
	if (k->flags & MAP_SHARED)
		cr_assert(madvise(at, BYTES, MADV_DONTNEED) == 0);
	return at;
}

Test(heap_adopt, memory_of_every_kind)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		for (size_t i = 0; i < T_COUNT(kinds); i++) {
			char *from = memory_of(&kinds[i]);
			void *at = NULL;
			size_t wrong = 0;
			int r = pagemv_heap_adopt(h.heap, from, BYTES,
						  2 * BYTES, &at, NULL);

			cr_assert(r == 0, "[%s] %s: %d", h.name, kinds[i].name,
				  r);
			for (size_t k = 0; k < BYTES; k++)
				wrong += ((char *)at)[k] != 7;
			T_EXPECT(&h, wrong == 0, "%s: %zu bytes are wrong",
				 kinds[i].name, wrong);
			t_heap_free(&h, at);
			munmap(from, BYTES);
		}
	}
}

/* What is sparse stays so, also where it is copied. */
Test(heap_adopt, holes_stay_holes)
{
	const struct pagemv_heap_opts o = { .size = sizeof(o),
					    .huge = PAGEMV_HEAP_HUGE_NEVER };
	struct t_heap h;

	t_heaps(&h, &o);
	while (t_next_heap(&h)) {
		char *from = memory_of(&kinds[0]), *out;
		struct pagemv_result res;
		void *at = NULL;

		madvise(from + MIB, 2 * MIB, MADV_DONTNEED);
		cr_assert(pagemv_heap_adopt(h.heap, from, BYTES, BYTES, &at,
					    &res) == 0);
		out = at;
		T_EXPECT(&h, out[MIB - 1] == 7 && out[3 * MIB] == 7,
			 "it is not there");
		T_RIGHT(&h,
			t_check_absent((char *)at + MIB,
				       2 * MIB / (size_t)getpagesize()),
			"the hole");
		t_heap_free(&h, at);
		munmap(from, BYTES);
	}
}
