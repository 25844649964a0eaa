/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QEMU's teaching device "edu" by VFIO: pages are pinned for the long term by
 * mapping them for the device in a real IOMMU's tables, and its DMA engine
 * writes to them by itself, a tenth of a second after it was told to.
 *
 * Needs a machine with an IOMMU, one or more edu devices, and vfio-pci.
 */
#ifndef TESTS_VM_SCENARIOS_EDU_H
#define TESTS_VM_SCENARIOS_EDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pinned.h"

#define EDU_MOST 8 /* devices that are used */

struct edu {
	struct device device;
	struct edu_bus *bus;
	volatile unsigned char *registers;
	uint64_t window;      /* where in the device's addresses it pins */
	size_t pages;	      /* pinned now */
	unsigned char *block; /* what it writes slices of; mapped for it */
	unsigned int writes;
	uint64_t seed;
};

struct edu_bus {
	int container;
	char unsafe_interrupts[8]; /* the setting as it was */
	struct edu engines[EDU_MOST];
	size_t count;
};

/*
 * Takes all edu devices there are, in one address space. False where there
 * is none to be had; *why (static) says why.
 */
bool edu_open(struct edu_bus *bus, const char **why);
void edu_close(struct edu_bus *bus);

/*
 * Maps memory for all devices at iova (below 256 MiB), for reading by them
 * and, if asked, for writing. 0 or -errno.
 */
int edu_map(struct edu_bus *bus, uint64_t iova, void *addr, size_t bytes,
	    bool writable);
int edu_unmap(struct edu_bus *bus, uint64_t iova, size_t bytes);

/* Addresses that no engine uses by itself. */
#define EDU_FREE_IOVA UINT64_C(0x8000000)

/*
 * Lets a device read bytes (at most 2048) at from, then write them at to;
 * false where that takes far too long.
 */
bool edu_copy(struct edu *e, uint64_t to, uint64_t from, size_t bytes);

#endif /* TESTS_VM_SCENARIOS_EDU_H */
