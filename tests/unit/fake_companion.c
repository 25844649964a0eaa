/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake_companion.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "companion_uapi.h"
#include "proc.h"
#include "t.h"

#define FDS	  16
#define ALL_CALLS 15u
#define MODES	  3u
#define STOP	  1u
#define PAGE_MAX  65536

static int fds[FDS];
static size_t n_fds;
static pid_t owner;
static uint32_t version = PMV_COMPANION_VERSION;
static uint64_t calls = ALL_CALLS;

bool fake_companion_in_kernel(void)
{
	struct pmv_companion_info info = { .size = sizeof(info) };
	int fd = open("/dev/pagemv", O_RDWR | O_CLOEXEC), rc;

	if (fd < 0)
		return false;
	rc = ioctl(fd, PMV_COMPANION_INFO, &info);
	close(fd);
	return rc == 0;
}

void fake_companion_dup(int fd)
{
	if (n_fds == FDS)
		t_die("too many played devices");
	fds[n_fds++] = fd;
}

int fake_companion_open(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	fake_companion_dup(fd);
	owner = getpid();
	return fd;
}

bool fake_companion_owns(int fd)
{
	for (size_t i = 0; i < n_fds; i++)
		if (fds[i] == fd)
			return true;
	return false;
}

void fake_companion_close(int fd)
{
	for (size_t i = 0; i < n_fds; i++)
		if (fds[i] == fd)
			fds[i] = fds[--n_fds];
}

void fake_companion_version(uint32_t number, uint64_t bits)
{
	version = number;
	calls = bits;
}

/* ---- the page loop ---- */

static bool mapped(uintptr_t addr, size_t bytes)
{
	return msync((void *)addr, bytes, MS_ASYNC) == 0;
}

static bool in_one_mapping(uintptr_t addr, size_t bytes)
{
	/* Reading the mappings is most of the time of a small move. */
	return mapped(addr, bytes) &&
	       (bytes <= t_page() ||
		t_count_mappings_in((void *)addr, bytes) == 1);
}

static int check(uintptr_t dst, uintptr_t src, size_t len)
{
	if (owner != getpid() || !len || (dst | src | len) & (t_page() - 1))
		return -EINVAL;
	if (!mapped(dst, t_page()) || !mapped(src, t_page()))
		return -ENOENT;
	if (!in_one_mapping(dst, len) || !in_one_mapping(src, len))
		return -EINVAL;
	/* What is played by a store must not fill a huge page. */
	madvise((void *)dst, len, MADV_NOHUGEPAGE);
	return 0;
}

static void drop(uintptr_t page)
{
	madvise((void *)page, t_page(), MADV_DONTNEED);
}

static int move_page(uintptr_t dst, uintptr_t src, bool holes)
{
	if (t_present((void *)dst))
		return -EEXIST;
	if (!t_present((void *)src))
		return holes ? 0 : -ENOENT;
	memcpy((void *)dst, (void *)src, t_page());
	drop(src);
	return 0;
}

static int64_t move_range(uintptr_t dst, uintptr_t src, size_t len, bool holes)
{
	size_t done = 0;
	int rc = check(dst, src, len);

	while (rc == 0 && done < len) {
		rc = move_page(dst + done, src + done, holes);
		if (rc == 0)
			done += t_page();
	}
	return done ? (int64_t)done : rc;
}

static int answer(int64_t moved, size_t len)
{
	if (moved == (int64_t)len)
		return 0;
	return moved > 0 ? -EAGAIN : (int)moved;
}

static int play_remap(struct pmv_companion_remap *m)
{
	if (m->mode & ~(uint64_t)MODES)
		return -EINVAL;
	m->moved = move_range(m->dst, m->src, m->len,
			      m->mode & PMV_COMPANION_MODE_HOLES);
	return answer(m->moved, m->len);
}

static int play_remapv(struct pmv_companion_remapv *v)
{
	struct pmv_companion_range *r = (void *)(uintptr_t)v->ranges;
	int error = 0;

	if (v->size != sizeof(*v) || v->flags & ~STOP || v->pad ||
	    v->mode & ~(uint64_t)MODES || !v->count ||
	    v->count > PMV_COMPANION_RANGES_MAX)
		return -EINVAL;
	v->moved = 0;
	v->flushes = 1;
	for (uint32_t i = 0; i < v->count; i++) {
		r[i].moved = move_range(r[i].dst, r[i].src, r[i].len,
					v->mode & PMV_COMPANION_MODE_HOLES);
		v->moved += r[i].moved > 0 ? r[i].moved : 0;
		if (r[i].moved == (int64_t)r[i].len)
			continue;
		if (!error)
			error = r[i].moved < 0 ? (int)r[i].moved : -EAGAIN;
		if (v->flags & STOP)
			break;
	}
	return error && v->moved ? -EAGAIN : error;
}

static void exchange_page(uintptr_t a, uintptr_t b)
{
	static char kept[PAGE_MAX];
	bool had_a = t_present((void *)a), had_b = t_present((void *)b);

	if (had_a)
		memcpy(kept, (void *)a, t_page());
	if (had_b)
		memcpy((void *)a, (void *)b, t_page());
	else
		drop(a);
	if (had_a)
		memcpy((void *)b, kept, t_page());
	else
		drop(b);
}

static int play_exchange(struct pmv_companion_exchange *x)
{
	int rc;

	if (x->size != sizeof(*x) || x->flags)
		return -EINVAL;
	rc = x->a - x->b < x->len || x->b - x->a < x->len
		     ? -EINVAL
		     : check(x->a, x->b, x->len);
	if (rc == 0)
		rc = check(x->b, x->a, x->len);
	for (size_t off = 0; rc == 0 && off < x->len; off += t_page())
		exchange_page(x->a + off, x->b + off);
	x->moved = rc == 0 ? (int64_t)x->len : rc;
	return rc;
}

static int play_info(struct pmv_companion_info *info)
{
	if (info->size != sizeof(*info))
		return -EINVAL;
	*info = (struct pmv_companion_info){
		.size = sizeof(*info),
		.version = version,
		.calls = calls,
		.modes = MODES,
		.max_ranges = PMV_COMPANION_RANGES_MAX,
		.flush_pages = 512,
	};
	return 0;
}

int fake_companion_ioctl(int fd, unsigned long request, void *arg)
{
	(void)fd;
	switch (request) {
	case PMV_COMPANION_INFO:
		return play_info(arg);
	case PMV_COMPANION_REMAP:
		return play_remap(arg);
	case PMV_COMPANION_REMAPV:
		return play_remapv(arg);
	case PMV_COMPANION_EXCHANGE:
		return play_exchange(arg);
	default:
		return -ENOTTY;
	}
}
