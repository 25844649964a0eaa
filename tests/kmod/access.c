/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may: the device is root's, a descriptor serves the process that opened it
 * and no other. And how calls end that are interrupted: by signals, a tracer,
 * the end of the process.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kmod.h"

#define PAGES  64
#define NOBODY 65534

/* ---- who ---- */

static int opens_as_nobody(void *arg)
{
	(void)arg;
	if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
		return 2;
	return open("/dev/pagemv", O_RDWR) < 0 && errno == EACCES ? 0 : 1;
}

static const char *permission(void)
{
	struct stat st;

	if (kmod_way() != KMOD_MODULE)
		return skip("the device is the module's");
	MUST(stat("/dev/pagemv", &st) == 0 && S_ISCHR(st.st_mode), "no device");
	MUST((st.st_mode & 07777) == 0600 && st.st_uid == 0, "mode %o of %d",
	     st.st_mode & 07777, (int)st.st_uid);
	MUST(t_in_child(opens_as_nobody, NULL) == 0, "nobody can open it");
	return NULL;
}

/* One that was opened before rights were given up goes on to serve. */
static const char *without_rights(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);

	if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
		t_die("setuid");
	/* Such a process cannot look at itself any more, unless it may. */
	prctl(PR_SET_DUMPABLE, 1);
	return moves(dst, src, PAGES, 1);
}

/* The mode of the descriptor does not matter, its process does. */
static const char *read_only(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1);

	if (kmod_way() != KMOD_MODULE)
		return skip("the device is the module's");
	close(kmod_fd);
	kmod_fd = open("/dev/pagemv", O_RDONLY | O_CLOEXEC);
	MUST(kmod_fd >= 0, "cannot be opened: %d", errno);
	return moves(dst, src, 1, 1);
}

struct pair {
	char *src;
	char *dst;
};

/* All calls with a descriptor that is another process's; -1 where one works. */
static int refused_all(const struct pair *p)
{
	struct pagemvio_info info = { .size = sizeof(info) };
	struct pagemvio_range range = { (uintptr_t)p->dst, (uintptr_t)p->src,
					t_page(), 0 };
	int64_t moved;

	if (kmod_remap(p->dst, p->src, 1, 0, &moved) != -EINVAL)
		return -1;
	if (kmod_way() == KMOD_MODULE &&
	    (ioctl(kmod_fd, PAGEMVIO_INFO, &info) == 0 || errno != EINVAL ||
	     kmod_remapv(&range, 1, 0, 0, &moved, NULL) != -EINVAL ||
	     kmod_exchange(p->dst, p->src, 1, &moved) != -EINVAL))
		return -1;
	return t_check_range(p->src, 1, 1) == NULL ? 0 : -1;
}

/* With the descriptor of the parent, on the child's copy of both. */
static int moves_by_inherited(void *arg)
{
	const struct pair *p = arg;

	t_fill_range(p->src, 1, 1);
	return refused_all(p) == 0 ? 0 : 1;
}

static const char *after_fork(void)
{
	struct pair p = { kmod_map_src(PAGES, 1), kmod_map_dst(PAGES) };
	int status = t_in_child(moves_by_inherited, &p);

	MUST(status == 0, "the child: %d", status);
	if (madvise(p.src, t_pages(PAGES), MADV_POPULATE_WRITE) != 0)
		t_die("MADV_POPULATE_WRITE");
	return moves(p.dst, p.src, PAGES, 1);
}

#define OTHERS_FD 200

/* A descriptor that another process has opened; *pid: that process, which ends
 * when *go is closed. */
static int others_fd(pid_t *pid, int *go)
{
	int ready[2], end[2], pidfd, fd;
	char byte = 0;

	if (pipe(ready) != 0 || pipe(end) != 0)
		t_die("pipe");
	*pid = fork();
	if (*pid == 0) {
		close(end[1]);
		if (dup2(kmod_open(), OTHERS_FD) != OTHERS_FD ||
		    write(ready[1], &byte, 1) != 1)
			_exit(1);
		_exit(read(end[0], &byte, 1) == 0 ? 0 : 1);
	}
	if (read(ready[0], &byte, 1) != 1)
		t_die("a process that opens it");
	pidfd = (int)syscall(SYS_pidfd_open, *pid, 0);
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, OTHERS_FD, 0);
	if (fd < 0)
		t_die("pidfd_getfd: %d", errno);
	*go = end[1];
	return fd;
}

/* A descriptor whose process is there, and then has gone. */
static const char *of_another(void)
{
	struct pair p = { kmod_map_src(1, 1), kmod_map_dst(1) };
	int go, own = kmod_fd, there, gone;
	pid_t pid;

	kmod_fd = others_fd(&pid, &go);
	madvise(p.src, t_page(), MADV_POPULATE_WRITE);
	RIGHT("told", refuses(p.dst, p.src, 1, 1, -EINVAL));
	there = refused_all(&p);
	close(go);
	MUST(t_wait(pid) == 0, "the other process");
	gone = refused_all(&p);
	close(kmod_fd);
	kmod_fd = own;
	MUST(there == 0 && gone == 0,
	     "one works: %d, and without its process %d", there, gone);
	return moves(p.dst, p.src, 1, 1);
}

