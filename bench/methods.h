/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ways of moving memory that `pagemv bench move` compares: through the
 * library, and beside it what the library is made of. Each is one function
 * called through one pointer, so that all pay the same for being called.
 */
#ifndef BENCH_METHODS_H
#define BENCH_METHODS_H

#include <stdbool.h>
#include <stddef.h>

#include <pagemv/pagemv.h>

#include "pair.h"
#include "rawuffd.h"

/* The order of columns. Methods that are compared closely stand together. */
enum bench_method_id {
	BENCH_AUTO,
	BENCH_AUTO_REMAP,
	BENCH_MOVE,
	BENCH_RAW_MOVE,
	BENCH_REMAP,
	BENCH_RAW_REMAP,
	BENCH_COPY,
	BENCH_RAW_COPY,
	BENCH_COMPANION,
	BENCH_MEMCPY_FRESH,
	BENCH_MEMCPY_WARM,
	BENCH_METHODS
};

#define BENCH_METHOD_BIT(id) (1u << (id))

/* What all methods of a run share. */
struct bench_backend {
	struct pagemv *pv;
	struct pagemv_caps caps;
	struct bench_rawuffd raw;
};

/* One method at work on memory of its own. */
struct bench_target {
	/* First, since the timed loop reads them. 0 or -errno. */
	int (*one)(const struct bench_target *target, void *dst, void *src,
		   size_t len_bytes);
	struct pagemv *pv;
	const struct pagemv_move_opts *opts;
	int uffd;

	enum bench_method_id id;
	struct bench_backend *backend;
	struct bench_pair pair;
	struct pagemv_region *region[2];
};

const char *bench_method_name(enum bench_method_id id);

/* The method of that name, or BENCH_METHODS. */
enum bench_method_id bench_method_find(const char *name);

/* NULL, or why the method cannot be measured here. */
const char *bench_method_lacking(enum bench_method_id id,
				 const struct bench_backend *backend);

/* True where the memory stays at both sides: memcpy into warm memory. */
bool bench_method_keeps_source(enum bench_method_id id);

/* Sets the function and its arguments; the pair is not touched. */
void bench_target_init(struct bench_target *target, enum bench_method_id id,
		       struct bench_backend *backend);

/* Registers both sides where the method needs it. 0 or -errno. */
int bench_target_attach(struct bench_target *target);
void bench_target_detach(struct bench_target *target);

/* 0, or -errno of pagemv_open(). A missing raw userfaultfd is no error. */
int bench_backend_open(struct bench_backend *backend);
void bench_backend_close(struct bench_backend *backend);

#endif /* BENCH_METHODS_H */
