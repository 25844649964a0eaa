// SPDX-License-Identifier: LGPL-2.1-or-later
/* Heaps as a whole: made, unmade, counted. */
#include "heap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fault.h"
#include "forks.h"
#include "kernel.h"
#include "rcu.h"

#define DECAY_MS_DEFAULT 1000
/* 24 days: differences of a clock of 32 bits. */
#define DECAY_MS_MAX	   (INT32_MAX / 2)
#define WARM_BYTES_DEFAULT ((size_t)64 << 20)
/* A part of the limit of mappings for slots that have their own; and the
 * limit where it cannot be read. */
#define OWN_PART	 16
#define MAX_MAPS_DEFAULT 65530
/* Heaps lie between the program and its libraries, each in its own part. */
#define HINT_FIRST ((uintptr_t)16 << 40)
#define HINT_PARTS 32
#define HINT_PART  ((uintptr_t)2 << 40)

/* ---- what the system allows ---- */

/* The number in a file of the kernel's, or what it is without. */
static unsigned long read_number(const struct pmv_sys *sys, const char *path,
				 unsigned long without)
{
	char text[24];
	ssize_t n = -1;
	unsigned long number = 0;
	int fd = sys->open(path, O_RDONLY);

	if (fd >= 0) {
		n = sys->read(fd, text, sizeof(text));
		sys->close(fd);
	}
	if (n <= 0 || text[0] < '0' || text[0] > '9')
		return without;
	for (ssize_t i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		number = number * 10 + (unsigned long)(text[i] - '0');
	return number;
}

static bool is_limited(const struct pmv_sys *sys, int resource)
{
	uint64_t limit = RLIM_INFINITY;

	return sys->limit(resource, &limit) == 0 && limit != RLIM_INFINITY;
}

/* Where the kernel makes huge pages: one of three words is marked. */
static void read_thp(const struct pmv_sys *sys, char text[64])
{
	int fd = sys->open("/sys/kernel/mm/transparent_hugepage/enabled",
			   O_RDONLY);

	if (fd < 0)
		return;
	if (sys->read(fd, text, 63) < 0)
		text[0] = '\0';
	sys->close(fd);
}

static void look_around(struct pagemv_heap *h)
{
	const struct pmv_sys *sys = h->sys;
	char thp[64] = "";

	h->strict = read_number(sys, "/proc/sys/vm/overcommit_memory", 0) ==
			    2 ||
		    is_limited(sys, RLIMIT_DATA);
	h->narrow = h->opts.flags & PAGEMV_HEAP_TIGHT ||
		    is_limited(sys, RLIMIT_AS) || sizeof(void *) < 8;
	h->sheds = h->strict || h->narrow;
	h->own_max = (uint32_t)(read_number(sys, "/proc/sys/vm/max_map_count",
					    MAX_MAPS_DEFAULT) /
				OWN_PART);
	if (h->huge_bytes && h->opts.huge != PAGEMV_HEAP_HUGE_NEVER)
		read_thp(sys, thp);
	h->advises = h->huge_bytes &&
		     (h->opts.huge == PAGEMV_HEAP_HUGE_ALWAYS ||
		      (h->opts.huge == PAGEMV_HEAP_HUGE_AUTO &&
		       strstr(thp, "[madvise]")));
	h->small = !strstr(thp, "[always]");
	h->look_at = pmv_block_look_at(h);
}

/* ---- options ---- */

static int check_opts(struct pagemv_heap_opts *o,
		      const struct pagemv_heap_opts *opts)
{
	int rc = opts ? pmv_opts_copy(o, sizeof(*o), opts) : 0;

	if (rc < 0)
		return rc;
	if (o->flags & ~PAGEMV_HEAP_FLAGS_ALL ||
	    o->huge >= PAGEMV_HEAP_HUGE_COUNT ||
	    o->policy >= PAGEMV_HEAP_POLICY_COUNT ||
	    o->placement >= PAGEMV_HEAP_PLACE_COUNT ||
	    (o->node && o->policy != PAGEMV_HEAP_NODE))
		return -EINVAL;
	if (!o->decay_ms)
		o->decay_ms = DECAY_MS_DEFAULT;
	if (o->decay_ms > DECAY_MS_MAX)
		o->decay_ms = DECAY_MS_MAX;
	if (!o->warm_bytes)
		o->warm_bytes = WARM_BYTES_DEFAULT;
	if (!o->name)
		o->name = "pagemv-heap";
	return 0;
}

/* The kernel takes printable characters, but for some that mean something to
 * who reads the file, and 79 of them. */
static void copy_name(struct pagemv_heap *h)
{
	const char *from = h->opts.name;
	size_t i;

	for (i = 0; from[i] && i < sizeof(h->name) - 1; i++)
		h->name[i] = from[i] < ' ' || from[i] > '~' ||
					     strchr("\\`$[]", from[i])
				     ? '_'
				     : from[i];
	h->opts.name = h->name;
}

/* ---- making ---- */

static PMV_ATOMIC _Atomic unsigned int made;

/* As hard to guess as the addresses that the kernel gives. */
static uintptr_t first_hint(const struct pagemv_heap *h)
{
	unsigned int part =
		atomic_fetch_add_explicit(&made, 1, memory_order_relaxed) %
		HINT_PARTS;
	uint64_t mixed = ((uint64_t)(uintptr_t)h >> 12) * 0x9e3779b97f4a7c15u;

	if (sizeof(void *) < 8)
		return 0;
	return HINT_FIRST + part * HINT_PART +
	       pmv_round_down(mixed % (HINT_PART / 2), (size_t)1 << 30);
}

/* As pv was opened, as far as it matters for moving pages. */
static struct pagemv_open_opts as_opened(const struct pagemv *pv)
{
	struct pagemv_open_opts o = {
		.flags = pv->uffd < 0 ? PAGEMV_OPEN_NO_UFFD : 0,
		.trusted = pv->caps.trusted,
		.distrusted = pv->quirks,
		.log = pv->log.fn,
		.log_arg = pv->log.arg,
	};

	for (int m = PAGEMV_MECH_MOVE; m < PAGEMV_MECH_COUNT; m++)
		if (pv->caps.mech[m].reason == PAGEMV_REASON_DISABLED)
			o.disabled |= PAGEMV_MECH_BIT(m);
	return o;
}

static struct pagemv_heap *heap_new(const struct pmv_sys *sys,
				    const struct pagemv_heap_opts *o)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct pagemv_heap *h;
	uintptr_t addr;

	if (sys->mmap(&addr, pmv_round_up(sizeof(*h), page),
		      PROT_READ | PROT_WRITE) < 0)
		return NULL;
	h = (struct pagemv_heap *)addr;
	h->sys = sys;
	h->page_bytes = page;
	h->huge_bytes = pmv_kernel_huge_bytes(sys, page);
	h->opts = *o;
	h->counters = o->counters ? o->counters : h->own_counters;
	h->bounds = (struct pagemv_heap_bounds){ UINTPTR_MAX, 0 };
	h->hint = first_hint(h);
	atomic_init(&h->decayed_ms, pmv_heap_now(h));
	copy_name(h);
	look_around(h);
	pthread_mutex_init(&h->grow_lock, NULL);
	return h;
}

