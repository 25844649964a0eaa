// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim_test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED	 77
#define SAID_MAX 16384
/* Of one case; a deadlock is a failure. */
#define SECONDS_MAX 120

/* ---- inside of a case ---- */

void t_fail(const char *file, int line, const char *what)
{
	dprintf(STDERR_FILENO, "%s:%d: not so: %s (errno %d)\n", file, line,
		what, errno);
	_exit(1);
}

void t_skip(const char *why)
{
	dprintf(STDERR_FILENO, "%s", why);
	_exit(SKIPPED);
}

bool t_served(const void *ptr)
{
	return ptr && !((uintptr_t)ptr % 4096);
}

static unsigned char byte_at(size_t i, unsigned int seed)
{
	return (unsigned char)(i * 31 + (i >> 12) * 7 + seed);
}

void t_fill(void *ptr, size_t bytes, unsigned int seed)
{
	unsigned char *p = ptr;

	for (size_t i = 0; i < bytes; i++)
		p[i] = byte_at(i, seed);
}

bool t_filled(const void *ptr, size_t bytes, unsigned int seed)
{
	const unsigned char *p = ptr;

	for (size_t i = 0; i < bytes; i++)
		if (p[i] != byte_at(i, seed))
			return false;
	return true;
}

bool t_is_zero(const void *ptr, size_t bytes)
{
	const unsigned char *p = ptr;

	for (size_t i = 0; i < bytes; i++)
		if (p[i])
			return false;
	return true;
}

bool t_wait(int pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- around it ---- */

static const char *built(const char *what)
{
	static char path[PATH_MAX];
	const char *top = getenv("top_builddir");

	snprintf(path, sizeof(path), "%s/%s", top ? top : ".", what);
	return path;
}

const char *t_shim(void)
{
	return built("preload/.libs/libpagemv-malloc.so");
}

static void set_up(const struct shim_case *c)
{
	char conf[512];

	snprintf(conf, sizeof(conf), "threshold=128k%s%s", c->conf ? "," : "",
		 c->conf ? c->conf : "");
	setenv("PAGEMV_CONF", conf, 1);
	setenv("LD_LIBRARY_PATH", built("lib/.libs"), 1);
	if (!c->without)
		setenv("LD_PRELOAD", t_shim(), 1);
}

static void start(const struct shim_case *c, char *self, int err)
{
	char path[PATH_MAX];

	dup2(err, STDERR_FILENO);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	alarm(SECONDS_MAX);
	set_up(c);
	snprintf(path, sizeof(path), "%s", self);
	if (c->program) {
		char *slash = strrchr(path, '/');

		snprintf(slash + 1, (size_t)(path + sizeof(path) - slash - 1),
			 "%s", c->program);
	}
	execl(path, path, "run", c->name, (char *)NULL);
	_exit(127);
}

static size_t read_all(int fd, char *out, size_t bytes)
{
	size_t n = 0;
	ssize_t got;

	while ((got = read(fd, out + n, bytes - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = '\0';
	return n;
}

static bool as_expected(const struct shim_case *c, int status, const char *said)
{
	bool ended = c->signal ? WIFSIGNALED(status) &&
					 WTERMSIG(status) == c->signal
			       : WIFEXITED(status) && !WEXITSTATUS(status);

	for (size_t i = 0; i < sizeof(c->says) / sizeof(c->says[0]); i++)
		if (c->says[i] && !strstr(said, c->says[i]))
			return false;
	return ended && (c->says[0] || !*said);
}

static void run_case(struct tap *tap, const struct shim_case *c, char *self)
{
	char said[SAID_MAX];
	int fds[2], status, pid;

	if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		tap_ok(tap, false, "fork");
		return;
	}
	if (pid == 0)
		start(c, self, fds[1]);
	close(fds[1]);
	read_all(fds[0], said, sizeof(said));
	close(fds[0]);
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
		tap_skip(tap, c->name, said);
		return;
	}
	if (!tap_ok(tap, as_expected(c, status, said), c->name))
		tap_say(stderr, "%s: status 0x%x, said: %s", c->name, status,
			said);
}

int shim_test(int argc, char **argv, const struct shim_case *cases, size_t n)
{
	static char self[PATH_MAX];
	struct tap tap = { 0, 0 };

	for (size_t i = 0; argc == 3 && i < n; i++)
		if (!strcmp(argv[2], cases[i].name)) {
			cases[i].run();
			return 0;
		}
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 99;
	for (size_t i = 0; i < n; i++)
		if (argc < 2 || !strcmp(argv[1], cases[i].name))
			run_case(&tap, &cases[i], self);
	return tap_done(&tap);
}
