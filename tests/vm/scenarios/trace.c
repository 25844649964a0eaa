/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moves while another process looks into this one, writes into it and stops
 * its threads: ptrace, process_vm_readv and _writev, /proc/PID/mem; while
 * signals come down on the movers, whose handlers move pages as well; and with
 * pages that are in a pipe by vmsplice.
 *
 * The other process is forked before there is any thread; what it is to do, it
 * is told by a byte on a socket. It has no page in common with this one but
 * the struct below.
 */
#include "lab.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oracle.h"
#include "proc.h"
#include "rawuffd.h"
#include "snapshot.h"
#include "storm.h"
#include "t.h"
#include "ways.h"

#define THREADS	   32
#define PAGES	   32
#define SLOTS	   256 /* words in the second half of a page */
#define RUN	   8
#define POOL	   32 /* pages of the signal handlers */
#define PM_PRESENT (UINT64_C(1) << 63)
/* How much longer than planned something may take to happen at all. */
#define PATIENCE_NS 20000000000u

enum order { TRACE = 'T', READ = 'R', WRITE = 'W', HOLD = 'H', QUIT = 'Q' };

enum method { BY_WRITEV, BY_MEM, BY_POKE, METHODS };

static const char *const methods[METHODS] = { "process_vm_writev",
					      "/proc/PID/mem", "ptrace" };

/* Shared with the other process. */
struct shared {
	struct snapshot_place place;
	enum method method;
	pid_t victim; /* a thread that sleeps: poked through */
	bool stop;    /* come to an end */

	uint64_t stops;	    /* of all threads at once */
	uint64_t in_calls;  /* threads stopped at the end of ioctl or mremap */
	uint64_t at_entry;  /* or before one */
	uint64_t in_flight; /* pages found at neither place */
	uint64_t rewritten;
	uint64_t words; /* peeked, poked and put back */
	uint64_t reads; /* of whole pages */
	uint64_t whole; /* of which the page was whole */
	uint64_t op;	/* odd while a word is being written */
	uint32_t written[PAGES];
	bool held; /* a page is pinned by a write that has begun */
	bool cannot_hold;
	char text[200];
};

static struct shared *shared;
static int socket_fd; /* to the other one */
static pid_t parent;

static void add(uint64_t *to, uint64_t n)
{
	__atomic_fetch_add(to, n, __ATOMIC_RELAXED);
}

static void result(struct tap *tap, const struct t_case *c, bool ok,
		   const char *name, const char *what)
{
	char text[160];

	snprintf(text, sizeof(text), "%s: %s: %s", name, c->name, what);
	tap_ok(tap, ok, text);
}

/* ---- in the other process: what all orders use ---- */

static int mem_fd = -1, pagemap_fd = -1;

static bool stopping(void)
{
	return __atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE) ||
	       shared->text[0] != '\0';
}

__attribute__((format(printf, 1, 2))) static void complain(const char *format,
							   ...)
{
	va_list ap;

	if (shared->text[0] != '\0')
		return;
	va_start(ap, format);
	vsnprintf(shared->text, sizeof(shared->text), format, ap);
	va_end(ap);
}

static bool is_there(const char *addr)
{
	off_t at = (off_t)((uintptr_t)addr / t_page() * sizeof(uint64_t));
	uint64_t entry = 0;

	if (pread(pagemap_fd, &entry, sizeof(entry), at) != sizeof(entry))
		complain("pagemap of the other process: errno %d", errno);
	return (entry & PM_PRESENT) != 0;
}

static bool read_vm(const char *addr, void *page)
{
	const struct iovec to = { page, t_page() };
	const struct iovec from = { (void *)(uintptr_t)addr, t_page() };

	return process_vm_readv(parent, &to, 1, &from, 1, 0) ==
	       (ssize_t)t_page();
}

static bool read_mem(const char *addr, void *page)
{
	return pread(mem_fd, page, t_page(), (off_t)(uintptr_t)addr) ==
	       (ssize_t)t_page();
}

/* ---- ptrace ---- */

