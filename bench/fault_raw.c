// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The least that fills a page on demand: one ioctl in a signal handler, or
 * in a thread that sleeps in read(). No region is looked up, no page claimed.
 */
#include "fault_case.h"
#include "thread.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Of this process; constant while a turn lasts. */
static const struct fault_case *served;

/*
 * Kernels from 6.18 on may have moved pages that they did not count, and then
 * wake nobody. Page by page, what is there already is known by EEXIST, what has
 * left by ENOENT. Not part of what is measured: some calls in a thousand.
 */
static void repair(char *dst)
{
	const struct fault_area *area = &served->area;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct uffdio_range range = { (uintptr_t)dst, area->block_bytes };

	for (size_t off = 0; off < area->block_bytes; off += page) {
		char *at = dst + off;
		int rc = bench_rawuffd_move(served->raw.fd, at,
					    at + (area->src - area->dst), page);

		if (rc && rc != -EEXIST && rc != -ENOENT && rc != -EAGAIN)
			fault_case_die(rc);
	}
	ioctl(served->raw.fd, UFFDIO_WAKE, &range);
}

static void fill(uintptr_t addr)
{
	const struct fault_area *area = &served->area;
	char *dst = (char *)(addr & ~(area->block_bytes - 1));
	int fd = served->raw.fd;
	int rc;

	if (served->moves)
		rc = bench_rawuffd_move(fd, dst, dst + (area->src - area->dst),
					area->block_bytes);
	else
		rc = bench_rawuffd_copy(fd, dst, served->warm,
					area->block_bytes);
	if (served->moves && (rc == -EEXIST || rc == -EAGAIN))
		repair(dst);
	else if (rc)
		fault_case_die(rc);
}

static void handle(int signal, siginfo_t *info, void *ucontext)
{
	(void)signal;
	(void)ucontext;
	fill((uintptr_t)info->si_addr);
}

static void *serve(void *arg)
{
	struct uffd_msg msg;

	(void)arg;
	/* A cancellation point, and the way it ends. */
	while (read(served->raw.fd, &msg, sizeof(msg)) == sizeof(msg))
		if (msg.event == UFFD_EVENT_PAGEFAULT)
			fill((uintptr_t)msg.arg.pagefault.address);
	fault_case_die(-errno);
}

/* As many registrations as the library makes; the kernel makes one of them. */
static int attach(struct fault_case *c, uint64_t features)
{
	size_t bytes = fault_area_bytes(&c->area) / c->kind.regions;
	int rc = 0;

	bench_rawuffd_open(&c->raw, features);
	if (c->raw.fd < 0)
		return c->raw.error;
	for (size_t i = 0; !rc && i < c->kind.regions; i++)
		rc = bench_rawuffd_register(&c->raw, c->area.dst + i * bytes,
					    bytes, true);
	return rc;
}

static int attach_signal(struct fault_case *c)
{
	return attach(c, UFFD_FEATURE_SIGBUS);
}

static int attach_thread(struct fault_case *c)
{
	return attach(c, 0);
}

static int arm_signal(struct fault_case *c)
{
	struct sigaction action = {
		.sa_sigaction = handle,
		.sa_flags = SA_SIGINFO,
	};

	served = c;
	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, &c->old) ? -errno : 0;
}

static void disarm_signal(struct fault_case *c)
{
	sigaction(SIGBUS, &c->old, NULL);
}

static int arm_thread(struct fault_case *c)
{
	served = c;
	return bench_thread_start(&c->server, -1, serve, NULL);
}

static void disarm_thread(struct fault_case *c)
{
	pthread_cancel(c->server);
	pthread_join(c->server, NULL);
}

const struct fault_ways fault_raw_signal = {
	.attach = attach_signal,
	.arm = arm_signal,
	.disarm = disarm_signal,
	.stock = fault_case_stock,
	.fills = true,
};

const struct fault_ways fault_raw_thread = {
	.attach = attach_thread,
	.arm = arm_thread,
	.disarm = disarm_thread,
	.stock = fault_case_stock,
	.fills = true,
};
