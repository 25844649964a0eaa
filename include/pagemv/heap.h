/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Heaps: large blocks that grow without being copied.
 *
 * A heap reserves address space, without memory behind it, and gives each block
 * room to grow: most growth takes place where the block is. Where it does not
 * fit any more, its pages are moved to a larger room (UFFDIO_MOVE, or what
 * pagemv_move() finds), which neither copies them nor breaks mappings apart.
 *
 * Blocks are whole pages. A heap is meant for blocks of some 64 KiB and more;
 * smaller ones work, and waste what they do not fill of a page.
 */
#ifndef PAGEMV_HEAP_H
#define PAGEMV_HEAP_H

#include <pagemv/base.h>
#include <pagemv/move.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pagemv_heap;
struct pagemv_open_opts;

/* pagemv_heap_opts.flags */
#define PAGEMV_HEAP_BACKGROUND (1u << 0) /* a thread of the heap's gives back what
					  * has decayed; else calls do it */
#define PAGEMV_HEAP_TIGHT      (1u << 1) /* reserve as little as possible: no
					  * room to grow */
#define PAGEMV_HEAP_FOREIGN_OK (1u << 2) /* others have memory too: what is not
					  * the heap's is -EINVAL, no misuse */
#define PAGEMV_HEAP_FLAGS_ALL  7u

/* Whether blocks are advised to be of huge pages (MADV_HUGEPAGE). */
enum pagemv_heap_huge {
	PAGEMV_HEAP_HUGE_AUTO = 0, /* for blocks that grow, from 4 MiB, and are
				    * filled without gaps; where a huge page
				    * turns out to cost less than small ones.
				    * Where the system is set to "always" or
				    * "never", as SYSTEM */
	PAGEMV_HEAP_HUGE_SYSTEM,   /* no advice: as the system is set */
	PAGEMV_HEAP_HUGE_ALWAYS,   /* all blocks of a huge page and more */
	PAGEMV_HEAP_HUGE_NEVER,    /* MADV_NOHUGEPAGE */
	PAGEMV_HEAP_HUGE_COUNT
};

/* On which NUMA nodes new pages of blocks are. */
enum pagemv_heap_policy {
	PAGEMV_HEAP_LOCAL = 0,  /* of the thread that touches them first */
	PAGEMV_HEAP_NODE,       /* opts.node, others when it is full */
	PAGEMV_HEAP_INTERLEAVE, /* all nodes in turn */
	PAGEMV_HEAP_POLICY_COUNT
};

/* What becomes of pages that come to a heap from a place on another node, by
 * pagemv_heap_give() and pagemv_heap_adopt(), or when a block moves as it grows. */
enum pagemv_heap_placement {
	PAGEMV_HEAP_PLACE_AUTO = 0, /* BRING where the heap has a node or nodes of
				     * its own and the pages are few enough that
				     * bringing them costs less than the
				     * accesses from afar that it saves */
	PAGEMV_HEAP_PLACE_KEEP,     /* the same physical page: never copied */
	PAGEMV_HEAP_PLACE_BRING,    /* migrated to where the heap wants them */
	PAGEMV_HEAP_PLACE_COUNT
};

/* What a caller did wrong. */
enum pagemv_heap_misuse {
	PAGEMV_MISUSE_FOREIGN = 0, /* not a block of this heap's, nor has been */
	PAGEMV_MISUSE_INSIDE,      /* inside a block, not its beginning */
	PAGEMV_MISUSE_FREED,       /* a block that was freed already */
	PAGEMV_MISUSE_COUNT
};

/*
 * What a heap has done. Each thread writes to one of the heap's, which it has to
 * itself as long as there are no more threads than counters; the sum over all of
 * them is what counts, modulo 2^64. Written with relaxed atomics.
 */
struct pagemv_heap_counters {
	uint64_t allocs;
	uint64_t frees;
	uint64_t alloc_bytes;      /* of blocks made and grown, as asked for */
	uint64_t free_bytes;       /* of blocks freed and shrunk */
	uint64_t reallocs;         /* that succeeded */
	uint64_t in_place;         /* of these */
	uint64_t moves;            /* blocks that went to another place */
	uint64_t moved_bytes;      /* by moving pages */
	uint64_t copied_bytes;
	uint64_t given_back_bytes; /* to the kernel: shrunk, decayed, trimmed */
	uint64_t misuses;
	uint64_t failures;         /* calls that returned -ENOMEM */
	uint64_t remaps;           /* of the moves, by mremap(), which leaves more
				    * mappings */
	uint64_t reserved[3];
};

