/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes that end in the middle of moves: they dump core, are killed, or
 * exit. A core file shows the process at one instant: each page is in it once,
 * at src or in a heap, or, while it is copied, in the library's staging range.
 * What the kernel makes of pages on their way when their process goes, it says
 * in its log.
 *
 * Their memory is given back, and none of them hangs.
 *
 * And moves while another process reads of their pages in /proc, and has the
 * kernel forget what was accessed and written.
 */
#include "lab.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/procfs.h>
#include <sys/reg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oracle.h"
#include "proc.h"
#include "snapshot.h"
#include "storm.h"
#include "t.h"
#include "ways.h"

#define CORE_PATTERN "/proc/sys/kernel/core_pattern"
#define PATIENCE_MS  60000	       /* of a process: then it hangs */
#define MOVES_FIRST  20		       /* before it ends */
#define STAGING	     ((size_t)2 << 20) /* its size and alignment: design.md */

/* How a process ends: the first of them dump core. */
enum end {
	BY_FAULT,  /* a store to nowhere */
	BY_ABORT,  /* abort() */
	BY_QUIT,   /* SIGQUIT, from outside */
	BY_KILL,   /* SIGKILL, from outside */
	BY_EXIT,   /* exit_group() by a thread beside the movers */
	BY_MURDER, /* SIGKILL to itself, by that thread */
	ENDS
};

static const struct {
	const char *name;
	int signal; /* that it dies of; 0: it exits */
} ends[ENDS] = {
	{ "fault", SIGSEGV }, { "abort", SIGABRT },
	{ "quit", SIGQUIT },  { "killed", SIGKILL },
	{ "exit", 0 },	      { "killed by itself", SIGKILL },
};

/* Shared with the process that ends. */
struct shared {
	enum t_way_id way;
	enum t_variant_id variant;
	enum end end;
	uint64_t us; /* after MOVES_FIRST moves */
	struct snapshot_place place;
	bool moving; /* MOVES_FIRST moves have been made */
	uint64_t moves;
};

static struct shared *shared;

/* ---- the process that ends ---- */

static bool only_the_case(struct storm *s, const char **why)
{
	*why = "another case is wanted";
	if (s->c->way != shared->way || s->c->variant != shared->variant)
		return false;
	shared->place = snapshot_place(s);
	return true;
}

static void come_to_an_end(struct storm *s, struct t_random *random)
{
	struct pagemv_stats stats = { .size = sizeof(stats) };
	volatile int *volatile nowhere = NULL;

	(void)random;
	while (stats.calls < MOVES_FIRST && !storm_over(s)) {
		if (pagemv_stats(s->c->pv, &stats) != 0)
			_exit(3);
		usleep(200);
	}
	__atomic_store_n(&shared->moves, stats.calls, __ATOMIC_RELAXED);
	__atomic_store_n(&shared->moving, true, __ATOMIC_RELEASE);
	usleep((useconds_t)shared->us);
	switch (shared->end) {
	case BY_FAULT:
		*nowhere = 1;
		break;
	case BY_ABORT:
		abort();
	case BY_EXIT:
		_exit(0);
	case BY_MURDER:
		raise(SIGKILL);
		break;
	default:
		while (!storm_over(s))
			pause();
	}
}

