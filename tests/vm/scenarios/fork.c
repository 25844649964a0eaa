/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moves while the process forks: children of fork(), vfork() and posix_spawn()
 * and processes that share the memory come and go, pages are shared and made
 * exclusive again. A child of fork() is a snapshot, in which each page must be
 * at exactly one place (snapshot.h); what the child writes to its copies, and
 * what the parent does to its own, the other must not see.
 */
#include "lab.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oracle.h"
#include "proc.h"
#include "snapshot.h"
#include "storm.h"
#include "t.h"
#include "ways.h"

#define PAGES	   32
#define STACK	   ((size_t)64 << 10)
#define PATIENCE_S 60 /* of a child, which then dies of SIGALRM */

extern char **environ;

/* ---- results ---- */

static void result(struct tap *tap, const struct t_case *c, bool ok,
		   const char *what)
{
	char name[160];

	snprintf(name, sizeof(name), "%s: %s", c->name, what);
	tap_ok(tap, ok, name);
}

static void right(struct tap *tap, const struct t_case *c, const char *wrong,
		  const char *what)
{
	result(tap, c, wrong == NULL, what);
	if (wrong != NULL)
		tap_say(stdout, "%s", wrong);
}

static uint64_t made_exclusive(const struct t_case *c)
{
	struct pagemv_stats stats = { .size = sizeof(stats) };

	if (pagemv_stats(c->pv, &stats) != 0)
		t_die("pagemv_stats");
	return stats.made_exclusive;
}

static bool says_forked(struct pagemv *pv, char *dst, char *src,
			const struct pagemv_move_opts *opts)
{
	struct pagemv_result res;
	int r = pagemv_move(pv, dst, src, t_page(), opts, &res);

	return r == -ESRCH && res.error == -ESRCH &&
	       res.reason == PAGEMV_REASON_FORKED &&
	       res.left_bytes == t_page() && res.moved_bytes == 0 &&
	       res.copied_bytes == 0;
}

static bool moves_all(struct t_case *c, char *dst, char *src, size_t pages)
{
	struct pagemv_result res;
	int r = pagemv_move(c->pv, dst, src, t_pages(pages), &c->opts, &res);

	if (r == 0 && res.moved_bytes + res.copied_bytes == t_pages(pages))
		return true;
	tap_say(stdout, "%s: returned %d (%s), %zu moved, %zu copied", c->name,
		r, pagemv_reason_string(res.reason), res.moved_bytes,
		res.copied_bytes);
	return false;
}

/* ---- processes that share the memory ---- */

/* Runs body in a process that has this memory, as a child of vfork() has, or
 * (flags 0) beside the one that calls. Its exit status, or 128 + signal. */
static int in_sharing(int (*body)(void *arg), void *arg, int flags)
{
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	if (stack == MAP_FAILED)
		t_die("a stack");
	pid = clone(body, stack + STACK, CLONE_VM | SIGCHLD | flags, arg);
	if (pid < 0)
		t_die("clone");
	status = t_wait(pid);
	munmap(stack, STACK);
	return status;
}

/* How many descriptors were open before there was any handle. */
static size_t fds_at_start;

/* Starts this program anew to move pages of its own; its exit status. */
static int spawned(bool by_fork)
{
	char self[] = "/proc/self/exe", how[] = "--moves", fds[24];
	char *const argv[] = { self, how, fds, NULL };
	pid_t pid;

	snprintf(fds, sizeof(fds), "%zu", fds_at_start);
	if (!by_fork) {
		if (posix_spawn(&pid, self, NULL, NULL, argv, environ) != 0)
			t_die("posix_spawn");
		return t_wait(pid);
	}
	pid = fork();
	if (pid < 0)
		t_die("fork");
	if (pid == 0) {
		execve(self, argv, environ);
		_exit(127);
	}
	return t_wait(pid);
}

