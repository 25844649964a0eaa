/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Marks all over a block of memory: whose it is, which version of it, and where
 * in it they belong. For blocks of any size at any address; the page oracle
 * (oracle.h) is for whole pages.
 */
#ifndef TESTS_SUPPORT_MARKS_H
#define TESTS_SUPPORT_MARKS_H

#include <stddef.h>
#include <stdint.h>

struct t_marked {
	char *at;
	size_t bytes;
	uint64_t id;	  /* one that no other block has */
	uint64_t version; /* of what is written to it */
	size_t stride;	  /* bytes between two marks */
};

/* Writes a new version: at most so many marks, each at the begin of a page of
 * the block's, and a few; and one at its end. SIZE_MAX: on all pages. */
void t_mark(struct t_marked *b, size_t marks);

/* Those in its first bytes are as they were written. NULL, or what is wrong. */
const char *t_check_marks(const struct t_marked *b, size_t bytes);

/* Bytes from..to are zero: all of them where they are few, else those at both
 * ends, and some of some pages between. */
const char *t_check_zeros(const char *at, size_t from, size_t to);

#endif /* TESTS_SUPPORT_MARKS_H */
