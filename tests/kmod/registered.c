/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a userfaultfd adds to a page move: dst must be registered with it, who
 * waits there is woken, and nothing moves while it has something to tell. For
 * UFFDIO_REMAP, and for UFFDIO_MOVE to compare it with.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kmod.h"
#include "rawuffd.h"

#define PAGES 8

/* As kmod/patches/README.md has them; UFFDIO_MOVE's are bit 16 and 0x05. */
#define REMAP_FEATURE 62
#define REMAP_NR      0x3e

static const char *no_uffd(void)
{
	return skip("the device knows of no userfaultfd");
}

static int uffd_with(uint64_t *features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = *features };
	int fd = (int)syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0)
		t_die("userfaultfd");
	*features = api.features;
	return fd;
}

static const char *announced(void)
{
	bool remap = kmod_way() == KMOD_BUILTIN;
	unsigned int bit = remap ? REMAP_FEATURE : 16;
	unsigned int nr = remap ? REMAP_NR : 0x05;
	uint64_t features = 0;
	struct uffdio_register reg = {
		.range = { (uintptr_t)t_map(1), t_page() },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd;

	if (kmod_way() == KMOD_MODULE)
		return no_uffd();
	fd = uffd_with(&features);
	MUST(features >> bit & 1, "features %#jx", (uintmax_t)features);
	MUST(ioctl(fd, UFFDIO_REGISTER, &reg) == 0, "not registered");
	MUST(reg.ioctls >> nr & 1, "ioctls %#jx", (uintmax_t)reg.ioctls);
	close(fd);
	/* A feature that is asked for is one that is there. */
	features = UINT64_C(1) << bit;
	close(uffd_with(&features));
	return NULL;
}

static const char *not_registered(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = t_map(PAGES);

	if (kmod_way() == KMOD_MODULE)
		return no_uffd();
	kmod_dst(src, PAGES);
	RIGHT("not at all", refuses(dst, src, PAGES, 1, -EINVAL));
	kmod_dst(dst, PAGES / 2);
	RIGHT("half of it", refuses(dst, src, PAGES, 1, -EINVAL));
	return moves(dst, src, PAGES / 2, 1);
}

static const char *registered_elsewhere(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = t_map(PAGES);
	int other = t_uffd_open();

	if (kmod_way() == KMOD_MODULE)
		return no_uffd();
	MUST(t_uffd_register_missing(other, dst, t_pages(PAGES)) == 0,
	     "not registered");
	RIGHT("with another", refuses(dst, src, PAGES, 1, -EINVAL));
	close(other);
	return moves(kmod_dst(dst, PAGES), src, PAGES, 1);
}

/* ---- who waits ---- */

struct waiter {
	pthread_t thread;
	char *at;
	_Atomic int done;
	const char *saw;
};

static void *touch(void *arg)
{
	struct waiter *w = arg;

	*(volatile char *)w->at; /* the check would see that it is absent */
	w->saw = t_check_range(w->at, 1, 3);
	w->done = 1;
	return NULL;
}

/* Until it waits for its page, which kmod_fd tells. */
static const char *wait_at(struct waiter *w, char *at)
{
	struct pollfd fd = { .fd = kmod_fd, .events = POLLIN };
	struct uffd_msg msg;

	w->at = at;
	w->done = 0;
	if (pthread_create(&w->thread, NULL, touch, w) != 0)
		t_die("pthread_create");
	MUST(poll(&fd, 1, KMOD_PATIENCE * 1000) == 1, "no fault is told");
	MUST(read(kmod_fd, &msg, sizeof(msg)) == sizeof(msg) &&
		     msg.event == UFFD_EVENT_PAGEFAULT,
	     "no message");
	return NULL;
}

/* The third page is waited for when all of them come. */
static const char *waiter_and(uint64_t mode, struct waiter *w, char **dst)
{
	char *src = kmod_map_src(PAGES, 1);
	int64_t moved;
	int r;

	*dst = t_map(PAGES);
	if (t_uffd_register_missing(kmod_fd, *dst, t_pages(PAGES)) != 0)
		t_die("registering");
	RIGHT("waiter", wait_at(w, *dst + t_pages(2)));
	r = kmod_remap(*dst, src, PAGES, mode, &moved);
	return ended(r, moved, 0, PAGES);
}

static const char *woken(void)
{
	struct waiter w;
	char *dst;

	if (kmod_way() == KMOD_MODULE)
		return no_uffd();
	RIGHT("move", waiter_and(0, &w, &dst));
	pthread_join(w.thread, NULL);
	RIGHT("waiter", w.saw);
	return t_check_range(dst, PAGES, 1);
}

static const char *woken_later(void)
{
	struct uffdio_range range;
	struct waiter w;
	char *dst;

	if (kmod_way() == KMOD_MODULE)
		return no_uffd();
	RIGHT("move", waiter_and(PAGEMVIO_MODE_DONTWAKE, &w, &dst));
	usleep(200000);
	MUST(!w.done, "woken in spite of DONTWAKE");
	range.start = (uintptr_t)dst;
	range.len = t_pages(PAGES);
	MUST(ioctl(kmod_fd, UFFDIO_WAKE, &range) == 0, "UFFDIO_WAKE");
	pthread_join(w.thread, NULL);
	return w.saw;
}

/* A call that stops early wakes for what it moved. */
static const char *woken_in_part(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = t_map(PAGES);
	struct waiter w;
	int64_t moved;
	int r;

	if (kmod_way() == KMOD_MODULE)
		return no_uffd();
	if (t_uffd_register_missing(kmod_fd, dst, t_pages(PAGES)) != 0)
		t_die("registering");
	t_drop(src + t_pages(5), 1);
	RIGHT("waiter", wait_at(&w, dst + t_pages(2)));
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	RIGHT("move", ended(r, moved, -EAGAIN, 5));
	pthread_join(w.thread, NULL);
	return w.saw;
}

/* ---- events ---- */

static void *drop(void *arg)
{
	t_drop(arg, 1);
	return NULL;
}

/* While MADV_DONTNEED waits until its event was read. */
static const char *event_waits(void)
{
	uint64_t features = UFFD_FEATURE_EVENT_REMOVE;
	char *src = kmod_map_src(PAGES, 1), *dst = t_map(PAGES);
	char *other = t_map(1);
	int fd = uffd_with(&features);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	struct uffd_msg msg;
	pthread_t thread;
	int64_t moved;
	int r;

	if (kmod_way() == KMOD_MODULE)
		return no_uffd();
	*other = 1;
	MUST(t_uffd_register_missing(fd, dst, t_pages(PAGES)) == 0 &&
		     t_uffd_register_missing(fd, other, t_page()) == 0,
	     "not registered");
	if (pthread_create(&thread, NULL, drop, other) != 0)
		t_die("pthread_create");
	MUST(poll(&poll_fd, 1, KMOD_PATIENCE * 1000) == 1, "no event");
	r = kmod_remap_by(fd, dst, src, t_pages(PAGES), 0, &moved);
	MUST(r == -EAGAIN && moved == -EAGAIN, "returned %d, moved %jd", r,
	     (intmax_t)moved);
	MUST(read(fd, &msg, sizeof(msg)) == sizeof(msg) &&
		     msg.event == UFFD_EVENT_REMOVE,
	     "no message");
	pthread_join(thread, NULL);
	r = kmod_remap_by(fd, dst, src, t_pages(PAGES), 0, &moved);
	MUST(r == 0 && moved == (int64_t)t_pages(PAGES),
	     "then returned %d, moved %jd", r, (intmax_t)moved);
	return t_check_range(dst, PAGES, 1);
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "the feature and the ioctl are announced", announced },
		{ "EINVAL: dst is not registered", not_registered },
		{ "EINVAL: dst is another userfaultfd's",
		  registered_elsewhere },
		{ "who waits at dst is woken", woken },
		{ "DONTWAKE: by UFFDIO_WAKE alone", woken_later },
		{ "a call that stops early wakes", woken_in_part },
		{ "EAGAIN: an event waits to be read", event_waits },
	};

	return kmod_main(tests, T_COUNT(tests));
}
