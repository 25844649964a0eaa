/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One test body, every way to move: each mechanism, forced or chosen by AUTO,
 * through handles as they are on this kernel and as they would be on older
 * ones (UFFDIO_MOVE disabled; no userfaultfd at all). On machines that have the
 * companion module it is one of them; and where PMV_MECH=companion is in the
 * environment it takes the place of UFFDIO_MOVE (forced.c).
 *
 *	struct t_case c;
 *
 *	t_cases(&c, T_WAYS_ALL);
 *	while (t_next_case(&c)) {
 *		char *src = t_case_map(&c, 8), *dst = t_case_heap(&c, 8);
 *		...
 *	}
 *
 * A case whose mechanism is not available here is passed over; the loop has
 * at least AUTO in every variant, so it is never empty.
 */
#ifndef TESTS_SUPPORT_WAYS_H
#define TESTS_SUPPORT_WAYS_H

#include <pagemv/pagemv.h>

#include <stdbool.h>

enum t_way_id {
	T_AUTO,
	T_AUTO_REMAP, /* AUTO with MAY_REMAP */
	T_MOVE,
	T_REMAP,     /* forced, with MAY_REMAP */
	T_COMPANION, /* forced */
	T_COPY,	     /* forced, other threads may store meanwhile */
	T_COPY_QUIESCENT,
	T_WAY_COUNT
};

enum t_variant_id {
	T_NORMAL,
	T_NO_MOVE, /* as on a kernel before 6.8, without the companion */
	T_NO_UFFD, /* as under a seccomp filter */
	T_VARIANT_COUNT
};

/* Sets of ways, for t_cases(). */
#define T_WAY_BIT(way) (1u << (way))
#define T_WAYS_ALL     (T_WAY_BIT(T_WAY_COUNT) - 1)
/* Those that promise not to lose stores of other threads. */
#define T_WAYS_LIVE (T_WAYS_ALL & ~T_WAY_BIT(T_COPY_QUIESCENT))
/* Those that must leave the mappings as they are. */
#define T_WAYS_LAYOUT \
	(T_WAYS_ALL & ~T_WAY_BIT(T_AUTO_REMAP) & ~T_WAY_BIT(T_REMAP))

#define T_CASE_AREAS 64

struct t_case {
	enum t_way_id way;
	enum t_variant_id variant;
	struct pagemv *pv;
	struct pagemv_caps caps;
	struct pagemv_move_opts opts;
	char name[48];

	unsigned int ways;
	unsigned int next;
	unsigned int tried;	  /* cases so far */
	unsigned int unavailable; /* and those passed over */
	struct {
		void *addr;
		size_t pages;
	} areas[T_CASE_AREAS];
	size_t area_count;
};

void t_cases(struct t_case *c, unsigned int ways);
/* Ends the case before (closes the handle, unmaps) and opens the next. */
bool t_next_case(struct t_case *c);

/* Fresh memory that lives as long as the case. */
void *t_case_map(struct t_case *c, size_t pages);
void *t_case_map_at(struct t_case *c, size_t pages, size_t align_bytes,
		    size_t off_bytes, bool huge);
/* The same, registered as one region of the case's handle. */
void *t_case_heap(struct t_case *c, size_t pages);
/* Registers memory that is there, or ends the test. */
struct pagemv_region *t_register(struct pagemv *pv, void *addr, size_t pages);

/* Whether the library is not to see UFFDIO_MOVE (forced.c). */
bool t_hides_move(void);

/* The case's options with more flags. */
struct pagemv_move_opts t_opts(const struct t_case *c, uint32_t more_flags);

/* A handle of a variant, or the end of the test. */
struct pagemv *t_open(enum t_variant_id variant);

/* May this case, by what it is, copy a page? Only copy? Move only? */
bool t_case_only_copies(const struct t_case *c);
bool t_case_never_copies(const struct t_case *c);

#endif /* TESTS_SUPPORT_WAYS_H */
