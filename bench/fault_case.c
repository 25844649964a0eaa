// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fault_case.h"
#include "pair.h"
#include "thread.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct fault_ways *const ways[FAULT_DELIVERIES] = {
	[FAULT_SIGNAL] = &fault_library_signal,
	[FAULT_THREAD] = &fault_library_thread,
	[FAULT_THREAD_SPIN] = &fault_library_spin,
	[FAULT_RAW_SIGNAL] = &fault_raw_signal,
	[FAULT_RAW_THREAD] = &fault_raw_thread,
	[FAULT_MPROTECT_SEGV] = &fault_mprotect,
	[FAULT_KERNEL] = &fault_kernel,
};

void fault_case_write(const struct fault_case *c, char *range,
		      const size_t *block, size_t n)
{
	size_t page = c->area.page_bytes;
	size_t around = c->kind.around;

	for (size_t i = 0; i < n; i++)
		for (size_t p = 0; p < around; p++) {
			size_t number = block[i] * around + p;

			bench_page_write(range + number * page, page,
					 (uint32_t)number, 1);
		}
}

int fault_case_stock(struct fault_case *c, const size_t *block, size_t n)
{
	if (c->moves)
		fault_case_write(c, c->area.src, block, n);
	return 0;
}

int fault_case_cpu(const struct fault_case *c, unsigned int i)
{
	unsigned int n = i % c->cpus;

	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &c->allowed) && n-- == 0)
			return cpu;
	return -1;
}

static int settle(struct fault_case *c)
{
	if (sched_getaffinity(0, sizeof(c->allowed), &c->allowed))
		return -errno;
	c->cpus = (unsigned int)CPU_COUNT(&c->allowed);
	bench_thread_pin(fault_case_cpu(c, 0));
	return 0;
}

static bool kernel_moves(void)
{
	struct bench_rawuffd raw;

	bench_rawuffd_open(&raw, 0);
	bench_rawuffd_close(&raw);
	return raw.has_move;
}

static int warm_up(struct fault_case *c)
{
	static const size_t first = 0;

	c->warm = aligned_alloc(c->area.page_bytes, c->area.block_bytes);
	if (!c->warm)
		return -ENOMEM;
	fault_case_write(c, c->warm, &first, 1);
	return 0;
}

int fault_case_open(struct fault_case *c, const struct fault_kind *kind,
		    const char **doing)
{
	int rc;

	*c = (struct fault_case){
		.kind = *kind,
		.ways = ways[kind->delivery],
		.moves = kernel_moves(),
		.raw.fd = -1,
	};
	*doing = "preparing memory";
	rc = settle(c);
	if (!rc)
		rc = fault_area_open(&c->area, kind->around);
	if (!rc && !c->moves)
		rc = warm_up(c);
	if (rc || !c->ways->attach)
		return rc;
	*doing = "registering";
	return c->ways->attach(c);
}

void fault_case_die(int rc)
{
	_exit(-rc);
}
