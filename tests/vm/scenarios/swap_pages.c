/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "swap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/swap.h>

#include "cases.h"
#include "lab.h"

/* The page is on its way to the swap, in it, or in the swap cache. */
#define PM_SWAPPED (UINT64_C(1) << 62)
#define PM_PRESENT (UINT64_C(1) << 63)

/* ---- swap areas ---- */

struct area zram = { "zram", "/dev/zram0", false };
struct area disk = { "disk", "/dev/vda", false };
struct area *const areas[AREAS] = { &zram, &disk };

void make_area(struct area *a)
{
	char command[80];

	if (a == &zram) {
		t_write_file("/sys/block/zram0/reset", "1");
		t_write_file("/sys/block/zram0/disksize", "256M");
	}
	snprintf(command, sizeof(command), "mkswap %s >/dev/null 2>&1",
		 a->path);
	a->there = access(a->path, W_OK) == 0 && system(command) == 0;
}

void switch_on(const struct area *a)
{
	if (swapon(a->path, SWAP_FLAG_PREFER | 1) != 0)
		t_die("swapon %s: %d", a->path, errno);
}

void switch_off(const struct area *a)
{
	if (swapoff(a->path) != 0)
		t_die("swapoff %s: %d", a->path, errno);
}

/* ---- pages in and out ---- */

/* Threads and children ask as well: a descriptor for each question. */
static void read_entries(const char *addr, uint64_t *entries, size_t pages)
{
	off_t at = (off_t)((uintptr_t)addr / t_page() * sizeof(*entries));
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t bytes = pages * sizeof(*entries);

	if (fd < 0 || pread(fd, entries, bytes, at) != (ssize_t)bytes)
		t_die("reading pagemap");
	close(fd);
}

size_t count_swapped(const char *addr, size_t pages)
{
	uint64_t entries[2 * HUGE_PAGES];
	size_t i, n = 0;

	read_entries(addr, entries, pages);
	for (i = 0; i < pages; i++)
		n += (entries[i] & PM_SWAPPED) != 0;
	return n;
}

enum state state_of(char *page)
{
	unsigned char in_core = 0;
	uint64_t entry;

	read_entries(page, &entry, 1);
	if ((entry & PM_PRESENT) != 0)
		return IN;
	if ((entry & PM_SWAPPED) == 0)
		return HOLE;
	/* For a swap entry: is its page in the swap cache? */
	if (mincore(page, t_page(), &in_core) != 0)
		t_die("mincore");
	return (in_core & 1) != 0 ? CACHED : OUT;
}

void stay_here(bool stay)
{
	static cpu_set_t all;
	cpu_set_t here;

	if (!stay) {
		(void)sched_setaffinity(0, sizeof(all), &all);
		return;
	}
	if (sched_getaffinity(0, sizeof(all), &all) != 0)
		t_die("sched_getaffinity");
	CPU_ZERO(&here);
	CPU_SET((size_t)sched_getcpu(), &here);
	(void)sched_setaffinity(0, sizeof(here), &here);
}

size_t page_out(char *addr, size_t pages)
{
	size_t out = 0;
	int i;

	for (i = 0; i < 50 && out < pages; i++) {
		if (i > 0)
			t_sleep_ms(2);
		madvise(addr, t_pages(pages), MADV_PAGEOUT);
		out = count_swapped(addr, pages);
	}
	return out;
}

const char *all_out(char *addr, size_t pages)
{
	size_t out = page_out(addr, pages);

	if (out >= pages - pages / 8)
		return NULL;
	return wrong("only %zu of %zu pages could be swapped out", out, pages);
}

size_t count_state(char *addr, size_t pages, enum state state)
{
	size_t i, n = 0;

	for (i = 0; i < pages; i++)
		n += state_of(addr + t_pages(i)) == state;
	return n;
}

bool can_empty_cache(void)
{
	return access(CGROUP "/memory.reclaim", W_OK) == 0;
}

void empty_cache(char *addr, size_t pages)
{
	int i;

	if (!can_empty_cache())
		return;
	for (i = 0; i < 50 && count_state(addr, pages, CACHED) > 0; i++) {
		t_write_file(CGROUP "/memory.reclaim", "1M");
		t_sleep_ms(1);
	}
}

const char *no_huge_pages(void)
{
	return access(THP "enabled", W_OK) == 0
		       ? NULL
		       : "this kernel has no huge pages";
}

/* ---- what was seen ---- */

static char numbers[400];

void note(const char *f, ...)
{
	size_t len = strlen(numbers);
	va_list ap;

	if (len > 0)
		len += (size_t)snprintf(numbers + len, sizeof(numbers) - len,
					", ");
	va_start(ap, f);
	vsnprintf(numbers + len, sizeof(numbers) - len, f, ap);
	va_end(ap);
}

void say_numbers(const struct area *a, const char *topic)
{
	lab_seen(topic, "%s%s%s", a ? a->name : "", a ? ": " : "", numbers);
	numbers[0] = '\0';
}
