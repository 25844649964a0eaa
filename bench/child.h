/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A part of a bench in a process of its own: it has signal handlers and
 * mappings to itself, and the bench outlives its crash and its standstill. It
 * ends when the bench does, however that ends.
 *
 * Returns are 0 or -errno.
 */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What both see. Measurements follow in memory that is as large as asked. */
struct bench_shared {
	char why[160]; /* what went wrong, in words */
};

struct bench_child {
	pid_t pid; /* 0: none */
	int fd;
	struct bench_shared *shared;
	size_t shared_bytes;
};

/* What the child does: once at first, and then as often as it is told. False:
 * it has failed, and shared->why tells. */
struct bench_part {
	bool (*begin)(struct bench_shared *shared, const void *arg);
	bool (*turn)(struct bench_shared *shared); /* or NULL */
	size_t shared_bytes;
};

/* Starts it and waits until it has begun. */
int bench_child_start(struct bench_child *child, const struct bench_part *part,
		      const void *arg);

/* Lets it have its turn, and waits: -EINTR: Ctrl-C; other errors: it is gone,
 * and shared->why tells. */
int bench_child_turn(struct bench_child *child);

/* Ends it; what it has shared stays. */
void bench_child_stop(struct bench_child *child);
void bench_child_free(struct bench_child *child);

#endif /* BENCH_CHILD_H */