/* So many counters a heap has. */
#define PAGEMV_HEAP_COUNTERS 32

struct pagemv_heap_opts {
	size_t size;         /* sizeof(struct pagemv_heap_opts) */
	uint32_t flags;      /* PAGEMV_HEAP_* */
	uint32_t huge;       /* enum pagemv_heap_huge */
	uint32_t policy;     /* enum pagemv_heap_policy */
	uint32_t node;       /* with PAGEMV_HEAP_NODE; else 0 */
	uint32_t placement;  /* enum pagemv_heap_placement */
	/* Memory of freed blocks stays for so long, half of the time as it is and
	 * then as MADV_FREE leaves it. 0: 1000. */
	uint32_t decay_ms;
	/* At most so much of it; what is larger goes back at once. 0: 64 MiB;
	 * SIZE_MAX: no limit. */
	size_t warm_bytes;
	/* Address space reserved in a step; less where there is less. 0: as is
	 * good. Rounded up to whole huge pages. */
	size_t reserve_bytes;
	const char *name;    /* of its mappings in /proc/PID/maps,
			      * "[anon:NAME]"; copied. NULL: "pagemv-heap" */
	/* PAGEMV_HEAP_COUNTERS of them, zeroed, the caller's until the heap is
	 * destroyed. NULL: in memory of the heap's. */
	struct pagemv_heap_counters *counters;
	/* Called when misuse was seen, before the call returns. */
	void (*misuse)(void *arg, enum pagemv_heap_misuse what, void *ptr);
	void *misuse_arg;
	/* How the heap opens a handle of its own: at the first move of a heap
	 * that was created without one, and in a forked child. Copied. NULL:
	 * as pv was opened, or with defaults. */
	const struct pagemv_open_opts *open;
};

/* Flags of pagemv_heap_alloc(), _aligned_alloc() and _realloc(). */
#define PAGEMV_ALLOC_ZERO     (1u << 0) /* (the new part of) the block is zeros */
#define PAGEMV_ALLOC_MOVE     (1u << 1) /* realloc: to a new place in any case */
#define PAGEMV_ALLOC_IN_PLACE (1u << 2) /* realloc: or not at all (-ENOSPC) */
#define PAGEMV_ALLOC_MAY_COPY (1u << 3) /* realloc: where that costs less */
#define PAGEMV_ALLOC_ALL      15u

/*
 * Makes a heap, without any memory for blocks so far.
 *
 * pv: the handle that moves its pages; it must be closed after the heap is
 * destroyed. NULL: the heap opens one of its own when a block is to move for the
 * first time; most heaps of most programs never need it. opts: NULL for
 * defaults; copied, but for counters. out: receives the heap; untouched on error.
 *
 * Returns 0, -EINVAL (out is NULL, an unknown flag or value, a node that this
 * process cannot have memory on), -E2BIG (opts is larger and not zero beyond what
 * this version knows), -ENOMEM, -ESRCH (pv is of the parent process).
 *
 * Nothing of a heap is ever taken from malloc() but by the handle and its
 * regions, so that malloc() may be made of heaps. The limits that are in force
 * now (RLIMIT_AS, RLIMIT_DATA, vm.overcommit_memory 2) decide how much address
 * space is reserved, and memory committed ahead, from then on.
 *
 * A child of fork() has a copy of the heap with all its blocks, whole, and may go
 * on with it, and with the parent's pointers; it opens a handle of its own when
 * a block is to move. fork() waits for blocks that are just being moved. Handlers
 * of pthread_atfork() may use the heap, but get -ENOMEM where it would have to
 * reserve more address space.
 * MT-Safe; not AS-Safe. Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_heap_create(struct pagemv *pv,
				  const struct pagemv_heap_opts *opts,
				  struct pagemv_heap **out);

/*
 * Makes a block of bytes bytes; 0 is a block that has none. It is aligned to a
 * page, and has whole pages to itself. Pages are made when they are touched:
 * success does not mean that there is memory.
 *
 * flags: PAGEMV_ALLOC_ZERO, or 0: then what is in it is anything. out: not NULL;
 * receives the block; untouched on error.
 *
 * Returns 0, -EINVAL, or -ENOMEM (no address space, too many mappings, over the
 * commit limit; or more than PTRDIFF_MAX bytes), after what was free has been
 * given back to the kernel and it was tried again.
 *
 * A block that is made of what the thread has freed before takes some 15 ns, no
 * lock that others wait for, and no system call. MT-Safe; not AS-Safe. Not a
 * cancellation point. Not inside a read-side section of liburcu-bp. Since
 * libpagemv 0.1.
 */
