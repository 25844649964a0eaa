// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Processes that lack something: address space, descriptors, userfaultfd,
 * /proc. And programs that close descriptors that are not theirs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim_test.h"

/* Blocks that grow, and move where it says tight. */
static void grow(void)
{
	char *p = malloc(LARGE), *q = malloc(3 * LARGE);

	t_check(p && q);
	t_fill(p, LARGE, 1);
	t_fill(q, 3 * LARGE, 2);
	for (size_t n = 2 * LARGE; n <= 32 * MIB; n *= 2) {
		p = realloc(p, n);
		q = realloc(q, n + n / 2 + LARGE);
		t_check(p && t_filled(p, LARGE, 1));
		t_check(q && t_filled(q, 3 * LARGE, 2));
	}
	free(p);
	free(q);
}

static void limit(int resource, rlim_t value)
{
	struct rlimit l = { value, value };

	t_check(!setrlimit((__rlimit_resource_t)resource, &l));
}

/* ---- address space ---- */

static size_t mapped_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long pages;

	t_check(f && fscanf(f, "%lu", &pages) == 1);
	fclose(f);
	return pages * 4096;
}

/* All that there is can be had, and what cannot is told. */
static void little_address_space(void)
{
	char *p[1000];
	size_t n = 0, have = 128 * MIB;

	limit(RLIMIT_AS, mapped_bytes() + have);
	while (n < 1000 && (p[n] = malloc(MIB))) {
		t_fill(p[n], 5000, (unsigned int)n);
		n++;
	}
	t_check(errno == ENOMEM);
	t_check(n >= 64 && n <= 128);
	t_check(!malloc(200 * MIB) && errno == ENOMEM);
	t_check(!realloc(p[0], 200 * MIB) && errno == ENOMEM);
	for (size_t i = 0; i < n; i++) {
		t_check(t_filled(p[i], 5000, (unsigned int)i));
		free(p[i]);
	}
	p[0] = malloc(32 * MIB);
	t_check(p[0]);
	t_fill(p[0], 32 * MIB, 3);
	p[0] = realloc(p[0], 40 * MIB);
	t_check(p[0] && t_filled(p[0], 32 * MIB, 3));
	free(p[0]);
}

static void hardly_any(void)
{
	char *p;

	limit(RLIMIT_AS, mapped_bytes() + 4 * MIB);
	p = malloc(MIB);
	t_check(p);
	t_fill(p, MIB, 1);
	p = realloc(p, MIB + MIB / 2);
	t_check(p && t_filled(p, MIB, 1));
	free(p);
}

/* What is reserved is more than is allowed from here on. */
static void none_any_more(void)
{
	char *p = malloc(MIB), *q = malloc(MIB);

	t_check(t_served(p) && t_served(q));
	t_fill(p, MIB, 1);
	limit(RLIMIT_AS, mapped_bytes() / 2);
	free(q);
	t_check(malloc_usable_size(p) >= MIB);
	p = realloc(p, 3 * MIB);
	t_check(p && t_filled(p, MIB, 1));
	t_check(!malloc((size_t)1 << 40) && errno == ENOMEM);
	free(p);
}

static void little_data(void)
{
	limit(RLIMIT_DATA, 300 * MIB);
	grow();
}

/* ---- descriptors ---- */

static void no_descriptor_left(void)
{
	limit(RLIMIT_NOFILE, 3);
	grow();
}

static size_t open_ones(int *fds, size_t n)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	size_t count = 0;

	t_check(dir);
	while ((e = readdir(dir)))
		if (atoi(e->d_name) > 2 && atoi(e->d_name) != dirfd(dir) &&
		    count < n)
			fds[count++] = atoi(e->d_name);
	closedir(dir);
	return count;
}

static void close_all(void)
{
	for (int fd = 3; fd < 2000; fd++)
		close(fd);
}

static void all_are_closed(void)
{
	int fds[16];
	size_t n;

	/* Those of whoever started the test. */
	close_all();
	grow();
	n = open_ones(fds, 16);
	for (size_t i = 0; i < n; i++)
		t_check(fds[i] >= 100);
	close_all();
	grow();
	t_check(open("/dev/null", O_RDONLY) == 3);
}