/* The program started anew: nothing of the library's was left open. */
static int moves_of_its_own(size_t fds)
{
	struct pagemv *pv = NULL;
	char *src, *dst;

	if (t_count_fds() != fds || pagemv_open(&pv, NULL) != 0)
		return 1;
	src = t_map(PAGES);
	dst = t_map(PAGES);
	t_register(pv, dst, PAGES);
	t_fill_range(src, PAGES, 1);
	if (pagemv_move(pv, dst, src, t_pages(PAGES), NULL, NULL) != 0 ||
	    t_check_range(dst, PAGES, 1) != NULL)
		return 2;
	pagemv_close(pv);
	return 0;
}

/* ---- the storm ---- */

/* Shared with the children. */
struct shared {
	uint64_t children; /* that looked */
	uint64_t forks;	   /* children that did nothing */
	uint64_t sharing;  /* processes with the same memory */
	uint64_t spawned;
	uint64_t in_flight; /* pages that snapshots found in neither place */
	uint64_t rewritten;
	char text[200];
};

static struct shared *shared;

/* A range of their own for those who share the memory. */
struct scene {
	struct storm *s;
	char *a;
	char *b;
};

static struct scene scene;

/* Over all cases: it was really done, how slow the machine may be. */
static struct {
	uint64_t children;
	uint64_t sharing;
	uint64_t in_flight;
	uint64_t exclusive;
	bool can_move;
} all;

static void add(uint64_t *to, uint64_t n)
{
	__atomic_fetch_add(to, n, __ATOMIC_RELAXED);
}

/* Looks at all that was inherited; false with the reason in shared->text. */
static bool look(const struct snapshot_place *place, struct snapshot *snap)
{
	const char *wrong;
	size_t i, m;

	*snap = (struct snapshot){ .in_flight = 0 };
	for (i = 0; i < place->src_pages; i++)
		snapshot_home(snap, i, place->src + t_pages(i));
	for (m = 0; m < SNAPSHOT_MOVERS; m++)
		for (i = 0; i < place->heap_pages; i++)
			snapshot_away(snap, place->heaps[m] + t_pages(i));
	wrong = snapshot_verdict(snap, place->may_copy);
	if (wrong != NULL)
		snprintf(shared->text, sizeof(shared->text), "child: %s",
			 wrong);
	return wrong == NULL;
}

static void scribble(const struct snapshot_place *place)
{
	size_t i, m;

	for (i = 0; i < place->src_pages; i++)
		memset(place->src + t_pages(i), 0x5a, t_page());
	for (m = 0; m < SNAPSHOT_MOVERS; m++)
		for (i = 0; i < place->heap_pages; i++)
			memset(place->heaps[m] + t_pages(i), 0x5a, t_page());
}

static bool same(const struct snapshot *a, const struct snapshot *b)
{
	return memcmp(a->home, b->home, sizeof(a->home)) == 0 &&
	       memcmp(a->away, b->away, sizeof(a->away)) == 0;
}

/* A forked child, which nothing but its own stores may change. */
static int child(struct storm *s, unsigned int ms)
{
	const struct snapshot_place place = snapshot_place(s);
	struct snapshot first, second;

	alarm(PATIENCE_S);
	if (!look(&place, &first))
		return 1;
	if (!says_forked(s->c->pv, s->heaps[0], s->src, &s->c->opts))
		return 2;
	if (ms != 0) {
		t_sleep_ms(ms);
		if (!look(&place, &second) || !same(&first, &second))
			return 3;
	}
	scribble(&place);
	add(&shared->in_flight, first.in_flight);
	add(&shared->rewritten, first.rewritten);
	return 0;
}

/*
 * This thread and its children come before the storm's others, or a child would
 * wait for its turn behind all of them.
 */
static void hurry(void)
{
	if (setpriority(PRIO_PROCESS, 0, -10) != 0)
		t_die("setpriority");
}

static void fork_and_look(struct storm *s, struct t_random *random)
{
	uint64_t n = t_random_below(random, 40);
	int status;
	pid_t pid;

	hurry();
	pid = fork();
	if (pid < 0)
		t_die("fork");
	if (pid == 0)
		_exit(child(s, n < 10 ? (unsigned int)n : 0));
	status = t_wait(pid);
	add(&shared->children, 1);
	if (status != 0)
		storm_wrong(s, "child ended with %d %s", status, shared->text);
}

