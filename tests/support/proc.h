/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel says about this process: page tables, mappings, memory.
 */
#ifndef TESTS_SUPPORT_PROC_H
#define TESTS_SUPPORT_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Is there a page or a swap entry at addr? Faults nothing in. */
bool t_present(const void *addr);
/* The number of such pages in the range, and the first one (pages: none). */
size_t t_count_present(const void *addr, size_t pages);
size_t t_first_present(const void *addr, size_t pages);

/* Mappings of the process, and of the part of it in [addr, + bytes). */
size_t t_count_mappings(void);
size_t t_count_mappings_in(const void *addr, size_t bytes);

/*
 * The lines of /proc/self/maps for [addr, + bytes), to be compared before and
 * after; without [heap] and [stack], which grow by themselves. Allocates
 * nothing, so that looking changes nothing.
 */
struct t_maps {
	char text[96 << 10];
	size_t len;
};

void t_maps_take(struct t_maps *maps, const void *addr, size_t bytes);
/* Are they the same? If not, line gets the first that parts them, of b. */
bool t_maps_same(const struct t_maps *a, const struct t_maps *b, char *line,
		 size_t size);

/* Resident pages of the process (exact: from smaps). */
size_t t_rss_pages(void);
/* Bytes of anonymous huge pages in whole mappings that touch the range. */
size_t t_huge_bytes(const void *addr, size_t bytes);
/* Does the mapping at addr have this two-letter flag in smaps (VmFlags)? */
bool t_mapping_has_flag(const void *addr, const char *flag);

/* Open descriptors of the process. */
size_t t_count_fds(void);

/*
 * The first line of a small file, without the newline; false if it cannot be
 * read. And writing one; false if it cannot.
 */
bool t_read_file(const char *path, char *text, size_t size);
bool t_write_file(const char *path, const char *text);

/*
 * Keeps other tests from changing a setting of the whole system until this
 * process ends; waits for one that does. False where there is no such file.
 */
bool t_lock_setting(const char *path);

/* Is any swap switched on? (Then a page may be out and come back.) */
bool t_has_swap(void);

/* Runs body in a forked child; returns its exit status, or 128 + signal. */
int t_in_child(int (*body)(void *arg), void *arg);
/* Waits for a child that is there already; the same value. */
int t_wait(pid_t pid);

#endif /* TESTS_SUPPORT_PROC_H */
