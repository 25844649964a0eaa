/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Huge pages, for the scenarios that are about them: settings of the system
 * that are given back, and what a page really is (as root, from kpageflags).
 */
#ifndef TESTS_VM_SCENARIOS_THP_H
#define TESTS_VM_SCENARIOS_THP_H

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proc.h"
#include "t.h"

#define HUGE_BYTES ((size_t)2 << 20)
#define THP	   "/sys/kernel/mm/transparent_hugepage/"

#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static inline size_t huge_pages(void)
{
	return HUGE_BYTES / t_page();
}

/* ---- settings ---- */

struct thp_setting {
	char path[96];
	char old[64];
};

/* What was changed, in that order. */
struct thp_settings {
	struct thp_setting setting[24];
	size_t n;
};

/* The value in force: all of it, or the word in brackets of several. */
static inline void thp_value(char *text)
{
	const char *from = strchr(text, '['), *to = strchr(text, ']');

	if (from == NULL || to == NULL || to < from)
		return;
	memmove(text, from + 1, (size_t)(to - from - 1));
	text[to - from - 1] = '\0';
}

/* Changes a setting, to be given back; false where it is not to be had. */
static inline bool thp_set(struct thp_settings *s, const char *path,
			   const char *value)
{
	struct thp_setting *setting = &s->setting[s->n];

	if (s->n == T_COUNT(s->setting))
		t_die("too many settings");
	snprintf(setting->path, sizeof(setting->path), "%s", path);
	if (!t_read_file(path, setting->old, sizeof(setting->old)))
		return false;
	thp_value(setting->old);
	if (!t_write_file(path, value))
		return false;
	s->n++;
	return true;
}

static inline void thp_give_back(struct thp_settings *s)
{
	while (s->n > 0) {
		const struct thp_setting *setting = &s->setting[--s->n];

		if (!t_write_file(setting->path, setting->old))
			t_die("giving %s back to %s", setting->old,
			      setting->path);
	}
}

/* A counter of /proc/vmstat; 0 where there is none of this name. */
static inline uint64_t thp_vmstat(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "re");
	char line[80];
	uint64_t value = 0;
	size_t len = strlen(name);

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			sscanf(line + len, "%" SCNu64, &value);
	fclose(f);
	return value;
}

/* ---- pages; not in a forked child, nor in several threads ---- */

#define KPF_COMPOUND ((UINT64_C(1) << 15) | (UINT64_C(1) << 16))
#define KPF_NOPAGE   (UINT64_C(1) << 20)
#define KPF_THP	     (UINT64_C(1) << 22)
#define KPF_ZERO     (UINT64_C(1) << 24)

/* An entry of a file of them, kept open in *fd; fallback behind its end. */
static inline uint64_t thp_entry(int *fd, const char *path, uint64_t index,
				 uint64_t fallback)
{
	uint64_t entry;

	if (*fd < 0)
		*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd < 0)
		t_die("%s", path);
	if (pread(*fd, &entry, sizeof(entry), (off_t)(index * sizeof(entry))) !=
	    sizeof(entry))
		return fallback;
	return entry;
}

/* The number of the physical page at addr; 0 when there is none. */
static inline uint64_t thp_frame(const void *addr)
{
	static int fd = -1;
	uint64_t entry = thp_entry(&fd, "/proc/self/pagemap",
				   (uintptr_t)addr / t_page(), 0);

	return entry >> 63 != 0 ? entry & ((UINT64_C(1) << 55) - 1) : 0;
}

/* Its flags; KPF_NOPAGE for a number that no page of this machine has. */
static inline uint64_t thp_flags(uint64_t frame)
{
	static int fd = -1;

	return thp_entry(&fd, "/proc/kpageflags", frame, KPF_NOPAGE);
}

/* Is it the huge zero page, mapped whole? */
static inline bool thp_is_huge_zero(const void *addr)
{
	uint64_t frame = thp_frame(addr), flags = thp_flags(frame);

	return frame != 0 && (flags & KPF_ZERO) != 0 && (flags & KPF_THP) != 0;
}

/* Fresh memory without advice at addr, where t_map_at() mapped some. */
static inline void thp_without_advice(void *addr, size_t pages)
{
	if (mmap(addr, t_pages(pages), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != addr)
		t_die("mapping anew");
}

/* The same with the advice; before 6.13 a page table stays where pages are
 * only dropped, and no huge page comes there again. */
static inline void thp_anew(void *addr)
{
	thp_without_advice(addr, huge_pages());
	madvise(addr, HUGE_BYTES, MADV_HUGEPAGE);
}

#endif /* TESTS_VM_SCENARIOS_THP_H */
