/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A storm (storm.h) seen from outside at one instant: by a child of fork(), by
 * a tracer that has stopped all threads, or in a core file. Movers are then in
 * the middle of what they do, so this is what may be found:
 *
 *   - each page whole at exactly one place, at src or in a heap;
 *   - a page that its mover is just writing at src again: torn there, or whole
 *     in its next version, and still whole in the heap;
 *   - with a way that copies, and only then: a page in neither place, since it
 *     is in the library's staging range, or torn at dst, where it is being
 *     copied to.
 *
 * Allocates nothing, so that a forked child of threads can look.
 */
#ifndef TESTS_VM_SCENARIOS_SNAPSHOT_H
#define TESTS_VM_SCENARIOS_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "oracle.h"
#include "storm.h"

#define SNAPSHOT_IDS	64 /* of a storm as it is by default: 2 movers */
#define SNAPSHOT_MOVERS 2
#define SNAPSHOT_RUN	8 /* the longest that is moved at once */

struct snapshot {
	uint64_t home[SNAPSHOT_IDS + 1]; /* version at src; 0: not there */
	uint64_t away[SNAPSHOT_IDS + 1]; /* version in a heap */
	bool torn_home[SNAPSHOT_IDS + 1];
	unsigned int torn_away;

	/* Of the verdict. */
	unsigned int in_flight; /* at neither place */
	unsigned int rewritten; /* at both, or being written at src */
	char text[120];
};

/* Where a storm is, for those who look from another process. */
struct snapshot_place {
	char *src;
	size_t src_pages;
	char *heaps[SNAPSHOT_MOVERS];
	size_t heap_pages;
	bool may_copy;
};

static inline struct snapshot_place snapshot_place(const struct storm *s)
{
	const struct t_case *c = s->c;
	struct snapshot_place place = {
		.src = s->src,
		.src_pages = s->src_pages,
		.heaps = { s->heaps[0], s->heaps[1] },
		.heap_pages = s->heap_pages,
		.may_copy = !t_case_never_copies(c) &&
			    c->caps.mech[PAGEMV_MECH_MOVE].available == 0,
	};

	if (t_case_only_copies(c))
		place.may_copy = true;
	if (s->src_pages != SNAPSHOT_IDS)
		t_die("a snapshot of %zu pages", s->src_pages);
	return place;
}

/* What is at page index of src; NULL: nothing. */
static inline void snapshot_home(struct snapshot *snap, size_t index,
				 const void *page)
{
	uint64_t id = 0, version = 0;
	enum t_kind kind = T_ABSENT;

	if (page != NULL)
		kind = t_look_present(page, &id, &version);
	if (kind == T_GOOD && id == index + 1)
		snap->home[id] = version;
	else if (kind == T_GOOD)
		snprintf(snap->text, sizeof(snap->text),
			 "page %u at src where %zu should be", (unsigned int)id,
			 index + 1);
	else if (kind == T_TORN)
		snap->torn_home[index + 1] = true;
}

/* What is in a heap; NULL: nothing. */
static inline void snapshot_away(struct snapshot *snap, const void *page)
{
	uint64_t id = 0, version = 0;
	enum t_kind kind = T_ABSENT;

	if (page != NULL)
		kind = t_look_present(page, &id, &version);
	if (kind == T_TORN)
		snap->torn_away++;
	if (kind != T_GOOD)
		return;
	if (id == 0 || id > SNAPSHOT_IDS || snap->away[id] != 0)
		snprintf(snap->text, sizeof(snap->text),
			 "page %u in heaps: a stranger, or there twice",
			 (unsigned int)id);
	else
		snap->away[id] = version;
}

/* One page; NULL if all is well with it. */
static inline const char *snapshot_id(struct snapshot *snap, size_t id)
{
	uint64_t home = snap->home[id], away = snap->away[id];

	if (home != 0 && away != 0 && home != away + 1)
		return "is at both places";
	if (snap->torn_home[id] && away == 0)
		return "is torn";
	if ((home != 0 || snap->torn_home[id]) && away != 0)
		snap->rewritten++;
	if (home == 0 && away == 0)
		snap->in_flight++;
	return NULL;
}

/* NULL, or what is wrong. */
static inline const char *snapshot_verdict(struct snapshot *snap, bool may_copy)
{
	unsigned int most = may_copy ? SNAPSHOT_MOVERS * SNAPSHOT_RUN : 0;
	const char *what = NULL;
	size_t id;

	for (id = 1; id <= SNAPSHOT_IDS && what == NULL; id++) {
		what = snapshot_id(snap, id);
		if (what != NULL)
			snprintf(
				snap->text, sizeof(snap->text),
				"page %zu %s (versions %u at src, %u in heaps)",
				id, what, (unsigned int)snap->home[id],
				(unsigned int)snap->away[id]);
	}
	if (snap->text[0] == '\0' &&
	    (snap->in_flight > most || snap->torn_away > most ||
	     snap->rewritten > SNAPSHOT_MOVERS))
		snprintf(snap->text, sizeof(snap->text),
			 "%u pages at neither place, %u torn in heaps, %u "
			 "written again",
			 snap->in_flight, snap->torn_away, snap->rewritten);
	return snap->text[0] != '\0' ? snap->text : NULL;
}

#endif /* TESTS_VM_SCENARIOS_SNAPSHOT_H */
