// SPDX-License-Identifier: LGPL-2.1-or-later
#include "boot.h"

#include <errno.h>
#include <stdatomic.h>

#define AREA_BYTES 32768

/* In front of each block. */
struct head {
	_Alignas(max_align_t) size_t bytes;
};

static _Alignas(max_align_t) unsigned char area[AREA_BYTES];
static PMV_ATOMIC _Atomic size_t used;

void *pmv_boot_alloc(size_t bytes)
{
	size_t at, all;
	struct head *head;

	if (bytes > AREA_BYTES)
		goto none;
	all = sizeof(*head) + pmv_round_up(bytes, sizeof(*head));
	at = atomic_load_explicit(&used, memory_order_relaxed);
	do {
		if (all > AREA_BYTES - at)
			goto none;
	} while (!atomic_compare_exchange_weak_explicit(&used, &at, at + all,
							memory_order_relaxed,
							memory_order_relaxed));
	head = (struct head *)(area + at);
	head->bytes = bytes;
	return head + 1;
none:
	errno = ENOMEM;
	return NULL;
}

bool pmv_boot_has(const void *ptr)
{
	return (uintptr_t)ptr - (uintptr_t)area < AREA_BYTES;
}

size_t pmv_boot_size(const void *ptr)
{
	return ((const struct head *)ptr - 1)->bytes;
}

bool pmv_boot_used(void)
{
	return atomic_load_explicit(&used, memory_order_relaxed) > 0;
}
