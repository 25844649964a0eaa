/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moves while another process looks into this one, writes into it and stops
 * its threads: ptrace, process_vm_readv and _writev, /proc/PID/mem; while
 * signals come down on the movers, whose handlers move pages as well; and with
 * pages that are in a pipe by vmsplice.
 */
#include "trace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lab.h"
#include "oracle.h"
#include "proc.h"
#include "storm.h"
#include "t.h"

#define POOL 32 /* pages of the signal handlers */

void trace_result(struct tap *tap, const struct t_case *c, bool ok,
		  const char *name, const char *what)
{
	char text[160];

	snprintf(text, sizeof(text), "%s: %s: %s", name, c->name, what);
	tap_ok(tap, ok, text);
}

/* ---- storms ---- */

/* Over all cases: it was really done, how slow the machine may be. */
static struct {
	uint64_t stops;
	uint64_t in_calls;
	uint64_t whole;
	uint64_t by_handlers;
} all;

static bool set_up(struct storm *s, const char **why)
{
	(void)why;
	clear_shared();
	shared->place = snapshot_place(s);
	return true;
}

/* One order for as long as the storm lasts. */
static void order_all_along(struct storm *s, enum order what)
{
	order(what);
	while (!storm_over(s) && shared->text[0] == '\0')
		t_sleep_ms(2);
	order_end();
	if (shared->text[0] != '\0')
		storm_wrong(s, "%s", shared->text);
	while (!storm_over(s))
		t_sleep_ms(2);
}

static void traced(struct storm *s, struct t_random *random)
{
	(void)random;
	order_all_along(s, TRACE);
}

static void stops_are_told(struct storm *s)
{
	all.stops += shared->stops;
	all.in_calls += shared->in_calls + shared->at_entry;
	tap_say(stdout,
		"%s: all threads stopped %" PRIu64
		" times, in ioctl or mremap %" PRIu64 ", before it %" PRIu64
		"; pages in flight %" PRIu64 ", being written %" PRIu64
		"; words poked %" PRIu64,
		s->c->name, shared->stops, shared->in_calls, shared->at_entry,
		shared->in_flight, shared->rewritten, shared->words);
}

static const struct storm_plan traced_plan = {
	.name = "ptrace",
	.ways = T_WAYS_LIVE,
	.ms = 300,
	.set_up = set_up,
	.tear_down = stops_are_told,
	.disturb = { traced },
};

static void read_by_other(struct storm *s, struct t_random *random)
{
	(void)random;
	order_all_along(s, READ);
}

/*
 * process_vm_readv pins the page it reads, for as long as that takes. And who
 * reads where a page has just left makes a page of zeros there, which is in the
 * way of the next that comes.
 */
static bool pinned_or_occupied(const struct storm *s, int r,
			       const struct pagemv_result *res)
{
	(void)s;
	return (r == -EBUSY && res->reason == PAGEMV_REASON_PINNED) ||
	       (r == -EEXIST && (res->reason == PAGEMV_REASON_OCCUPIED ||
				 res->reason == PAGEMV_REASON_RACED));
}

static void reads_are_told(struct storm *s)
{
	struct pagemv_stats stats = { .size = sizeof(stats) };

	all.whole += shared->whole;
	if (pagemv_stats(s->c->pv, &stats) != 0)
		t_die("pagemv_stats");
	tap_say(stdout,
		"%s: %" PRIu64 " pages read, %" PRIu64
		" of them whole; met as pinned %" PRIu64 " times",
		s->c->name, shared->reads, shared->whole, stats.pinned_pages);
}

static const struct storm_plan read_plan = {
	.name = "read",
	.ways = T_WAYS_LIVE,
	.ms = 250,
	.set_up = set_up,
	.tear_down = reads_are_told,
	.allowed = pinned_or_occupied,
	.disturb = { read_by_other },
};

/* ---- signals ---- */

/* A page of each thread, which its handler moves to and fro. */
static struct {
	struct t_case *c;
	char *a;
	char *b;
	bool at_b[POOL];
	unsigned int taken;
	uint64_t handled;
	uint64_t moved;
	int wrong; /* what a move returned */
} pool;

static void move_a_page(int sig)
{
	static __thread unsigned int mine; /* + 1 */
	struct pagemv_result res;
	int saved = errno, r;
	char *from, *to;
	size_t i;

	(void)sig;
	if (mine == 0)
		mine = __atomic_add_fetch(&pool.taken, 1, __ATOMIC_RELAXED);
	add(&pool.handled, 1);
	i = (mine - 1) % POOL;
	if (mine > POOL)
		return;
	from = (pool.at_b[i] ? pool.b : pool.a) + t_pages(i);
	to = (pool.at_b[i] ? pool.a : pool.b) + t_pages(i);
	r = pagemv_move(pool.c->pv, to, from, t_page(), &pool.c->opts, &res);
	if (r == 0) {
		pool.at_b[i] = !pool.at_b[i];
		add(&pool.moved, 1);
	} else if (r != -EAGAIN) {
		pool.wrong = r;
	}
	errno = saved;
}

static bool open_pool(struct storm *s, const char **why)
{
	struct sigaction action = { .sa_handler = move_a_page };

	(void)why;
	memset(&pool, 0, sizeof(pool));
	pool.c = s->c;
	pool.a = t_case_heap(s->c, POOL);
	pool.b = t_case_heap(s->c, POOL);
	t_fill_range(pool.a, POOL, 1);
	if (sigaction(SIGUSR1, &action, NULL) != 0)
		t_die("sigaction");
	return true;
}

