/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Failing malloc(), calloc() and aligned_alloc(). A program that uses this is
 * linked with FAKE_MALLOC_LDFLAGS (tests/local.mk), which sends the library's
 * calls here.
 */
#ifndef TESTS_UNIT_FAKE_MALLOC_H
#define TESTS_UNIT_FAKE_MALLOC_H

/* The nth allocation from now on fails, once; 0: none does. */
void fake_malloc_fail(unsigned int nth);
/* Allocations since then. */
unsigned int fake_malloc_count(void);

#endif /* TESTS_UNIT_FAKE_MALLOC_H */
