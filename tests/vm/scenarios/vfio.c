/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that are mapped for a PCI device in an IOMMU, as VFIO does for drivers
 * in user space and for virtual machines, while the device writes to them by
 * DMA. And mappings of files and of shared memory: never moved, pinned or not.
 */
#include <pagemv/pagemv.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "edu.h"
#include "lab.h"
#include "oracle.h"
#include "pinned.h"
#include "proc.h"
#include "t.h"

/* --- a disk with a file system that keeps track of dirty pages --- */

#define ZRAM_CONTROL "/sys/class/zram-control/"
#define MOUNT_POINT  "/tmp/pmv-vfio"

struct disk {
	char number[16]; /* of the zram device */
	bool mounted;
};

static bool run(const char *const argv[])
{
	pid_t pid = fork();

	if (pid < 0)
		t_die("fork");
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return t_wait(pid) == 0;
}

static bool open_disk(struct disk *disk)
{
	char device[40], size[80];
	const char *const format[] = { "busybox", "mke2fs", "-F", "-b",
				       "4096",	  device,   NULL };

	memset(disk, 0, sizeof(*disk));
	if (!t_read_file(ZRAM_CONTROL "hot_add", disk->number,
			 sizeof(disk->number)))
		return false;
	snprintf(device, sizeof(device), "/dev/zram%s", disk->number);
	snprintf(size, sizeof(size), "/sys/block/zram%s/disksize",
		 disk->number);
	mkdir(MOUNT_POINT, 0700);
	disk->mounted = t_write_file(size, "16M") && run(format) &&
			mount(device, MOUNT_POINT, "ext4", 0, NULL) == 0;
	return disk->mounted;
}

static void close_disk(struct disk *disk)
{
	if (disk->mounted && umount(MOUNT_POINT) != 0)
		t_die("umount " MOUNT_POINT);
	rmdir(MOUNT_POINT);
	if (disk->number[0] != '\0')
		t_write_file(ZRAM_CONTROL "hot_remove", disk->number);
}

/* --- mappings that are refused --- */

#define PAGES 8

enum kind { DISK_FILE, PRIVATE_DISK_FILE, TMPFS_FILE, MEMFD, ANONYMOUS, KINDS };
enum pin { UNPINNED, FOR_READING, FOR_WRITING, PINS };

struct mapping {
	const char *name;
	enum pagemv_reason reason;
	char *addr;
	int fd;
	int refused[PINS]; /* -errno of VFIO, or 0 */
};

static int open_file(enum kind kind)
{
	static const char *const paths[KINDS] = {
		[DISK_FILE] = MOUNT_POINT "/shared",
		[PRIVATE_DISK_FILE] = MOUNT_POINT "/private",
		[TMPFS_FILE] = "/dev/shm/pmv-vfio",
	};
	int fd;

	if (kind == ANONYMOUS)
		return -1;
	fd = kind == MEMFD
		     ? memfd_create("pmv-vfio", MFD_CLOEXEC)
		     : open(paths[kind], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)t_pages(PAGES)) != 0)
		t_die("making a file of kind %d", (int)kind);
	if (kind != MEMFD)
		unlink(paths[kind]);
	return fd;
}

static void open_mapping(struct mapping *m, enum kind kind)
{
	static const struct mapping kinds[KINDS] = {
		[DISK_FILE] = { .name = "a shared file",
				.reason = PAGEMV_REASON_FILE },
		[PRIVATE_DISK_FILE] = { .name = "a private file",
					.reason = PAGEMV_REASON_PRIVATE_FILE },
		[TMPFS_FILE] = { .name = "a file on tmpfs",
				 .reason = PAGEMV_REASON_SHMEM },
		[MEMFD] = { .name = "a memfd", .reason = PAGEMV_REASON_MEMFD },
		[ANONYMOUS] = { .name = "shared memory",
				.reason = PAGEMV_REASON_SHARED },
	};
	int sharing = kind == PRIVATE_DISK_FILE ? MAP_PRIVATE : MAP_SHARED;

	*m = kinds[kind];
	m->fd = open_file(kind);
	m->addr = mmap(NULL, t_pages(PAGES), PROT_READ | PROT_WRITE,
		       sharing | (m->fd < 0 ? MAP_ANONYMOUS : 0), m->fd, 0);
	if (m->addr == MAP_FAILED)
		t_die("mapping %s", m->name);
	t_fill_range(m->addr, PAGES, 1);
}