static void close_pool(struct storm *s)
{
	const char *wrong = NULL;
	size_t i;

	signal(SIGUSR1, SIG_IGN);
	for (i = 0; i < POOL && wrong == NULL; i++)
		wrong = t_check((pool.at_b[i] ? pool.b : pool.a) + t_pages(i),
				i + 1, 1);
	if (wrong != NULL)
		storm_wrong(s, "moved by a handler: %s", wrong);
	if (pool.wrong != 0)
		storm_wrong(s, "a move in a handler returned %d", pool.wrong);
	all.by_handlers += pool.moved;
	tap_say(stdout,
		"%s: %" PRIu64 " signals, %" PRIu64 " moves by handlers",
		s->c->name, pool.handled, pool.moved);
}

/* Each thread but the first, which waits, and this one. Returns how many. */
static uint64_t signal_each(void)
{
	pid_t self = (pid_t)syscall(SYS_gettid);
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	uint64_t sent = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid != 0 && tid != self && tid != getpid())
			sent += syscall(SYS_tgkill, getpid(), tid, SIGUSR1) ==
				0;
	}
	if (dir != NULL)
		closedir(dir);
	return sent;
}

/*
 * And then leaves them alone for as long as their handlers took, at least:
 * where a copy takes longer than the next signal to come, as under emulation
 * on a busy host, threads would be in handlers all the time and move nothing.
 */
static void signal_all(struct storm *s, struct t_random *random)
{
	uint64_t from = t_now_ns(), until;
	uint64_t due = __atomic_load_n(&pool.handled, __ATOMIC_RELAXED);

	due += signal_each();
	while (__atomic_load_n(&pool.handled, __ATOMIC_RELAXED) < due &&
	       !storm_over(s))
		usleep(100);
	until = t_now_ns();
	until += until - from;
	while (t_now_ns() < until && !storm_over(s))
		usleep(100);
	usleep((useconds_t)t_random_below(random, 1000));
}

static const struct storm_plan signal_plan = {
	.name = "signals",
	.ways = T_WAYS_LIVE,
	.ms = 250,
	.set_up = open_pool,
	.tear_down = close_pool,
	.disturb = { signal_all },
};

/* ---- vmsplice ---- */

#define PIPED 4

/*
 * Pages in a pipe are the process's own: what is stored to them after vmsplice
 * is read from the pipe. Moved or remapped they still are; copied, the pipe
 * keeps what they were.
 */
static void pages_in_a_pipe(struct tap *tap, struct t_case *c)
{
	char *src = t_case_map(c, PIPED), *dst = t_case_heap(c, PIPED);
	struct iovec v = { src, t_pages(PIPED) };
	struct pagemv_result res;
	static char page[65536];
	size_t whole = 0, fresh = 0, i;
	int fds[2], r;

	t_fill_range(src, PIPED, 1);
	if (pipe(fds) != 0)
		t_die("pipe");
	if (vmsplice(fds[1], &v, 1, 0) != (ssize_t)t_pages(PIPED))
		t_die("vmsplice");
	r = pagemv_move(c->pv, dst, src, t_pages(PIPED), &c->opts, &res);
	trace_result(tap, c,
		     r == 0 && t_check_range(dst, PIPED, 1) == NULL &&
			     t_check_absent(src, PIPED) == NULL,
		     "vmsplice", "pages in a pipe arrive whole");
	for (i = 0; i < PIPED; i++)
		((struct t_head *)(void *)(dst + t_pages(i)))->counter = 1;
	for (i = 0; i < PIPED; i++) {
		uint64_t id = 0;

		if (read(fds[0], page, t_page()) != (ssize_t)t_page())
			t_die("reading the pipe");
		whole += t_look_present(page, &id, NULL) == T_GOOD &&
			 id == i + 1;
		fresh += ((struct t_head *)(void *)page)->counter == 1;
	}
	close(fds[0]);
	close(fds[1]);
	trace_result(tap, c,
		     whole == PIPED &&
			     fresh == (res.copied_bytes != 0 ? 0 : PIPED),
		     "vmsplice",
		     res.copied_bytes != 0
			     ? "the pipe keeps the pages as they were copied"
			     : "the pipe has the moved pages themselves");
	if (c->variant == T_NORMAL)
		lab_seen("pages in a pipe by vmsplice", "%s: %s", c->name,
			 fresh == PIPED ? "move, and the pipe with them"
					: "copied, the pipe keeps the old");
}

int main(void)
{
	struct tap tap = { 0, 0 };
	struct t_case c;

	lab_only();
	start_other();
	t_cases(&c, T_WAYS_LIVE);
	while (t_next_case(&c)) {
		pages_in_a_pipe(&tap, &c);
		held_page(&tap, &c);
	}
	run_words(&tap);
	storm_run(&tap, &traced_plan);
	storm_run(&tap, &read_plan);
	storm_run(&tap, &signal_plan);
	tap_ok(&tap, all.stops > 0 && all.in_calls > 0,
	       "threads were stopped in the middle of moves");
	tap_ok(&tap, all.whole > 0, "whole pages were read by another process");
	tap_ok(&tap, all.by_handlers > 0, "signal handlers moved pages");
	lab_seen("threads stopped by ptrace",
		 "%" PRIu64 " times all of a process, %" PRIu64
		 " threads at ioctl or mremap: each page once, or in flight "
		 "(copying)",
		 all.stops, all.in_calls);
	lab_seen("signals during moves",
		 "handlers moved %" PRIu64 " pages of their own",
		 all.by_handlers);
	order(QUIT);
	t_wait(-1);
	return tap_done(&tap);
}