static void run_until_end(void)
{
	const struct storm_plan plan = {
		.ways = T_WAY_BIT(shared->way),
		.ms = PATIENCE_MS,
		.set_up = only_the_case,
		.disturb = { come_to_an_end },
	};
	struct tap tap = { 0, 0 };

	/* Who started this program in the background has them ignored. */
	signal(SIGQUIT, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	unsetenv("PMV_SECONDS");
	if (freopen("/dev/null", "w", stdout) == NULL)
		t_die("/dev/null");
	storm_run(&tap, &plan);
	_exit(2); /* it should not have come so far */
}

/* Waits until the child has ended; false if it hangs. */
static bool wait_end(pid_t pid, int *status)
{
	uint64_t end = t_now_ns() + PATIENCE_MS * UINT64_C(1000000);
	bool sent = false;

	while (waitpid(pid, status, WNOHANG) == 0) {
		if (t_now_ns() > end) {
			kill(pid, SIGKILL);
			return false;
		}
		if (sent ||
		    !__atomic_load_n(&shared->moving, __ATOMIC_ACQUIRE)) {
			t_sleep_ms(1);
			continue;
		}
		usleep((useconds_t)shared->us);
		if (shared->end == BY_QUIT || shared->end == BY_KILL)
			kill(pid, ends[shared->end].signal);
		sent = true;
	}
	return true;
}

/* Runs a storm of the case to its end; false, with *what, if that is wrong. */
static bool run_to_end(const struct t_case *c, enum end end, uint64_t us,
		       pid_t *pid, const char **what)
{
	int status = 0;

	*shared = (struct shared){
		.way = c->way, .variant = c->variant, .end = end, .us = us
	};
	fflush(NULL);
	*pid = fork();
	if (*pid < 0)
		t_die("fork");
	if (*pid == 0)
		run_until_end();
	*what = "it hangs";
	if (!wait_end(*pid, &status))
		return false;
	*what = "it has not ended as it should";
	if (ends[end].signal == 0)
		return WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != ends[end].signal)
		return false;
	*what = "it has not dumped core";
	return end >= BY_KILL || WCOREDUMP(status);
}

/* ---- core files ---- */

struct core {
	int fd;
	const char *file;
	size_t bytes;
	const Elf64_Phdr *segments;
	size_t count;
};

static bool open_core(struct core *core, pid_t pid, const char **what)
{
	const Elf64_Ehdr *head;
	struct stat st;
	char path[60];

	*what = "there is no core file";
	snprintf(path, sizeof(path), "/tmp/core.%d", pid);
	core->fd = open(path, O_RDONLY | O_CLOEXEC);
	unlink(path);
	if (core->fd < 0 || fstat(core->fd, &st) != 0)
		return false;
	core->bytes = (size_t)st.st_size;
	core->file =
		mmap(NULL, core->bytes, PROT_READ, MAP_PRIVATE, core->fd, 0);
	if (core->file == MAP_FAILED)
		t_die("mapping a core file of %zu bytes", core->bytes);
	*what = "the core file is no ELF64 core file";
	head = (const void *)core->file;
	if (core->bytes < sizeof(*head) ||
	    memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
	    head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_type != ET_CORE ||
	    head->e_phnum == PN_XNUM)
		return false;
	core->segments = (const void *)(core->file + head->e_phoff);
	core->count = head->e_phnum;
	*what = "the core file is cut off";
	return head->e_phoff + core->count * sizeof(Elf64_Phdr) <= core->bytes;
}

/* The page that was at addr; NULL if the file does not have it. */
static const void *core_page(const struct core *core, const void *addr)
{
	size_t i;

	for (i = 0; i < core->count; i++) {
		const Elf64_Phdr *p = &core->segments[i];
		uintptr_t off = (uintptr_t)addr - p->p_vaddr;

		if (p->p_type == PT_LOAD && off < p->p_filesz &&
		    p->p_offset + off + t_page() <= core->bytes)
			return core->file + p->p_offset + off;
	}
	return NULL;
}

/* Threads that were in a system call that moves pages. */
static size_t threads_in_moves(const struct core *core)
{
	size_t i, at, n = 0;

	for (i = 0; i < core->count; i++) {
		const Elf64_Phdr *p = &core->segments[i];
		const char *notes = core->file + p->p_offset;

		if (p->p_type != PT_NOTE)
			continue;
		for (at = 0; at + sizeof(Elf64_Nhdr) < p->p_filesz;) {
			const Elf64_Nhdr *note = (const void *)(notes + at);
			const struct elf_prstatus *status;

			at += sizeof(*note) + ((note->n_namesz + 3) & ~3u);
			status = (const void *)(notes + at);
			at += (note->n_descsz + 3) & ~3u;
			if (note->n_type == NT_PRSTATUS)
				n += status->pr_reg[ORIG_RAX] == SYS_ioctl ||
				     status->pr_reg[ORIG_RAX] == SYS_mremap;
		}
	}
	return n;
}