/* ---- in the middle ---- */

struct worker {
	char *a;
	char *b;
	volatile bool over;
	uint64_t calls;
	int error;
};

/* There and back for as long as it is wanted. */
static void *move_about(void *arg)
{
	struct worker *w = arg;
	int64_t moved;
	int r;

	while (!w->over) {
		char *from = w->calls % 2 == 0 ? w->a : w->b;
		char *to = w->calls % 2 == 0 ? w->b : w->a;

		r = kmod_remap(to, from, PAGES, 0, &moved);
		if (r == -EAGAIN)
			continue;
		if (r != 0) {
			w->error = r;
			break;
		}
		w->calls++;
	}
	return NULL;
}

static struct worker worker(void)
{
	struct worker w = { .a = kmod_map_src(PAGES, 1),
			    .b = kmod_map_dst(PAGES) };

	kmod_dst(w.a, PAGES);
	return w;
}

static volatile uint64_t signals;

static void count_signal(int signo)
{
	(void)signo;
	signals++;
}

static const char *signals_do_not_end_it(void)
{
	struct sigaction action = { .sa_handler = count_signal };
	struct worker w = worker();
	pthread_t thread;
	int i;

	sigaction(SIGUSR1, &action, NULL);
	if (pthread_create(&thread, NULL, move_about, &w) != 0)
		t_die("pthread_create");
	for (i = 0; i < 500; i++) {
		pthread_kill(thread, SIGUSR1);
		usleep(500);
	}
	w.over = true;
	pthread_join(thread, NULL);
	MUST(w.error == 0, "ended with %d after %" PRIu64 " moves", w.error,
	     w.calls);
	MUST(signals > 0 && w.calls > 0, "%" PRIu64 " signals", signals);
	return t_check_range(w.calls % 2 == 0 ? w.a : w.b, PAGES, 1);
}

/* A process that moves without end; it is killed. */
static int moves_for_ever(void *arg)
{
	struct worker w;

	(void)arg;
	close(kmod_fd);
	kmod_fd = kmod_open();
	w = worker();
	move_about(&w);
	return 1;
}

static pid_t start(int (*body)(void *arg))
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(body(NULL));
	if (pid < 0)
		t_die("fork");
	return pid;
}

static const char *killed(void)
{
	struct t_random random = t_random_make(3);
	int i, status;
	pid_t pid;

	for (i = 0; i < 30; i++) {
		pid = start(moves_for_ever);
		usleep(1000 + (useconds_t)t_random_below(&random, 30000));
		kill(pid, SIGKILL);
		status = t_wait(pid);
		MUST(status == 128 + SIGKILL, "process %d ended with %d", i,
		     status);
	}
	return NULL;
}

/* Threads in calls while another of them ends the process. */
static int exits_meanwhile(void *arg)
{
	struct worker w[3];
	pthread_t thread;
	size_t i;

	(void)arg;
	close(kmod_fd);
	kmod_fd = kmod_open();
	for (i = 0; i < T_COUNT(w); i++) {
		w[i] = worker();
		if (pthread_create(&thread, NULL, move_about, &w[i]) != 0)
			return 1;
	}
	usleep(5000);
	return 0;
}

static const char *process_ends(void)
{
	int i, status;

	for (i = 0; i < 20; i++) {
		status = t_wait(start(exits_meanwhile));
		MUST(status == 0, "process %d ended with %d", i, status);
	}
	return NULL;
}

/* ---- a range that takes long, with nothing in it ---- */

#define LONG_BYTES ((size_t)1 << 40)
#define LONGER	   32 /* times as long */

static struct pair pair_of(size_t bytes)
{
	struct pair p;
	char **const side[] = { &p.src, &p.dst };
	size_t i;

	for (i = 0; i < T_COUNT(side); i++) {
		*side[i] = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
				0);
		if (*side[i] == MAP_FAILED)
			t_die("address space");
	}
	kmod_dst(p.dst, bytes / t_page());
	return p;
}

static struct pair pair_long(void)
{
	return pair_of(LONG_BYTES);
}

static int move_long(const struct pair *p)
{
	int64_t moved;

	return kmod_remap(p->dst, p->src, LONG_BYTES / t_page(), KMOD_HOLES,
			  &moved);
}

static int moves_longer(void *arg)
{
	struct pair p;
	int64_t moved;

	(void)arg;
	close(kmod_fd);
	kmod_fd = kmod_open();
	p = pair_of(LONG_BYTES * LONGER);
	kmod_remap(p.dst, p.src, LONG_BYTES * LONGER / t_page(), KMOD_HOLES,
		   &moved);
	return 1;
}