static void close_mapping(struct mapping *m)
{
	munmap(m->addr, t_pages(PAGES));
	if (m->fd >= 0)
		close(m->fd);
}

struct refusal {
	struct t_case *c;
	struct mapping *m;
	char *heap; /* its first page is there, and stays there */
	struct t_maps before, after;
};

/* NULL, or what is wrong. */
static const char *refuse_source(struct refusal *f, uint32_t flags)
{
	struct pagemv_move_opts opts = t_opts(f->c, flags);
	struct pagemv_result res;
	char line[200];
	int r;

	t_maps_take(&f->before, NULL, SIZE_MAX);
	r = pagemv_move(f->c->pv, f->heap, f->m->addr, t_pages(PAGES), &opts,
			&res);
	t_maps_take(&f->after, NULL, SIZE_MAX);
	if (r != -EINVAL || res.reason != f->m->reason)
		return "not refused, or by another reason";
	if (res.left_bytes != t_pages(PAGES) || res.left_off != 0)
		return "the result is not that of a refusal";
	if (!t_maps_same(&f->before, &f->after, line, sizeof(line)))
		return "mappings have changed";
	if (t_check_range(f->m->addr, PAGES, 1) != NULL)
		return "the mapping's pages have changed";
	if (t_check(f->heap, 77, 1) != NULL ||
	    t_count_present(f->heap, PAGES) != 1)
		return "the destination has changed";
	return NULL;
}

static const char *refuse_destination(struct refusal *f)
{
	enum pagemv_reason reason = PAGEMV_REASON_NONE;
	struct pagemv_region *region = NULL;
	int r = pagemv_region_register(f->c->pv, f->m->addr, t_pages(PAGES),
				       NULL, &region, &reason);

	if (r == 0 || region != NULL || reason != f->m->reason)
		return "not refused as a region, or by another reason";
	if (t_check_range(f->m->addr, PAGES, 1) != NULL)
		return "the mapping's pages have changed";
	return NULL;
}

static bool refuse(struct refusal *f, enum pin pin)
{
	static const char *const pins[PINS] = { "unpinned",
						"pinned for reading",
						"pinned for writing" };
	const char *wrong = refuse_source(f, 0);

	if (wrong == NULL)
		wrong = refuse_source(f, PAGEMV_MOVE_REPLACE);
	if (wrong == NULL)
		wrong = refuse_destination(f);
	if (wrong != NULL)
		tap_say(stdout, "%s, %s, %s: %s", f->c->name, f->m->name,
			pins[pin], wrong);
	return wrong == NULL;
}

static bool refuse_all_pins(struct edu_bus *bus, struct refusal *f)
{
	unsigned int pin;
	bool ok = true;

	for (pin = 0; pin < PINS; pin++) {
		if (pin != UNPINNED)
			f->m->refused[pin] = edu_map(bus, EDU_FREE_IOVA,
						     f->m->addr, t_pages(PAGES),
						     pin == FOR_WRITING);
		if (f->m->refused[pin] != 0)
			continue;
		ok = refuse(f, pin) && ok;
		if (pin != UNPINNED &&
		    edu_unmap(bus, EDU_FREE_IOVA, t_pages(PAGES)) != 0)
			t_die("unmapping %s", f->m->name);
	}
	return ok;
}