/* Where the page at this place of the file was; 0 if it is none. */
static uintptr_t address_of(const struct core *core, size_t off)
{
	size_t i;

	for (i = 0; i < core->count; i++) {
		const Elf64_Phdr *p = &core->segments[i];

		if (p->p_type == PT_LOAD && off - p->p_offset < p->p_filesz)
			return p->p_vaddr + (off - p->p_offset);
	}
	return 0;
}

static bool in_storm(uintptr_t addr)
{
	const struct snapshot_place *place = &shared->place;
	bool in = addr - (uintptr_t)place->src < t_pages(place->src_pages);
	size_t m;

	for (m = 0; m < SNAPSHOT_MOVERS; m++)
		in |= addr - (uintptr_t)place->heaps[m] <
		      t_pages(place->heap_pages);
	return in;
}

static const char *elsewhere(const struct core *core, size_t off, uint64_t id)
{
	static char text[160];
	size_t i;

	for (i = 0; i < core->count; i++) {
		const Elf64_Phdr *p = &core->segments[i];

		if (p->p_type == PT_LOAD && off - p->p_offset < p->p_filesz)
			snprintf(text, sizeof(text),
				 "page %" PRIu64 " is where none should be, at "
				 "%zu of %zu kB of a mapping at %zx, src at %p",
				 id, (off - p->p_offset) >> 10,
				 (size_t)p->p_filesz >> 10, (size_t)p->p_vaddr,
				 (void *)shared->place.src);
	}
	return text;
}

/*
 * Looks through all that is in the file for pages that are neither at src nor
 * in a heap, and counts how often each is there. NULL, or what is wrong: they
 * may be at the begin of a staging range only.
 */
static const char *find_staged(const struct core *core,
			       unsigned int staged[SNAPSHOT_IDS + 1])
{
	off_t off;

	memset(staged, 0, (SNAPSHOT_IDS + 1) * sizeof(staged[0]));
	/* Absent pages are holes. */
	for (off = lseek(core->fd, 0, SEEK_DATA);
	     off >= 0 && (size_t)off + t_page() <= core->bytes;
	     off = lseek(core->fd, off + (off_t)t_page(), SEEK_DATA)) {
		uintptr_t addr = address_of(core, (size_t)off);
		uint64_t id = 0;

		if (addr == 0 || in_storm(addr) ||
		    t_look_present(core->file + off, &id, NULL) != T_GOOD)
			continue;
		if (id == 0 || id > SNAPSHOT_IDS)
			return "a stranger";
		if (addr % STAGING >= t_pages(SNAPSHOT_RUN))
			return elsewhere(core, (size_t)off, id);
		staged[id]++;
	}
	return NULL;
}

static void take_core(struct snapshot *snap, const struct core *core)
{
	const struct snapshot_place *place = &shared->place;
	size_t i, m;

	*snap = (struct snapshot){ .in_flight = 0 };
	for (i = 0; i < place->src_pages; i++)
		snapshot_home(snap, i,
			      core_page(core, place->src + t_pages(i)));
	for (m = 0; m < SNAPSHOT_MOVERS; m++)
		for (i = 0; i < place->heap_pages; i++)
			snapshot_away(
				snap,
				core_page(core, place->heaps[m] + t_pages(i)));
}

struct seen {
	uint64_t cores;
	uint64_t in_moves;  /* threads */
	uint64_t in_flight; /* pages: in the staging range only */
	uint64_t twice;	    /* have been copied, and are still there, too */
	uint64_t rewritten;
};