struct tracee {
	pid_t tid;
	bool stopped;
	int signal; /* to be delivered when it goes on */
};

struct tracer {
	struct tracee threads[THREADS];
	size_t count;
	struct t_random random;
	char page[65536];
};

/* Takes hold of threads that are new; true if there were any. */
static bool seize(struct tracer *t)
{
	char path[40];
	struct dirent *entry;
	bool any = false;
	size_t i;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", parent);
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		for (i = 0; i < t->count && t->threads[i].tid != tid; i++)
			;
		if (tid == 0 || i < t->count || t->count == THREADS)
			continue;
		if (ptrace(PTRACE_SEIZE, tid, NULL,
			   (void *)PTRACE_O_TRACESYSGOOD) == 0) {
			t->threads[t->count++] = (struct tracee){ .tid = tid };
			any = true;
		} else if (errno != ESRCH && errno != EPERM) {
			/* Those are of a thread that is just ending. */
			complain("PTRACE_SEIZE: errno %d", errno);
		}
	}
	if (dir != NULL)
		closedir(dir);
	if (t->count == 0)
		complain("no thread can be traced");
	return any;
}

static void forget(struct tracer *t, size_t i)
{
	t->threads[i] = t->threads[--t->count];
}

/* A thread in the middle of a move, or at the end of a part of it? */
static void note_where(const struct tracee *thread, bool at_syscall)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, thread->tid, NULL, &regs) != 0)
		return;
	if (regs.orig_rax != SYS_ioctl && regs.orig_rax != SYS_mremap)
		return;
	if (at_syscall && regs.rax == (unsigned long long)-ENOSYS)
		shared->at_entry++;
	else
		shared->in_calls++;
}

/* Notes what a thread has stopped for; false if it has ended. */
static bool note_stop(struct tracee *thread, int status)
{
	int sig = WSTOPSIG(status);

	if (!WIFSTOPPED(status))
		return false;
	thread->stopped = true;
	/* An interrupt, or one end of a system call, is no signal. */
	thread->signal = 0;
	if (status >> 16 == 0 && sig != (SIGTRAP | 0x80))
		thread->signal = sig;
	note_where(thread, sig == (SIGTRAP | 0x80));
	return true;
}

/*
 * Has the thread stopped, at a system call? To interrupt it then would stop it
 * once more as soon as it goes on, again and again. False if it has ended.
 */
static bool note_if_stopped(struct tracee *thread)
{
	int status;
	pid_t r;

	if (thread->stopped)
		return true;
	r = waitpid(thread->tid, &status, __WALL | WNOHANG);
	return r == 0 || (r == thread->tid && note_stop(thread, status));
}

static bool interrupt(struct tracee *thread)
{
	int status;

	if (thread->stopped)
		return true;
	if (ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL) != 0 &&
	    errno != ESRCH)
		complain("PTRACE_INTERRUPT: errno %d", errno);
	return waitpid(thread->tid, &status, __WALL) == thread->tid &&
	       note_stop(thread, status);
}

/* Until a look finds no thread that is not stopped: one that was still running
 * may have started another. */
static void stop_all(struct tracer *t)
{
	size_t i;

	seize(t);
	do {
		for (i = t->count; i-- > 0;)
			if (!note_if_stopped(&t->threads[i]) ||
			    !interrupt(&t->threads[i]))
				forget(t, i);
	} while (seize(t));
	shared->stops++;
}

/* Lets them run, some only to their next system call. */
static void go_on(struct tracer *t)
{
	size_t i;

	for (i = t->count; i-- > 0;) {
		struct tracee *thread = &t->threads[i];
		bool some = t_random_below(&t->random, 2) == 0;

		thread->stopped = false;
		if (ptrace(some ? PTRACE_SYSCALL : PTRACE_CONT, thread->tid,
			   NULL, (void *)(uintptr_t)thread->signal) != 0)
			forget(t, i);
	}
}

static const void *copy_of(struct tracer *t, const char *addr)
{
	if (!is_there(addr))
		return NULL;
	if (!read_mem(addr, t->page))
		complain("reading a page that is there: errno %d", errno);
	return t->page;
}

