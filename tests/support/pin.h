/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages under DMA: pinned as an io_uring fixed buffer. Needs liburing when
 * the tests are built and io_uring when they run.
 */
#ifndef TESTS_SUPPORT_PIN_H
#define TESTS_SUPPORT_PIN_H

#include <stddef.h>

struct t_pin;

/*
 * Pins [addr, + bytes). NULL where it cannot be done; *why says why not (a
 * static text).
 */
struct t_pin *t_pin(void *addr, size_t bytes, const char **why);

/*
 * Lets the device write: reads bytes of text into the pinned buffer at
 * offset off, addressed as it was when it was pinned. 0 or -errno.
 */
int t_pin_write(struct t_pin *pin, size_t off, const void *text, size_t bytes);

/* Releases the pages; they can be moved when this returns. */
void t_unpin(struct t_pin *pin);

#endif /* TESTS_SUPPORT_PIN_H */
