/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for dlsym() while the next allocator is being looked for: a static
 * area of which blocks are cut, and none is ever used again.
 */
#ifndef PRELOAD_BOOT_H
#define PRELOAD_BOOT_H

#include "base.h"

/* Zeroed; aligned as malloc() aligns. NULL and ENOMEM when there is no more. */
void *pmv_boot_alloc(size_t bytes);

/* Whether ptr is one of its blocks. */
bool pmv_boot_has(const void *ptr);

/* Bytes of a block. */
size_t pmv_boot_size(const void *ptr);

/* Whether there has been a block. */
bool pmv_boot_used(void);

#endif /* PRELOAD_BOOT_H */
