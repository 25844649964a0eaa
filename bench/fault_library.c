// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pages on demand through the library.
 */
#include "fault_case.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where the kernel cannot move pages. */
static int copy_warm(void *arg, const struct pagemv_fill *fill)
{
	const struct fault_case *c = arg;

	memcpy(fill->scratch, c->warm, fill->len_bytes);
	return 0;
}

static struct pagemv_region_opts region_opts(struct fault_case *c,
					     enum pagemv_delivery delivery)
{
	struct pagemv_region_opts opts = {
		.size = sizeof(opts),
		.flags = PAGEMV_REGION_FAULTING | PAGEMV_REGION_AROUND_FIXED,
		.delivery = delivery,
		.source = c->moves ? PAGEMV_SOURCE_RANGE
				   : PAGEMV_SOURCE_CALLBACK,
		.around_pages = c->kind.around,
	};

	if (c->moves) {
		opts.src_off_bytes = c->area.src - c->area.dst;
	} else {
		opts.fill = copy_warm;
		opts.arg = c;
	}
	return opts;
}

static void unregister(struct fault_case *c)
{
	for (size_t i = 0; c->region && i < c->kind.regions; i++)
		if (c->region[i])
			pagemv_region_unregister(c->region[i]);
	free(c->region);
	c->region = NULL;
}

/* Neighbours in one mapping, so that the kernel makes one of them. */
static int attach(struct fault_case *c, enum pagemv_delivery delivery)
{
	struct pagemv_region_opts opts = region_opts(c, delivery);
	size_t bytes = fault_area_bytes(&c->area) / c->kind.regions;
	int rc = 0;

	if (!c->pv)
		rc = pagemv_open(&c->pv, NULL);
	if (rc)
		return rc;
	c->region = calloc(c->kind.regions, sizeof(*c->region));
	if (!c->region)
		return -ENOMEM;
	for (size_t i = 0; !rc && i < c->kind.regions; i++)
		rc = pagemv_region_register(c->pv, c->area.dst + i * bytes,
					    bytes, &opts, &c->region[i],
					    &c->reason);
	return rc;
}

static int attach_signal(struct fault_case *c)
{
	return attach(c, PAGEMV_DELIVERY_SIGNAL);
}

static int attach_threads(struct fault_case *c)
{
	return attach(c, PAGEMV_DELIVERY_THREADS);
}

static int arm_signal(struct fault_case *c)
{
	(void)c;
	return pagemv_sigbus_install();
}

static void disarm_signal(struct fault_case *c)
{
	(void)c;
	pagemv_sigbus_uninstall();
}

/* One thread, as beside the bare ioctls. */
static int start_handlers(struct fault_case *c, uint64_t spin_ns)
{
	struct pagemv_handlers_opts opts = {
		.size = sizeof(opts),
		.threads = 1,
		.spin_ns = spin_ns,
	};

	return pagemv_handlers_start(c->pv, &opts, &c->handlers);
}

static int arm_sleeping(struct fault_case *c)
{
	return start_handlers(c, 0);
}

static int arm_spinning(struct fault_case *c)
{
	return start_handlers(c, UINT64_MAX);
}

static void stop_handlers(struct fault_case *c)
{
	pagemv_handlers_stop(c->handlers);
	c->handlers = NULL;
}

const struct fault_ways fault_library_signal = {
	.attach = attach_signal,
	.detach = unregister,
	.arm = arm_signal,
	.disarm = disarm_signal,
	.stock = fault_case_stock,
	.fills = true,
};

const struct fault_ways fault_library_thread = {
	.attach = attach_threads,
	.detach = unregister,
	.arm = arm_sleeping,
	.disarm = stop_handlers,
	.stock = fault_case_stock,
	.fills = true,
};

const struct fault_ways fault_library_spin = {
	.attach = attach_threads,
	.detach = unregister,
	.arm = arm_spinning,
	.disarm = stop_handlers,
	.stock = fault_case_stock,
	.fills = true,
};
