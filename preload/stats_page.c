// SPDX-License-Identifier: LGPL-2.1-or-later
#include "stats_page.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <pagemv/pagemv.h>

/* Newer than the headers may be. */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef PR_SET_VMA_ANON_NAME
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

_Static_assert(offsetof(struct pmv_stats_page, inherited) == 576,
	       "the layout of version 1");

static bool name_mapping(void *addr, size_t bytes)
{
	return !prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, (unsigned long)addr,
		      bytes, PMV_STATS_PAGE_NAME);
}

/* Without the flag the kernel may refuse, or write to its log; older ones do
 * not know it. */
static int open_memfd(void)
{
	int fd = memfd_create(PMV_STATS_PAGE_NAME,
			      MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(PMV_STATS_PAGE_NAME, MFD_CLOEXEC);
	return fd;
}

/* Growing a file beyond the limit is answered by SIGXFSZ. */
static bool may_have_file(size_t bytes)
{
	struct rlimit limit;

	return !getrlimit(RLIMIT_FSIZE, &limit) &&
	       (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= bytes);
}

static bool map_memfd(void *addr, size_t bytes)
{
	void *mapped = MAP_FAILED;
	int fd;

	if (!may_have_file(bytes))
		return false;
	fd = open_memfd();
	if (fd < 0)
		return false;
	if (!ftruncate(fd, (off_t)bytes))
		mapped = mmap(addr, bytes, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_FIXED, fd, 0);
	close(fd);
	return mapped != MAP_FAILED;
}

static struct pmv_stats_page *map_page(void)
{
	const size_t bytes = sizeof(struct pmv_stats_page);
	void *addr = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr == MAP_FAILED)
		return NULL;
	if (name_mapping(addr, bytes) || map_memfd(addr, bytes))
		return addr;
	munmap(addr, bytes);
	return NULL;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_BOOTTIME, &now))
		return 0;
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void copy_text(char *to, size_t cap, const char *from)
{
	size_t len = strnlen(from, cap - 1);

	memcpy(to, from, len);
	to[len] = '\0';
}

struct pmv_stats_page *pmv_stats_page_make(const char *settings)
{
	int saved = errno;
	struct pmv_stats_page *page = map_page();

	errno = saved;
	if (!page)
		return NULL;
	page->version = PMV_STATS_PAGE_VERSION;
	page->page_bytes = sizeof(*page);
	page->counters_off = offsetof(struct pmv_stats_page, counter);
	page->counters = PAGEMV_HEAP_COUNTERS;
	page->counter_bytes = sizeof(page->counter[0]);
	page->pid = (uint32_t)getpid();
	page->start_ns = now_ns();
	copy_text(page->library, sizeof(page->library), pagemv_version());
	copy_text(page->settings, sizeof(page->settings), settings);
	/* Last: what has the magic is whole. Pairs with the reader in another
	 * process, who sees the page by a system call only. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy(page->magic, PMV_STATS_PAGE_MAGIC, sizeof(page->magic));
	return page;
}

static void add(struct pagemv_heap_counters *sum,
		const struct pagemv_heap_counters *counter)
{
	const uint64_t *from = (const uint64_t *)counter;
	uint64_t *to = (uint64_t *)sum;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void pmv_stats_page_child(struct pmv_stats_page *page)
{
	struct pagemv_heap_counters sum = { 0 };

	if (!page)
		return;
	for (size_t i = 0; i < PAGEMV_HEAP_COUNTERS; i++)
		add(&sum, &page->counter[i]);
	page->inherited = sum;
	page->pid = (uint32_t)getpid();
	page->start_ns = now_ns();
}
