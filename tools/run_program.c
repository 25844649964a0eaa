// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv run: whether the shim can work in a program.
 *
 * ASSUME(ld-so-secure): in a program that gains rights at its exec the dynamic
 * loader ignores LD_PRELOAD entries that are paths. ld.so(8), "secure-execution
 * mode".
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Of interpreters that are scripts themselves, as the kernel has it. */
#define MAX_DEPTH 5

static int may_run(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EACCES;
	return access(path, X_OK) ? -errno : 0;
}

/* As execvp() searches: what is there but may not be run is told only if
 * nothing else is found. */
static int find_in_path(const char *file, char *path)
{
	const char *dirs = getenv("PATH");
	int rc, result = -ENOENT;
	size_t len;

	if (!dirs)
		dirs = "/bin:/usr/bin";
	for (;; dirs += len + 1) {
		len = strcspn(dirs, ":");
		if (snprintf(path, PATH_MAX, "%.*s%s%s", (int)len, dirs,
			     len ? "/" : "", file) < PATH_MAX) {
			rc = may_run(path);
			if (!rc)
				return 0;
			if (rc == -EACCES)
				result = rc;
		}
		if (!dirs[len])
			return result;
	}
}

static int find_program(const char *file, char *path)
{
	if (!*file)
		return -ENOENT;
	if (!strchr(file, '/'))
		return find_in_path(file, path);
	if (snprintf(path, PATH_MAX, "%s", file) >= PATH_MAX)
		return -ENAMETOOLONG;
	return may_run(path);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The dynamic loader itself, which has no loader of its own. */
static bool is_loader(const char *path)
{
	const char *name = base_name(path);

	return !strncmp(name, "ld-linux", 8) || !strncmp(name, "ld.so", 5) ||
	       !strncmp(name, "ld64.so", 7);
}

static bool gains_rights(const char *path)
{
	struct statvfs vfs;
	struct stat st;

	if (stat(path, &st) ||
	    (!statvfs(path, &vfs) && (vfs.f_flag & ST_NOSUID)))
		return false;
	if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
		return true;
	/* Without the execute bit it once meant mandatory locking. */
	if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) &&
	    st.st_gid != getgid())
		return true;
	return getuid() != 0 &&
	       getxattr(path, "security.capability", NULL, 0) > 0;
}

__attribute__((format(printf, 2, 3))) static void
because(struct run_program *program, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(program->why, sizeof(program->why), format, ap);
	va_end(ap);
}

static void judge_loader(const char *path, const struct elf_file *elf,
			 struct run_program *program)
{
	struct elf_file own;
	bool musl = strstr(elf->loader, "ld-musl");

	/* The shim needs the C library that this program has. */
	if (elf_file_read("/proc/self/exe", &own) || !own.loader[0] ||
	    !strcmp(base_name(own.loader), base_name(elf->loader)))
		return;
	program->leave_out = true;
	because(program,
		"%.200s is made for %s (its loader is %.100s), where the shim, "
		"which is made for that of %.100s, cannot be loaded",
		path, musl ? "musl libc" : "another C library", elf->loader,
		own.loader);
}

static void judge_elf(const char *path, const struct elf_file *elf,
		      const struct elf_file *shim, struct run_program *program)
{
	char theirs[40], ours[40];

	if (!elf_file_same_machine(elf, shim)) {
		elf_file_machine(elf, theirs, sizeof(theirs));
		elf_file_machine(shim, ours, sizeof(ours));
		because(program,
			"%.300s is a program for %s, and the shim is for %s",
			path, theirs, ours);
	} else if (!elf->loader[0] && !is_loader(path)) {
		because(program,
			"%.300s is statically linked: only the programs that "
			"it starts may load libraries",
			path);
	} else if (gains_rights(path)) {
		because(program,
			"%.300s gains rights when it is started (setuid, "
			"setgid or file capabilities): the dynamic loader "
			"takes LD_PRELOAD out of its environment",
			path);
	} else if (elf->loader[0]) {
		judge_loader(path, elf, program);
	}
}

/* What env(1) is told to run: the first word that is neither an option of one
 * word nor an assignment. */
static char *after_env(char **rest)
{
	char *word;

	while ((word = strsep(rest, " \t")))
		if (*word && *word != '-' && !strchr(word, '='))
			return word;
	return NULL;
}

/* The interpreter that path's first line names. 0, or -ENOEXEC where it names
 * none. */
static int read_interpreter(const char *path, char *interpreter)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char line[256], *rest, *word;
	ssize_t len;

	if (fd < 0)
		return -errno;
	len = read(fd, line, sizeof(line) - 1);
	close(fd);
	line[len > 0 ? len : 0] = '\0';
	if (strncmp(line, "#!", 2))
		return -ENOEXEC;
	line[strcspn(line, "\n")] = '\0';
	rest = line + 2 + strspn(line + 2, " \t");
	word = strsep(&rest, " \t");
	if (!strcmp(base_name(word), "env") && (word = after_env(&rest)))
		return find_program(word, interpreter);
	snprintf(interpreter, PATH_MAX, "%s", word ? word : "");
	return 0;
}

int run_examine(const char *file, const struct elf_file *shim,
		struct run_program *out)
{
	char path[PATH_MAX], interpreter[PATH_MAX];
	struct elf_file elf;
	int rc;

	*out = (struct run_program){ 0 };
	rc = find_program(file, out->path);
	if (rc)
		return rc;
	memcpy(path, out->path, sizeof(path));
	for (int depth = 0; depth < MAX_DEPTH; depth++) {
		rc = elf_file_read(path, &elf);
		if (!rc)
			judge_elf(path, &elf, shim, out);
		if (rc != -ENOEXEC)
			break;
		/* Text without such a line is run by execvp() with sh. */
		rc = read_interpreter(path, interpreter);
		memcpy(path, rc == -ENOEXEC ? "/bin/sh" : interpreter,
		       rc == -ENOEXEC ? sizeof("/bin/sh") : sizeof(path));
		if (rc && rc != -ENOEXEC)
			break;
	}
	/* What cannot be read is not judged. */
	return 0;
}
