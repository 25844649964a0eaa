/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The other process. It is forked before there is any thread; what it is to do,
 * it is told by a byte on a socket. It has no page in common with this one but
 * struct shared.
 */
#include "trace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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
#include "t.h"

#define THREADS	   32
#define PM_PRESENT (UINT64_C(1) << 63)

struct shared *shared;
static int socket_fd; /* to the other one */
static pid_t parent;

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
uint64_t *slot(char *page, size_t k)
{
	return (uint64_t *)(void *)(page + t_page() / 2) + k;
}

uint64_t word_of(size_t i, size_t k)
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

void start_other(void)
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

void order(enum order what)
{
	char byte = (char)what;

	__atomic_store_n(&shared->stop, false, __ATOMIC_RELEASE);
	if (write(socket_fd, &byte, 1) != 1)
		t_die("an order to the other process");
}

void order_end(void)
{
	char byte;

	__atomic_store_n(&shared->stop, true, __ATOMIC_RELEASE);
	while (read(socket_fd, &byte, 1) != 1)
		if (errno != EINTR)
			t_die("the other process has gone");
}

void clear_shared(void)
{
	memset(shared, 0, sizeof(*shared));
}
