/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kmod.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "rawuffd.h"

int kmod_fd = -1;

enum kmod_way kmod_way(void)
{
	const char *way = getenv("PMV_KMOD_WAY");

	if (way == NULL || strcmp(way, "module") == 0 ||
	    strcmp(way, "device") == 0)
		return KMOD_MODULE;
	if (strcmp(way, "move") == 0)
		return KMOD_MOVE;
	if (strcmp(way, "builtin") == 0)
		return KMOD_BUILTIN;
	t_die("PMV_KMOD_WAY=%s: module, device, move, builtin", way);
}

int kmod_open(void)
{
	int fd;

	if (kmod_way() != KMOD_MODULE)
		return t_uffd_open();
	fd = open("/dev/pagemv", O_RDWR | O_CLOEXEC);
	return fd >= 0 ? fd : -errno;
}

/* UFFDIO_REMAP has a number far from those that may come, see kmod/patches. */
unsigned long kmod_uffd_request(void)
{
	return kmod_way() == KMOD_BUILTIN
		       ? _IOWR(UFFDIO, 0x3e, struct pagemvio_remap)
		       : t_uffd_move_request();
}

static unsigned long remap_request(void)
{
	return kmod_way() == KMOD_MODULE ? PAGEMVIO_REMAP : kmod_uffd_request();
}

int kmod_remap_by(int fd, void *dst, const void *src, size_t bytes,
		  uint64_t mode, int64_t *moved)
{
	struct pagemvio_remap remap = {
		.dst = (uintptr_t)dst,
		.src = (uintptr_t)src,
		.len = bytes,
		.mode = mode,
		.moved = KMOD_UNTOLD,
	};
	int r = ioctl(fd, remap_request(), &remap) == 0 ? 0 : -errno;

	if (moved != NULL)
		*moved = remap.moved;
	return r;
}

int kmod_remap(void *dst, const void *src, size_t pages, uint64_t mode,
	       int64_t *moved)
{
	return kmod_remap_by(kmod_fd, dst, src, t_pages(pages), mode, moved);
}

int kmod_remapv(struct pagemvio_range *ranges, size_t count, uint32_t flags,
		uint64_t mode, int64_t *moved, uint64_t *flushes)
{
	struct pagemvio_remapv remapv = {
		.size = sizeof(remapv),
		.flags = flags,
		.mode = mode,
		.ranges = (uintptr_t)ranges,
		.count = (uint32_t)count,
		.moved = KMOD_UNTOLD,
	};
	int r = ioctl(kmod_fd, PAGEMVIO_REMAPV, &remapv) == 0 ? 0 : -errno;

	if (moved != NULL)
		*moved = remapv.moved;
	if (flushes != NULL)
		*flushes = remapv.flushes;
	return r;
}

int kmod_exchange(void *a, void *b, size_t pages, int64_t *moved)
{
	struct pagemvio_exchange exchange = {
		.size = sizeof(exchange),
		.a = (uintptr_t)a,
		.b = (uintptr_t)b,
		.len = t_pages(pages),
		.moved = KMOD_UNTOLD,
	};
	int r = ioctl(kmod_fd, PAGEMVIO_EXCHANGE, &exchange) == 0 ? 0 : -errno;

	if (moved != NULL)
		*moved = exchange.moved;
	return r;
}

int kmod_wp_open(void)
{
	return kmod_way() == KMOD_MODULE ? t_uffd_open() : kmod_fd;
}

int kmod_protect(int uffd, void *addr, size_t pages)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)addr, t_pages(pages) },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &wp) == 0 ? 0 : -errno;
}

bool kmod_clear_soft_dirty(const void *written)
{
	return (pagemap_of(written) & PM_SOFT_DIRTY) != 0 &&
	       t_write_file("/proc/self/clear_refs", "4");
}

struct pagemvio_info kmod_info(void)
{
	struct pagemvio_info info = { .size = sizeof(info) };

	if (kmod_way() == KMOD_MODULE &&
	    ioctl(kmod_fd, PAGEMVIO_INFO, &info) != 0)
		t_die("PAGEMVIO_INFO: %s", strerror(errno));
	return info;
}

void *kmod_dst(void *dst, size_t pages)
{
	if (kmod_way() != KMOD_MODULE &&
	    t_uffd_register_wp(kmod_fd, dst, t_pages(pages)) != 0)
		t_die("registering %zu pages", pages);
	return dst;
}

char *kmod_map_dst(size_t pages)
{
	return kmod_dst(t_map(pages), pages);
}

char *kmod_map_src(size_t pages, uint64_t first_id)
{
	char *src = t_map(pages);

	t_fill_range(src, pages, first_id);
	return src;
}
