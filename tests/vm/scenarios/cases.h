/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the scenarios about memory (ksm, memcg, mlock, numa, swap) have in common:
 * single moves in each way to move, in words what went wrong, the kernel's
 * counters, and settings that are given back.
 *
 * All is done in a child: when it has gone, the kernel has counted its pages
 * and says so in its log if there is one too many or too few.
 */
#ifndef TESTS_VM_SCENARIOS_CASES_H
#define TESTS_VM_SCENARIOS_CASES_H

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <pagemv/pagemv.h>

#include "oracle.h"
#include "proc.h"
#include "t.h"
#include "tap.h"
#include "ways.h"

/* ---- what went wrong, in words ---- */

static char wrong_text[240];
static const char *skip_text;

__attribute__((format(printf, 1, 2))) static inline const char *
wrong(const char *format, ...)
{
	char text[sizeof(wrong_text)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	memcpy(wrong_text, text, sizeof(text));
	return wrong_text;
}

/* NULL when what is NULL. */
static inline const char *wrong_at(const char *where, const char *what)
{
	return what == NULL ? NULL : wrong("%s: %s", where, what);
}

/* For a body that cannot be tried here; why: a static text. */
static inline const char *skip(const char *why)
{
	skip_text = why;
	return NULL;
}

static inline void result(struct tap *tap, const char *what, const char *name)
{
	if (what == NULL && skip_text != NULL)
		tap_skip(tap, name, skip_text);
	else if (!tap_ok(tap, what == NULL, name))
		tap_say(stdout, "%s", what);
	skip_text = NULL;
}

/* ---- one body, each way to move ---- */

struct section {
	const char *name;
	unsigned int ways;
	/* NULL, or what is wrong. */
	const char *(*body)(struct t_case *c);
};

static inline void run_section(struct tap *tap, const struct section *s)
{
	struct t_case c;
	char name[160];

	t_cases(&c, s->ways);
	while (t_next_case(&c)) {
		snprintf(name, sizeof(name), "%s: %s", s->name, c.name);
		result(tap, s->body(&c), name);
	}
	if (c.tried == 0)
		tap_skip(tap, s->name, "no such mechanism here");
}

static inline int move(const struct t_case *c, void *dst, void *src,
		       size_t pages, uint32_t flags, struct pagemv_result *res)
{
	const struct pagemv_move_opts opts = t_opts(c, flags);

	return pagemv_move(c->pv, dst, src, t_pages(pages), &opts, res);
}

static inline bool must_not_copy(const struct t_case *c)
{
	return t_case_never_copies(c) ||
	       (c->way == T_AUTO && !t_case_only_copies(c));
}

/* Does a case whose result this is take the pages themselves along? */
static inline bool took_along(const struct pagemv_result *res)
{
	return (res->mechanisms & PAGEMV_MECH_BIT(PAGEMV_MECH_COPY)) == 0;
}

static inline bool remapped(const struct pagemv_result *res)
{
	return (res->mechanisms & PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP)) != 0;
}

static inline const char *done_all(const struct t_case *c, int r,
				   const struct pagemv_result *res,
				   size_t pages)
{
	if (r != 0)
		return wrong("returned %d (%s), %zu of %zu bytes left", r,
			     pagemv_reason_string(res->reason), res->left_bytes,
			     t_pages(pages));
	if (res->moved_bytes + res->copied_bytes + res->hole_bytes !=
	    t_pages(pages))
		return wrong("%zu moved, %zu copied, %zu holes",
			     res->moved_bytes, res->copied_bytes,
			     res->hole_bytes);
	if (must_not_copy(c) && res->copied_bytes != 0)
		return wrong("%zu bytes were copied", res->copied_bytes);
	return NULL;
}

/* Refused with error and reason, before anything was touched. */
static inline const char *refused(int r, const struct pagemv_result *res,
				  size_t pages, int error,
				  enum pagemv_reason reason)
{
	if (r != error || res->reason != reason)
		return wrong("returned %d (%s)", r,
			     pagemv_reason_string(res->reason));
	if (res->left_bytes != t_pages(pages) || res->left_off != 0)
		return wrong("%zu bytes left, from %zu on", res->left_bytes,
			     res->left_off);
	return NULL;
}

/* Moves n pages that are from first_id on, and finds them at dst only. */
static inline const char *move_and_check(const struct t_case *c, char *dst,
					 char *src, size_t n, uint64_t first_id,
					 uint32_t flags)
{
	struct pagemv_result res;
	const char *what;

	what = done_all(c, move(c, dst, src, n, flags, &res), &res, n);
	if (what == NULL)
		what = wrong_at("src", t_check_absent(src, n));
	if (what == NULL)
		what = wrong_at("dst", t_check_range(dst, n, first_id));
	return what;
}

