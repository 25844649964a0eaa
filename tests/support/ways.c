/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ways.h"

#include <stdio.h>
#include <string.h>

#include "t.h"

static const struct {
	const char *name;
	uint32_t mechanism;
	uint32_t flags;
} ways[T_WAY_COUNT] = {
	[T_AUTO] = { "auto", PAGEMV_MECH_AUTO, 0 },
	[T_AUTO_REMAP] = { "auto-remap", PAGEMV_MECH_AUTO,
			   PAGEMV_MOVE_MAY_REMAP },
	[T_MOVE] = { "move", PAGEMV_MECH_MOVE, 0 },
	[T_REMAP] = { "remap", PAGEMV_MECH_REMAP, PAGEMV_MOVE_MAY_REMAP },
	[T_COMPANION] = { "companion", PAGEMV_MECH_COMPANION, 0 },
	[T_COPY] = { "copy", PAGEMV_MECH_COPY, 0 },
	[T_COPY_QUIESCENT] = { "copy-quiescent", PAGEMV_MECH_COPY,
			       PAGEMV_MOVE_QUIESCENT },
};

static const struct {
	const char *name;
	uint32_t open_flags;
	uint32_t disabled;
} variants[T_VARIANT_COUNT] = {
	[T_NORMAL] = { "normal", 0, 0 },
	[T_NO_MOVE] = { "no-move", 0,
			PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) |
				PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION) },
	[T_NO_UFFD] = { "no-uffd", PAGEMV_OPEN_NO_UFFD,
			PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION) },
};

/*
 * The handle of the case that runs. A test that ends by cr_skip() leaves it
 * open: the leak checker shall find it here.
 */
static struct pagemv *running;

struct pagemv *t_open(enum t_variant_id variant)
{
	const struct pagemv_open_opts opts = {
		.size = sizeof(opts),
		.flags = variants[variant].open_flags,
		.disabled = variants[variant].disabled,
	};
	struct pagemv *pv = NULL;
	int r = pagemv_open(&pv, &opts);

	if (r != 0)
		t_die("pagemv_open (%s): %d", variants[variant].name, r);
	return pv;
}

void t_cases(struct t_case *c, unsigned int set)
{
	memset(c, 0, sizeof(*c));
	c->ways = set;
}

static void end_case(struct t_case *c)
{
	size_t i;

	if (c->pv == NULL)
		return;
	pagemv_close(c->pv);
	c->pv = NULL;
	running = NULL;
	for (i = 0; i < c->area_count; i++)
		t_unmap(c->areas[i].addr, c->areas[i].pages);
	c->area_count = 0;
}

static bool begin_case(struct t_case *c)
{
	uint32_t mech = ways[c->way].mechanism;

	c->pv = t_open(c->variant);
	running = c->pv;
	c->caps = (struct pagemv_caps){ .size = sizeof(c->caps) };
	if (pagemv_caps(c->pv, &c->caps) != 0)
		t_die("pagemv_caps");
	c->opts = (struct pagemv_move_opts){
		.size = sizeof(c->opts),
		.mechanism = mech,
		.flags = ways[c->way].flags,
	};
	snprintf(c->name, sizeof(c->name), "%s, %s", ways[c->way].name,
		 variants[c->variant].name);
	if (mech == PAGEMV_MECH_AUTO || c->caps.mech[mech].available != 0) {
		c->tried++;
		return true;
	}
	c->unavailable++;
	end_case(c);
	return false;
}

bool t_next_case(struct t_case *c)
{
	end_case(c);
	while (c->next < (unsigned int)T_WAY_COUNT * T_VARIANT_COUNT) {
		c->variant = c->next / T_WAY_COUNT;
		c->way = c->next % T_WAY_COUNT;
		c->next++;
		if ((c->ways & T_WAY_BIT(c->way)) != 0 && begin_case(c))
			return true;
	}
	return false;
}

void *t_case_map(struct t_case *c, size_t pages)
{
	return t_case_map_at(c, pages, t_page(), 0, t_huge());
}

void *t_case_map_at(struct t_case *c, size_t pages, size_t align_bytes,
		    size_t off_bytes, bool huge)
{
	void *addr = t_map_at(pages, align_bytes, off_bytes, huge);

	if (c->area_count == T_CASE_AREAS)
		t_die("too many areas in one case");
	c->areas[c->area_count].addr = addr;
	c->areas[c->area_count].pages = pages;
	c->area_count++;
	return addr;
}

void *t_case_heap(struct t_case *c, size_t pages)
{
	void *addr = t_case_map(c, pages);

	t_register(c->pv, addr, pages);
	return addr;
}

struct pagemv_region *t_register(struct pagemv *pv, void *addr, size_t pages)
{
	enum pagemv_reason reason = PAGEMV_REASON_NONE;
	struct pagemv_region *region = NULL;
	int r = pagemv_region_register(pv, addr, t_pages(pages), NULL, &region,
				       &reason);

	if (r != 0)
		t_die("pagemv_region_register of %zu pages: %d, %s", pages, r,
		      pagemv_reason_string(reason));
	return region;
}

struct pagemv_move_opts t_opts(const struct t_case *c, uint32_t more_flags)
{
	struct pagemv_move_opts opts = c->opts;

	opts.flags |= more_flags;
	return opts;
}

bool t_case_only_copies(const struct t_case *c)
{
	return c->way == T_COPY || c->way == T_COPY_QUIESCENT ||
	       (c->way == T_AUTO &&
		c->caps.mech[PAGEMV_MECH_MOVE].available == 0 &&
		c->caps.mech[PAGEMV_MECH_COMPANION].available == 0);
}

bool t_case_never_copies(const struct t_case *c)
{
	return c->way == T_MOVE || c->way == T_COMPANION || c->way == T_REMAP;
}
