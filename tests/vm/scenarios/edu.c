/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ASSUME(edu): registers and the limits of DMA are those of QEMU's
 *   docs/specs/edu.rst. The buffer in the device has 4096 bytes, the last of
 *   which QEMU 7.2 does not let DMA touch.
 */
#include "edu.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proc.h"
#include "t.h"

#define PCI_DEVICES "/sys/bus/pci/devices"
#define VFIO_PCI    "/sys/bus/pci/drivers/vfio-pci"
#define UNSAFE_INTERRUPTS \
	"/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
#define EDU_VENDOR 0x1234
#define EDU_DEVICE 0x11e8

#define REG_ID	    0x00
#define REG_ALIVE   0x04
#define REG_SRC	    0x80
#define REG_DST	    0x88
#define REG_COUNT   0x90
#define REG_CMD	    0x98
#define CMD_START   1u
#define CMD_TO_RAM  2u
#define EDU_ID	    0xedu
#define BUFFER	    0x40000u /* in the device's memory, as DMA sees it */
#define BLOCK_BYTES 4080     /* of it that is used */
#define MOST_BYTES  2048     /* written at once */
#define FRESH_AFTER 12	     /* writes out of one block */
#define PATIENCE_MS 20000

/* The addresses of engine i: what it pins, and its block. */
#define IOVA_OF(i) (UINT64_C(0x1000000) * ((i) + 1))
#define BLOCK_AT   UINT64_C(0x800000)

/* --- the engine --- */

static uint32_t read_register(const struct edu *e, size_t at)
{
	return *(
		const volatile uint32_t *)(const volatile void *)(e->registers +
								  at);
}

static void write_register(struct edu *e, size_t at, uint64_t value)
{
	*(volatile uint64_t *)(volatile void *)(e->registers + at) = value;
}

static void start(struct edu *e, uint64_t from, uint64_t to, size_t bytes,
		  unsigned int direction)
{
	write_register(e, REG_SRC, from);
	write_register(e, REG_DST, to);
	write_register(e, REG_COUNT, bytes);
	write_register(e, REG_CMD, CMD_START | direction);
}

static bool wait_until_done(struct edu *e)
{
	unsigned int ms;

	for (ms = 0; ms < PATIENCE_MS; ms += 2) {
		if ((read_register(e, REG_CMD) & CMD_START) == 0)
			return true;
		t_sleep_ms(2);
	}
	return false;
}

bool edu_copy(struct edu *e, uint64_t to, uint64_t from, size_t bytes)
{
	start(e, from, BUFFER, bytes, 0);
	if (!wait_until_done(e))
		return false;
	start(e, BUFFER, to, bytes, CMD_TO_RAM);
	return wait_until_done(e);
}

/* Writes bytes that were never there before. */
static void fill_block(struct edu *e)
{
	struct t_random random = t_random_make(++e->seed);
	size_t i;

	for (i = 0; i < BLOCK_BYTES; i++)
		e->block[i] = (unsigned char)(t_random_next(&random) >> 32);
}

/* The device reads such bytes into its buffer. */
static void load_block(struct edu *e)
{
	fill_block(e);
	start(e, e->window + BLOCK_AT, BUFFER, BLOCK_BYTES, 0);
	if (!wait_until_done(e))
		t_die("the device does not read");
}

/* --- as a struct device --- */

static struct edu *edu_of(struct device *d)
{
	return (struct edu *)(void *)d; /* its first member */
}

static bool edu_pin(struct device *d, void *addr, size_t pages,
		    const char **why)
{
	struct edu *e = edu_of(d);

	if (edu_map(e->bus, e->window, addr, t_pages(pages), true) != 0) {
		*why = "VFIO_IOMMU_MAP_DMA fails";
		return false;
	}
	e->pages = pages;
	return true;
}

static void edu_unpin(struct device *d)
{
	struct edu *e = edu_of(d);

	if (edu_unmap(e->bus, e->window, t_pages(e->pages)) != 0)
		t_die("VFIO_IOMMU_UNMAP_DMA");
}

static const unsigned char *edu_begin(struct device *d, size_t off,
				      size_t bytes)
{
	struct edu *e = edu_of(d);
	size_t slice;

	if (e->writes++ % FRESH_AFTER == 0)
		load_block(e);
	slice = (e->writes * 61) % (BLOCK_BYTES - MOST_BYTES);
	start(e, BUFFER + slice, e->window + off, bytes, CMD_TO_RAM);
	return e->block + slice;
}

static bool edu_finish(struct device *d)
{
	return wait_until_done(edu_of(d));
}

/* --- the address space --- */

int edu_map(struct edu_bus *bus, uint64_t iova, void *addr, size_t bytes,
	    bool writable)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ |
			 (writable ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)addr,
		.iova = iova,
		.size = bytes,
	};

	return ioctl(bus->container, VFIO_IOMMU_MAP_DMA, &map) == 0 ? 0
								    : -errno;
}

int edu_unmap(struct edu_bus *bus, uint64_t iova, size_t bytes)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = bytes,
	};

	if (ioctl(bus->container, VFIO_IOMMU_UNMAP_DMA, &unmap) != 0)
		return -errno;
	return unmap.size == bytes ? 0 : -EIO;
}

