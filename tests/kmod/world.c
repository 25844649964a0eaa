/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "world.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rawuffd.h"

#define RW (PROT_READ | PROT_WRITE)

/* ---- the model ---- */

static bool unaligned(const struct request *q)
{
	return q->dst.off_bytes % (int64_t)t_page() != 0 ||
	       q->src.off_bytes % (int64_t)t_page() != 0 ||
	       q->len % t_page() != 0 || q->len == 0;
}

static bool leaves(struct place p, uint64_t len)
{
	return p.off_bytes + (int64_t)len > (int64_t)t_pages(REGION_PAGES);
}

/* What the mappings alone decide: 0, or the errno. */
static int model_mappings(const struct request *q)
{
	enum region d = q->dst.region, s = q->src.region;
	bool locked_d = d == LOCKED_1 || d == LOCKED_2;
	bool locked_s = s == LOCKED_1 || s == LOCKED_2;

	if (unaligned(q) || (q->mode & ~(uint64_t)3) != 0)
		return -EINVAL;
	if (d == UNMAPPED || s == UNMAPPED)
		return -ENOENT;
	if (leaves(q->dst, q->len) || leaves(q->src, q->len))
		return -EINVAL;
	if (d == SHARED || s == SHARED || d == READ_ONLY || s == READ_ONLY)
		return -EINVAL;
	if ((d == EXECUTABLE) != (s == EXECUTABLE) || locked_d != locked_s)
		return -EINVAL;
	return 0;
}

/* One page: 0, or the errno. */
static int model_page(struct model_page *dst, struct model_page *src,
		      uint64_t mode)
{
	if (dst->content != HOLE)
		return -EEXIST;
	if (src->content == HOLE)
		return (mode & KMOD_HOLES) != 0 ? 0 : -ENOENT;
	if (src->content == DATA && (src->shared || src->pinned))
		return -EBUSY;
	*dst = *src;
	*src = (struct model_page){ .content = HOLE };
	return 0;
}

struct outcome model_remap(struct model *m, const struct request *q)
{
	int64_t page = (int64_t)t_page();
	int err = model_mappings(q);
	int64_t done = 0;

	while (err == 0 && done < (int64_t)q->len) {
		err = model_page(&m->page[q->dst.region]
					 [(q->dst.off_bytes + done) / page],
				 &m->page[q->src.region]
					 [(q->src.off_bytes + done) / page],
				 q->mode);
		if (err == 0)
			done += page;
	}
	if (done == 0)
		return (struct outcome){ err, err };
	return (struct outcome){ err == 0 ? 0 : -EAGAIN, done };
}

void model_exchange(struct model *m, struct place a, struct place b,
		    size_t pages)
{
	struct model_page *pa, *pb, between;
	size_t i;

	for (i = 0; i < pages; i++) {
		pa = &m->page[a.region][(size_t)a.off_bytes / t_page() + i];
		pb = &m->page[b.region][(size_t)b.off_bytes / t_page() + i];
		between = *pa;
		*pa = *pb;
		*pb = between;
	}
}

/* ---- memory ---- */

static void must(bool ok, const char *what)
{
	if (!ok)
		t_die("a world: %s", what);
}