PAGEMV_API int pagemv_heap_alloc(struct pagemv_heap *heap, size_t bytes,
				 uint32_t flags, void **out);

/*
 * The same, aligned to align bytes, a power of two; else -EINVAL. A block that
 * moves as it grows keeps its place in the page, not more.
 */
PAGEMV_API int pagemv_heap_aligned_alloc(struct pagemv_heap *heap, size_t align,
					 size_t bytes, uint32_t flags,
					 void **out);

/*
 * Changes the size of a block. What it has up to the smaller of both sizes stays
 * as it is; pages that a smaller block does not need go back to the kernel, but
 * for a few.
 *
 * It stays where it is, if there is room, and without a system call, if memory
 * has been committed ahead. Else its pages go to a larger room: by UFFDIO_MOVE,
 * which costs about 65 ns a page, 1 us for a huge page; by mremap() where there is
 * no UFFDIO_MOVE, where pages are pinned by a device, and where 2 MiB and more
 * are shared with another process since fork(); what is left is copied. If pinned
 * pages had to be copied, as nothing else was to be had, the device goes on with
 * the old ones, and res->reason is PAGEMV_REASON_PINNED, with 0.
 *
 * ptr: a block of this heap that nobody else uses meanwhile, or NULL: a new block.
 * flags: PAGEMV_ALLOC_ZERO: bytes beyond the old size are zeros. _MOVE: it goes to
 * a new place in any case, by moving pages where that can be. _IN_PLACE: it stays
 * or nothing happens; not both. _MAY_COPY: no device has it pinned; a block of up
 * to 2 MiB is copied where pages for it are at hand, which costs half as much, as
 * long as _MOVE is not asked for. out: not NULL; may be &ptr; receives the block;
 * untouched on error. res: NULL, or receives what was moved, all zeros if the
 * block has stayed. Holes that UFFDIO_MOVE has passed by itself count as moved.
 *
 * Returns 0, or, with the block as it was, at the old place and whole:
 *   -EINVAL  flags; or ptr is no block of this heap, or inside one
 *   -ENOENT  ptr was freed already
 *   -ENOMEM  as pagemv_heap_alloc()
 *   -ENOSPC  IN_PLACE: there is no room
 *   -EFAULT  a page of it is poisoned (a hardware error)
 *   -EINTR   a fatal signal is pending
 * MT-Safe; not AS-Safe, as pagemv_heap_alloc(). UFFDIO_MOVE: Linux 6.8. Since
 * libpagemv 0.1.
 */
PAGEMV_API int pagemv_heap_realloc(struct pagemv_heap *heap, void *ptr,
				   size_t bytes, uint32_t flags, void **out,
				   struct pagemv_result *res);