/* --- finding and opening --- */

static unsigned long number_in(const char *device, const char *file)
{
	char path[512], text[32];

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", device, file);
	if (!t_read_file(path, text, sizeof(text)))
		return 0;
	return strtoul(text, NULL, 0);
}

static bool is_edu(const char *device)
{
	return number_in(device, "vendor") == EDU_VENDOR &&
	       number_in(device, "device") == EDU_DEVICE;
}

/* The IOMMU group of a device, or -1. */
static int group_of(const char *device)
{
	char path[512], link[512];
	const char *slash;
	ssize_t n;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/iommu_group", device);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return -1;
	link[n] = '\0';
	slash = strrchr(link, '/');
	return slash == NULL ? -1 : atoi(slash + 1);
}

static int open_group(struct edu_bus *bus, const char *device)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/%d", group_of(device));
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (ioctl(fd, VFIO_GROUP_GET_STATUS, &status) == 0 &&
	    (status.flags & VFIO_GROUP_FLAGS_VIABLE) != 0 &&
	    ioctl(fd, VFIO_GROUP_SET_CONTAINER, &bus->container) == 0)
		return fd;
	close(fd);
	return -1;
}

/* DMA is a matter of bus mastering. */
static bool enable(int device_fd)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info), .index = VFIO_PCI_CONFIG_REGION_INDEX
	};
	uint16_t command;
	off_t at;

	if (ioctl(device_fd, VFIO_DEVICE_GET_REGION_INFO, &info) != 0)
		return false;
	at = (off_t)info.offset + PCI_COMMAND;
	if (pread(device_fd, &command, sizeof(command), at) != sizeof(command))
		return false;
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	return pwrite(device_fd, &command, sizeof(command), at) ==
	       sizeof(command);
}

static bool map_registers(struct edu *e, int device_fd)
{
	struct vfio_region_info info = { .argsz = sizeof(info),
					 .index = VFIO_PCI_BAR0_REGION_INDEX };
	void *at;

	if (ioctl(device_fd, VFIO_DEVICE_GET_REGION_INFO, &info) != 0)
		return false;
	at = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		  device_fd, (off_t)info.offset);
	if (at == MAP_FAILED)
		return false;
	e->registers = at;
	*(volatile uint32_t *)(volatile void *)(e->registers + REG_ALIVE) =
		0x600df00d;
	return (read_register(e, REG_ID) & 0xff) == EDU_ID &&
	       read_register(e, REG_ALIVE) == ~0x600df00du;
}

/* Descriptors stay open as long as the process, which is what VFIO wants. */
static bool open_engine(struct edu_bus *bus, const char *device)
{
	struct edu *e = &bus->engines[bus->count];
	int group = open_group(bus, device), fd;

	if (group < 0)
		return false;
	/* The first group brings the IOMMU; then it is there already. */
	if (bus->count == 0 &&
	    ioctl(bus->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) != 0)
		return false;
	fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, device);
	if (fd < 0 || !enable(fd) || !map_registers(e, fd))
		return false;
	e->device =
		(struct device){ edu_pin, edu_begin, edu_finish, edu_unpin };
	e->bus = bus;
	e->window = IOVA_OF(bus->count);
	e->seed = bus->count * 1000;
	e->block = t_map(1);
	/* Before 6.2 a page never written to would be the zero page, and stay
	 * it for the device when it is written to. */
	fill_block(e);
	if (edu_map(bus, e->window + BLOCK_AT, e->block, t_page(), false) != 0)
		return false;
	bus->count++;
	return true;
}

/*
 * Gives all edu devices to vfio-pci; true also if they were its own before.
 * The virtual IOMMU need not remap interrupts: edu raises none here.
 */
static bool take_over(struct edu_bus *bus)
{
	if (!t_read_file(UNSAFE_INTERRUPTS, bus->unsafe_interrupts,
			 sizeof(bus->unsafe_interrupts)) ||
	    !t_write_file(UNSAFE_INTERRUPTS, "Y"))
		return false;
	return t_write_file(VFIO_PCI "/new_id", "1234 11e8") || errno == EEXIST;
}

static size_t open_all(struct edu_bus *bus)
{
	DIR *dir = opendir(PCI_DEVICES);
	const struct dirent *entry;
	size_t found = 0;

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		if (!is_edu(entry->d_name))
			continue;
		found++;
		if (bus->count < EDU_MOST)
			(void)open_engine(bus, entry->d_name);
	}
	closedir(dir);
	return found;
}

bool edu_open(struct edu_bus *bus, const char **why)
{
	size_t found;

	memset(bus, 0, sizeof(*bus));
	bus->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	*why = "no VFIO here: modules vfio, vfio_iommu_type1, vfio-pci";
	if (bus->container < 0 || !take_over(bus))
		return false;
	found = open_all(bus);
	*why = found == 0 ? "no edu device on the PCI bus"
			  : "no edu device can be had by VFIO: is there an "
			    "IOMMU, and intel_iommu=on?";
	return bus->count != 0;
}

void edu_close(struct edu_bus *bus)
{
	t_write_file(UNSAFE_INTERRUPTS, bus->unsafe_interrupts);
	close(bus->container);
}
