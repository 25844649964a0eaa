/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For the differential test: the same memory several times over, each with its
 * own way to move, and a model of it.
 *
 * The memory of a world has regions that differ in what may be done with them.
 * The model knows what is at each page; it says what a call must answer.
 */
#ifndef TESTS_KMOD_WORLD_H
#define TESTS_KMOD_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kmod.h"

#define REGION_PAGES 48

enum region {
	PLAIN_1,
	PLAIN_2,
	PLAIN_3,
	LOCKED_1,
	LOCKED_2,
	EXECUTABLE,
	READ_ONLY,
	SHARED,
	UNMAPPED,
	REGIONS
};

/* A place: it may be before, behind or within a page, of no region. */
struct place {
	enum region region;
	int64_t off_bytes;
};

struct request {
	struct place dst;
	struct place src;
	uint64_t len;
	uint64_t mode;
};

struct outcome {
	int r; /* 0 or -errno */
	int64_t moved;
};

/* ---- the model ---- */

enum content { HOLE, ZERO, DATA };

struct model_page {
	enum content content;
	uint64_t id;
	bool shared; /* with a child */
	bool pinned;
};

struct model {
	struct model_page page[REGIONS][REGION_PAGES];
};

struct outcome model_remap(struct model *m, const struct request *q);
/* Both places are in regions that are plain and do not overlap. */
void model_exchange(struct model *m, struct place a, struct place b,
		    size_t pages);

/* ---- memory ---- */

struct world {
	const char *name;
	int fd; /* of /dev/pagemv, or a userfaultfd */
	bool module;
	char *base[REGIONS];
	char *scratch; /* REGION_PAGES, for what takes three moves */
};

/* False where there is no such way to move here. */
bool world_open(struct world *w, bool module);
char *world_at(const struct world *w, struct place place);
struct outcome world_remap(const struct world *w, const struct request *q);
void world_exchange(const struct world *w, struct place a, struct place b,
		    size_t pages);
/* NULL if all is as the model says; else what is wrong. */
const char *world_check(const struct world *w, const struct model *m);

#endif /* TESTS_KMOD_WORLD_H */
