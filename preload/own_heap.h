/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The heap of the process: made once, by the first thread that needs it, and
 * entered by one call of a thread at a time.
 */
#ifndef PRELOAD_OWN_HEAP_H
#define PRELOAD_OWN_HEAP_H

#include "base.h"

struct pagemv_heap;
struct pmv_conf;

/* From now on it may be made. */
void pmv_heap_allow(const struct pmv_conf *conf);

/* NULL: there is none yet, or never. */
struct pagemv_heap *pmv_heap_made(void);

/* The heap, made if need be; pmv_heap_leave() follows. NULL: there is none, or
 * the thread is inside already. */
struct pagemv_heap *pmv_heap_enter(void);
void pmv_heap_leave(struct pagemv_heap *heap);

/* The wrong that the thread's last call of the heap has found: of enum
 * pagemv_heap_misuse, or none of it. */
#define PMV_NO_MISUSE (-1)
int pmv_heap_wrong(void);

/* Frees a block of the heap's later, when no thread is in the way. False: it is
 * to be freed already. */
bool pmv_heap_free_later(void *ptr);

#endif /* PRELOAD_OWN_HEAP_H */