/* While all threads are stopped: each page is where it should be. */
static void look(struct tracer *t)
{
	const struct snapshot_place *place = &shared->place;
	struct snapshot snap = { .in_flight = 0 };
	const char *wrong;
	size_t i, m;

	for (i = 0; i < place->src_pages; i++)
		snapshot_home(&snap, i, copy_of(t, place->src + t_pages(i)));
	for (m = 0; m < SNAPSHOT_MOVERS; m++)
		for (i = 0; i < place->heap_pages; i++)
			snapshot_away(&snap,
				      copy_of(t, place->heaps[m] + t_pages(i)));
	wrong = snapshot_verdict(&snap, place->may_copy);
	if (wrong != NULL)
		complain("all threads stopped: %s", wrong);
	shared->in_flight += snap.in_flight;
	shared->rewritten += snap.rewritten;
}

/* Writes a word of a page and puts it back, as a debugger would. */
static void poke(struct tracer *t)
{
	const struct snapshot_place *place = &shared->place;
	size_t m = t_random_below(&t->random, SNAPSHOT_MOVERS);
	size_t i = t_random_below(&t->random, place->heap_pages);
	char *addr = place->heaps[m] + t_pages(i) + t_page() / 2;
	pid_t tid = t->threads[0].tid;
	long word;

	if (!is_there(addr))
		return;
	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, tid, addr, NULL);
	if (errno != 0 || ptrace(PTRACE_POKEDATA, tid, addr, ~word) != 0 ||
	    ptrace(PTRACE_PEEKDATA, tid, addr, NULL) != ~word ||
	    ptrace(PTRACE_POKEDATA, tid, addr, word) != 0)
		complain("peek and poke: errno %d", errno);
	shared->words++;
}

static void trace(uint64_t seed)
{
	static struct tracer t;
	size_t i;

	t.count = 0;
	t.random = t_random_make(seed);
	while (!stopping()) {
		stop_all(&t);
		if (t.count == 0)
			return;
		look(&t);
		poke(&t);
		go_on(&t);
		usleep((useconds_t)t_random_below(&t.random, 3000));
	}
	stop_all(&t);
	for (i = 0; i < t.count; i++)
		ptrace(PTRACE_DETACH, t.threads[i].tid, NULL,
		       (void *)(uintptr_t)t.threads[i].signal);
}

/* ---- reading ---- */

/* A random page of the source, or one in a heap, where it is not to be made. */
static char *pick(const struct snapshot_place *place, struct t_random *random)
{
	size_t i = t_random_below(random, place->heap_pages);
	char *addr;

	if (t_random_below(random, 2) == 0)
		return place->src +
		       t_pages(t_random_below(random, place->src_pages));
	addr = place->heaps[i % SNAPSHOT_MOVERS] + t_pages(i);
	return is_there(addr) ? addr : place->src;
}

static void read_all(void)
{
	static char page[65536];
	struct t_random random = t_random_make(7);

	while (!stopping()) {
		char *addr = pick(&shared->place, &random);
		bool by_vm = t_random_below(&random, 2) == 0;

		if (!(by_vm ? read_vm : read_mem)(addr, page))
			complain("reading memory: errno %d", errno);
		shared->reads++;
		shared->whole += t_look_present(page, NULL, NULL) == T_GOOD;
	}
}

/* ---- writing ---- */

static bool write_word(enum method method, pid_t tid, char *addr, uint64_t word)
{
	const struct iovec from = { &word, sizeof(word) };
	const struct iovec to = { addr, sizeof(word) };

	switch (method) {
	case BY_WRITEV:
		return process_vm_writev(parent, &from, 1, &to, 1, 0) ==
		       sizeof(word);
	case BY_MEM:
		return pwrite(mem_fd, &word, sizeof(word),
			      (off_t)(uintptr_t)addr) == sizeof(word);
	default:
		return ptrace(PTRACE_POKEDATA, tid, addr, word) == 0;
	}
}

