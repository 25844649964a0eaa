/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "numa.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "proc.h"
#include "t.h"

#define NO_NODE 100000

/* Where the calling thread may run. */
static cpu_set_t mine(void)
{
	cpu_set_t set;

	cr_assert(sched_getaffinity(0, sizeof(set), &set) == 0);
	return set;
}

/* The CPUs of node 0 as the kernel lists them: "0-3,8". */
static bool node_0(cpu_set_t *set)
{
	char text[4096], *at = text;
	int from, to, used;

	CPU_ZERO(set);
	if (!t_read_file("/sys/devices/system/node/node0/cpulist", text,
			 sizeof(text)))
		return false;
	while (sscanf(at, "%d%n", &from, &used) == 1) {
		at += used;
		to = from;
		if (sscanf(at, "-%d%n", &to, &used) == 1)
			at += used;
		for (int cpu = from; cpu <= to; cpu++)
			CPU_SET(cpu, set);
		if (*at++ != ',')
			break;
	}
	return CPU_COUNT(set) > 0;
}

static cpu_set_t need_node_0(void)
{
	cpu_set_t set;

	if (!node_0(&set) || !pmv_numa_has(0))
		cr_skip("this kernel tells nothing of nodes");
	return set;
}

Test(numa, a_node_that_is_not_there_is_refused)
{
	cpu_set_t before = mine(), after;

	errno = 7;
	cr_expect(!pmv_numa_has(-1));
	cr_expect(!pmv_numa_has(NO_NODE));
	cr_expect(pmv_numa_run_on(NO_NODE) == -EINVAL);
	cr_expect(pmv_numa_run_on(-1) == -EINVAL);
	cr_expect(errno == 7, "errno is kept");
	after = mine();
	cr_expect(CPU_EQUAL(&before, &after), "nothing has changed");
}

Test(numa, runs_on_the_cpus_of_a_node)
{
	cpu_set_t want = need_node_0(), before = mine(), got;

	errno = 7;
	cr_expect(pmv_numa_run_on(0) == 0);
	cr_expect(errno == 7, "errno is kept");
	CPU_AND(&want, &want, &before);
	got = mine();
	cr_expect(CPU_EQUAL(&got, &want));
}

Test(numa, a_thread_that_was_confined_stays_so)
{
	cpu_set_t want = need_node_0(), one, got;
	int cpu = 0;

	while (!CPU_ISSET(cpu, &want))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		cr_skip("this process may not run on a CPU of node 0");
	cr_expect(pmv_numa_run_on(0) == 0);
	got = mine();
	cr_expect(CPU_EQUAL(&got, &one));
}
