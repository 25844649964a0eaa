// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "internal.h"
#include "kernel.h"
#include "region.h"
#include "scratch.h"
#include "staging.h"

#define MECHANISMS_ALL                        \
	(PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) |  \
	 PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP) | \
	 PAGEMV_MECH_BIT(PAGEMV_MECH_COPY) |  \
	 PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION))

PMV_HOT int pmv_opts_copy(void *to, size_t to_bytes, const void *from)
{
	size_t from_bytes = *(const size_t *)from;
	const unsigned char *tail;

	if (from_bytes < sizeof(size_t))
		return -EINVAL;
	memcpy(to, from, pmv_min(to_bytes, from_bytes));
	tail = from;
	for (size_t i = to_bytes; i < from_bytes; i++)
		if (tail[i])
			return -E2BIG;
	return 0;
}

int pmv_closed_errors(int rc)
{
	switch (rc) {
	case 0:
	case -EINVAL:
	case -E2BIG:
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
	case -ESRCH:
		return rc;
	default:
		return -EIO;
	}
}

int pmv_open_opts(struct pagemv_open_opts *o,
		  const struct pagemv_open_opts *opts)
{
	int rc = opts ? pmv_opts_copy(o, sizeof(*o), opts) : 0;

	if (rc < 0)
		return rc;
	if (o->flags & ~PAGEMV_OPEN_FLAGS_ALL ||
	    o->disabled & ~(uint32_t)MECHANISMS_ALL ||
	    (o->trusted | o->distrusted) & ~PAGEMV_QUIRKS_ALL ||
	    o->trusted & o->distrusted)
		return -EINVAL;
	return 0;
}

/* A page that a forked child finds wiped; by Linux 4.14. */
static void mark_alive(struct pagemv *pv)
{
	uintptr_t page;

	pv->pid = pv->sys->getpid();
	if (pv->sys->mmap(&page, pv->page_bytes, PROT_READ | PROT_WRITE) < 0)
		return;
	if (pv->sys->madvise(page, pv->page_bytes, MADV_WIPEONFORK) < 0) {
		pv->sys->munmap(page, pv->page_bytes);
		return;
	}
	*(uint32_t *)page = PMV_ALIVE;
	pv->alive = (const uint32_t *)page;
}

static void free_costs(const struct pmv_costs *costs)
{
	while (costs != &pmv_default_costs) {
		const struct pmv_costs *older = costs->older;

		free((void *)costs);
		costs = older;
	}
}

static void destroy(struct pagemv *pv)
{
	/* A forked child shares nothing of this with its parent but the
	 * descriptors, of which it has its own copies. */
	if (atomic_load(&pv->extents))
		pmv_regions_end(pv);
	pmv_handles_remove(pv);
	pmv_handlers_close(pv);
	pmv_staging_close(pv);
	if (atomic_load(&pv->extents))
		pmv_regions_close(pv);
	pmv_scratch_close(pv);
	pmv_channels_close(pv);
	pmv_kernel_close(pv);
	pthread_mutex_destroy(&pv->handler_lock);
	if (pv->alive)
		pv->sys->munmap((uintptr_t)pv->alive, pv->page_bytes);
	free_costs(atomic_load_explicit(&pv->costs, memory_order_acquire));
	free(pv);
}

static struct pagemv *create(const struct pmv_sys *sys)
{
	/* Aligned, so that a move touches one page of it. */
	struct pagemv *pv = aligned_alloc(PMV_HANDLE_ALIGN, sizeof(*pv));

	if (!pv)
		return NULL;
	memset(pv, 0, sizeof(*pv));
	pv->sys = sys;
	pv->uffd = pv->pagemap_fd = pv->maps_fd = pv->dev_fd = -1;
	pv->companion = -1;
	atomic_init(&pv->companion_from, SIZE_MAX);
	pmv_channels_init(pv);
	pthread_mutex_init(&pv->handler_lock, NULL);
	pv->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	atomic_init(&pv->costs, &pmv_default_costs);
	atomic_init(&pv->staging, 0);
	return pv;
}

static int open_handle(struct pagemv **out, const struct pagemv_open_opts *o,
		       const struct pmv_sys *sys)
{
	struct pagemv *pv = create(sys);
	int rc;

	if (!pv)
		return -ENOMEM;
	pv->log = (struct pmv_log){ o->log, o->log_arg };
	if (o->flags & PAGEMV_OPEN_DEV_FD)
		pv->dev_fd = o->dev_fd;
	rc = pmv_regions_open(pv, !(o->flags & PAGEMV_OPEN_NO_ATFORK));
	if (rc == 0)
		rc = pmv_kernel_probe(pv, o);
	if (rc == 0) {
		mark_alive(pv);
		if (o->flags & PAGEMV_OPEN_CALIBRATE)
			rc = pagemv_calibrate(pv);
	}
	if (rc < 0) {
		destroy(pv);
		return rc;
	}
	pmv_handles_add(pv);
	*out = pv;
	return 0;
}

int pmv_open_with(struct pagemv **out, const struct pagemv_open_opts *opts,
		  const struct pmv_sys *sys)
{
	struct pagemv_open_opts o = { 0 };
	int saved = errno, rc;

	if (!out)
		return -EINVAL;
	rc = pmv_open_opts(&o, opts);
	if (rc == 0)
		rc = open_handle(out, &o, sys);
	errno = saved;
	return pmv_closed_errors(rc);
}

int pagemv_open(struct pagemv **out, const struct pagemv_open_opts *opts)
{
	return pmv_open_with(out, opts, pmv_sys_default());
}

void pagemv_close(struct pagemv *pv)
{
	int saved = errno;

	if (pv)
		destroy(pv);
	errno = saved;
}

int pagemv_caps(const struct pagemv *pv, struct pagemv_caps *caps)
{
	const struct pmv_costs *costs;
	struct pagemv_caps all;

	if (!pv || !caps || !caps->size)
		return -EINVAL;
	if (!pmv_alive(pv))
		return -ESRCH;
	costs = atomic_load_explicit(&pv->costs, memory_order_acquire);
	all = pv->caps;
	all.size = caps->size;
	for (int m = 0; m < PAGEMV_MECH_COUNT; m++) {
		all.mech[m].calibrated = costs->calibrated &&
					 pmv_available(pv, m);
		all.mech[m].call_ns = costs->mech[m].call_ns;
		all.mech[m].page_ns = costs->mech[m].page_ns;
		all.mech[m].huge_page_ns = costs->mech[m].huge_page_ns;
	}
	memcpy(caps, &all, pmv_min(caps->size, sizeof(all)));
	return 0;
}
