// SPDX-License-Identifier: LGPL-2.1-or-later
#include "child.h"
#include "interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 120000

static void run(const struct bench_part *part, const void *arg, int fd,
		struct bench_shared *shared) __attribute__((noreturn));

/* Ctrl-C is for the parent. */
static void run(const struct bench_part *part, const void *arg, int fd,
		struct bench_shared *shared)
{
	bool ok;
	char byte;

	signal(SIGINT, SIG_IGN);
	ok = part->begin(shared, arg);
	while (write(fd, ok ? "1" : "0", 1) == 1 && part->turn &&
	       read(fd, &byte, 1) == 1)
		ok = part->turn(shared);
	_exit(0);
}

/* How the process ended, where it did not say itself. */
static void tell_end(struct bench_child *child, bool killed)
{
	struct bench_shared *shared = child->shared;
	int status = 0;

	waitpid(child->pid, &status, 0);
	child->pid = 0;
	if (killed || shared->why[0])
		return;
	if (WIFSIGNALED(status))
		snprintf(shared->why, sizeof(shared->why),
			 "the process ended by SIG%s",
			 sigabbrev_np(WTERMSIG(status)));
	else
		snprintf(shared->why, sizeof(shared->why),
			 "the process ended: %s",
			 strerror(WEXITSTATUS(status)));
}

void bench_child_stop(struct bench_child *child)
{
	if (child->pid) {
		kill(child->pid, SIGKILL);
		tell_end(child, true);
	}
	if (child->fd >= 0)
		close(child->fd);
	child->fd = -1;
}

void bench_child_free(struct bench_child *child)
{
	bench_child_stop(child);
	if (child->shared)
		munmap(child->shared, child->shared_bytes);
	child->shared = NULL;
}

static int await(struct bench_child *child)
{
	struct pollfd pollfd = { .fd = child->fd, .events = POLLIN };
	int n = poll(&pollfd, 1, PATIENCE_MS);
	char byte = '0';

	if (n < 0 || bench_interrupted())
		return -EINTR;
	if (n == 0) {
		snprintf(child->shared->why, sizeof(child->shared->why),
			 "it did not end within %d s", PATIENCE_MS / 1000);
		bench_child_stop(child);
		return -ETIMEDOUT;
	}
	if (read(child->fd, &byte, 1) != 1) {
		tell_end(child, false);
		bench_child_stop(child);
		return -ECHILD;
	}
	if (byte == '1')
		return 0;
	bench_child_stop(child);
	return -ECHILD;
}

static int share(struct bench_child *child, size_t bytes)
{
	void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	*child = (struct bench_child){ .fd = -1 };
	if (shared == MAP_FAILED)
		return -errno;
	child->shared = shared;
	child->shared_bytes = bytes;
	return 0;
}

int bench_child_start(struct bench_child *child, const struct bench_part *part,
		      const void *arg)
{
	int rc = share(child, part->shared_bytes);
	pid_t parent = getpid();
	int fd[2];

	if (rc)
		return rc;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return -errno;
	child->pid = fork();
	if (!child->pid) {
		close(fd[0]);
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
			_exit(0);
		run(part, arg, fd[1], child->shared);
	}
	close(fd[1]);
	child->fd = fd[0];
	if (child->pid > 0)
		return await(child);
	rc = -errno;
	child->pid = 0;
	return rc;
}

int bench_child_turn(struct bench_child *child)
{
	/* Where it is gone, the answer is, too. */
	if (send(child->fd, "1", 1, MSG_NOSIGNAL) != 1 && errno != EPIPE)
		return -errno;
	return await(child);
}
