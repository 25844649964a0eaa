// SPDX-License-Identifier: LGPL-2.1-or-later
#include "companion_case.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Ranges are that many pages apart: no two are neighbours, and they lie in
 * several page tables. */
#define STRIDE_PAGES 32
/* Both areas are at the same place in their page table, so that one range of
 * 512 pages is one. */
#define ALIGN ((size_t)2 << 20)

int companion_device_open(int *fd)
{
	struct bench_pagemvio_info info;
	int rc;

	*fd = open("/dev/pagemv", O_RDWR | O_CLOEXEC);
	if (*fd < 0)
		return -errno;
	rc = companion_device_info(*fd, &info);
	if (!rc && info.version != 1)
		rc = -EPROTO;
	if (rc) {
		close(*fd);
		*fd = -1;
	}
	return rc;
}

int companion_device_info(int fd, struct bench_pagemvio_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return ioctl(fd, BENCH_PAGEMVIO_INFO, info) ? -errno : 0;
}

/* ---- the areas ---- */

static size_t stride(const struct companion_case *c)
{
	size_t pages = c->shape.pages > STRIDE_PAGES ? c->shape.pages
						     : STRIDE_PAGES;

	return pages * c->page;
}

/* Aligned, in a mapping of its own; what lies around it goes. */
static char *map_area(size_t bytes)
{
	size_t all = bytes + 2 * ALIGN;
	char *map = mmap(NULL, all, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t start = ((uintptr_t)map + ALIGN - 1) & ~(ALIGN - 1);
	char *area = (char *)start;

	if (map == MAP_FAILED)
		return NULL;
	if (mprotect(area, bytes, PROT_READ | PROT_WRITE)) {
		munmap(map, all);
		return NULL;
	}
	madvise(area, bytes, MADV_NOHUGEPAGE);
	if (area > map)
		munmap(map, (size_t)(area - map));
	munmap(area + bytes, (size_t)(map + all - (area + bytes)));
	return area;
}

static uint64_t mark_of(size_t range, size_t page)
{
	return (range << 16) + page + 1;
}

static uint64_t *word_of(const struct companion_case *c, size_t range,
			 size_t page)
{
	return (uint64_t *)(c->area[0] + range * stride(c) + page * c->page);
}

/* Written to at both sides of the way, so that no page table is made later. */
static void fill(struct companion_case *c)
{
	memset(c->area[1], 0, c->bytes);
	madvise(c->area[1], c->bytes, MADV_DONTNEED);
	for (size_t r = 0; r < c->shape.ranges; r++)
		for (size_t p = 0; p < c->shape.pages; p++)
			*word_of(c, r, p) = mark_of(r, p);
}

static void set_ranges(struct companion_case *c)
{
	for (int back = 0; back < 2; back++)
		for (size_t r = 0; r < c->shape.ranges; r++)
			c->range[back][r] = (struct bench_pagemvio_range){
				.dst = (uintptr_t)c->area[!back] +
				       r * stride(c),
				.src = (uintptr_t)c->area[back] + r * stride(c),
				.len = c->shape.pages * c->page,
			};
}

int companion_case_begin(struct companion_case *c,
			 const struct companion_shape *shape)
{
	int rc = 0;

	c->shape = *shape;
	c->page = (size_t)sysconf(_SC_PAGESIZE);
	c->bytes = (shape->ranges * stride(c) + ALIGN - 1) & ~(ALIGN - 1);
	for (int i = 0; i < 2; i++)
		c->area[i] = map_area(c->bytes);
	if (!c->area[0] || !c->area[1])
		rc = -ENOMEM;
	for (int i = 0; i < 2 && !rc && c->uffd.has_move; i++)
		rc = bench_rawuffd_register(&c->uffd, c->area[i], c->bytes,
					    false);
	if (rc) {
		companion_case_end(c);
		return rc;
	}
	fill(c);
	set_ranges(c);
	return 0;
}

void companion_case_end(struct companion_case *c)
{
	for (int i = 0; i < 2; i++)
		if (c->area[i])
			munmap(c->area[i], c->bytes);
	c->area[0] = c->area[1] = NULL;
}

bool companion_case_intact(const struct companion_case *c)
{
	for (size_t r = 0; r < c->shape.ranges; r++)
		for (size_t p = 0; p < c->shape.pages; p++)
			if (*word_of(c, r, p) != mark_of(r, p))
				return false;
	return true;
}

/* ---- one pass ---- */

/* UFFDIO_MOVE, or REMAP, which takes the same. */
static int pass_by_one(int fd, unsigned long request,
		       const struct bench_pagemvio_range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct bench_uffdio_move move = {
			.dst = ranges[i].dst,
			.src = ranges[i].src,
			.len = ranges[i].len,
		};

		while (ioctl(fd, request, &move)) {
			if (errno != EAGAIN || move.move <= 0)
				return -errno;
			move.dst += (uint64_t)move.move;
			move.src += (uint64_t)move.move;
			move.len -= (uint64_t)move.move;
			move.move = 0;
		}
	}
	return 0;
}

static int pass_at_once(int fd, struct bench_pagemvio_range *ranges, size_t n)
{
	struct bench_pagemvio_remapv vector = {
		.size = sizeof(vector),
		.ranges = (uintptr_t)ranges,
		.count = (uint32_t)n,
	};

	if (!ioctl(fd, BENCH_PAGEMVIO_REMAPV, &vector))
		return 0;
	/* What was not moved is, one by one. */
	if (errno != EAGAIN)
		return -errno;
	for (size_t i = 0; i < n; i++) {
		struct bench_pagemvio_range rest = ranges[i];
		uint64_t done = rest.moved > 0 ? (uint64_t)rest.moved : 0;
		int rc;

		rest.dst += done;
		rest.src += done;
		rest.len -= done;
		rc = rest.len ? pass_by_one(fd, BENCH_PAGEMVIO_REMAP, &rest, 1)
			      : 0;
		if (rc)
			return rc;
	}
	return 0;
}

int companion_case_pass(struct companion_case *c, enum companion_way way,
			bool back)
{
	struct bench_pagemvio_range *ranges = c->range[back];
	size_t n = c->shape.ranges;
	int rc;

	if (way == COMPANION_MOVE)
		rc = pass_by_one(c->uffd.fd, BENCH_UFFDIO_MOVE, ranges, n);
	else if (way == COMPANION_REMAP)
		rc = pass_by_one(c->device, BENCH_PAGEMVIO_REMAP, ranges, n);
	else
		rc = pass_at_once(c->device, ranges, n);
	c->stuck |= rc != 0;
	return rc;
}

size_t companion_case_calls(const struct companion_case *c,
			    enum companion_way way)
{
	return way == COMPANION_REMAPV ? 1 : c->shape.ranges;
}
