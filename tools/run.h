/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of `pagemv run`: where the libraries are, what the environment is
 * to be, and whether the program will notice.
 */
#ifndef TOOLS_RUN_H
#define TOOLS_RUN_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "elf_file.h"

#define RUN_SHIM     "libpagemv-malloc.so"
#define RUN_CONF     "PAGEMV_CONF"
#define RUN_SETTINGS 16

/* Known by name. */
#define RUN_ALLOCATORS "jemalloc, mimalloc, tcmalloc"

/* Settings of the options given, "KEY=VALUE" each. */
struct run_settings {
	char *text[RUN_SETTINGS];
	size_t count;
};

/* A later one takes the place of an earlier one with the same key. 0, -ENOMEM,
 * or -EINVAL for what one variable cannot hold. */
int run_settings_add(struct run_settings *settings, const char *key,
		     const char *value);

void run_settings_free(struct run_settings *settings);

/* What PAGEMV_CONF is to be: before, which may be NULL, without the keys that
 * settings has, and then those. The caller frees it; NULL: no memory. */
char *run_settings_merge(const struct run_settings *settings,
			 const char *before);

/* Where the shim is, among files of this installation or this build. 0 or
 * -ENOENT; path is the place where it was looked for last. */
int run_find_shim(char *path, size_t cap);

/* A library of an allocator that goes where shim goes: name is that of an
 * allocator, or a path. 0 or -ENOENT. */
int run_find_allocator(const char *name, const struct elf_file *shim,
		       char *path, size_t cap);

/* Debian's package of one, or NULL. */
const char *run_allocator_package(const char *name);

/* What LD_PRELOAD is to be: shim, allocator (or NULL), and what is in before
 * (or NULL) besides. The caller frees it; NULL: no memory. */
char *run_preload(const char *shim, const char *allocator, const char *before);

struct run_program {
	char path[PATH_MAX]; /* as the search in PATH finds it */
	/* Where the shim cannot work: why, and whether it is better left out.
	 */
	char why[640];
	bool leave_out;
};

/* What file is, and what it runs: 0, or the negative errno of its exec. */
int run_examine(const char *file, const struct elf_file *shim,
		struct run_program *out);

/* Writes word as a shell takes it. */
void run_print_word(const char *word);

#endif /* TOOLS_RUN_H */