/* The device reaches the pages of the file itself, by both ways. */
static bool device_and_file(struct edu_bus *bus, struct mapping *m)
{
	uint64_t from = EDU_FREE_IOVA, to = from + t_pages(3);
	char text[600];
	bool ok;

	if (edu_map(bus, from, m->addr, t_pages(PAGES), true) != 0)
		return false;
	ok = edu_copy(&bus->engines[0], to + 100, from + 200, sizeof(text));
	if (m->fd < 0)
		memcpy(text, m->addr + t_pages(3) + 100, sizeof(text));
	else if (pread(m->fd, text, sizeof(text), (off_t)(t_pages(3) + 100)) !=
		 sizeof(text))
		t_die("reading %s", m->name);
	ok = ok && memcmp(text, m->addr + 200, sizeof(text)) == 0;
	if (edu_unmap(bus, from, t_pages(PAGES)) != 0)
		t_die("unmapping %s", m->name);
	return ok;
}

static void tell(const struct mapping *m)
{
	lab_seen("VFIO mapping of a shared file on a disk",
		 "for reading: %s; for writing: %s",
		 m->refused[FOR_READING] == 0
			 ? "allowed"
			 : strerror(-m->refused[FOR_READING]),
		 m->refused[FOR_WRITING] == 0
			 ? "allowed"
			 : strerror(-m->refused[FOR_WRITING]));
}

static void refusals_of_case(struct tap *tap, struct t_case *c,
			     struct edu_bus *bus, struct mapping *mappings,
			     unsigned int first)
{
	static struct refusal f;
	char name[120];
	unsigned int kind;
	bool ok = true;

	f.c = c;
	f.heap = t_case_heap(c, PAGES);
	t_fill(f.heap, 77, 1);
	for (kind = first; kind < KINDS; kind++) {
		f.m = &mappings[kind];
		ok = refuse_all_pins(bus, &f) && ok;
	}
	snprintf(name, sizeof(name),
		 "%.60s: mappings of files are refused by reason, pinned or "
		 "not",
		 c->name);
	tap_ok(tap, ok, name);
}

static void refusals(struct tap *tap, struct edu_bus *bus)
{
	static const char disk_name[] =
		"mappings of files on a disk are refused by reason";
	struct mapping mappings[KINDS];
	unsigned int kind, first = 0;
	struct disk disk;
	struct t_case c;

	if (!open_disk(&disk)) {
		tap_skip(tap, disk_name, "no zram, mke2fs or ext4");
		first = TMPFS_FILE;
	}
	for (kind = first; kind < KINDS; kind++)
		open_mapping(&mappings[kind], kind);
	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c))
		refusals_of_case(tap, &c, bus, mappings, first);
	if (first <= DISK_FILE)
		tell(&mappings[DISK_FILE]);
	tap_ok(tap,
	       mappings[TMPFS_FILE].refused[FOR_WRITING] == 0 &&
		       device_and_file(bus, &mappings[TMPFS_FILE]),
	       "the device writes to a file on tmpfs by such a mapping");
	for (kind = first; kind < KINDS; kind++)
		close_mapping(&mappings[kind]);
	close_disk(&disk);
}

int main(void)
{
	uint64_t ns = t_env("PMV_SECONDS", 0) * 1000000000u;
	struct device *devices[EDU_MOST];
	struct tap tap = { 0, 0 };
	static struct edu_bus bus;
	const char *why = "";
	size_t i;

	lab_only();
	if (!edu_open(&bus, &why)) {
		tap_skip(&tap, "pages mapped for a device by VFIO", why);
		return tap_done(&tap);
	}
	lab_seen("VFIO", "%zu edu devices behind an IOMMU", bus.count);
	for (i = 0; i < bus.count; i++)
		devices[i] = &bus.engines[i].device;
	pinned_policies(&tap, devices[0]);
	pinned_storm(&tap, devices, bus.count, ns != 0 ? ns : 400000000u);
	refusals(&tap, &bus);
	edu_close(&bus);
	return tap_done(&tap);
}