static void heap_free(struct pagemv_heap *h)
{
	pthread_mutex_destroy(&h->grow_lock);
	h->sys->munmap((uintptr_t)h, pmv_round_up(sizeof(*h), h->page_bytes));
}

/* Has liburcu know the calling thread, and take memory for some others: when it
 * gets none later, it ends the process. */
static void make_known(struct pagemv_heap *h)
{
	pmv_rcu_read_lock();
	pmv_rcu_read_unlock(&h->table);
}

static int create(struct pagemv *pv, const struct pagemv_heap_opts *opts,
		  struct pagemv_heap **out)
{
	struct pagemv_open_opts how = { 0 };
	struct pagemv_heap_opts o = { 0 };
	struct pmv_numa_want want = { 0 };
	struct pagemv_heap *h;
	int rc = check_opts(&o, opts);

	if (rc == 0)
		rc = pmv_open_opts(&how, o.open);
	if (rc == 0)
		rc = pmv_numa_want(&want, o.policy, o.node, o.placement);
	if (rc < 0)
		return rc;
	h = heap_new(pv ? pv->sys : pmv_sys_default(), &o);
	if (!h)
		return -ENOMEM;
	h->want = want;
	h->how = pv && !o.open ? as_opened(pv) : how;
	h->how.size = sizeof(h->how);
	atomic_init(&h->pv, pv);
	make_known(h);
	pmv_forks_reserve();
	if (!(h->how.flags & PAGEMV_OPEN_NO_ATFORK))
		pmv_forks_survive();
	/* Before the heaps' handlers, so that those are called first, and wait
	 * for moves that open a handle; and before handlers of the program's
	 * that come later, and may have blocks move in the child. */
	pmv_handles_survive();
	pmv_heaps_add(h);
	rc = pmv_decay_start(h);
	if (rc < 0) {
		pmv_heaps_remove(h);
		heap_free(h);
		return rc;
	}
	*out = h;
	return 0;
}