/* NULL, or what is wrong with the pages in the core file. */
static const char *core_verdict(const struct core *core, struct seen *seen)
{
	static struct snapshot snap;
	unsigned int staged[SNAPSHOT_IDS + 1];
	const char *wrong;
	size_t id;

	take_core(&snap, core);
	wrong = snapshot_verdict(&snap, shared->place.may_copy);
	if (wrong != NULL)
		return wrong;
	wrong = find_staged(core, staged);
	for (id = 1; id <= SNAPSHOT_IDS && wrong == NULL; id++) {
		if (staged[id] > 1)
			wrong = "a page is in the staging range twice";
		else if (staged[id] != 0 && !shared->place.may_copy)
			wrong = "a page was staged, but not to be copied";
		else if (staged[id] != 0 && snap.home[id] != 0)
			wrong = "a page is at src and in the staging range";
		else if (snap.home[id] + snap.away[id] + staged[id] == 0)
			wrong = "a page is nowhere in the core file";
		seen->twice += staged[id] != 0 && snap.away[id] != 0;
	}
	if (wrong != NULL)
		return wrong;
	seen->cores++;
	seen->in_moves += threads_in_moves(core);
	seen->in_flight += snap.in_flight;
	seen->rewritten += snap.rewritten;
	return NULL;
}

static const char *dump_once(const struct t_case *c, enum end end, uint64_t us,
			     struct seen *seen)
{
	struct core core = { .fd = -1, .file = MAP_FAILED };
	const char *what;
	pid_t pid;

	if (run_to_end(c, end, us, &pid, &what) && open_core(&core, pid, &what))
		what = core_verdict(&core, seen);
	if (core.file != MAP_FAILED)
		munmap((void *)(uintptr_t)core.file, core.bytes);
	if (core.fd >= 0)
		close(core.fd);
	return what;
}

/* ---- each case ---- */

static void result(struct tap *tap, const struct t_case *c, const char *wrong,
		   const char *end, const char *what)
{
	char name[160];

	snprintf(name, sizeof(name), "%s: %s: %s", end, c->name, what);
	tap_ok(tap, wrong == NULL, name);
	if (wrong != NULL)
		tap_say(stdout, "%s (the last end: %s)", wrong,
			ends[shared->end].name);
}

static struct seen all_seen;
static unsigned int dumped, ended; /* which end comes next */
static uint64_t moves_before;

static void dump_cores(struct tap *tap, const struct t_case *c, unsigned int n,
		       struct t_random *random)
{
	struct seen seen = { 0 };
	const char *wrong = NULL;
	unsigned int i;

	for (i = 0; i < n && wrong == NULL; i++)
		wrong = dump_once(c, (enum end)(dumped++ % (BY_QUIT + 1)),
				  t_random_below(random, 3000), &seen);
	result(tap, c, wrong, "core dumped", "each page is in the core once");
	tap_say(stdout,
		"%s: %" PRIu64 " cores, %" PRIu64
		" threads in ioctl or mremap, pages in flight %" PRIu64
		", twice %" PRIu64 ", being written %" PRIu64,
		c->name, seen.cores, seen.in_moves, seen.in_flight, seen.twice,
		seen.rewritten);
	all_seen.cores += seen.cores;
	all_seen.in_moves += seen.in_moves;
	all_seen.in_flight += seen.in_flight;
	all_seen.twice += seen.twice;
}

static void end_often(struct tap *tap, const struct t_case *c, unsigned int n,
		      struct t_random *random)
{
	const char *wrong = NULL;
	unsigned int i;

	for (i = 0; i < n && wrong == NULL; i++) {
		enum end end = BY_KILL + ended++ % (ENDS - BY_KILL);
		const char *what;
		pid_t pid;

		if (!run_to_end(c, end, t_random_below(random, 3000), &pid,
				&what))
			wrong = what;
		moves_before += shared->moves;
	}
	result(tap, c, wrong, "killed, or exits", "ends at once");
}

/* ---- is all given back? ---- */