static inline struct pagemv_stats stats_of(const struct t_case *c)
{
	struct pagemv_stats stats = { .size = sizeof(stats) };

	if (pagemv_stats(c->pv, &stats) != 0)
		t_die("pagemv_stats");
	return stats;
}

/* ---- what the kernel counts ---- */

/* The number behind name in a file of such lines; 0 where there is none. */
static inline uint64_t counter_of(const char *path, const char *name)
{
	FILE *f = fopen(path, "re");
	uint64_t value, found = 0;
	char line[256], word[80];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "%79s %" SCNu64, word, &value) == 2 &&
		    strcmp(word, name) == 0)
			found = value;
	if (f != NULL)
		fclose(f);
	return found;
}

/* Exact: what CPUs count by themselves is added first. */
static inline uint64_t vmstat(const char *name)
{
	t_write_file("/proc/sys/vm/stat_refresh", "1");
	return counter_of("/proc/vmstat", name);
}

static inline uint64_t number_in(const char *path)
{
	char text[64] = "0";

	t_read_file(path, text, sizeof(text));
	return strtoull(text, NULL, 10);
}

/* Flags of /proc/kpageflags. That of KSM is not right on all kernels. */
#define PAGE_ZERO    24
#define PAGE_MLOCKED 33

/* How many pages of the range are mapped at another place as well. */
static inline size_t count_shared(const void *addr, size_t pages)
{
	int map = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	off_t first = (off_t)((uintptr_t)addr / t_page());
	uint64_t entry;
	size_t i, n = 0;

	if (map < 0)
		t_die("/proc/self/pagemap");
	for (i = 0; i < pages; i++) {
		if (pread(map, &entry, 8, (first + (off_t)i) * 8) != 8)
			t_die("reading pagemap");
		/* Bit 63: in memory; bit 56: mapped here alone. */
		n += (entry >> 63) == 1 && (entry >> 56 & 1) == 0;
	}
	close(map);
	return n;
}

/* How many pages in memory of the range have the flag. For root. */
static inline size_t count_page_flag(const void *addr, size_t pages,
				     unsigned int flag)
{
	int map = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int flags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	off_t first = (off_t)((uintptr_t)addr / t_page());
	uint64_t entry, word;
	size_t i, n = 0;

	if (map < 0 || flags < 0)
		t_die("/proc/self/pagemap and /proc/kpageflags");
	for (i = 0; i < pages; i++) {
		if (pread(map, &entry, 8, (first + (off_t)i) * 8) != 8)
			t_die("reading pagemap");
		/* Bit 63: in memory; bits 0 to 54: where. */
		if ((entry >> 63) == 0)
			continue;
		entry &= (UINT64_C(1) << 55) - 1;
		if (pread(flags, &word, 8, (off_t)entry * 8) == 8)
			n += (word >> flag) & 1;
	}
	close(map);
	close(flags);
	return n;
}

/* ---- settings of the whole system ---- */

struct setting {
	const char *path;
	const char *value;
	char was[80];
};

/* Each where there is such a setting. */
static inline void put_settings(struct setting *s, size_t n)
{
	for (; n > 0; n--, s++)
		if (t_read_file(s->path, s->was, sizeof(s->was)))
			t_write_file(s->path, s->value);
		else
			s->was[0] = '\0';
}

static inline void give_back_settings(const struct setting *s, size_t n)
{
	for (; n > 0; n--, s++)
		if (s->was[0] != '\0')
			t_write_file(s->path, s->was);
}

/* ---- from start to end ---- */

struct apart {
	struct tap tap;
	void (*body)(struct tap *tap);
};

static inline int body_apart(void *arg)
{
	struct apart *a = arg;

	a->body(&a->tap);
	return 0;
}

/* Runs body in a child; adds its results, and that it came to its end. */
static inline void run_apart(struct tap *tap, void (*body)(struct tap *tap))
{
	struct apart *a = mmap(NULL, sizeof(*a), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	if (a == MAP_FAILED)
		t_die("memory");
	a->tap = *tap;
	a->body = body;
	status = t_in_child(body_apart, a);
	*tap = a->tap;
	munmap(a, sizeof(*a));
	if (!tap_ok(tap, status == 0, "came to its end"))
		tap_say(stdout, "status %d", status);
}

#endif /* TESTS_VM_SCENARIOS_CASES_H */
