/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "oracle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proc.h"
#include "t.h"

#define T_MAGIC 0x766d656761706d76u

static __thread char why[160];

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9fb21c651e98df25u;
	x ^= x >> 28;
	return x;
}

static size_t words(void)
{
	return t_page() / sizeof(uint64_t);
}

#define HEAD_WORDS (sizeof(struct t_head) / sizeof(uint64_t))

static uint64_t body_sum(const uint64_t *w, uint64_t id, uint64_t version)
{
	uint64_t sum = mix(id) ^ mix(version + 0x51ed27);
	size_t i;

	for (i = HEAD_WORDS; i < words(); i++)
		sum = (sum << 7 | sum >> 57) + w[i];
	return mix(sum) | 1;
}

void t_fill(void *page, uint64_t id, uint64_t version)
{
	struct t_head *head = page;
	uint64_t *w = page;
	uint64_t x = mix(id * 0x9e3779b97f4a7c15u + version);
	size_t i;

	for (i = HEAD_WORDS; i < words(); i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		w[i] = x;
	}
	head->magic = T_MAGIC;
	head->id = id;
	head->version = version;
	head->sum = body_sum(w, id, version);
	head->counter = 0;
}

void t_fill_range(void *addr, size_t pages, uint64_t first_id)
{
	size_t i;

	for (i = 0; i < pages; i++)
		t_fill((char *)addr + t_pages(i), first_id + i, 1);
}

static bool all_zero(const uint64_t *w)
{
	const size_t counter =
		offsetof(struct t_head, counter) / sizeof(uint64_t);
	size_t i;

	for (i = 0; i < words(); i++)
		if (w[i] != 0 && i != counter)
			return false;
	return true;
}

enum t_kind t_look_present(const void *page, uint64_t *id, uint64_t *version)
{
	const struct t_head *head = page;

	if (head->magic == 0)
		return all_zero(page) ? T_ZERO : T_TORN;
	if (head->magic != T_MAGIC ||
	    head->sum != body_sum(page, head->id, head->version))
		return T_TORN;
	if (id != NULL)
		*id = head->id;
	if (version != NULL)
		*version = head->version;
	return T_GOOD;
}

enum t_kind t_look(const void *page, uint64_t *id, uint64_t *version)
{
	if (!t_present(page))
		return T_ABSENT;
	return t_look_present(page, id, version);
}

static const char *kind_name(enum t_kind kind)
{
	static const char *const names[] = { "absent", "zero", "whole",
					     "torn" };

	return names[kind];
}

static const char *check_kind(enum t_kind kind, uint64_t found_id,
			      uint64_t found_version, uint64_t id,
			      uint64_t version)
{
	if (kind == T_GOOD && found_id == id && found_version == version)
		return NULL;
	if (kind == T_GOOD)
		snprintf(why, sizeof(why),
			 "id %" PRIu64 " version %" PRIu64 " where id %" PRIu64
			 " version %" PRIu64 " should be",
			 found_id, found_version, id, version);
	else
		snprintf(why, sizeof(why),
			 "%s page where id %" PRIu64 " version %" PRIu64
			 " should be",
			 kind_name(kind), id, version);
	return why;
}

const char *t_check(const void *page, uint64_t id, uint64_t version)
{
	uint64_t found_id = 0, found_version = 0;
	enum t_kind kind = t_look(page, &found_id, &found_version);

	return check_kind(kind, found_id, found_version, id, version);
}

/* Prefixes what is wrong with the number of the page it is wrong with. */
static const char *at_page(size_t i, const char *what)
{
	char text[sizeof(why)];

	snprintf(text, sizeof(text), "page %zu: %.120s", i, what);
	snprintf(why, sizeof(why), "%s", text);
	return why;
}

const char *t_check_range(const void *addr, size_t pages, uint64_t first_id)
{
	const char *what;
	size_t i;

	for (i = 0; i < pages; i++) {
		what = t_check((const char *)addr + t_pages(i), first_id + i,
			       1);
		if (what != NULL)
			return at_page(i, what);
	}
	return NULL;
}

const char *t_check_absent(const void *addr, size_t pages)
{
	size_t i = t_first_present(addr, pages);

	if (i == pages)
		return NULL;
	return at_page(i, "there is a page where none should be");
}

const char *t_check_zero(const void *addr, size_t pages)
{
	const char *p = addr;
	enum t_kind kind;
	size_t i;

	for (i = 0; i < pages; i++) {
		kind = t_look(p + t_pages(i), NULL, NULL);
		if (kind == T_ZERO &&
		    ((const struct t_head *)(const void *)(p + t_pages(i)))
				    ->counter == 0)
			continue;
		return at_page(i, kind == T_ABSENT ? "absent, not zeros"
						   : "not all zeros");
	}
	return NULL;
}

uint64_t t_sum_counters(const void *addr, size_t pages)
{
	const char *p = addr;
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < pages; i++) {
		const struct t_head *head = (const void *)(p + t_pages(i));

		if (t_present(head))
			sum += __atomic_load_n(&head->counter,
					       __ATOMIC_RELAXED);
	}
	return sum;
}

void t_census_open(struct t_census *c, size_t ids)
{
	*c = (struct t_census){ .ids = ids };
	c->found = calloc(ids + 1, sizeof(c->found[0]));
	c->version = calloc(ids + 1, sizeof(c->version[0]));
	if (c->found == NULL || c->version == NULL)
		t_die("memory for a census of %zu", ids);
}

static void census_page(struct t_census *c, const void *page)
{
	const struct t_head *head = page;
	uint64_t id = 0, version = 0;
	enum t_kind kind = t_look(page, &id, &version);

	if (kind == T_ABSENT) {
		c->absent++;
		return;
	}
	c->counters += __atomic_load_n(&head->counter, __ATOMIC_RELAXED);
	if (kind == T_ZERO) {
		c->zero++;
	} else if (kind == T_TORN) {
		c->torn++;
	} else if (id == 0 || id > c->ids) {
		c->strangers++;
	} else {
		c->found[id]++;
		c->version[id] = version;
	}
}

void t_census_take(struct t_census *c, const void *addr, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++)
		census_page(c, (const char *)addr + t_pages(i));
}

const char *t_census_verdict(const struct t_census *c)
{
	size_t lost = 0, doubled = 0, first = 0, id;

	for (id = 1; id <= c->ids; id++) {
		if (c->found[id] == 1)
			continue;
		if (first == 0)
			first = id;
		if (c->found[id] == 0)
			lost++;
		else
			doubled++;
	}
	if (lost + doubled + c->torn + c->strangers == 0)
		return NULL;
	snprintf(why, sizeof(why),
		 "of %zu pages %zu lost, %zu found more than "
		 "once (first: %zu); %zu torn, %zu strangers",
		 c->ids, lost, doubled, first, c->torn, c->strangers);
	return why;
}

void t_census_close(struct t_census *c)
{
	free(c->found);
	free(c->version);
	*c = (struct t_census){ .ids = 0 };
}