/* KiB that processes have: all of it goes when they end. */
static const struct {
	const char *name;
	uint64_t slack; /* that others may have taken meanwhile */
	bool free;	/* what is left, not what is taken */
} amounts[] = {
	{ "AnonPages:", 1024, false },
	{ "Committed_AS:", 1024, false },
	{ "PageTables:", 256, false },
	{ "MemAvailable:", 8192, true },
};

struct memory {
	uint64_t kib[T_COUNT(amounts)];
};

/* Pages that processors keep for themselves, up to some MiB, are not counted as
 * free. */
static uint64_t kept_by_processors_kib(void)
{
	FILE *f = fopen("/proc/zoneinfo", "re");
	uint64_t pages = 0, n;
	char line[128];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, " count: %" SCNu64, &n) == 1)
			pages += n;
	if (f != NULL)
		fclose(f);
	return pages * t_page() >> 10;
}

static struct memory look_at_memory(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	struct memory memory = { { 0 } };
	char line[128], name[40];
	uint64_t kib;
	size_t i;

	t_write_file("/proc/sys/vm/stat_refresh", "1");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		for (i = 0; i < T_COUNT(amounts); i++)
			if (sscanf(line, "%39s %" SCNu64, name, &kib) == 2 &&
			    strcmp(name, amounts[i].name) == 0)
				memory.kib[i] = kib;
	if (f != NULL)
		fclose(f);
	for (i = 0; i < T_COUNT(amounts); i++)
		if (amounts[i].free)
			memory.kib[i] += kept_by_processors_kib();
	return memory;
}

/* The amount that is not given back, or their number. */
static size_t find_loss(const struct memory *before, const struct memory *now)
{
	size_t i;

	for (i = 0; i < T_COUNT(amounts); i++) {
		uint64_t was = before->kib[i], is = now->kib[i];

		if (amounts[i].free ? is + amounts[i].slack < was
				    : was + amounts[i].slack < is)
			break;
	}
	return i;
}

/* Who has it, for whoever reads of a failure. */
static void tell_memory(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		printf("# %s", line);
	if (f != NULL)
		fclose(f);
}

static void check_memory(struct tap *tap, const struct memory *before)
{
	uint64_t end = t_now_ns() + PATIENCE_MS * UINT64_C(1000000) / 3;
	struct memory now = look_at_memory();
	size_t lost;
	int status;

	/* Some is given back later, by the kernel's own threads. */
	while ((lost = find_loss(before, &now)) < T_COUNT(amounts) &&
	       t_now_ns() < end) {
		t_sleep_ms(100);
		now = look_at_memory();
	}
	if (!tap_ok(tap, lost == T_COUNT(amounts),
		    "the memory of all that ended is given back")) {
		tell_memory();
		tap_say(stdout, "%s %" PRIu64 " kB before, %" PRIu64 " now",
			amounts[lost].name, before->kib[lost], now.kib[lost]);
	}
	tap_ok(tap, waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD,
	       "no process is left");
	tap_say(stdout, "MemAvailable: %" PRIu64 " kB before, %" PRIu64 " now",
		before->kib[T_COUNT(amounts) - 1],
		now.kib[T_COUNT(amounts) - 1]);
}

/* Pages on their way are rare: where they are copied, more is tried. */
static void look_for_flights(struct tap *tap, struct t_random *random)
{
	const char *const what = "some pages were in flight";
	struct t_case c;
	unsigned int i;

	t_cases(&c, T_WAY_BIT(T_COPY));
	while (t_next_case(&c))
		for (i = 0; i < 4 && all_seen.in_flight == 0; i++)
			dump_cores(tap, &c, 1, random);
	if (all_seen.in_flight != 0)
		tap_ok(tap, true, what);
	else
		tap_skip(tap, what, "none happened to be");
}

