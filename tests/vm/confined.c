/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * confined HOW PROGRAM [ARGUMENT...]: runs a program with less than root has.
 *
 *   nobody   an ordinary user
 *   seccomp  a filter that refuses userfaultfd(), as container runtimes set
 *   userns   root of a user namespace of its own, nobody outside
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"
#include "proc.h"
#include "t.h"

static bool be_nobody(void)
{
	return t_become_nobody();
}

static bool refuse_userfaultfd(void)
{
	return t_refuse_syscall(SYS_userfaultfd, EPERM);
}

/* Nobody's namespace, so that being its root is worth nothing outside. */
static bool be_root_of_namespace(void)
{
	char map[64];

	if (!t_become_nobody())
		return false;
	snprintf(map, sizeof(map), "0 %u 1", getuid());
	return unshare(CLONE_NEWUSER) == 0 &&
	       t_write_file("/proc/self/setgroups", "deny") &&
	       t_write_file("/proc/self/uid_map", map) &&
	       t_write_file("/proc/self/gid_map", map);
}

static const struct {
	const char *name;
	bool (*become)(void);
} ways[] = {
	{ "nobody", be_nobody },
	{ "seccomp", refuse_userfaultfd },
	{ "userns", be_root_of_namespace },
};

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 3)
		t_die("usage: confined nobody|seccomp|userns PROGRAM...");
	for (i = 0; i < T_COUNT(ways); i++)
		if (strcmp(argv[1], ways[i].name) == 0)
			break;
	if (i == T_COUNT(ways))
		t_die("confined: no way named %s", argv[1]);
	if (!ways[i].become())
		t_die("confined: %s: %s", argv[1], strerror(errno));
	execvp(argv[2], argv + 2);
	t_die("confined: %s: %s", argv[2], strerror(errno));
}