bool world_open(struct world *w, bool module)
{
	size_t bytes = t_pages(REGION_PAGES);
	int i;

	*w = (struct world){ .name = module ? "module" : "UFFDIO_MOVE",
			     .module = module };
	if (!module && kmod_way() != KMOD_BUILTIN && t_uffd_can_move() != 0)
		return false;
	w->fd = module ? kmod_open() : t_uffd_open();
	if (w->fd < 0)
		return false;
	for (i = 0; i < REGIONS; i++)
		w->base[i] = t_map(REGION_PAGES);
	w->scratch = t_map(REGION_PAGES);
	must(mmap(w->base[SHARED], bytes, RW,
		  MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
		  0) == w->base[SHARED],
	     "shared");
	must(mprotect(w->base[EXECUTABLE], bytes, RW | PROT_EXEC) == 0 &&
		     mprotect(w->base[READ_ONLY], bytes, PROT_READ) == 0,
	     "protection");
	must(mlock2(w->base[LOCKED_1], bytes, MLOCK_ONFAULT) == 0 &&
		     mlock2(w->base[LOCKED_2], bytes, MLOCK_ONFAULT) == 0,
	     "locked");
	for (i = 0; i < UNMAPPED && !module; i++)
		must(t_uffd_register_wp(w->fd, w->base[i], bytes) == 0 ||
			     i == SHARED,
		     "registered");
	must(module || t_uffd_register_wp(w->fd, w->scratch, bytes) == 0,
	     "registered");
	/* Where there is no page table at all, src is asked before dst. */
	for (i = 0; i <= EXECUTABLE; i++) {
		t_fill_range(w->base[i], REGION_PAGES, 1);
		must(madvise(w->base[i], bytes,
			     i == LOCKED_1 || i == LOCKED_2
				     ? 24 /* MADV_DONTNEED_LOCKED */
				     : MADV_DONTNEED) == 0,
		     "empty");
	}
	munmap(w->base[UNMAPPED], bytes);
	return true;
}

char *world_at(const struct world *w, struct place place)
{
	return w->base[place.region] + place.off_bytes;
}

struct outcome world_remap(const struct world *w, const struct request *q)
{
	struct pagemvio_remap remap = {
		.dst = (uintptr_t)world_at(w, q->dst),
		.src = (uintptr_t)world_at(w, q->src),
		.len = q->len,
		.mode = q->mode,
		.moved = KMOD_UNTOLD,
	};
	struct outcome o;

	o.r = ioctl(w->fd, w->module ? PAGEMVIO_REMAP : kmod_uffd_request(),
		    &remap) == 0
		      ? 0
		      : -errno;
	o.moved = remap.moved;
	/* UFFDIO_MOVE leaves moved alone where its arguments are wrong. */
	if (!w->module && o.moved == KMOD_UNTOLD)
		o.moved = o.r;
	return o;
}

static void carry(const struct world *w, char *to, char *from)
{
	struct pagemvio_remap remap = { (uintptr_t)to, (uintptr_t)from,
					t_page(), KMOD_HOLES, 0 };

	must(ioctl(w->fd, kmod_uffd_request(), &remap) == 0, "exchange");
}

void world_exchange(const struct world *w, struct place a, struct place b,
		    size_t pages)
{
	struct pagemvio_exchange x = { .size = sizeof(x),
				       .a = (uintptr_t)world_at(w, a),
				       .b = (uintptr_t)world_at(w, b),
				       .len = t_pages(pages) };
	size_t i;

	if (w->module) {
		must(ioctl(w->fd, PAGEMVIO_EXCHANGE, &x) == 0, "EXCHANGE");
		return;
	}
	for (i = 0; i < pages; i++) {
		carry(w, w->scratch, world_at(w, a) + t_pages(i));
		carry(w, world_at(w, a) + t_pages(i),
		      world_at(w, b) + t_pages(i));
		carry(w, world_at(w, b) + t_pages(i), w->scratch);
	}
}

static const char *page_wrong(const char *at, const struct model_page *want)
{
	switch (want->content) {
	case HOLE:
		return t_check_absent(at, 1);
	case ZERO:
		return t_check_zero(at, 1);
	default:
		return t_check(at, want->id, 1);
	}
}

const char *world_check(const struct world *w, const struct model *m)
{
	const char *what;
	int region;
	size_t i;

	for (region = 0; region < UNMAPPED; region++)
		for (i = 0; i < REGION_PAGES; i++) {
			if (region == SHARED || region == READ_ONLY)
				continue;
			what = page_wrong(w->base[region] + t_pages(i),
					  &m->page[region][i]);
			if (what != NULL)
				return wrong("%s: region %d, page %zu: %s",
					     w->name, region, i, what);
		}
	return NULL;
}