int pagemv_heap_create(struct pagemv *pv, const struct pagemv_heap_opts *opts,
		       struct pagemv_heap **out)
{
	int saved = errno, rc;

	if (!out)
		return -EINVAL;
	if (pv && !pmv_alive(pv))
		return -ESRCH;
	rc = create(pv, opts, out);
	errno = saved;
	return rc;
}

int pagemv_heap_destroy(struct pagemv_heap *h)
{
	int saved = errno;
	struct pagemv *own;

	if (!h)
		return 0;
	pmv_decay_stop(h);
	pmv_heaps_remove(h);
	pmv_arenas_close(h);
	own = h->opened ? atomic_load_explicit(&h->pv, memory_order_relaxed)
			: NULL;
	heap_free(h);
	pagemv_close(own);
	errno = saved;
	return 0;
}

/* ---- what there is ---- */

const struct pagemv_heap_bounds *pagemv_heap_bounds(const struct pagemv_heap *h)
{
	return &h->bounds;
}

int pagemv_heap_trim(struct pagemv_heap *h, size_t *given_back_bytes)
{
	int saved = errno;
	size_t bytes;

	if (!h)
		return -EINVAL;
	bytes = pmv_heap_release(h);
	if (given_back_bytes)
		*given_back_bytes = bytes;
	errno = saved;
	return 0;
}

/* Needs the bin's lock, so that what is fresh does not change. */
static void count_arena(const struct pmv_arena *a, struct pagemv_heap_stats *s)
{
	size_t committed = 0, ready = a->ready * a->slot_bytes;
	uint64_t own = 0;

	for (uint32_t i = 0; i < a->fresh; i++) {
		const struct pmv_slot *slot = &a->slot[i];
		uint64_t word =
			atomic_load_explicit(&slot->word, memory_order_relaxed);
		enum pmv_slot_state state = pmv_word_state(word);
		size_t mine =
			__atomic_load_n(&slot->committed, __ATOMIC_RELAXED);

		if (state == PMV_SLOT_LIVE || state == PMV_SLOT_BUSY) {
			s->blocks++;
			s->block_bytes += pmv_word_bytes(word);
		} else {
			s->warm_bytes +=
				__atomic_load_n(&slot->dirty, __ATOMIC_RELAXED);
		}
		if (i >= a->ready) {
			committed += mine;
			own += mine != 0;
		}
	}
	s->committed_bytes += committed + ready;
	/* Each committed slot has one in front of the rest of the arena. */
	s->mappings += 1 + (ready ? 1 : 0) + 2 * own;
}

int pagemv_heap_stats(struct pagemv_heap *h, struct pagemv_heap_stats *out)
{
	struct pagemv_heap_stats s = { 0 };

	if (!h || !out || out->size < sizeof(size_t))
		return -EINVAL;
	s.size = out->size;
	s.reserved_bytes =
		atomic_load_explicit(&h->reserved_bytes, memory_order_relaxed);
	for (int i = 0; i < PMV_BINS; i++) {
		struct pmv_bin *bin = &h->bins[i];

		if (!pmv_bin_lock(h, bin))
			continue;
		for (struct pmv_arena *a = bin->arenas; a; a = a->next)
			count_arena(a, &s);
		pmv_bin_unlock(bin);
	}
	for (size_t off = 0;
	     off < offsetof(struct pagemv_heap_counters, reserved);
	     off += sizeof(uint64_t))
		*(uint64_t *)(void *)((char *)&s.sum + off) =
			pmv_heap_sum(h, off);
	memcpy(out, &s, pmv_min(out->size, sizeof(s)));
	return 0;
}

uint64_t pmv_heap_sum(const struct pagemv_heap *h, size_t counter)
{
	uint64_t sum = 0;

	for (int i = 0; i < PAGEMV_HEAP_COUNTERS; i++)
		sum += __atomic_load_n(
			(const uint64_t *)(const void *)((const char *)&h
								 ->counters[i] +
							 counter),
			__ATOMIC_RELAXED);
	return sum;
}