/* In the middle, and not behind it: of so much, an eighth may be left. */
static const char *killed_in_long_range(void)
{
	struct pair p = pair_long();
	uint64_t begin = t_now_ns(), whole;
	pid_t pid;
	int i;

	MUST(move_long(&p) == 0, "the call");
	whole = (t_now_ns() - begin) * LONGER;
	for (i = 0; i < 5; i++) {
		pid = start(moves_longer);
		usleep(100000 + 50000 * (useconds_t)i);
		begin = t_now_ns();
		kill(pid, SIGKILL);
		MUST(t_wait(pid) == 128 + SIGKILL, "it has ended by itself");
		MUST(t_now_ns() - begin < whole / 8 + 1000000000,
		     "%d ms to end, and %d for all of it",
		     (int)((t_now_ns() - begin) / 1000000),
		     (int)(whole / 1000000));
	}
	return NULL;
}

/* Who does something again and again, also while a call lasts. */
struct neighbour {
	void (*act)(struct neighbour *n);
	int processor;		    /* that it is kept to, or -1 */
	char *page;		    /* of its own */
	volatile unsigned int call; /* which one it is; 0: none */
	volatile unsigned int acts; /* begun and ended in the same one */
	volatile bool over;
};

static void stay_on(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)processor, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		t_die("sched_setaffinity");
}

static void *be_neighbour(void *arg)
{
	struct neighbour *n = arg;
	unsigned int call;

	if (n->processor >= 0)
		stay_on(n->processor);
	while (!n->over) {
		call = n->call;
		n->act(n);
		n->acts += call != 0 && call == n->call;
	}
	return NULL;
}

/* How often it acts in long calls: until it did, or there were many. */
static const char *acts_meanwhile(struct neighbour *n)
{
	struct pair p = pair_long();
	pthread_t thread;
	unsigned int i;
	int r = 0;

	n->page = t_map(1);
	if (pthread_create(&thread, NULL, be_neighbour, n) != 0)
		t_die("pthread_create");
	for (i = 1; i <= 10 && n->acts < 5 && r == 0; i++) {
		n->call = i;
		r = move_long(&p);
		n->call = 0;
	}
	n->over = true;
	pthread_join(thread, NULL);
	MUST(r == 0, "the call: %d", r);
	MUST(n->acts >= 5, "%u times in %u calls", n->acts, i - 1);
	return NULL;
}

static void wait_a_little(struct neighbour *n)
{
	(void)n;
	usleep(1000);
}

/* On the same processor. Where the kernel can always be preempted, that is it.
 */
static const char *lets_run(void)
{
	struct neighbour n = { .act = wait_a_little, .processor = 0 };

	stay_on(0);
	return acts_meanwhile(&n);
}

static void change_mapping(struct neighbour *n)
{
	mprotect(n->page, t_page(), PROT_READ);
	mprotect(n->page, t_page(), PROT_READ | PROT_WRITE);
}

static const char *lets_map(void)
{
	struct neighbour n = { .act = change_mapping, .processor = -1 };

	if (kmod_way() == KMOD_MOVE)
		return skip("UFFDIO_MOVE keeps the mappings as they are");
	return acts_meanwhile(&n);
}

/* ---- a tracer ---- */

static const char *traced(void)
{
	pid_t pid = start(moves_for_ever);
	int i, status;

	usleep(20000);
	for (i = 0; i < 100; i++) {
		if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0)
			return wrong("PTRACE_SEIZE: %d", errno);
		if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) != 0 ||
		    waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			return wrong("it does not stop: %d", errno);
		if (i % 2 == 0) {
			/* Step into and out of a few calls. */
			ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
			waitpid(pid, &status, 0);
			MUST(WIFSTOPPED(status), "it has ended: %x", status);
		}
		if (ptrace(PTRACE_DETACH, pid, NULL, NULL) != 0)
			return wrong("PTRACE_DETACH: %d", errno);
		usleep(1000);
	}
	ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_EXITKILL);
	kill(pid, SIGKILL);
	status = t_wait(pid);
	MUST(status == 128 + SIGKILL, "it has ended with %d", status);
	return NULL;
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "EACCES: opened by nobody", permission },
		{ "opened before rights were given up", without_rights },
		{ "opened for reading", read_only },
		{ "EINVAL: inherited by a child", after_fork },
		{ "EINVAL: of another process, alive and gone", of_another },
		{ "signals do not end a call", signals_do_not_end_it },
		{ "killed in calls", killed },
		{ "the process ends while threads are in calls", process_ends },
		{ "killed in a long range", killed_in_long_range },
		{ "others run during a long call", lets_run },
		{ "others change mappings during a long call", lets_map },
		{ "stopped and continued by a tracer", traced },
	};

	return kmod_main(tests, T_COUNT(tests));
}
