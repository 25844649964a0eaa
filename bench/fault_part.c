// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fault_part.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define STATE_PAGES 65536

/* Of this process. */
static struct fault_case the_case;

static bool fail(struct bench_shared *shared, const char *doing, int rc)
{
	enum pagemv_reason reason = the_case.reason;

	snprintf(shared->why, sizeof(shared->why), "%s: %s", doing,
		 reason ? pagemv_reason_string(reason) : pagemv_strerror(rc));
	return false;
}

static bool begin_case(struct bench_shared *head, const void *arg)
{
	struct fault_shared *shared = (struct fault_shared *)head;
	const char *doing;
	int rc = fault_case_open(&the_case, arg, &doing);

	shared->moves = the_case.moves;
	return rc ? fail(head, doing, rc) : true;
}

static bool turn_case(struct bench_shared *head)
{
	struct fault_shared *shared = (struct fault_shared *)head;
	const char *doing;
	int rc = fault_turn(&the_case, &shared->timed, &doing);

	if (rc)
		return fail(head, doing, rc);
	if (!shared->timed.wrong)
		return true;
	snprintf(head->why, sizeof(head->why), "LOST OR CHANGED %zu pages",
		 shared->timed.wrong);
	return false;
}

/* The address space of this process. */
static double mapped_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	if (file && fscanf(file, "%lu", &pages) != 1)
		pages = 0;
	if (file)
		fclose(file);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static int register_zeros(struct pagemv *pv, char *addr, size_t bytes)
{
	struct pagemv_region_opts opts = {
		.size = sizeof(opts),
		.flags = PAGEMV_REGION_FAULTING | PAGEMV_REGION_AROUND_FIXED,
		.delivery = PAGEMV_DELIVERY_SIGNAL,
		.source = PAGEMV_SOURCE_ZERO,
		.around_pages = PAGEMV_AROUND_MAX,
	};
	struct pagemv_region *region;

	return pagemv_region_register(pv, addr, bytes, &opts, &region,
				      &the_case.reason);
}

/*
 * What a region of so many pages takes beside the pages themselves, once all
 * of them have come. The first region of a handle brings other memory along.
 */
static int measure_state(double *bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t len = STATE_PAGES * page;
	char *addr = mmap(NULL, 2 * len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct pagemv *pv;
	double before;
	int rc;

	if (addr == MAP_FAILED)
		return -ENOMEM;
	rc = pagemv_open(&pv, NULL);
	if (!rc)
		rc = register_zeros(pv, addr, page);
	if (!rc)
		rc = pagemv_populate(pv, addr, page, NULL);
	before = mapped_bytes();
	if (!rc)
		rc = register_zeros(pv, addr + len, len);
	if (!rc)
		rc = pagemv_populate(pv, addr + len, len, NULL);
	*bytes = (mapped_bytes() - before) / STATE_PAGES;
	return rc;
}

static bool begin_state(struct bench_shared *head, const void *arg)
{
	struct fault_shared *shared = (struct fault_shared *)head;
	int rc = measure_state(&shared->state_bytes);

	(void)arg;
	return rc ? fail(head, "measuring memory", rc) : true;
}

const struct bench_part fault_case_part = {
	.begin = begin_case,
	.turn = turn_case,
	.shared_bytes = sizeof(struct fault_shared),
};

const struct bench_part fault_state_part = {
	.begin = begin_state,
	.shared_bytes = sizeof(struct fault_shared),
};
