// SPDX-License-Identifier: LGPL-2.1-or-later
#include "program.h"
#include "interrupt.h"
#include "samples.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PRELOAD_CAP 8192

struct pipes {
	int out[2];
	int err[2];
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void pipes_close(struct pipes *pipes)
{
	for (int i = 0; i < 2; i++) {
		close_fd(&pipes->out[i]);
		close_fd(&pipes->err[i]);
	}
}

static int pipes_open(struct pipes *pipes)
{
	int rc;

	*pipes = (struct pipes){ { -1, -1 }, { -1, -1 } };
	if (!pipe2(pipes->out, O_CLOEXEC) && !pipe2(pipes->err, O_CLOEXEC))
		return 0;
	rc = -errno;
	pipes_close(pipes);
	return rc;
}

static void become(const struct bench_program *program, const char *preload,
		   pid_t parent, int out, int err) __attribute__((noreturn));

/* The child. Ctrl-C reaches it by itself, as it is in the same group. */
static void become(const struct bench_program *program, const char *preload,
		   pid_t parent, int out, int err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	dup2(null, STDIN_FILENO);
	dup2(out < 0 ? null : out, STDOUT_FILENO);
	dup2(err < 0 ? null : err, STDERR_FILENO);
	signal(SIGPIPE, SIG_DFL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(127);
	setenv("LD_PRELOAD", preload, 1);
	execvp(program->argv[0], (char *const *)program->argv);
	dprintf(STDERR_FILENO, "%s: %s\n", program->argv[0], strerror(errno));
	_exit(127);
}

static int spawn(const struct bench_program *program, int out, int err,
		 pid_t *pid, char why[160])
{
	char preload[PRELOAD_CAP];
	pid_t parent = getpid();

	if (!bench_allocator_preload(program->allocator, preload,
				     sizeof(preload))) {
		snprintf(why, 160, "libpagemv-malloc.so is not there");
		return -ECHILD;
	}
	*pid = fork();
	if (!*pid)
		become(program, preload, parent, out, err);
	return *pid < 0 ? -errno : 0;
}

struct reading {
	char *text;
	size_t n;
	size_t cap;
};

/* What does not fit is read, too, so that the program does not wait. */
static bool take(int fd, struct reading *reading)
{
	char rest[512];
	size_t left = reading->cap - 1 - reading->n;
	ssize_t n = read(fd, left ? reading->text + reading->n : rest,
			 left ? left : sizeof(rest));

	if (n > 0 && left)
		reading->n += (size_t)n;
	reading->text[reading->n] = '\0';
	return n > 0;
}

/* Until both are at their end. */
static int read_all(struct pipes *pipes, struct bench_program_end *end,
		    unsigned int patience_s)
{
	uint64_t until_ns = bench_now_ns() + patience_s * 1000000000ull;
	struct reading reading[2] = {
		{ end->text, 0, sizeof(end->text) },
		{ end->why, 0, sizeof(end->why) },
	};
	struct pollfd pollfd[2] = {
		{ .fd = pipes->out[0], .events = POLLIN },
		{ .fd = pipes->err[0], .events = POLLIN },
	};

	while (pollfd[0].fd >= 0 || pollfd[1].fd >= 0) {
		int n = poll(pollfd, 2, 200);

		if (bench_interrupted())
			return -EINTR;
		if (n < 1 && bench_now_ns() > until_ns)
			return -ETIMEDOUT;
		for (int i = 0; i < 2 && n > 0; i++)
			if (pollfd[i].revents &&
			    !take(pollfd[i].fd, &reading[i]))
				pollfd[i].fd = -1;
	}
	return 0;
}

static uint64_t timeval_ns(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000u;
}

static int judge(int status, struct bench_program_end *end)
{
	end->why[strcspn(end->why, "\n")] = '\0';
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (WIFSIGNALED(status))
		snprintf(end->why, sizeof(end->why), "it ended by SIG%s",
			 sigabbrev_np(WTERMSIG(status)));
	else if (!end->why[0])
		snprintf(end->why, sizeof(end->why), "its exit status is %d",
			 WEXITSTATUS(status));
	return -ECHILD;
}

static int reap(pid_t pid, struct bench_program_end *end)
{
	struct rusage usage;
	int status = 0;

	if (wait4(pid, &status, 0, &usage) < 0)
		return -errno;
	end->cpu_ns = timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
	return judge(status, end);
}

void bench_program_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int bench_program_run(const struct bench_program *program,
		      struct bench_program_end *end)
{
	uint64_t start_ns = bench_now_ns();
	struct pipes pipes;
	pid_t pid;
	int rc = pipes_open(&pipes);

	*end = (struct bench_program_end){ 0 };
	if (rc)
		return rc;
	rc = spawn(program, pipes.out[1], pipes.err[1], &pid, end->why);
	close_fd(&pipes.out[1]);
	close_fd(&pipes.err[1]);
	if (!rc) {
		rc = read_all(&pipes, end, program->patience_s);
		if (rc) {
			bench_program_kill(pid);
			snprintf(end->why, sizeof(end->why),
				 "it did not end within %u s",
				 program->patience_s);
		} else {
			rc = reap(pid, end);
		}
	}
	pipes_close(&pipes);
	end->wall_ns = bench_now_ns() - start_ns;
	return rc;
}

int bench_program_start(const struct bench_program *program, pid_t *pid,
			char why[160])
{
	return spawn(program, -1, -1, pid, why);
}

int bench_program_finish(const struct bench_program *program, pid_t pid,
			 struct bench_program_end *end)
{
	uint64_t until_ns =
		bench_now_ns() + program->patience_s * 1000000000ull;
	siginfo_t info;

	*end = (struct bench_program_end){ 0 };
	for (;;) {
		info.si_pid = 0;
		if (waitid(P_PID, (id_t)pid, &info,
			   WEXITED | WNOHANG | WNOWAIT))
			return -errno;
		if (info.si_pid)
			return reap(pid, end);
		if (bench_interrupted() || bench_now_ns() > until_ns)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
	bench_program_kill(pid);
	snprintf(end->why, sizeof(end->why), "it did not end");
	return bench_interrupted() ? -EINTR : -ETIMEDOUT;
}

bool bench_program_available(const char *name)
{
	const char *path = getenv("PATH");
	char file[4096];

	while (path && *path) {
		size_t len = strcspn(path, ":");

		snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, name);
		if (!access(file, X_OK))
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}
