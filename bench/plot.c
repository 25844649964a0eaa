// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plot.h"
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

bool bench_plot_available(void)
{
	return bench_program_available("gnuplot");
}

/* gnuplot reads the pipe and writes the picture to its standard output. */
static int spawn(struct bench_plot *plot, int script_fd)
{
	char *argv[] = { "gnuplot", "-", NULL };
	posix_spawn_file_actions_t actions;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, script_fd, STDIN_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO,
					 plot->temporary,
					 O_WRONLY | O_CREAT | O_TRUNC, 0644);
	rc = posix_spawnp(&plot->pid, "gnuplot", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

static bool is_png(const char *path)
{
	size_t n = strlen(path);

	return n >= 4 && !strcmp(path + n - 4, ".png");
}

int bench_plot_begin(struct bench_plot *plot, const char *path, int width,
		     int height)
{
	int fd[2];
	int rc;

	*plot = (struct bench_plot){ .path = path };
	if (snprintf(plot->temporary, sizeof(plot->temporary), "%s.%d.tmp",
		     path, (int)getpid()) >= (int)sizeof(plot->temporary))
		return -ENAMETOOLONG;
	if (pipe2(fd, O_CLOEXEC))
		return -errno;
	rc = spawn(plot, fd[0]);
	close(fd[0]);
	if (!rc)
		plot->script = fdopen(fd[1], "w");
	if (!plot->script) {
		close(fd[1]);
		unlink(plot->temporary);
		return rc ? rc : -ENOMEM;
	}
	/* A gnuplot that dies early is seen by its exit status. */
	signal(SIGPIPE, SIG_IGN);
	fprintf(plot->script,
		"set terminal %s size %d,%d "
		"background rgb 'white' font 'Helvetica,%d'\n",
		is_png(path) ? "pngcairo" : "svg dynamic", width, height,
		is_png(path) ? 10 : 13);
	return 0;
}

int bench_plot_end(struct bench_plot *plot)
{
	int status = -1;
	int rc = 0;

	fclose(plot->script);
	while (waitpid(plot->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		rc = -EPROTO;
	else if (rename(plot->temporary, plot->path))
		rc = -errno;
	if (rc)
		unlink(plot->temporary);
	return rc;
}
