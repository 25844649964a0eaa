/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One mechanism of moving pages, as the engine sees it. To add one: write
 * its file, and add its row to pmv_movers[].
 */
#ifndef PMV_MOVER_H
#define PMV_MOVER_H

#include <pagemv/move.h>

#include "uffd.h"

/* In span and request flags, beside PAGEMV_MOVE_*: the caller has promised
 * that nobody stores to the source (exchange). */
#define PMV_MOVE_UNDISTURBED (1u << 31)

/* Pages that could be brought to neither place, see struct pagemv_result. */
struct pmv_stray {
	uintptr_t addr;
	size_t bytes;
	uintptr_t src; /* where they came from */
};

/* A range on its way. Source and destination do not overlap, except that
 * UFFDIO_MOVE is given dst < src where that is safe. */
struct pmv_span {
	uintptr_t dst;
	uintptr_t src;
	size_t len;
	uint32_t flags;	       /* PAGEMV_MOVE_* */
	int uffd;	       /* dst is registered with it; -1: with none */
	uintptr_t clear_until; /* dst had no pages up to here; where it has
				* some now, a store to a neighbour filled a
				* huge page. Only without userfaultfd */
	struct pmv_stray *stray;
};

struct pmv_mover {
	enum pagemv_mechanism id;
	bool copies;	 /* its pages are counted as copied */
	bool needs_scan; /* it must be given populated pages only */
	/*
	 * Moves as many pages from the head of the span as one go allows; at
	 * least one, or says why not. Errors mean what UFFDIO_MOVE means by
	 * them. AS-Safe.
	 */
	struct pmv_step (*step)(struct pagemv *pv, const struct pmv_span *span);
};

/*
 * mremap() from src to dst that, where they are locked, leaves both locked, and
 * nothing beside them unlocked; and dst mapped, also where it fails. 0 or
 * -errno of mremap().
 */
int pmv_remap(struct pagemv *pv, uintptr_t dst, uintptr_t src, size_t len,
	      bool locked);

/* Indexed by enum pagemv_mechanism. */
extern const struct pmv_mover *const pmv_movers[PAGEMV_MECH_COUNT];

extern const struct pmv_mover pmv_mover_move;
extern const struct pmv_mover pmv_mover_remap;
extern const struct pmv_mover pmv_mover_copy;
extern const struct pmv_mover pmv_mover_companion;

/*
 * What moves pages without copying them and without changing mappings, MOVE or
 * COMPANION, so many bytes to what is registered with uffd (-1: with nothing);
 * AUTO where nothing does.
 */
enum pagemv_mechanism pmv_mover_to(const struct pagemv *pv, int uffd,
				   size_t bytes);

/* Whether COMPANION may: not where the program's own calls must be waited for.
 */
bool pmv_companion_fills(const struct pagemv *pv, int uffd);

/* Moves pages by it, where pmv_mover_to() is not AUTO. Wakes as UFFDIO_MOVE. */
struct pmv_step pmv_move_to(struct pagemv *pv, int uffd, uintptr_t dst,
			    uintptr_t src, size_t bytes);

/* Copies after mremap has taken the pages away from src, whatever holds
 * them: for pinned pages that the caller wants copied. */
struct pmv_step pmv_copy_held(struct pagemv *pv, const struct pmv_span *span);

#endif /* PMV_MOVER_H */