/* Slot k of page i: where it is, and the one word that is ever put there. */
static uint64_t *slot(char *page, size_t k)
{
	return (uint64_t *)(void *)(page + t_page() / 2) + k;
}

static uint64_t word_of(size_t i, size_t k)
{
	return (uint64_t)(i + 1) << 32 | (k + 1);
}

/*
 * Puts words into the slots of random pages of the source, one after the other,
 * each once, wherever the page that was there may be meanwhile.
 */
static void write_words(void)
{
	struct t_random random = t_random_make(shared->method + 1u);
	pid_t tid = shared->victim;
	int status;

	if (shared->method == BY_POKE &&
	    (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0 ||
	     ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0 ||
	     waitpid(tid, &status, __WALL) != tid))
		complain("stopping a thread: errno %d", errno);
	while (!stopping()) {
		size_t i = t_random_below(&random, PAGES);
		size_t k = shared->written[i];
		char *page = shared->place.src + t_pages(i);

		if (k == SLOTS)
			continue;
		__atomic_fetch_add(&shared->op, 1, __ATOMIC_SEQ_CST);
		if (!write_word(shared->method, tid, (char *)slot(page, k),
				word_of(i, k)))
			complain("writing a word: errno %d", errno);
		__atomic_fetch_add(&shared->op, 1, __ATOMIC_SEQ_CST);
		shared->written[i]++;
	}
	if (shared->method == BY_POKE)
		ptrace(PTRACE_DETACH, tid, NULL, NULL);
}

/* ---- a write that takes as long as is wanted ---- */

#define HELD_WORD UINT64_C(0x0123456789abcdef)

struct hold {
	int uffd;
	char *from; /* where the word is read, which faults */
};

/* One that shows faults of the kernel, too; false where there is none. */
static bool open_hold(struct hold *h)
{
	struct uffdio_api api = { .api = UFFD_API };

	h->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	h->from = t_map(1);
	return h->uffd >= 0 && ioctl(h->uffd, UFFDIO_API, &api) == 0 &&
	       t_uffd_register_missing(h->uffd, h->from, t_page()) == 0;
}

static void *let_go_when_told(void *arg)
{
	struct hold *h = arg;
	static uint64_t page[65536 / sizeof(uint64_t)];
	struct uffd_msg msg;

	page[0] = HELD_WORD;
	if (read(h->uffd, &msg, sizeof(msg)) != sizeof(msg))
		complain("reading userfaultfd: errno %d", errno);
	__atomic_store_n(&shared->held, true, __ATOMIC_RELEASE);
	while (!stopping())
		usleep(500);
	if (t_uffd_copy(h->uffd, h->from, page, t_page(), NULL) != 0)
		complain("UFFDIO_COPY in the other process");
	return NULL;
}

/*
 * Writes a word to the first page at place.src by process_vm_writev. The kernel
 * pins that page first and then reads the word, which has to be waited for.
 */
static void hold_page(void)
{
	char *counter = shared->place.src + offsetof(struct t_head, counter);
	struct iovec from, to = { counter, sizeof(uint64_t) };
	struct hold h;
	pthread_t thread;

	if (!open_hold(&h)) {
		__atomic_store_n(&shared->cannot_hold, true, __ATOMIC_RELEASE);
		return;
	}
	if (pthread_create(&thread, NULL, let_go_when_told, &h) != 0)
		complain("pthread_create");
	from = (struct iovec){ h.from, sizeof(uint64_t) };
	if (process_vm_writev(parent, &from, 1, &to, 1, 0) != sizeof(uint64_t))
		complain("process_vm_writev: errno %d", errno);
	pthread_join(thread, NULL);
	close(h.uffd);
	t_unmap(h.from, 1);
}

/* ---- orders ---- */