static void file_of_mine(int *fd)
{
	static char path[] = "/tmp/pagemv-shim.XXXXXX";

	*fd = mkstemp(path);
	t_check(*fd >= 0 && !ftruncate(*fd, 100000));
	unlink(path);
}

static void check_files(const int *fds, size_t n, const struct stat *mine)
{
	struct stat s;

	for (size_t i = 0; i < n; i++) {
		t_check(!fstat(fds[i], &s));
		t_check(s.st_ino == mine->st_ino && s.st_dev == mine->st_dev);
	}
	t_check(s.st_size == mine->st_size);
	t_check(lseek(fds[0], 0, SEEK_CUR) == lseek(fds[n - 1], 0, SEEK_CUR));
}

/* The program's own file is where the library's descriptors were. */
static void all_are_replaced(void)
{
	struct stat mine;
	int fds[16], fd;
	char *p = malloc(MIB);
	size_t n;
	int pid;

	close_all();
	grow();
	n = open_ones(fds, 16);
	if (!n)
		t_skip("the library has no descriptor open");
	t_fill(p, MIB, 4);
	file_of_mine(&fd);
	t_check(!fstat(fd, &mine));
	for (size_t i = 0; i < n; i++)
		t_check(dup2(fd, fds[i]) == fds[i]);
	grow();
	p = realloc(p, 50 * MIB);
	t_check(t_filled(p, MIB, 4));
	check_files(fds, n, &mine);
	pid = fork();
	if (pid == 0) {
		grow();
		p = realloc(p, 90 * MIB);
		t_check(t_filled(p, MIB, 4));
		check_files(fds, n, &mine);
		_exit(0);
	}
	t_check(t_wait(pid));
	check_files(fds, n, &mine);
	grow();
}

/* ---- the kernel ---- */

#define REFUSE(number)                                       \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

/* As container runtimes do, and more. */
static void without_some_calls(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		REFUSE(SYS_userfaultfd),
		REFUSE(SYS_mbind),
		REFUSE(SYS_get_mempolicy),
		REFUSE(SYS_set_mempolicy),
		REFUSE(SYS_prctl),
		REFUSE(SYS_mincore),
		REFUSE(SYS_mlock2),
		REFUSE(SYS_memfd_create),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = filter,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		t_skip("seccomp filters are not to be had here");
	t_check(syscall(SYS_userfaultfd, 0) < 0 && errno == EPERM);
	grow();
}

static void in_an_empty_root(void)
{
	char path[] = "/tmp/pagemv-shim.XXXXXX";

	t_check(mkdtemp(path) && !chdir(path));
	if (chroot(".")) {
		rmdir(path);
		t_skip("not root");
	}
	t_check(access("/proc/self", F_OK) < 0);
	grow();
	/* The way back is for who is root. */
	if (!syscall(SYS_chdir, ".."))
		rmdir(path);
}

static void nobody(void)
{
	if (setgid(65534) || setuid(65534))
		t_skip("not root");
	grow();
}

static const struct shim_case cases[] = {
	{ .name = "little address space", .run = little_address_space },
	{ .name = "hardly any", .run = hardly_any },
	{ .name = "none any more", .run = none_any_more },
	{ .name = "little data", .run = little_data },
	{ .name = "no descriptor left",
	  .run = no_descriptor_left,
	  .conf = "tight=on" },
	{ .name = "descriptors are closed",
	  .run = all_are_closed,
	  .conf = "tight=on" },
	{ .name = "descriptors are replaced",
	  .run = all_are_replaced,
	  .conf = "tight=on" },
	{ .name = "some system calls are refused",
	  .run = without_some_calls,
	  .conf = "tight=on" },
	{ .name = "an empty root",
	  .run = in_an_empty_root,
	  .conf = "tight=on" },
	{ .name = "nobody", .run = nobody, .conf = "tight=on" },
};

int main(int argc, char **argv)
{
	return shim_test(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
