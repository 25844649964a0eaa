// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv run: where the shim and other allocators are.
 */
#include "run.h"

#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where this program is, without the last '/' and what follows; empty if the
 * kernel does not tell. */
static void own_directory(char *dir, size_t cap)
{
	ssize_t len = readlink("/proc/self/exe", dir, cap - 1);
	char *slash;

	dir[len > 0 ? len : 0] = '\0';
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
}

/* Does dir end with the names that tail consists of? */
static bool ends_with(const char *dir, const char *tail)
{
	size_t dir_len = strlen(dir), len = strlen(tail);

	return dir_len >= len && !strcmp(dir + dir_len - len, tail);
}

/* dir without its last tail, then rest: "/root/usr/bin" becomes
 * "/root/usr/lib/libpagemv-malloc.so". */
static bool try_beside(const char *dir, const char *tail, const char *rest,
		       char *path, size_t cap)
{
	if (!ends_with(dir, tail))
		return false;
	snprintf(path, cap, "%.*s%s/%s", (int)(strlen(dir) - strlen(tail)), dir,
		 rest, RUN_SHIM);
	return !access(path, R_OK);
}

int run_find_shim(char *path, size_t cap)
{
	char dir[PATH_MAX];

	own_directory(dir, sizeof(dir));
	/* Not installed yet: as libtool builds. */
	if (try_beside(dir, "/tools/.libs", "/preload/.libs", path, cap) ||
	    /* Installed, and perhaps elsewhere than it was configured for. */
	    try_beside(dir, TOOLS_BINDIR, TOOLS_LIBDIR, path, cap))
		return 0;
	snprintf(path, cap, "%s/%s", TOOLS_LIBDIR, RUN_SHIM);
	return access(path, R_OK) ? -ENOENT : 0;
}

static const struct allocator {
	const char *name;
	const char *package;
	const char *stem[2]; /* of the library's name, the better one first */
} allocators[] = {
	{ "jemalloc", "libjemalloc2", { "libjemalloc", NULL } },
	{ "mimalloc", "libmimalloc2.0", { "libmimalloc", NULL } },
	{ "tcmalloc",
	  "libtcmalloc-minimal4",
	  { "libtcmalloc_minimal", "libtcmalloc" } },
};

#define ALLOCATORS (sizeof(allocators) / sizeof(allocators[0]))

static const struct allocator *find_allocator(const char *name)
{
	for (size_t i = 0; i < ALLOCATORS; i++)
		if (!strcmp(name, allocators[i].name))
			return &allocators[i];
	return NULL;
}

const char *run_allocator_package(const char *name)
{
	const struct allocator *allocator = find_allocator(name);

	return allocator ? allocator->package : NULL;
}

static bool fits(const char *path, const struct elf_file *shim)
{
	struct elf_file elf;

	return !elf_file_read(path, &elf) && elf_file_same_machine(&elf, shim);
}

static bool take(const char *found, const struct elf_file *shim, char *path,
		 size_t cap)
{
	return fits(found, shim) && snprintf(path, cap, "%s", found) < (int)cap;
}

static bool search_directory(const char *dir, size_t dir_len, const char *stem,
			     const struct elf_file *shim, char *path,
			     size_t cap)
{
	char pattern[PATH_MAX];
	bool found = false;
	glob_t list;

	snprintf(pattern, sizeof(pattern), "%.*s/%s.so*", (int)dir_len, dir,
		 stem);
	if (glob(pattern, 0, NULL, &list))
		return false;
	for (size_t i = 0; i < list.gl_pathc && !found; i++)
		found = take(list.gl_pathv[i], shim, path, cap);
	globfree(&list);
	return found;
}

static bool search_directories(const char *dirs, const char *stem,
			       const struct elf_file *shim, char *path,
			       size_t cap)
{
	size_t len;

	for (; dirs && *dirs; dirs += len + (dirs[len] != '\0')) {
		len = strcspn(dirs, ":;");
		if (len && search_directory(dirs, len, stem, shim, path, cap))
			return true;
	}
	return false;
}

/* The list of the dynamic loader's cache: "NAME (FLAGS) => PATH" each line. */
static bool search_cache(const char *stem, const struct elf_file *shim,
			 char *path, size_t cap)
{
	FILE *list = popen("PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null",
			   "re");
	size_t stem_len = strlen(stem);
	char line[2 * PATH_MAX];
	bool found = false;
	const char *name, *to;

	if (!list)
		return false;
	while (fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\n")] = '\0';
		name = line + strspn(line, " \t");
		to = strstr(name, " => ");
		/* To the end in any case: the other side is writing. */
		if (!found && to && !strncmp(name, stem, stem_len) &&
		    !strncmp(name + stem_len, ".so", 3))
			found = take(to + 4, shim, path, cap);
	}
	pclose(list);
	return found;
}

/* For systems without the cache: where the C library is, and the usual places.
 */
static bool search_system(const char *stem, const struct elf_file *shim,
			  char *path, size_t cap)
{
	const char *slash;
	Dl_info info;

	if (dladdr(dlsym(RTLD_DEFAULT, "gnu_get_libc_version"), &info) &&
	    info.dli_fname && (slash = strrchr(info.dli_fname, '/')) &&
	    search_directory(info.dli_fname, (size_t)(slash - info.dli_fname),
			     stem, shim, path, cap))
		return true;
	return search_directories(
		"/usr/local/lib64:/usr/local/lib:/usr/lib64:/usr/lib", stem,
		shim, path, cap);
}

static bool search(const char *stem, const struct elf_file *shim, char *path,
		   size_t cap)
{
	return search_directories(getenv("LD_LIBRARY_PATH"), stem, shim, path,
				  cap) ||
	       search_cache(stem, shim, path, cap) ||
	       search_system(stem, shim, path, cap);
}

/* A path that stays the same when the program changes its directory. */
static int take_path(const char *name, const struct elf_file *shim, char *path,
		     size_t cap)
{
	char dir[PATH_MAX];

	if (*name == '/')
		return take(name, shim, path, cap) ? 0 : -ENOENT;
	if (!getcwd(dir, sizeof(dir)) ||
	    snprintf(path, cap, "%s/%s", dir, name) >= (int)cap)
		return -ENOENT;
	return fits(path, shim) ? 0 : -ENOENT;
}

int run_find_allocator(const char *name, const struct elf_file *shim,
		       char *path, size_t cap)
{
	const struct allocator *allocator = find_allocator(name);
	char stem[256];

	if (strchr(name, '/'))
		return take_path(name, shim, path, cap);
	if (!allocator) {
		snprintf(stem, sizeof(stem), "lib%s", name);
		return search(stem, shim, path, cap) ? 0 : -ENOENT;
	}
	for (size_t i = 0; i < 2 && allocator->stem[i]; i++)
		if (search(allocator->stem[i], shim, path, cap))
			return 0;
	return -ENOENT;
}