static void run_ends(struct tap *tap, unsigned int cores, unsigned int kills)
{
	struct t_random random = t_random_make(t_env("PMV_SEED", 1));
	struct memory before = { { 0 } };
	struct t_case c;

	t_cases(&c, T_WAYS_LIVE);
	while (t_next_case(&c)) {
		dump_cores(tap, &c, cores, &random);
		end_often(tap, &c, kills, &random);
		/* The first ones fill the kernel's caches. */
		if (c.tried == 1)
			before = look_at_memory();
	}
	look_for_flights(tap, &random);
	check_memory(tap, &before);
	tap_ok(tap, all_seen.in_moves > 0, "some threads were moving pages");
	if (tap->failed != 0)
		return;
	lab_seen("core dumped during moves",
		 "%" PRIu64 " cores, each page once; %" PRIu64
		 " threads were in ioctl or mremap; being copied: %" PRIu64
		 " pages in the staging range only, %" PRIu64 " at dst as well",
		 all_seen.cores, all_seen.in_moves, all_seen.in_flight,
		 all_seen.twice);
	lab_seen("killed during moves",
		 "%u processes, after %" PRIu64
		 " moves; none hung, all memory given back",
		 ended, moves_before);
}

/* ---- /proc ---- */

/* What another process has read and cleared of this one. */
static struct told {
	bool wanted;
	bool rests;
	uint64_t rounds;
	uint64_t lines;
	uint64_t pagemap; /* entries of pages that are there */
	uint64_t cleared;
	char wrong[80];
} * told;

static pid_t parent;

static void add(uint64_t *to, uint64_t n)
{
	__atomic_fetch_add(to, n, __ATOMIC_RELAXED);
}

static const char *proc_path(const char *name)
{
	static char path[60];

	snprintf(path, sizeof(path), "/proc/%d/%s", parent, name);
	return path;
}