/* As many as there can be: a page is hardly exclusive before the next comes. */
static void fork_and_exit(struct storm *s, struct t_random *random)
{
	pid_t pid;

	(void)random;
	hurry();
	pid = fork();
	if (pid < 0)
		t_die("fork");
	if (pid == 0)
		_exit(0);
	if (t_wait(pid) != 0)
		storm_wrong(s, "a child could not even exit");
	add(&shared->forks, 1);
}

/* In the memory of the storm: stores that change nothing, and moves. */
static int share(void *arg)
{
	const struct scene *sc = arg;
	const struct storm *s = sc->s;
	size_t i;

	alarm(PATIENCE_S);
	for (i = 0; i < s->src_pages; i++) {
		struct t_head *head = (void *)(s->src + t_pages(i));

		__atomic_fetch_add(&head->counter, 0, __ATOMIC_RELAXED);
	}
	if (!moves_all(s->c, sc->b, sc->a, PAGES))
		return 1;
	return moves_all(s->c, sc->a, sc->b, PAGES) ? 0 : 2;
}

static void others(struct storm *s, struct t_random *random)
{
	uint64_t n = t_random_below(random, 16);
	int status;

	if (n < 2) {
		status = spawned(n == 0);
		add(&shared->spawned, 1);
	} else {
		status = in_sharing(share, &scene, n < 8 ? CLONE_VFORK : 0);
		add(&shared->sharing, 1);
	}
	if (status != 0)
		storm_wrong(s, "%s ended with %d",
			    n < 2 ? "program" : "process of the same memory",
			    status);
}

static bool set_up(struct storm *s, const char **why)
{
	(void)why;
	memset(shared, 0, sizeof(*shared));
	scene.s = s;
	scene.a = t_case_heap(s->c, PAGES);
	scene.b = t_case_heap(s->c, PAGES);
	t_fill_range(scene.a, PAGES, 1);
	return true;
}

static void tear_down(struct storm *s)
{
	const char *wrong = t_check_range(scene.a, PAGES, 1);
	uint64_t exclusive = made_exclusive(s->c);

	if (wrong != NULL)
		storm_wrong(s, "moved by those who share the memory: %s",
			    wrong);
	all.exclusive += exclusive;
	all.can_move |= s->c->caps.mech[PAGEMV_MECH_MOVE].available != 0;
	all.children += shared->children;
	all.sharing += shared->sharing;
	all.in_flight += shared->in_flight;
	tap_say(stdout,
		"%s: %" PRIu64 " children, %" PRIu64 " that looked, %" PRIu64
		" processes of the same memory, %" PRIu64
		" programs; made exclusive %" PRIu64
		" times; children found %" PRIu64 " pages in flight, %" PRIu64
		" being written",
		s->c->name, shared->forks, shared->children, shared->sharing,
		shared->spawned, exclusive, shared->in_flight,
		shared->rewritten);
}

static const struct storm_plan storm_plan = {
	.name = "fork",
	.ways = T_WAYS_LIVE,
	.ms = 600,
	.set_up = set_up,
	.tear_down = tear_down,
	.disturb = { fork_and_exit, fork_and_look, others },
};

/* ---- one after the other ---- */

/* A child that holds what it has inherited until it is told to look. */
struct holder {
	pid_t pid;
	int go[2];
};

static struct holder hold(bool (*is_right)(char *src, char *dst), char *src,
			  char *dst)
{
	struct holder h;
	char byte;

	if (pipe(h.go) != 0)
		t_die("pipe");
	fflush(NULL);
	h.pid = fork();
	if (h.pid < 0)
		t_die("fork");
	if (h.pid == 0) {
		alarm(PATIENCE_S);
		close(h.go[1]);
		if (read(h.go[0], &byte, 1) != 0)
			_exit(3);
		_exit(is_right(src, dst) ? 0 : 1);
	}
	return h;
}

static bool let_look(const struct holder *h)
{
	close(h->go[0]);
	close(h->go[1]);
	return t_wait(h->pid) == 0;
}

