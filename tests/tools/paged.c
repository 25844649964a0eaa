// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A process with a statistics page, as pagemv-top(1) takes one from the shim,
 * and counters that do what standard input says:
 *
 *   COUNTER N      adds N to it, in another of the page's counters each time
 *   fork           a child that waits; "child PID" is printed
 *   raw-fork       the same without telling the page
 *   vfork          a child that shares all memory, and ends after 2 s
 *   garble BYTE    writes BYTE all over the counters' description
 *   hide           lets nobody but root look into it
 *   exec PROGRAM   becomes another program
 *
 * It prints "ready PID" when the page is there, and "done" after each line.
 * Ends with standard input. Its arguments: the settings to tell.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stats_page.h"
#include "t.h"

#define MEMBER(name)                                               \
	{                                                          \
#name, offsetof(struct pagemv_heap_counters, name) \
	}

static const struct {
	const char *name;
	size_t off;
} members[] = {
	MEMBER(allocs),
	MEMBER(frees),
	MEMBER(alloc_bytes),
	MEMBER(free_bytes),
	MEMBER(reallocs),
	MEMBER(in_place),
	MEMBER(moves),
	MEMBER(moved_bytes),
	MEMBER(copied_bytes),
	MEMBER(remaps),
	MEMBER(given_back_bytes),
	MEMBER(misuses),
	MEMBER(failures),
};

static void count(struct pmv_stats_page *page, const char *name, uint64_t n)
{
	static unsigned int turn;
	struct pagemv_heap_counters *counter =
		&page->counter[turn++ % PAGEMV_HEAP_COUNTERS];

	for (size_t i = 0; i < T_COUNT(members); i++) {
		if (strcmp(name, members[i].name) != 0)
			continue;
		__atomic_fetch_add(
			(uint64_t *)((char *)counter + members[i].off), n,
			__ATOMIC_RELAXED);
		return;
	}
	t_die("no counter %s", name);
}

/* Until the test kills it, or its parent ends. ready is closed when its page is
 * its own. */
_Noreturn static void be_child(struct pmv_stats_page *page, int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pmv_stats_page_child(page);
	close(ready);
	for (;;)
		pause();
}

static void become_parent(struct pmv_stats_page *page, bool raw)
{
	int ready[2];
	char none;
	pid_t pid;

	if (pipe(ready))
		t_die("pipe: %s", strerror(errno));
	pid = raw ? (pid_t)syscall(SYS_fork) : fork();
	if (pid < 0)
		t_die("fork: %s", strerror(errno));
	if (!pid)
		be_child(raw ? NULL : page, ready[1]);
	close(ready[1]);
	if (read(ready[0], &none, 1))
		t_die("the child is not ready");
	close(ready[0]);
	printf("child %d\n", (int)pid);
}

static void share(void)
{
	if (!vfork()) {
		sleep(2);
		_exit(0);
	}
}

static void obey(struct pmv_stats_page *page, char *line)
{
	char *name = strtok(line, " \n");
	char *rest = strtok(NULL, "\n");

	if (!name)
		return;
	if (!strcmp(name, "fork") || !strcmp(name, "raw-fork")) {
		become_parent(page, *name == 'r');
	} else if (!strcmp(name, "vfork")) {
		share();
	} else if (!strcmp(name, "garble") && rest) {
		memset(&page->version, atoi(rest),
		       offsetof(struct pmv_stats_page, start_ns) -
			       offsetof(struct pmv_stats_page, version));
	} else if (!strcmp(name, "hide")) {
		prctl(PR_SET_DUMPABLE, 0);
	} else if (!strcmp(name, "exec") && rest) {
		execl(rest, rest, (char *)NULL);
		t_die("%s: %s", rest, strerror(errno));
	} else {
		count(page, name, rest ? strtoull(rest, NULL, 10) : 1);
	}
}

int main(int argc, char **argv)
{
	struct pmv_stats_page *page;
	char line[512];

	page = pmv_stats_page_make(argc > 1 ? argv[1] : "");
	if (!page)
		t_die("there is no statistics page");
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", (int)getpid());
	while (fgets(line, sizeof(line), stdin)) {
		obey(page, line);
		puts("done");
	}
	return 0;
}
