// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv top: the terminal, and what ends the waiting.
 *
 * ASSUME(ecma-48): where TERM is set and is not "dumb", the terminal knows the
 * few control sequences below, as all that are in use do; curses would be a
 * library for ten bytes.
 */
#include "top.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define ENTER	      "\033[?1049h\033[?25l\033[H\033[2J"
#define LEAVE	      "\033[?25h\033[?1049l"
#define HOME	      "\033[H"
#define TO_LINE_END   "\033[K"
#define TO_SCREEN_END "\033[J"

static struct {
	bool on;
	bool keys; /* standard input is the terminal's, and gives single keys */
	struct termios before;
	sigset_t waiting; /* the signals that are blocked but while waiting */
} screen;

/* Written by handlers, which run in top_wait() alone. */
static volatile sig_atomic_t resized, stopped, ended_by;

static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

#define ENDING (sizeof(ending) / sizeof(ending[0]))

static void note(int signal)
{
	if (signal == SIGWINCH || signal == SIGCONT)
		resized = 1;
	else if (signal == SIGTSTP)
		stopped = 1;
	else
		ended_by = signal;
}

static void catch (int signal, sigset_t *blocked)
{
	struct sigaction action = { .sa_handler = note };
	struct sigaction before;

	/* What the caller, nohup(1) for one, has ignored stays so. */
	if (sigaction(signal, NULL, &before) || before.sa_handler == SIG_IGN)
		return;
	sigaddset(blocked, signal);
	sigaction(signal, &action, NULL);
}

static void put(const char *text, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(STDOUT_FILENO, text, len);
		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
}

static void take_terminal(void)
{
	struct termios raw;

	screen.keys = isatty(STDIN_FILENO) &&
		      !tcgetattr(STDIN_FILENO, &screen.before);
	if (screen.keys) {
		raw = screen.before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		raw.c_cc[VMIN] = 1;
		raw.c_cc[VTIME] = 0;
		screen.keys = !tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	}
	put(ENTER, strlen(ENTER));
	screen.on = true;
}

static bool is_terminal(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb");
}

void top_screen_begin(void)
{
	static const int more[] = { SIGTSTP, SIGCONT, SIGWINCH };
	sigset_t blocked;

	if (!is_terminal())
		return;
	sigemptyset(&blocked);
	for (size_t i = 0; i < ENDING; i++)
		catch (ending[i], &blocked);
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		catch (more[i], &blocked);
	sigprocmask(SIG_BLOCK, &blocked, &screen.waiting);
	fflush(stdout);
	take_terminal();
	atexit(top_screen_end);
}

void top_screen_end(void)
{
	if (!screen.on)
		return;
	screen.on = false;
	put(LEAVE, strlen(LEAVE));
	if (screen.keys)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &screen.before);
}

/* Ctrl-Z: the terminal is the shell's until it lets us go on. */
static void stop(void)
{
	top_screen_end();
	raise(SIGSTOP);
	take_terminal();
}

int top_ended_by(void)
{
	return ended_by;
}

bool top_screen_is_on(void)
{
	return screen.on;
}

static struct winsize screen_size(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row ||
	    !size.ws_col)
		size = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	return size;
}

unsigned int top_screen_lines(void)
{
	return screen_size().ws_row;
}

void top_screen_show(const char *text)
{
	struct winsize size = screen_size();
	char *frame = NULL;
	unsigned int line;
	size_t len, bytes;
	FILE *out = open_memstream(&frame, &bytes);

	if (!out)
		return;
	fputs(HOME, out);
	for (line = 0; *text && line < size.ws_row; line++) {
		len = strcspn(text, "\n");
		/* Before the text: at the last column it would clear that. */
		fprintf(out, "%s" TO_LINE_END "%.*s", line ? "\r\n" : "",
			(int)(len < size.ws_col ? len : size.ws_col), text);
		text += len + (text[len] == '\n');
	}
	if (line < size.ws_row)
		fputs("\r\n" TO_SCREEN_END, out);
	/* In one piece, so that nothing flickers. */
	if (!fclose(out))
		put(frame, bytes);
	free(frame);
}

/* Whether one of the keys that are there asks for the end. */
static bool quit_pressed(void)
{
	char keys[32];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n <= 0 && errno != EINTR && errno != EAGAIN)
		screen.keys = false;
	for (ssize_t i = 0; i < n; i++)
		if (keys[i] == 'q' || keys[i] == 'Q')
			return true;
	return false;
}

static bool take(volatile sig_atomic_t *flag)
{
	bool was = *flag;

	*flag = 0;
	return was;
}

enum top_event top_wait(uint64_t until_ns, int watched)
{
	struct pollfd poll[2];
	struct timespec left;
	uint64_t now_ns;

	for (;;) {
		if (ended_by)
			return TOP_SIGNAL;
		if (take(&stopped))
			stop();
		if (take(&resized))
			return TOP_RESIZED;
		now_ns = top_now_ns();
		if (now_ns >= until_ns)
			return TOP_TIME;
		left.tv_sec = (time_t)((until_ns - now_ns) / 1000000000u);
		left.tv_nsec = (long)((until_ns - now_ns) % 1000000000u);
		poll[0] = (struct pollfd){ .fd = watched, .events = POLLIN };
		poll[1] = (struct pollfd){ .fd = screen.on && screen.keys
							 ? STDIN_FILENO
							 : -1,
					   .events = POLLIN };
		if (ppoll(poll, 2, &left, screen.on ? &screen.waiting : NULL) <=
		    0)
			continue;
		if (poll[1].revents && quit_pressed())
			return TOP_QUIT;
		if (poll[0].revents)
			return TOP_ENDED;
	}
}