static bool as_before(char *src, char *dst)
{
	return t_check_range(src, PAGES, 1) == NULL &&
	       t_check_absent(dst, PAGES) == NULL;
}

static bool detaches_by_move(const struct t_case *c)
{
	return c->caps.mech[PAGEMV_MECH_MOVE].available != 0 &&
	       c->way != T_REMAP && c->way != T_AUTO_REMAP;
}

static void shared_pages(struct tap *tap, struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct holder h;
	uint64_t n;
	bool ok;

	t_fill_range(src, PAGES, 1);
	h = hold(as_before, src, dst);
	ok = moves_all(c, dst, src, PAGES);
	result(tap, c, ok, "pages shared with a child are moved");
	right(tap, c, t_check_range(dst, PAGES, 1), "and are whole");
	n = made_exclusive(c);
	if (detaches_by_move(c))
		result(tap, c, n > 0, "and were made exclusive");
	for (size_t i = 0; i < PAGES; i++)
		memset(dst + t_pages(i), 0xa5, t_page());
	result(tap, c, let_look(&h), "the child has them as they were");
	if (c->way == T_MOVE && c->variant == T_NORMAL)
		lab_seen("pages shared by fork()",
			 "%d pages made exclusive by %" PRIu64 " calls", PAGES,
			 n);
}

static bool nothing_to_see(char *src, char *dst)
{
	(void)src;
	(void)dst;
	return true;
}

/* Shared with nobody any more; the kernel does not notice by itself. */
static void once_shared(struct tap *tap, struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct holder h;
	bool ok;

	t_fill_range(src, PAGES, 1);
	h = hold(nothing_to_see, src, dst);
	ok = let_look(&h);
	ok = moves_all(c, dst, src, PAGES) && ok;
	result(tap, c, ok, "pages once shared with a child are moved");
	right(tap, c, t_check_range(dst, PAGES, 1), "and are whole");
}

/* Is there a mapping at addr? */
static bool mapped(char *addr)
{
	unsigned char vec;

	return mincore(addr, t_page(), &vec) == 0;
}

static bool neither_mapped(char *src, char *dst)
{
	return !mapped(src) && !mapped(dst);
}

static void not_inherited(struct tap *tap, struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_map(c, PAGES);
	struct holder h;
	bool ok;

	if (madvise(src, t_pages(PAGES), MADV_DONTFORK) != 0 ||
	    madvise(dst, t_pages(PAGES), MADV_DONTFORK) != 0)
		t_die("MADV_DONTFORK");
	t_register(c->pv, dst, PAGES);
	t_fill_range(src, PAGES, 1);
	h = hold(neither_mapped, src, dst);
	ok = moves_all(c, dst, src, PAGES) && made_exclusive(c) == 0;
	result(tap, c, ok,
	       "MADV_DONTFORK: moved, with nothing to make "
	       "exclusive");
	right(tap, c, t_check_range(dst, PAGES, 1), "and are whole");
	result(tap, c, let_look(&h), "the child has neither range");
}

static bool dst_whole(char *src, char *dst)
{
	(void)src;
	return mapped(dst) && t_check_range(dst, PAGES, 1) == NULL;
}

static bool dst_unmapped(char *src, char *dst)
{
	(void)src;
	return !mapped(dst);
}

static bool dst_wiped(char *src, char *dst)
{
	(void)src;
	return mapped(dst) && t_check_absent(dst, PAGES) == NULL;
}

/*
 * Pages that leave a range which children do not get. remap takes the mapping
 * along, with what was advised about it; the others move pages alone.
 */
