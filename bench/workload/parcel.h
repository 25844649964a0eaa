/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small blocks that tell whether they are still what they were: each begins
 * with its size, and so has 16 bytes at least.
 */
#ifndef BENCH_WORKLOAD_PARCEL_H
#define BENCH_WORKLOAD_PARCEL_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct parcel {
	uint64_t bytes;
	uint64_t check;
};

#define PARCEL_KEY 0x9e3779b97f4a7c15u

static inline struct parcel *parcel_fill(struct parcel *parcel, size_t bytes)
{
	if (!parcel)
		abort();
	parcel->bytes = bytes;
	parcel->check = bytes ^ PARCEL_KEY;
	if (bytes > sizeof(*parcel))
		((volatile char *)parcel)[bytes - 1] = 1;
	return parcel;
}

static inline struct parcel *parcel_make(size_t bytes)
{
	return parcel_fill(malloc(bytes), bytes);
}

static inline int parcel_is_wrong(const struct parcel *parcel)
{
	return parcel->check != (parcel->bytes ^ PARCEL_KEY);
}

/* NULL is fine. Returns how many were wrong. */
static inline unsigned int parcel_free(struct parcel *parcel)
{
	unsigned int wrong = parcel && parcel_is_wrong(parcel);

	free(parcel);
	return wrong;
}

/* So that small sizes are as frequent as large ones: between least, a power
 * of two, and twice as much, or four times, ... up to most. */
static inline size_t parcel_size(uint64_t random, size_t least, size_t most)
{
	unsigned int steps = (unsigned int)__builtin_ctzl(most) -
			     (unsigned int)__builtin_ctzl(least);
	size_t low = least << (random % steps);

	return low + (random >> 20) % low;
}

#endif /* BENCH_WORKLOAD_PARCEL_H */
