// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gc_case.h"
#include "gc_mutator.h"
#include "samples.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pagemv/base.h>

#define MUTATORS 2u
/* They run for so long before and behind a collection. */
#define MARGIN_NS 20000000
#define MIB	  ((size_t)1 << 20)

/* Of the process, which is one row's. */
static struct {
	struct gc *gc;
	struct gc_thread *thread;
	struct gc_mutator mutator[MUTATORS];
	unsigned int mutators;
	struct bench_samples stalls;
} row;

static bool failed(struct bench_shared *shared, const char *what, int rc)
{
	snprintf(shared->why, sizeof(shared->why), "%s%s%s", what,
		 rc ? ": " : "", rc ? pagemv_strerror(rc) : "");
	return false;
}

static bool order_all(enum gc_order order)
{
	bool ok = true;

	for (unsigned int i = 0; i < row.mutators; i++)
		gc_mutator_order(&row.mutator[i], order);
	for (unsigned int i = 0; i < row.mutators; i++)
		ok &= gc_mutator_wait(&row.mutator[i]);
	return ok;
}

static bool begin(struct bench_shared *shared, const void *arg)
{
	const struct gc_kind *kind = arg;
	size_t live = kind->heap_mib * MIB;
	struct gc_opts opts = { .mode = kind->mode,
				.small_bytes = 3 * live + 64 * MIB,
				.large_bytes = 3 * live + 64 * MIB };
	int rc = gc_open(&row.gc, &opts);
	bool ok = true;

	if (rc == 0)
		rc = gc_attach(row.gc, 0, &row.thread);
	if (rc < 0)
		return failed(shared, "the collector", rc);
	gc_leave(row.thread);
	row.mutators = kind->mutators;
	for (unsigned int i = 0; i < row.mutators && rc == 0; i++) {
		row.mutator[i].gc = row.gc;
		row.mutator[i].work = (struct gc_work){
			.workload = kind->workload,
			.live_bytes = live / kind->mutators,
			.random = i + 1,
		};
		rc = gc_mutator_start(&row.mutator[i]);
	}
	if (rc < 0)
		return failed(shared, "a thread", rc);
	for (unsigned int i = 0; i < row.mutators; i++)
		ok &= gc_mutator_wait(&row.mutator[i]);
	return ok || failed(shared, "the heap is full", 0);
}

/* ---- a turn ---- */

static void rest_ns(long ns)
{
	nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

static uint64_t reads(void)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < row.mutators; i++)
		n += atomic_load(&row.mutator[i].reads);
	return n;
}

/* From now on VmHWM counts anew. */
static void forget_peak(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "5", 1);
	close(fd);
}

static double peak_bytes(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[128];

	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "VmHWM: %lu kB", &kib) == 1)
			break;
	if (status)
		fclose(status);
	return (double)kib * 1024;
}

/* How much of a stall is the collection's: what lies in it, without the time in
 * which objects were marked. */
static double caused_ns(const struct gc_stall *s, const struct gc_figures *f)
{
	uint64_t from = s->from, to = s->to, marked = 0;

	if (to <= f->stopped_at || from >= f->done_at)
		return 0;
	if (from < f->marked_at && to > f->stopped_at)
		marked = (to < f->marked_at ? to : f->marked_at) -
			 (from > f->stopped_at ? from : f->stopped_at);
	return (double)(to - from - marked);
}

static void sum_up(struct gc_shared *out, const struct gc_figures *f)
{
	out->stall_max_ns = out->own_max_ns = 0;
	row.stalls.n = 0;
	for (unsigned int i = 0; i < row.mutators; i++) {
		const struct gc_mutator *m = &row.mutator[i];

		out->wrong += m->work.wrong;
		for (size_t k = 0; k < m->stalls; k++) {
			double ns = caused_ns(&m->stall[k], f);

			if (ns <= 0 || bench_samples_add(&row.stalls, ns))
				continue;
			if (ns > out->stall_max_ns)
				out->stall_max_ns = ns;
			/* It waits for no CPU while all are stopped. */
			if (ns > out->own_max_ns && !m->stall[k].preempted)
				out->own_max_ns = ns;
		}
	}
	out->stall_p99_ns = bench_samples_quantile(&row.stalls, 0.99);
	out->pause_ns = (double)(f->resumed_at - f->marked_at);
	out->mark_ns = (double)(f->marked_at - f->stopped_at);
	out->compact_ns = (double)(f->done_at - f->marked_at);
	out->live_bytes = (double)f->live_bytes;
}

/* One collection, beside the mutators. */
static int collect(struct gc_shared *out)
{
	uint64_t n, from;
	int rc;

	gc_enter(row.thread);
	rc = gc_collect(row.thread);
	n = reads();
	from = bench_now_ns();
	if (rc == 0)
		rc = gc_settle(row.thread);
	out->ops_per_s = (double)(reads() - n) * 1e9 /
			 (double)(bench_now_ns() - from + 1);
	gc_leave(row.thread);
	return rc;
}

static bool turn(struct bench_shared *shared)
{
	struct gc_shared *out = (struct gc_shared *)shared;
	struct gc_figures figures;
	bool ok;
	int rc;

	if (!order_all(GC_CHURN))
		return failed(shared, "the heap is full", 0);
	for (unsigned int i = 0; i < row.mutators; i++)
		gc_mutator_order(&row.mutator[i], GC_RUN);
	rest_ns(MARGIN_NS);
	forget_peak();
	rc = collect(out);
	out->peak_rss_bytes = peak_bytes();
	rest_ns(MARGIN_NS);
	for (unsigned int i = 0; i < row.mutators; i++)
		atomic_store(&row.mutator[i].stop, true);
	ok = true;
	for (unsigned int i = 0; i < row.mutators; i++)
		ok &= gc_mutator_wait(&row.mutator[i]);
	if (rc < 0)
		return failed(shared, "a collection", rc);
	if (!ok)
		return failed(shared, "the heap is full", 0);
	gc_figures(row.gc, &figures);
	sum_up(out, &figures);
	return !out->wrong ||
	       failed(shared, "objects are not what they were", 0);
}

const struct bench_part gc_case_part = {
	.begin = begin,
	.turn = turn,
	.shared_bytes = sizeof(struct gc_shared),
};