static void out_of_advised(struct tap *tap, struct t_case *c, int advice,
			   const char *name)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	bool remapped;
	struct holder h;
	char what[80];

	if (madvise(src, t_pages(PAGES), advice) != 0)
		t_die("%s", name);
	t_fill_range(src, PAGES, 1);
	snprintf(what, sizeof(what), "moved out of %s", name);
	result(tap, c,
	       pagemv_move(c->pv, dst, src, t_pages(PAGES), &c->opts, &res) ==
		       0,
	       what);
	remapped = (res.mechanisms & PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP)) != 0;
	h = hold(!remapped		   ? dst_whole
		 : advice == MADV_DONTFORK ? dst_unmapped
					   : dst_wiped,
		 src, dst);
	snprintf(what, sizeof(what), "%s: the child %s", name,
		 remapped ? "does not get them" : "gets them");
	result(tap, c, let_look(&h), what);
	right(tap, c, t_check_range(dst, PAGES, 1), "the parent has them");
}

/* And into one: a child never gets what is there. */
static void into_wiped(struct tap *tap, struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_map(c, PAGES);
	struct pagemv_result res;
	struct holder h;
	bool ok, remapped;

	if (madvise(dst, t_pages(PAGES), MADV_WIPEONFORK) != 0)
		t_die("MADV_WIPEONFORK");
	t_register(c->pv, dst, PAGES);
	t_fill_range(src, PAGES, 1);
	ok = pagemv_move(c->pv, dst, src, t_pages(PAGES), &c->opts, &res) == 0;
	remapped = (res.mechanisms & PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP)) != 0;
	h = hold(remapped ? dst_whole : dst_wiped, src, dst);
	result(tap, c, let_look(&h) && ok,
	       remapped ? "into MADV_WIPEONFORK: remap ends it"
			: "into MADV_WIPEONFORK: the child finds none");
	right(tap, c, t_check_range(dst, PAGES, 1), "the parent has them");
}

struct sharing {
	struct t_case *c;
	char *src;
	char *dst;
};

static int move_in_sharing(void *arg)
{
	struct sharing *sh = arg;

	alarm(PATIENCE_S);
	return moves_all(sh->c, sh->dst, sh->src, PAGES) ? 0 : 1;
}

static void same_memory(struct tap *tap, struct t_case *c, int flags,
			const char *what)
{
	struct sharing sh = { c, t_case_map(c, PAGES), t_case_heap(c, PAGES) };

	t_fill_range(sh.src, PAGES, 1);
	fflush(NULL);
	result(tap, c, in_sharing(move_in_sharing, &sh, flags) == 0, what);
	right(tap, c, t_check_range(sh.dst, PAGES, 1), "and are whole");
	right(tap, c, t_check_absent(sh.src, PAGES), "and have left");
}

static void run_each(struct tap *tap)
{
	struct t_case c;

	t_cases(&c, T_WAYS_LIVE);
	while (t_next_case(&c)) {
		shared_pages(tap, &c);
		once_shared(tap, &c);
		out_of_advised(tap, &c, MADV_DONTFORK, "MADV_DONTFORK");
		out_of_advised(tap, &c, MADV_WIPEONFORK, "MADV_WIPEONFORK");
		into_wiped(tap, &c);
		same_memory(tap, &c, CLONE_VFORK, "moved by a child of vfork");
		same_memory(tap, &c, 0, "moved by a process of this memory");
	}
	t_cases(&c, T_WAYS_LIVE);
	while (t_next_case(&c))
		not_inherited(tap, &c);
	tap_ok(tap, spawned(true) == 0, "a program after fork and exec moves");
	tap_ok(tap, spawned(false) == 0, "a program by posix_spawn moves");
}

int main(int argc, char **argv)
{
	struct tap tap = { 0, 0 };

	if (argc > 2 && strcmp(argv[1], "--moves") == 0)
		return moves_of_its_own(strtoul(argv[2], NULL, 10));
	lab_only();
	fds_at_start = t_count_fds();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		t_die("shared memory");
	run_each(&tap);
	storm_run(&tap, &storm_plan);
	tap_ok(&tap, all.children > 0 && all.sharing > 0,
	       "the process forked during moves");
	/* mremap takes shared pages along as they are. */
	if (all.can_move)
		tap_ok(&tap, all.exclusive > 0, "pages were shared by fork");
	lab_seen("children of fork() during moves",
		 "%" PRIu64 " looked: each page once, or in flight (%" PRIu64
		 ", copying)",
		 all.children, all.in_flight);
	return tap_done(&tap);
}
