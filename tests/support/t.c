/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "t.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

void t_die(const char *format, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, format);
	fputs("test set-up: ", stderr);
	vfprintf(stderr, format, ap);
	fprintf(stderr, " (errno %d: %s)\n", saved, strerror(saved));
	va_end(ap);
	abort();
}

size_t t_page(void)
{
	static size_t bytes;
	size_t b = __atomic_load_n(&bytes, __ATOMIC_RELAXED);

	if (b == 0) {
		b = (size_t)sysconf(_SC_PAGESIZE);
		__atomic_store_n(&bytes, b, __ATOMIC_RELAXED);
	}
	return b;
}

size_t t_pages(size_t n)
{
	return n * t_page();
}

uint64_t t_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void t_sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
		;
}

struct t_random t_random_make(uint64_t seed)
{
	struct t_random r = { seed * 0x9e3779b97f4a7c15u +
			      0x2545f4914f6cdd1du };

	if (r.state == 0)
		r.state = 1;
	t_random_next(&r);
	return r;
}

uint64_t t_random_next(struct t_random *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * 0x2545f4914f6cdd1du;
}

uint64_t t_random_below(struct t_random *r, uint64_t limit)
{
	return (t_random_next(r) >> 11) % limit;
}

uint64_t t_env(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);

	if (text == NULL || *text == '\0')
		return fallback;
	return strtoull(text, NULL, 0);
}

unsigned int t_slow(void)
{
	return (unsigned int)t_env("PMV_SLOW", 1);
}

bool t_huge(void)
{
	return t_env("PMV_HUGE", 0) != 0;
}

void *t_map(size_t pages)
{
	return t_map_at(pages, t_page(), 0, t_huge());
}

/*
 * Where to ask for memory: low, where the kernel puts nothing by itself, and
 * never twice at the same place. What a test unmaps stays unmapped there; in
 * the highest gap that is large enough, the next mapping of the C library,
 * liburcu or a sanitizer would take its place, and be lost when the test unmaps
 * its range. ThreadSanitizer allows no such addresses.
 */
static void *low_address(size_t bytes)
{
#ifdef __SANITIZE_THREAD__
	(void)bytes;
	return NULL;
#else
	static _Atomic uintptr_t next = 0x200000000000;
	uintptr_t gap = (uintptr_t)1 << 30;

	return (void *)atomic_fetch_add(&next, bytes / gap * gap + 2 * gap);
#endif
}

void *t_map_at(size_t pages, size_t align_bytes, size_t off_bytes, bool huge)
{
	size_t bytes = t_pages(pages);
	size_t reserve = bytes + 2 * t_page() + align_bytes + off_bytes;
	uintptr_t start, at;
	char *area, *p;

	area = mmap(low_address(reserve), reserve, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		t_die("reserving %zu bytes", reserve);
	start = (uintptr_t)area + t_page();
	at = (start + align_bytes - 1) / align_bytes * align_bytes + off_bytes;
	p = area + (at - (uintptr_t)area);
	if (mmap(p, bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p)
		t_die("mapping %zu bytes", bytes);
	/* A kernel without huge pages answers EINVAL: then there are none. */
	(void)madvise(p, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (p - t_page() > area)
		munmap(area, (size_t)(p - t_page() - area));
	if (area + reserve > p + bytes + t_page())
		munmap(p + bytes + t_page(),
		       (size_t)(area + reserve - (p + bytes + t_page())));
	return p;
}

void t_unmap(void *addr, size_t pages)
{
	if (munmap((char *)addr - t_page(), t_pages(pages + 2)) != 0)
		t_die("unmapping");
}

void t_split_mapping(void *addr, size_t pages)
{
	if (madvise(addr, t_pages(pages), MADV_DONTDUMP) != 0)
		t_die("splitting a mapping");
}

void t_drop(void *addr, size_t pages)
{
	if (madvise(addr, t_pages(pages), MADV_DONTNEED) != 0)
		t_die("dropping %zu pages", pages);
}

int t_temp_file(void)
{
	char path[] = "/tmp/pagemv-test.XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		t_die("mkstemp");
	unlink(path);
	return fd;
}

bool t_can_drop_locked(void)
{
	/* Nothing is dropped: whether the advice is known comes first. */
	return madvise(NULL, 0, MADV_DONTNEED_LOCKED) == 0;
}