static void serve(int fd)
{
	char path[40], order;
	uint64_t seed = 1;

	snprintf(path, sizeof(path), "/proc/%d/mem", parent);
	mem_fd = open(path, O_RDWR | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/pagemap", parent);
	pagemap_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (mem_fd < 0 || pagemap_fd < 0)
		complain("/proc/%d: errno %d", parent, errno);
	while (read(fd, &order, 1) == 1 && order != QUIT) {
		if (order == TRACE)
			trace(seed++);
		else if (order == READ)
			read_all();
		else if (order == HOLD)
			hold_page();
		else
			write_words();
		if (write(fd, &order, 1) != 1)
			return;
	}
}

static void start_other(void)
{
	int fds[2];
	pid_t pid;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		t_die("shared memory");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		t_die("socketpair");
	parent = getpid();
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		t_die("fork");
	if (pid == 0) {
		close(fds[0]);
		serve(fds[1]);
		_exit(0);
	}
	close(fds[1]);
	socket_fd = fds[0];
}

static void order(enum order what)
{
	char byte = (char)what;

	__atomic_store_n(&shared->stop, false, __ATOMIC_RELEASE);
	if (write(socket_fd, &byte, 1) != 1)
		t_die("an order to the other process");
}

/* Ends what was ordered; waits for it. */
static void order_end(void)
{
	char byte;

	__atomic_store_n(&shared->stop, true, __ATOMIC_RELEASE);
	while (read(socket_fd, &byte, 1) != 1)
		if (errno != EINTR)
			t_die("the other process has gone");
}

/* ---- storms ---- */

/* Over all cases: it was really done, how slow the machine may be. */
static struct {
	uint64_t stops;
	uint64_t in_calls;
	uint64_t whole;
	uint64_t by_handlers;
} all;

static void clear_shared(void)
{
	memset(shared, 0, sizeof(*shared));
}

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

/* ---- words written by the other process ---- */

struct words {
	struct t_case *c;
	char *src;
	char *heap;
	struct t_random random;
	bool stop;
	uint8_t seen[PAGES][SLOTS];
	uint64_t moved; /* pages */
	uint64_t pinned;
	uint64_t strangers;
	char text[160];
	pthread_t thread;
};

/* The first half of a page, which nobody but its mover writes. */
static void fill_half(char *page, size_t i)
{
	memset(page, (int)(i + 1), t_page() / 2);
}

static bool half_is_right(const char *page, size_t i)
{
	size_t at;

	for (at = 0; at < t_page() / 2; at++)
		if ((unsigned char)page[at] != i + 1)
			return false;
	return true;
}

static void harvest(struct words *w, char *page, size_t i)
{
	size_t k;

	for (k = 0; k < SLOTS; k++) {
		uint64_t word = *slot(page, k);

		if (word == word_of(i, k))
			w->seen[i][k]++;
		else if (word != 0)
			w->strangers++;
	}
}

/*
 * The kernel may hold a page that it found at src to write a word to it, and
 * write when the page has moved. Waits until such a word is there.
 */
static void let_land(void)
{
	uint64_t op = __atomic_load_n(&shared->op, __ATOMIC_SEQ_CST);

	while (op % 2 != 0 &&
	       op == __atomic_load_n(&shared->op, __ATOMIC_SEQ_CST))
		sched_yield();
}

/* Moves a run of pages away, takes their words, and writes them anew. */
static void move_run(struct words *w)
{
	size_t n = 1 + t_random_below(&w->random, RUN);
	size_t from = t_random_below(&w->random, PAGES - n + 1), done, i;
	struct pagemv_result res;
	int r = pagemv_move(w->c->pv, w->heap + t_pages(from),
			    w->src + t_pages(from), t_pages(n), &w->c->opts,
			    &res);

	done = (res.moved_bytes + res.copied_bytes) / t_page();
	add(&w->moved, done);
	w->pinned += r == -EBUSY && res.reason == PAGEMV_REASON_PINNED;
	if (r != 0 && r != -EAGAIN &&
	    !(r == -EBUSY && res.reason == PAGEMV_REASON_PINNED))
		snprintf(w->text, sizeof(w->text), "%zu pages: %d (%s)", n, r,
			 pagemv_reason_string(res.reason));
	let_land();
	for (i = from; i < from + done; i++) {
		char *page = w->heap + t_pages(i);

		if (!half_is_right(page, i))
			snprintf(w->text, sizeof(w->text),
				 "page %zu is not what it was", i);
		harvest(w, page, i);
		t_drop(page, 1);
		fill_half(w->src + t_pages(i), i);
	}
}

static void *move_runs(void *arg)
{
	struct words *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED) &&
	       w->text[0] == '\0')
		move_run(w);
	return NULL;
}

