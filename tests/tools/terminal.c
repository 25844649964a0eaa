// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Runs a program on a terminal of its own and plays its user:
 *
 *   terminal STEP... -- PROGRAM [ARG...]
 *
 *   wait:TEXT     until TEXT has appeared since the last wait
 *   keys:KEYS     types; \003 is Ctrl-C, \032 Ctrl-Z
 *   size:RxC      makes it so large (24x80 at first)
 *   stopped       until the program is stopped
 *   kill:N[:PID]  sends signal N to the program, or to PID
 *   same          the terminal's modes are now those of the beginning
 *
 * Prints what the program wrote. Ends as the program did (128 + signal), or
 * with 99 and the reason on standard error where a step does not come true, or
 * the terminal was not left as it was found.
 */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "t.h"

#define PATIENCE_NS 10000000000u

static struct {
	int fd;	   /* the user's side */
	int slave; /* kept open, so that the modes can be read at the end */
	pid_t pid;
	int status;
	bool ended;
	char seen[1 << 20];
	size_t len;
	size_t from; /* what is behind it has not been waited for */
	struct termios modes;
} terminal;

__attribute__((format(printf, 1, 2), noreturn)) static void
fail(const char *format, ...)
{
	va_list ap;

	fwrite(terminal.seen, 1, terminal.len, stdout);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (!terminal.ended)
		kill(terminal.pid, SIGKILL);
	exit(99);
}

/* Takes what is there, waiting a little. */
static void listen_a_little(void)
{
	struct pollfd poll_fd = { .fd = terminal.fd, .events = POLLIN };
	ssize_t n;

	if (poll(&poll_fd, 1, 20) <= 0)
		return;
	n = read(terminal.fd, terminal.seen + terminal.len,
		 sizeof(terminal.seen) - terminal.len);
	if (n > 0)
		terminal.len += (size_t)n;
	if (terminal.len == sizeof(terminal.seen))
		fail("it writes without end");
}

static uint64_t deadline(void)
{
	return t_now_ns() + PATIENCE_NS * t_slow();
}

static void wait_for(const char *text)
{
	uint64_t until_ns = deadline();
	const char *found;

	for (;;) {
		found = memmem(terminal.seen + terminal.from,
			       terminal.len - terminal.from, text,
			       strlen(text));
		if (found)
			break;
		if (t_now_ns() > until_ns)
			fail("'%s' did not appear", text);
		listen_a_little();
	}
	terminal.from = (size_t)(found - terminal.seen) + strlen(text);
}

static void type(const char *keys)
{
	size_t len = strlen(keys);

	if (write(terminal.fd, keys, len) != (ssize_t)len)
		fail("typing: %s", strerror(errno));
}

static void resize(const char *text)
{
	struct winsize size = { 0 };

	if (sscanf(text, "%hux%hu", &size.ws_row, &size.ws_col) != 2 ||
	    ioctl(terminal.fd, TIOCSWINSZ, &size))
		fail("size:%s", text);
}

static void send_signal(const char *text)
{
	pid_t pid = terminal.pid;
	int signal;

	if (sscanf(text, "%d:%d", &signal, &pid) < 1 || kill(pid, signal))
		fail("kill:%s", text);
}

static void wait_until_stopped(void)
{
	uint64_t until_ns = deadline();
	int status;

	while (waitpid(terminal.pid, &status, WUNTRACED | WNOHANG) == 0) {
		if (t_now_ns() > until_ns)
			fail("it was not stopped");
		listen_a_little();
	}
	if (!WIFSTOPPED(status))
		fail("it ended instead of being stopped");
}

static void check_modes(void)
{
	struct termios now;

	if (tcgetattr(terminal.slave, &now))
		fail("tcgetattr: %s", strerror(errno));
	if (now.c_lflag != terminal.modes.c_lflag ||
	    now.c_iflag != terminal.modes.c_iflag ||
	    now.c_oflag != terminal.modes.c_oflag)
		fail("the terminal's modes are not as they were");
}

static size_t occurrences(const char *text)
{
	const char *at = terminal.seen;
	const char *end = terminal.seen + terminal.len;
	size_t n = 0;

	while ((at = memmem(at, (size_t)(end - at), text, strlen(text)))) {
		at += strlen(text);
		n++;
	}
	return n;
}

static void step(const char *text)
{
	if (!strncmp(text, "wait:", 5))
		wait_for(text + 5);
	else if (!strncmp(text, "keys:", 5))
		type(text + 5);
	else if (!strncmp(text, "size:", 5))
		resize(text + 5);
	else if (!strncmp(text, "kill:", 5))
		send_signal(text + 5);
	else if (!strcmp(text, "stopped"))
		wait_until_stopped();
	else if (!strcmp(text, "same"))
		check_modes();
	else
		fail("no step '%s'", text);
}

static void begin(char **program)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };

	if (openpty(&terminal.fd, &terminal.slave, NULL, NULL, &size) ||
	    tcgetattr(terminal.slave, &terminal.modes))
		t_die("openpty: %s", strerror(errno));
	terminal.pid = fork();
	if (terminal.pid < 0)
		t_die("fork: %s", strerror(errno));
	if (terminal.pid)
		return;
	close(terminal.fd);
	login_tty(terminal.slave);
	execvp(program[0], program);
	_exit(127);
}

static void end(void)
{
	uint64_t until_ns = deadline();

	while (waitpid(terminal.pid, &terminal.status, WNOHANG) == 0) {
		if (t_now_ns() > until_ns)
			fail("it does not end");
		listen_a_little();
	}
	terminal.ended = true;
	listen_a_little();
	check_modes();
	if (occurrences("\033[?1049h") != occurrences("\033[?1049l"))
		fail("it did not leave its screen");
	if (occurrences("\033[?25l") != occurrences("\033[?25h"))
		fail("the cursor is not there");
}

int main(int argc, char **argv)
{
	int first = 1;

	while (first < argc && strcmp(argv[first], "--") != 0)
		first++;
	if (first + 1 >= argc)
		t_die("no program given");
	begin(argv + first + 1);
	for (int i = 1; i < first; i++)
		step(argv[i]);
	end();
	fwrite(terminal.seen, 1, terminal.len, stdout);
	return WIFEXITED(terminal.status) ? WEXITSTATUS(terminal.status)
					  : 128 + WTERMSIG(terminal.status);
}
