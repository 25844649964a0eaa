/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One method in one row of `pagemv bench move`: its memory and its samples.
 */
#ifndef BENCH_MOVE_WORKER_H
#define BENCH_MOVE_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "methods.h"
#include "samples.h"

struct bench_worker {
	struct bench_target target;
	struct bench_samples samples;  /* ns a page */
	struct bench_samples doubtful; /* beside a neighbour that waited */
	size_t chunk_bytes;	       /* of one call */
	bool always_fresh;   /* a move leaves the memory unlike it was */
	bool stays;	     /* small or huge pages stay what they are */
	unsigned int repeat; /* sweeps in a sample */
	unsigned int stride; /* takes part in every so many rounds */
	double sweep_ns;
	double cost_ns; /* one sample with all that belongs to it */
	uint32_t used;	/* PAGEMV_MECH_BIT(), as the library counts */
	bool failed;
	bool corrupt;
	char why[160];
};

void bench_worker_init(struct bench_worker *worker, enum bench_method_id id,
		       struct bench_backend *backend, size_t chunk_bytes);
void bench_worker_free(struct bench_worker *worker);

/* Gets the address space and the registrations; the memory is empty. */
void bench_worker_open(struct bench_worker *worker, size_t len_bytes,
		       size_t huge_bytes, bool thp);
void bench_worker_fill(struct bench_worker *worker, size_t off,
		       size_t len_bytes);
void bench_worker_close(struct bench_worker *worker);

/* Moves the memory there and back, untimed, and learns what it costs. */
void bench_worker_warm(struct bench_worker *worker);

/* Takes one sample. */
void bench_worker_sample(struct bench_worker *worker);

/* Puts the last sample among the doubtful ones, or all of these back. */
void bench_worker_doubt(struct bench_worker *worker);
void bench_worker_trust(struct bench_worker *worker);

/* Looks at each page; a worker that lost one has failed. */
void bench_worker_verify(struct bench_worker *worker);

#endif /* BENCH_MOVE_WORKER_H */
