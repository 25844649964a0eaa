// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Faults without userfaultfd: the kernel's own, and what collectors do.
 */
#include "fault_case.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

/* Of this process. */
static size_t page_bytes;

/* The page is there, and is let be touched. */
static void allow(int signal, siginfo_t *info, void *ucontext)
{
	uintptr_t page = (uintptr_t)info->si_addr & ~(page_bytes - 1);

	(void)signal;
	(void)ucontext;
	if (mprotect((void *)page, page_bytes, PROT_READ | PROT_WRITE))
		fault_case_die(-errno);
}

static int protect(struct fault_case *c, int prot)
{
	return mprotect(c->area.dst, fault_area_bytes(&c->area), prot) ? -errno
								       : 0;
}

static int stock(struct fault_case *c, const size_t *block, size_t n)
{
	fault_case_write(c, c->area.dst, block, n);
	return 0;
}

static int arm(struct fault_case *c)
{
	struct sigaction action = {
		.sa_sigaction = allow,
		.sa_flags = SA_SIGINFO,
	};

	page_bytes = c->area.page_bytes;
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGSEGV, &action, &c->old))
		return -errno;
	return protect(c, PROT_NONE);
}

static void disarm(struct fault_case *c)
{
	sigaction(SIGSEGV, &c->old, NULL);
	protect(c, PROT_READ | PROT_WRITE);
}

const struct fault_ways fault_mprotect = {
	.arm = arm,
	.disarm = disarm,
	.stock = stock,
	.fills = true,
};

const struct fault_ways fault_kernel = { .fills = false };