/*
 * Ends a block. Its memory stays with the thread, then with the heap, for
 * opts.decay_ms at most, and goes back then, by calls that are slow anyway or by
 * the heap's thread (PAGEMV_HEAP_BACKGROUND). ptr: NULL does nothing.
 *
 * Returns 0; -ENOENT: it was freed already; -EINVAL: heap is NULL, or ptr is no
 * block of this heap's, or inside one. Then nothing has happened, but that
 * opts.misuse was called, without a lock being held. Of two threads that free
 * one block, one is told. A block that was freed and made anew at the same place
 * is a block.
 * MT-Safe; not AS-Safe, as pagemv_heap_alloc(). Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_heap_free(struct pagemv_heap *heap, void *ptr);

/*
 * How many bytes from ptr on belong to the block: what was asked for, rounded up
 * to the end of its page. Returns 0, or -EINVAL, -ENOENT as pagemv_heap_free();
 * but to ask is no misuse: opts.misuse is not called. MT-Safe, AS-Safe: takes no
 * lock. Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_heap_usable_size(struct pagemv_heap *heap,
				       const void *ptr, size_t *out_bytes);

/*
 * Gives a block to another heap, without copying: it is a block of to's from then
 * on, at another address, with the same place in its page. to may be the same
 * heap: the block stays. With NUMA nodes opts.placement of to says whether its
 * pages stay on theirs.
 *
 * ptr: as for pagemv_heap_realloc(), not NULL. out, res: as there. Returns 0, or
 * -EINVAL, -ENOENT, -ENOMEM, -EFAULT, -EINTR as there, and the block is from's as
 * before. MT-Safe; not AS-Safe. Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_heap_give(struct pagemv_heap *from, void *ptr,
				struct pagemv_heap *to, void **out,
				struct pagemv_result *res);

/*
 * Makes a block of memory that is not of a heap: a new one of bytes bytes, with
 * the contents of the old_bytes bytes at ptr, or as much as it holds. Whole pages
 * in between are moved, where they are private anonymous memory; the fringes, and
 * all else, are copied; if pages among it were pinned by a device, res->reason is
 * PAGEMV_REASON_PINNED. The block has the same place in its page as ptr.
 *
 * Afterwards what [ptr, ptr + old_bytes) holds is anything; it is mapped as
 * before, and the caller's to free. Nobody uses it meanwhile. ptr: not NULL; any
 * address. out, res: as for pagemv_heap_realloc().
 *
 * Returns 0, -EINVAL, or -ENOMEM, -EFAULT, -EINTR, and all is as before.
 * MT-Safe; not AS-Safe. Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_heap_adopt(struct pagemv_heap *heap, void *ptr,
				 size_t old_bytes, size_t bytes, void **out,
				 struct pagemv_result *res);

/*
 * Gives all memory of freed blocks back to the kernel, now. given_back_bytes:
 * NULL, or receives how much that may have been. Returns 0, or -EINVAL (heap is
 * NULL). MT-Safe; not AS-Safe. Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_heap_trim(struct pagemv_heap *heap,
				size_t *given_back_bytes);

/*
 * Unmaps all blocks, and ends the heap and its thread. No other call on the heap
 * may be running or follow. heap: may be NULL. Also right in a child of fork(),
 * where it ends the child's copy. Returns 0. MT-Safe for different heaps; not
 * AS-Safe; waits for an RCU grace period. Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_heap_destroy(struct pagemv_heap *heap);

/* All blocks that a heap has ever had lie in [low, high). Both only ever grow
 * apart, and may be read without a lock, by relaxed atomic loads: low is
 * UINTPTR_MAX and high 0 at first. */
struct pagemv_heap_bounds {
	uintptr_t low;
	uintptr_t high;
};

/*
 * Where the heap's blocks are: for allocators made of heaps, which are given all
 * kinds of pointers. They are seen by who has got a pointer of the heap. The
 * same for the heap's life; never NULL. MT-Safe, AS-Safe. Since libpagemv 0.1.
 */
PAGEMV_API const struct pagemv_heap_bounds *
pagemv_heap_bounds(const struct pagemv_heap *heap);

struct pagemv_heap_stats {
	size_t size;              /* sizeof(struct pagemv_heap_stats), in */
	uint64_t blocks;          /* that live now */
	uint64_t block_bytes;     /* of these, as asked for */
	uint64_t committed_bytes; /* address space that can be written to */
	uint64_t reserved_bytes;  /* address space */
	uint64_t warm_bytes;      /* of freed blocks, not given back yet */
	uint64_t mappings;        /* that the heap has asked the kernel for, at
				   * most */
	struct pagemv_heap_counters sum;
	uint64_t reserved[4];
};

/*
 * What the heap has now, and has done. out->size says how much the caller knows;
 * no more is written. Walks all slots. While other threads are at work the
 * members need not agree with each other. Returns 0, or -EINVAL (NULL, size 0).
 * MT-Safe; not AS-Safe. Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_heap_stats(struct pagemv_heap *heap,
				 struct pagemv_heap_stats *out);

#ifdef __cplusplus
}
#endif

#endif /* PAGEMV_HEAP_H */
