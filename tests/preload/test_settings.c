// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * PAGEMV_CONF: what is understood, what is told of the rest, and statistics.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim_test.h"

static void two_blocks(void)
{
	char *p = malloc(LARGE), *q = malloc(3 * LARGE);

	t_check(t_served(p) && t_served(q));
	t_fill(p, LARGE, 1);
	p = realloc(p, 40 * MIB);
	t_check(t_filled(p, LARGE, 1));
	free(p);
}

static void no_large_block(void)
{
	free(malloc(100));
}

static void served_from_64k(void)
{
	void *p = malloc(64 * KIB), *q = malloc(64 * KIB - 1);

	t_check(t_served(p) && !t_served(q));
	free(p);
	free(q);
}

static void not_served_at_all(void)
{
	t_check(!t_served(malloc(100 * MIB)));
}

static void quiet(void)
{
	two_blocks();
}

/* ---- to a file ---- */

static char *new_directory(void)
{
	static char path[] = "/tmp/pagemv-shim.XXXXXX";

	t_check(mkdtemp(path));
	return path;
}

static void remove_file(const char *dir, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	t_check(!unlink(path));
}

static void check_line(const char *dir, int pid)
{
	char path[512], line[1024], want[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/of-%d", dir, pid);
	snprintf(want, sizeof(want), "pagemv-malloc: pid=%d program=", pid);
	f = fopen(path, "r");
	t_check(f && fgets(line, sizeof(line), f));
	t_check(!strncmp(line, want, strlen(want)));
	t_check(strstr(line, " allocs=2 ") && strstr(line, " blocks=1 "));
	t_check(!fgets(line, sizeof(line), f));
	fclose(f);
}

/* Runs "two blocks" anew, with statistics to a file. */
static void statistics_to_a_file(void)
{
	const char *dir = new_directory();
	char conf[256], name[32];
	int pid = fork();

	if (pid == 0) {
		snprintf(conf, sizeof(conf),
			 "threshold=128k,stats=exit:%s/of-%%p", dir);
		setenv("PAGEMV_CONF", conf, 1);
		execl("/proc/self/exe", "again", "run", "two blocks",
		      (char *)NULL);
		_exit(1);
	}
	t_check(t_wait(pid));
	check_line(dir, pid);
	snprintf(name, sizeof(name), "of-%d", pid);
	remove_file(dir, name);
	t_check(!rmdir(dir));
}

/* ---- secure execution ---- */

static bool copy_file(const char *from, const char *to)
{
	char buf[65536];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT, 0755);
	ssize_t n = 0;

	while (in >= 0 && out >= 0 && (n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n)
			break;
	close(in);
	return !close(out) && n == 0;
}

/* A program that is linked with the shim and belongs to somebody else. */
static void secure_execution(void)
{
	const char *dir = new_directory();
	char self[512] = "", path[1024], copy[512];
	int pid, status;

	if (geteuid() != 0)
		t_skip("not root");
	t_check(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	*strrchr(self, '/') = '\0';
	snprintf(path, sizeof(path), "%s/linked_program", self);
	snprintf(copy, sizeof(copy), "%s/program", dir);
	t_check(!chmod(dir, 0755) && copy_file(path, copy));
	t_check(!chown(copy, 65534, 65534) && !chmod(copy, 04755));
	pid = fork();
	if (pid == 0) {
		unsetenv("LD_PRELOAD");
		unsetenv("LD_LIBRARY_PATH");
		execl(copy, copy, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	remove_file(dir, "program");
	t_check(!rmdir(dir));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		t_skip("set-user-ID programs have no effect there");
	t_check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static const struct shim_case cases[] = {
	{ .name = "two blocks",
	  .run = two_blocks,
	  .conf = "stats=exit",
	  .says = { "pagemv-malloc: pid=", " program=test_settings allocs=2 ",
		    " frees=1 reallocs=1 " } },
	{ .name = "no large block",
	  .run = no_large_block,
	  .conf = "stats=exit",
	  .says = { " program=test_settings heap=none\n" } },
	{ .name = "another threshold",
	  .run = served_from_64k,
	  .conf = "threshold=64k" },
	{ .name = "the last one counts",
	  .run = served_from_64k,
	  .conf = "threshold=1G,,threshold=65536," },
	{ .name = "serve=none",
	  .run = not_served_at_all,
	  .conf = "serve=none" },
	{ .name = "all settings",
	  .run = quiet,
	  .conf = "serve=all,huge=never,decay=0,warm=1M,node=local,"
		  "placement=keep,uffd=on,mechanism=auto,background=off,"
		  "tight=off,stats=off,top=off,misuse=report" },
	{ .name = "others",
	  .run = quiet,
	  .conf = "huge=always,decay=10,warm=0,node=0,placement=auto,"
		  "background=on,top=on" },
	{ .name = "interleaved", .run = quiet, .conf = "node=interleave" },
	{ .name = "a node that is none",
	  .run = quiet,
	  .conf = "node=1022",
	  .says = { "PAGEMV_CONF: node: not \"1022\", no memory there\n" } },
	{ .name = "a key that is none",
	  .run = quiet,
	  .conf = "treshold=64k",
	  .says = { "libpagemv-malloc: PAGEMV_CONF: no setting \"treshold\", "
		    "did you mean \"threshold\"?\n" } },
	{ .name = "a key like no other",
	  .run = quiet,
	  .conf = "xyz=1",
	  .says = { "PAGEMV_CONF: no setting \"xyz\"\n" } },
	{ .name = "a word that is none",
	  .run = quiet,
	  .conf = "huge=awlays",
	  .says = { "huge: not \"awlays\", did you mean \"always\"?\n" } },
	{ .name = "no value",
	  .run = quiet,
	  .conf = "huge",
	  .says = { "huge: no value\n" } },
	{ .name = "too small",
	  .run = quiet,
	  .conf = "threshold=1k",
	  .says = { "threshold: not \"1k\", at least 4096\n" } },
	{ .name = "not a size",
	  .run = quiet,
	  .conf = "warm=12x,warm=,warm=-1,warm=99999999999999999999,warm=1kk",
	  .says = { "warm: not \"12x\"; warm: not \"\"; warm: not \"-1\"; ",
		    "\"99999999999999999999\"; warm: not \"1kk\"\n" } },
	{ .name = "more than is told",
	  .run = quiet,
	  .conf = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,"
		  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb=,"
		  "cccccccccccccccccccccccccccccccccccccccccccccccccccc=c,"
		  "dddddddddddddddddddddddddddddddddddddddddddddddddddd=c,"
		  "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee=c,"
		  "ffffffffffffffffffffffffffffffffffffffffffffffffffff=c",
	  .says = { "no setting \"aaaa" } },
	{ .name = "statistics to a file", .run = statistics_to_a_file },
	{ .name = "statistics to nowhere",
	  .run = quiet,
	  .conf = "stats=exit:/nonexistent/of",
	  .says = { "stats: /nonexistent/of: No such file or directory\n" } },
	{ .name = "secure execution",
	  .run = secure_execution,
	  .conf = "stats=exit,foo=bar",
	  .without = true },
};

int main(int argc, char **argv)
{
	return shim_test(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