/* All of a file, in pieces of a random size. */
static void read_text(const char *name, struct t_random *random)
{
	const char *path = proc_path(name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[4096];
	uint64_t lines = 0;
	ssize_t n, i;

	if (fd < 0 && errno == ENOENT)
		return;
	while ((n = read(fd, text, 256 + t_random_below(random, 3840))) > 0)
		for (i = 0; i < n; i++)
			lines += text[i] == '\n';
	if (n < 0 || lines == 0)
		snprintf(told->wrong, sizeof(told->wrong),
			 "%s cannot be read: errno %d", name, errno);
	close(fd);
	add(&told->lines, lines);
}

static void read_pagemap(const char *addr, size_t pages)
{
	off_t at = (off_t)((uintptr_t)addr / t_page() * sizeof(uint64_t));
	int fd = open(proc_path("pagemap"), O_RDONLY | O_CLOEXEC);
	uint64_t entries[2 * SNAPSHOT_IDS];
	size_t i;

	if (pages > T_COUNT(entries) ||
	    pread(fd, entries, pages * sizeof(entries[0]), at) !=
		    (ssize_t)(pages * sizeof(entries[0])))
		snprintf(told->wrong, sizeof(told->wrong),
			 "pagemap cannot be read: errno %d", errno);
	else
		for (i = 0; i < pages; i++)
			add(&told->pagemap, entries[i] >> 63);
	close(fd);
}

/* Forgets what was accessed (1), or written (4): page table entries change. */
static void clear_refs(const char *what)
{
	if (!t_write_file(proc_path("clear_refs"), what))
		snprintf(told->wrong, sizeof(told->wrong),
			 "clear_refs: errno %d", errno);
	add(&told->cleared, 1);
}

__attribute__((noreturn)) static void read_all_the_time(void)
{
	static const char *const files[] = { "smaps", "numa_maps", "maps",
					     "smaps_rollup" };
	struct t_random random = t_random_make(7);
	const struct snapshot_place *place = &shared->place;
	size_t i;

	for (;;) {
		if (!__atomic_load_n(&told->wanted, __ATOMIC_ACQUIRE)) {
			__atomic_store_n(&told->rests, true, __ATOMIC_RELEASE);
			t_sleep_ms(5);
			continue;
		}
		told->rests = false;
		for (i = 0; i < T_COUNT(files); i++) {
			read_text(files[i], &random);
			read_pagemap(place->src, place->src_pages);
			read_pagemap(place->heaps[i % SNAPSHOT_MOVERS],
				     place->heap_pages);
			clear_refs(i % 2 == 0 ? "1" : "4");
			/* Each takes mmap_lock: others want it as well. */
			t_sleep_ms(2);
		}
		__atomic_fetch_add(&told->rounds, 1, __ATOMIC_RELEASE);
	}
}

static pid_t start_reader(void)
{
	pid_t pid;

	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED)
		t_die("shared memory");
	parent = getpid();
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		t_die("fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	read_all_the_time();
}

static bool begin_telling(struct storm *s, const char **why)
{
	(void)why;
	shared->place = snapshot_place(s);
	memset(told, 0, sizeof(*told));
	__atomic_store_n(&told->wanted, true, __ATOMIC_RELEASE);
	return true;
}

/* The storm lasts until all files have been read while it was there. */
static void be_read(struct storm *s, struct t_random *random)
{
	uint64_t end = t_now_ns() + PATIENCE_MS * UINT64_C(1000000);

	(void)random;
	while (__atomic_load_n(&told->rounds, __ATOMIC_ACQUIRE) == 0 &&
	       t_now_ns() < end)
		t_sleep_ms(1);
	while (!storm_over(s))
		t_sleep_ms(1);
}

static uint64_t all_lines, all_rounds;

static void end_telling(struct storm *s)
{
	uint64_t end = t_now_ns() + PATIENCE_MS * UINT64_C(1000000);

	__atomic_store_n(&told->wanted, false, __ATOMIC_RELEASE);
	/* Its last round is of this storm, not of the next. */
	while (!__atomic_load_n(&told->rests, __ATOMIC_ACQUIRE) &&
	       t_now_ns() < end)
		t_sleep_ms(1);
	if (told->wrong[0] != '\0')
		storm_wrong(s, "%s", told->wrong);
	if (told->rounds == 0 || told->lines == 0 || told->pagemap == 0)
		storm_wrong(s, "not all was read");
	tap_say(stdout,
		"%s: %" PRIu64 " lines of smaps and its like, %" PRIu64
		" pages in pagemap, clear_refs %" PRIu64 " times",
		s->c->name, told->lines, told->pagemap, told->cleared);
	all_lines += told->lines;
	all_rounds += told->rounds;
}

static const struct storm_plan proc_plan = {
	.name = "proc",
	.ways = T_WAYS_LIVE,
	.ms = 250,
	.set_up = begin_telling,
	.tear_down = end_telling,
	.disturb = { be_read },
};

static void run_proc(struct tap *tap)
{
	unsigned int failed = tap->failed;
	pid_t reader = start_reader();
	int status;

	storm_run(tap, &proc_plan);
	kill(reader, SIGKILL);
	waitpid(reader, &status, 0);
	if (tap->failed != failed)
		return;
	lab_seen("moved while another process reads /proc/PID",
		 "smaps, smaps_rollup, maps, numa_maps, pagemap, clear_refs: "
		 "each page once, no store lost");
	tap_say(stdout, "all of them %" PRIu64 " times, %" PRIu64 " lines",
		all_rounds, all_lines);
}

int main(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	uint64_t seconds = t_env("PMV_SECONDS", 0);
	unsigned int n = seconds == 0 ? 1 : (unsigned int)(5 * seconds);
	struct tap tap = { 0, 0 };
	char pattern[200];

	lab_only();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		t_die("shared memory");
	if (setrlimit(RLIMIT_CORE, &unlimited) != 0 ||
	    !t_read_file(CORE_PATTERN, pattern, sizeof(pattern)) ||
	    !t_write_file(CORE_PATTERN, "/tmp/core.%p"))
		t_die("core files");
	run_ends(&tap, 2 * n, 3 * n);
	t_write_file(CORE_PATTERN, pattern);
	run_proc(&tap);
	return tap_done(&tap);
}
