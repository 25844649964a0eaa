/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A userfaultfd without the library: the baseline it is measured against.
 * Returns are 0 or -errno.
 */
#ifndef BENCH_RAWUFFD_H
#define BENCH_RAWUFFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_rawuffd {
	int fd;	   /* -1: none */
	int error; /* why there is none, -errno */
	bool has_move;
};

/* features: UFFD_FEATURE_*, all of which are needed. */
void bench_rawuffd_open(struct bench_rawuffd *raw, uint64_t features);
void bench_rawuffd_close(struct bench_rawuffd *raw);

/* Registers for absent pages, or for write protection only, as the library's
 * quiet regions. */
int bench_rawuffd_register(const struct bench_rawuffd *raw, void *addr,
			   size_t len_bytes, bool missing);
int bench_rawuffd_unregister(const struct bench_rawuffd *raw, void *addr,
			     size_t len_bytes);

/* UFFDIO_MOVE, again until all is moved or nothing moves. */
int bench_rawuffd_move(int fd, void *dst, void *src, size_t len_bytes);

/* UFFDIO_COPY, again until all is copied or nothing is. */
int bench_rawuffd_copy(int fd, void *dst, const void *src, size_t len_bytes);

#endif /* BENCH_RAWUFFD_H */