static void *sleep_until_stop(void *arg)
{
	struct words *w = arg;

	__atomic_store_n(&shared->victim, (pid_t)syscall(SYS_gettid),
			 __ATOMIC_RELEASE);
	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED))
		t_sleep_ms(5);
	return NULL;
}

/* Each word that was written: how often it was found. */
struct found {
	uint64_t written;
	uint64_t lost;
	uint64_t more_than_once;
};

static struct found count_words(struct words *w)
{
	struct found f = { 0 };
	size_t i, k;

	for (i = 0; i < PAGES; i++) {
		harvest(w, w->src + t_pages(i), i);
		for (k = 0; k < SLOTS; k++) {
			bool written = k < shared->written[i];

			f.written += written;
			f.lost += written && w->seen[i][k] == 0;
			f.more_than_once += w->seen[i][k] > written;
		}
	}
	return f;
}

/* For so long, and until something was moved and something written. */
static void last(const struct words *w, uint64_t ms)
{
	uint64_t begin = t_now_ns(), passed = 0;
	bool idle = true;

	while (w->text[0] == '\0' &&
	       (passed < ms * 1000000 || (passed < PATIENCE_NS && idle))) {
		t_sleep_ms(2);
		passed = t_now_ns() - begin;
		idle = __atomic_load_n(&w->moved, __ATOMIC_RELAXED) == 0 ||
		       __atomic_load_n(&shared->op, __ATOMIC_RELAXED) < 2;
	}
}

static void storm_of_words(struct words *w, uint64_t ms)
{
	pthread_t victim;

	if (pthread_create(&victim, NULL, sleep_until_stop, w) != 0)
		t_die("pthread_create");
	while (__atomic_load_n(&shared->victim, __ATOMIC_ACQUIRE) == 0)
		t_sleep_ms(1);
	order(WRITE);
	if (pthread_create(&w->thread, NULL, move_runs, w) != 0)
		t_die("pthread_create");
	last(w, ms);
	order_end();
	__atomic_store_n(&w->stop, true, __ATOMIC_RELAXED);
	pthread_join(w->thread, NULL);
	pthread_join(victim, NULL);
}

static bool copies(const struct t_case *c)
{
	return c->way == T_COPY ||
	       (!t_case_never_copies(c) &&
		c->caps.mech[PAGEMV_MECH_MOVE].available == 0);
}

/*
 * Can a word be written to a page that has been copied already? What the kernel
 * holds is left behind by copying. Where UFFDIO_MOVE detaches, it refuses pages
 * held as process_vm_writev holds them (pinned); what ptrace and /proc/PID/mem
 * hold (a plain reference) nothing tells of.
 */
static bool may_lose(const struct t_case *c, enum method method)
{
	return copies(c) && (method != BY_WRITEV ||
			     (c->caps.facilities & PAGEMV_HAS_PIN_CHECK) == 0);
}

static uint64_t words_written[METHODS], words_lost[METHODS];

static void tell_words(struct tap *tap, struct words *w, enum method method,
		       const struct found *f)
{
	const struct t_case *c = w->c;
	tap_say(stdout,
		"%s, %s: %" PRIu64 " words, %" PRIu64 " lost, %" PRIu64
		" pages moved, met as pinned %" PRIu64 " times",
		methods[method], c->name, f->written, f->lost, w->moved,
		w->pinned);
	result(tap, c, w->text[0] == '\0' && w->moved > 0, methods[method],
	       "pages are where the results say");
	if (w->text[0] != '\0')
		tap_say(stdout, "%s", w->text);
	result(tap, c,
	       f->written > 0 && f->more_than_once == 0 && w->strangers == 0,
	       methods[method], "no word is where it does not belong");
	if (may_lose(c, method)) {
		words_written[method] += f->written;
		words_lost[method] += f->lost;
	} else {
		result(tap, c, f->lost == 0, methods[method], "no word lost");
	}
}

