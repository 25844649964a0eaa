// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * grow PATTERN THREADS BYTES SECONDS: blocks grow by the pattern, one for each
 * thread, to so many bytes all together. After so many seconds it gives up.
 *
 * With one thread there is no other in the process, and the clock stands still
 * while mappings are counted; with several, they are counted when all blocks
 * are there.
 */
#include "block.h"
#include "realloc_pattern.h"
#include "self.h"
#include "workload.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SETTLED_PART	8
#define SHRINKS		4
#define NEIGHBOUR_BYTES ((size_t)16 << 20)
#define PAGE		4096u

struct run {
	const struct realloc_pattern *pattern;
	unsigned int threads;
	size_t max_bytes; /* of one block */
	uint64_t limit_ns;
	uint64_t start_ns;
	pthread_barrier_t gate; /* of all growers and the main thread */
	struct workload_report *report;
	uint64_t cpu_ns; /* at the beginning, as what follows */
	uint64_t resident_kib;
	int64_t mappings;
	int64_t settled; /* mappings at an eighth of the size; 0: not yet */
};

struct grower {
	struct run *run;
	struct block block;
	pthread_t thread;
	uint64_t ops;
	uint64_t ns;
	uint64_t cpu_ns; /* of this thread */
	uint64_t since_ns;
	uint64_t since_cpu_ns;
	uint64_t wrong;
	bool gave_up;
	bool failed;
};

/* A few ns, and exact to some ms. */
static uint64_t coarse_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void clock_go(struct grower *grower)
{
	grower->since_cpu_ns = workload_thread_cpu_ns();
	grower->since_ns = workload_now_ns();
}

static void clock_stop(struct grower *grower)
{
	grower->ns += workload_now_ns() - grower->since_ns;
	grower->cpu_ns += workload_thread_cpu_ns() - grower->since_cpu_ns;
}

static void count_mappings(struct run *run, size_t bytes)
{
	struct workload_report *report = run->report;
	int64_t now = self_mappings();

	if (now - run->mappings > report->mappings)
		report->mappings = now - run->mappings;
	if (bytes < run->max_bytes / SETTLED_PART)
		return;
	if (!run->settled)
		run->settled = now;
	if (now - run->settled > report->late_mappings)
		report->late_mappings = now - run->settled;
}

/* Whether a size of so many bytes is the first beyond a power of two. */
static bool is_milestone(size_t from, size_t to)
{
	return to >= 1u << 20 && (from & to) < from && (from ^ to) > from;
}

static bool resize(struct grower *grower, size_t bytes)
{
	struct run *run = grower->run;
	size_t from = grower->block.bytes;

	if (!block_resize(&grower->block, bytes)) {
		grower->failed = true;
		return false;
	}
	grower->ops++;
	if (run->threads == 1 && is_milestone(from, bytes)) {
		clock_stop(grower);
		count_mappings(run, bytes);
		clock_go(grower);
	}
	grower->gave_up = coarse_ns() > run->start_ns + run->limit_ns;
	return !grower->gave_up;
}

static size_t next_size(const struct realloc_pattern *pattern, size_t bytes)
{
	if (pattern->percent)
		return bytes / 100 * pattern->percent +
		       bytes % 100 * pattern->percent / 100;
	return bytes + pattern->step_bytes;
}

static bool grow_to(struct grower *grower, size_t bytes)
{
	const struct realloc_pattern *pattern = grower->run->pattern;

	while (grower->block.bytes < bytes) {
		size_t next = next_size(pattern, grower->block.bytes);

		if (!resize(grower, next < bytes ? next : bytes))
			return false;
	}
	return true;
}

static void shrink_and_grow(struct grower *grower)
{
	size_t bytes = grower->block.bytes;

	for (int i = 0; i < SHRINKS; i++) {
		grower->block.marks /= 2;
		if (!resize(grower, bytes / 2) || !grow_to(grower, bytes))
			return;
	}
}

/* The child holds what it had when it was born, until the pipe is closed, and
 * then looks whether it still has it. */
static pid_t fork_sharer(const struct grower *grower, int *write_fd)
{
	pid_t parent = getpid();
	pid_t child;
	int fd[2];
	char byte;

	if (pipe(fd))
		return -1;
	child = fork();
	if (child) {
		close(fd[0]);
		*write_fd = fd[1];
		return child;
	}
	close(fd[1]);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(0);
	(void)!read(fd[0], &byte, 1);
	_exit(block_wrong(&grower->block) != 0);
}

static void grow_after_fork(struct grower *grower)
{
	size_t bytes = grower->run->max_bytes;
	int status = 0;
	pid_t child;
	int fd;

	if (!grow_to(grower, bytes / 2))
		return;
	child = fork_sharer(grower, &fd);
	if (child < 0) {
		grower->failed = true;
		return;
	}
	grower->ops = 0;
	grower->ns = 0;
	grower->cpu_ns = 0;
	clock_go(grower);
	grow_to(grower, bytes);
	clock_stop(grower);
	close(fd);
	waitpid(child, &status, 0);
	grower->wrong += status != 0;
	clock_go(grower);
}

/* From the first byte to the last; what is verified is not timed. */
static void grow(struct grower *grower)
{
	struct run *run = grower->run;

	grower->block.stride_bytes = run->pattern->stride_bytes;
	if (!block_begin(&grower->block, REALLOC_FIRST_BYTES)) {
		grower->failed = true;
		return;
	}
	if (run->pattern->fork)
		grow_after_fork(grower);
	else if (grow_to(grower, run->max_bytes) && run->pattern->shrink)
		shrink_and_grow(grower);
	clock_stop(grower);
}

