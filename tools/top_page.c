// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv top: one process, and what its statistics page has.
 *
 * The page is read through /proc/PID/mem: the file descriptor belongs to the
 * program that ran when it was opened, and reads nothing once that has ended,
 * so that neither an exec nor a process number used again is taken for it.
 * ASSUME(proc-mem): fs/proc/base.c, mem_open() and mem_rw().
 *
 * What is read there any process could have written: it is checked, and shown
 * as figures and printable text only.
 */
#include "top.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "stats_page.h"

/* Of all counters together. */
#define MAX_BYTES 65536u

/* The part that every counter of version 1 has. */
#define MIN_COUNTER_BYTES sizeof(struct pagemv_heap_counters)

static int open_memory(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

/* 0, -ESRCH when there is no memory any more, -EPROTO when it is not there. */
static int read_memory(int fd, uint64_t addr, void *to, size_t bytes)
{
	ssize_t n = pread(fd, to, bytes, (off_t)addr);

	if (n == (ssize_t)bytes)
		return 0;
	if (n < 0)
		return errno == EIO ? -EPROTO : -errno;
	return n ? -EPROTO : -ESRCH;
}

static bool is_sane(const struct pmv_stats_page *page)
{
	return page->version == PMV_STATS_PAGE_VERSION && page->counters &&
	       page->counter_bytes >= MIN_COUNTER_BYTES &&
	       page->counters <= MAX_BYTES / page->counter_bytes &&
	       page->counters_off >= sizeof(*page) - sizeof(page->counter);
}

static void take_text(char *to, size_t cap, const char *from, size_t from_cap)
{
	snprintf(to, cap, "%.*s", (int)from_cap, from);
	top_make_printable(to);
}

/* -ENODATA while it has no magic: it is being made. */
static int read_head(struct top_process *process)
{
	struct pmv_stats_page page;
	int rc = read_memory(process->mem, process->page, &page,
			     offsetof(struct pmv_stats_page, counter));

	if (rc)
		return rc;
	if (memcmp(page.magic, PMV_STATS_PAGE_MAGIC, sizeof(page.magic)) != 0)
		return -ENODATA;
	if (!is_sane(&page))
		return -EPROTO;
	process->counters_off = page.counters_off;
	process->counters = page.counters;
	process->counter_bytes = page.counter_bytes;
	process->page_pid = page.pid;
	process->start_ns = page.start_ns;
	process->inherited = page.inherited;
	take_text(process->library, sizeof(process->library), page.library,
		  sizeof(page.library));
	take_text(process->settings, sizeof(process->settings), page.settings,
		  sizeof(page.settings));
	return 0;
}

static void add(struct pagemv_heap_counters *sum, const char *counter)
{
	struct pagemv_heap_counters from;
	uint64_t *to = (uint64_t *)sum;

	memcpy(&from, counter, sizeof(from));
	for (size_t i = 0; i < sizeof(from) / sizeof(*to); i++)
		to[i] += ((const uint64_t *)&from)[i];
}

static int read_sum(const struct top_process *process,
		    struct pagemv_heap_counters *sum)
{
	uint32_t each = process->counter_bytes;
	char counters[MAX_BYTES];
	int rc = read_memory(process->mem,
			     process->page + process->counters_off, counters,
			     (size_t)process->counters * each);

	*sum = (struct pagemv_heap_counters){ 0 };
	for (uint32_t i = 0; i < process->counters && !rc; i++)
		add(sum, counters + (size_t)i * each);
	return rc;
}

static int find(pid_t pid, uint64_t *addr)
{
	int rc = top_find_page(pid, addr);

	if (rc < 0)
		return rc;
	if (rc != TOP_PAGE)
		return rc == TOP_SHIM_ONLY ? -ENODATA : -ENOENT;
	return 0;
}

/* The shim makes the page for the first block that it serves. */
static int await_page(struct top_process *process)
{
	int rc = find(process->pid, &process->page);

	if (!rc)
		rc = read_head(process);
	if (rc)
		process->page = 0;
	if (rc == -ENODATA)
		return 0;
	return rc == -ENOENT ? -ESRCH : rc;
}

int top_sample(struct top_process *process)
{
	struct top_sample sample = { .at_ns = top_now_ns() };
	int rc = process->page ? 0 : await_page(process);

	if (!rc && process->page)
		rc = read_sum(process, &sample.sum);
	if (rc)
		return rc;
	process->before = process->now;
	process->now = sample;
	return 0;
}

int top_attach(pid_t pid, struct top_process *process)
{
	int rc;

	*process = (struct top_process){ .pid = pid, .mem = -1 };
	rc = find(pid, &process->page);
	process->page = 0;
	if (rc && (rc != -ENODATA || top_is_switched_off(pid)))
		return rc;
	process->start_ns = top_now_ns();
	process->mem = open_memory(pid);
	if (process->mem < 0)
		return process->mem;
	/* After an exec meanwhile there is no magic at the address. */
	rc = top_sample(process);
	if (rc)
		top_detach(process);
	else
		top_command(pid, process->command, sizeof(process->command));
	return rc;
}

void top_detach(struct top_process *process)
{
	if (process->mem >= 0)
		close(process->mem);
	process->mem = -1;
}