static void write_by(struct tap *tap, struct t_case *c, enum method method,
		     uint64_t ms)
{
	static struct words w;
	struct found f;
	size_t i;

	memset(&w, 0, sizeof(w));
	w.c = c;
	w.src = t_case_map(c, PAGES);
	w.heap = t_case_heap(c, PAGES);
	w.random = t_random_make(t_env("PMV_SEED", 1));
	for (i = 0; i < PAGES; i++)
		fill_half(w.src + t_pages(i), i);
	clear_shared();
	shared->place.src = w.src;
	shared->method = method;
	storm_of_words(&w, ms);
	if (shared->text[0] != '\0')
		snprintf(w.text, sizeof(w.text), "%.150s", shared->text);
	f = count_words(&w);
	tell_words(tap, &w, method, &f);
}

static void run_words(struct tap *tap)
{
	uint64_t ms = t_env("PMV_SECONDS", 0) * 1000;
	unsigned int method;
	struct t_case c;

	t_cases(&c, T_WAYS_LIVE);
	while (t_next_case(&c))
		for (method = 0; method < METHODS; method++)
			write_by(tap, &c, method, ms == 0 ? 100 : ms);
	for (method = 0; method < METHODS; method++)
		lab_seen("words another process stores while pages are copied",
			 "%s: %" PRIu64 " of %" PRIu64
			 " lost with pages the kernel held",
			 methods[method], words_lost[method],
			 words_written[method]);
}

/* ---- a page that another process has begun to write to ---- */

#define HELD 4

static bool order_hold(char *src)
{
	clear_shared();
	shared->place.src = src;
	order(HOLD);
	while (!__atomic_load_n(&shared->held, __ATOMIC_ACQUIRE) &&
	       !__atomic_load_n(&shared->cannot_hold, __ATOMIC_ACQUIRE) &&
	       shared->text[0] == '\0')
		t_sleep_ms(1);
	return shared->held;
}

static uint64_t first_counter(const char *page)
{
	return ((const struct t_head *)(const void *)page)->counter;
}

/* While the page is held: moved with what holds it, refused, or copied. */
static void held_page(struct tap *tap, struct t_case *c)
{
	char *src = t_case_map(c, HELD), *dst = t_case_heap(c, HELD);
	struct pagemv_result res;
	const char *what;
	bool held, refused, kept;
	int r;

	t_fill_range(src, HELD, 1);
	held = order_hold(src);
	r = pagemv_move(c->pv, dst, src, t_pages(HELD), &c->opts, &res);
	order_end();
	if (!held && shared->text[0] == '\0') {
		tap_skip(tap,
			 "held: no userfaultfd that shows faults of the "
			 "kernel",
			 "no such userfaultfd");
		return;
	}
	refused = r == -EBUSY && res.reason == PAGEMV_REASON_PINNED &&
		  res.left_bytes == t_pages(HELD);
	kept = first_counter(refused ? src : dst) == HELD_WORD;
	what = refused ? "refused as pinned, then moved"
	       : kept  ? "moved, and the word is stored there"
		       : "copied, and the word is lost";
	if (refused)
		r = pagemv_move(c->pv, dst, src, t_pages(HELD), &c->opts, &res);
	result(tap, c,
	       shared->text[0] == '\0' && r == 0 &&
		       t_check_range(dst, HELD, 1) == NULL &&
		       t_check_absent(src, HELD) == NULL,
	       "held", "pages are where the results say");
	if (!may_lose(c, BY_WRITEV))
		result(tap, c, first_counter(dst) == HELD_WORD, "held",
		       "the word is not lost");
	lab_seen("page held by process_vm_writev", "%s: %s", c->name, what);
}

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
	result(tap, c,
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
	result(tap, c,
	       whole == PIPED && fresh == (res.copied_bytes != 0 ? 0 : PIPED),
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