static void *grow_in_thread(void *arg)
{
	struct grower *grower = arg;
	pthread_barrier_t *gate = &grower->run->gate;

	pthread_barrier_wait(gate); /* all are there */
	pthread_barrier_wait(gate); /* go; start_ns is set */
	clock_go(grower);
	grower->since_ns = grower->run->start_ns;
	grow(grower);
	pthread_barrier_wait(gate); /* all blocks have grown */
	pthread_barrier_wait(gate); /* and are counted */
	grower->wrong += block_wrong(&grower->block);
	block_end(&grower->block);
	return NULL;
}

static void begin(struct run *run)
{
	run->mappings = self_mappings();
	run->resident_kib = self_status_kib("VmRSS:");
	run->start_ns = workload_now_ns();
}

static void finish(struct run *run)
{
	uint64_t most_kib = self_status_kib("VmHWM:");

	count_mappings(run, run->threads == 1 ? run->max_bytes : 0);
	if (most_kib > run->resident_kib)
		run->report->peak_kib = most_kib - run->resident_kib;
}

static void add_up(struct run *run, const struct grower *grower)
{
	struct workload_report *report = run->report;

	report->ops += grower->ops;
	report->bytes += grower->block.bytes;
	report->wrong += grower->wrong;
	report->cpu_ns += grower->cpu_ns;
	report->gave_up |= grower->gave_up;
	if (grower->ns > report->wall_ns)
		report->wall_ns = grower->ns;
}

static bool run_alone(struct run *run, struct grower *grower)
{
	grower->run = run;
	begin(run);
	clock_go(grower);
	grow(grower);
	finish(run);
	grower->wrong += block_wrong(&grower->block);
	add_up(run, grower);
	block_end(&grower->block);
	return !grower->failed;
}

static bool run_threads(struct run *run, struct grower *grower)
{
	bool ok = true;

	pthread_barrier_init(&run->gate, NULL, run->threads + 1);
	for (unsigned int i = 0; i < run->threads; i++) {
		grower[i].run = run;
		grower[i].block.number = i;
		if (pthread_create(&grower[i].thread, NULL, grow_in_thread,
				   &grower[i]))
			return false; /* the process ends */
	}
	pthread_barrier_wait(&run->gate);
	begin(run);
	pthread_barrier_wait(&run->gate);
	pthread_barrier_wait(&run->gate);
	finish(run);
	pthread_barrier_wait(&run->gate);
	for (unsigned int i = 0; i < run->threads; i++) {
		pthread_join(grower[i].thread, NULL);
		add_up(run, &grower[i]);
		ok &= !grower[i].failed;
	}
	return ok;
}

struct neighbour {
	pthread_t thread;
	pthread_barrier_t begun;
	atomic_bool over;
	char *area;
};

static void *fault_pages(void *arg)
{
	struct neighbour *neighbour = arg;

	for (bool first = true;
	     /* Relaxed: it carries no data. */
	     !atomic_load_explicit(&neighbour->over, memory_order_relaxed);
	     first = false) {
		for (size_t i = 0; i < NEIGHBOUR_BYTES; i += PAGE)
			*(volatile char *)(neighbour->area + i) = 1;
		if (first)
			pthread_barrier_wait(&neighbour->begun);
		madvise(neighbour->area, NEIGHBOUR_BYTES, MADV_DONTNEED);
	}
	return NULL;
}

/* Its memory is there when it returns, and so is not counted as the block's. */
static bool neighbour_start(struct neighbour *neighbour)
{
	neighbour->area = mmap(NULL, NEIGHBOUR_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (neighbour->area == MAP_FAILED)
		return false;
	pthread_barrier_init(&neighbour->begun, NULL, 2);
	if (pthread_create(&neighbour->thread, NULL, fault_pages, neighbour))
		return false;
	pthread_barrier_wait(&neighbour->begun);
	return true;
}

static void neighbour_stop(struct neighbour *neighbour)
{
	atomic_store_explicit(&neighbour->over, true, memory_order_relaxed);
	pthread_join(neighbour->thread, NULL);
}

static bool parse(char *const *args, struct run *run)
{
	for (int i = 0; i < 4; i++)
		if (!args[i])
			return false;
	run->pattern = realloc_pattern_find(args[0]);
	run->threads = (unsigned int)strtoul(args[1], NULL, 10);
	if (!run->pattern || !run->threads ||
	    run->threads > WORKLOAD_MAX_THREADS)
		return false;
	run->max_bytes = strtoull(args[2], NULL, 10) / run->threads;
	run->limit_ns = (uint64_t)(strtod(args[3], NULL) * 1e9);
	return true;
}

const char *workload_grow(char *const *args, struct workload_report *report)
{
	static struct grower grower[WORKLOAD_MAX_THREADS];
	static struct neighbour neighbour;
	static struct run run;
	bool ok;

	run.report = report;
	if (!parse(args, &run))
		return "grow PATTERN THREADS BYTES SECONDS";
	if (run.pattern->neighbour && !neighbour_start(&neighbour))
		return "the neighbour cannot be started";
	ok = run.threads == 1 ? run_alone(&run, grower)
			      : run_threads(&run, grower);
	if (run.pattern->neighbour)
		neighbour_stop(&neighbour);
	return ok ? NULL : "out of memory";
}
