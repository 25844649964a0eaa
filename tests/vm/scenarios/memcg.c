/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory cgroups. A page that moves stays charged to the cgroup that it was
 * first touched in, so that moving needs no memory where there is none left;
 * copying does, and must say so, with every page in its place. Then storms:
 * while the process goes from one cgroup to another, and while it has not
 * enough memory, with swap.
 *
 * The processes that run into the limit are such as the OOM killer may not
 * choose, else it would; one that it may shows that it does not have to.
 *
 * Takes zram for the storm with swap.
 */
#include "lab.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/swap.h>

#include "cases.h"
#include "storm.h"

#define ROOT  "/sys/fs/cgroup/"
#define GROUP ROOT "pagemv-memcg/"
#define A     GROUP "a/"
#define B     GROUP "b/"

#define PAGES	   128
#define MANY	   1024 /* where the kernel counts in batches */
#define FUZZ	   200	/* what may be in batches of the CPUs */
#define HUGE_BYTES ((size_t)2 << 20)
#define LIMIT	   "24M"
#define FILLER	   ((size_t)16 << 10) /* pages: more than the limit */
#define SPARE	   24

/* ---- cgroups ---- */

static bool make_groups(void)
{
	t_write_file(ROOT "cgroup.subtree_control", "+memory");
	mkdir(GROUP, 0755);
	t_write_file(GROUP "cgroup.subtree_control", "+memory");
	mkdir(A, 0755);
	mkdir(B, 0755);
	return access(A "memory.max", W_OK) == 0 &&
	       access(B "memory.max", W_OK) == 0;
}

static void remove_groups(void)
{
	rmdir(A);
	rmdir(B);
	rmdir(GROUP);
	t_write_file(ROOT "cgroup.subtree_control", "-memory");
}

static void put(const char *path, const char *text)
{
	if (!t_write_file(path, text))
		t_die("%s: %s", path, text);
}

static void enter(const char *group)
{
	char path[80], pid[16];

	snprintf(path, sizeof(path), "%scgroup.procs", group);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	put(path, pid);
}

/* Pages that are charged, but for what CPUs have taken in advance. */
static int64_t charged(const char *group)
{
	char path[80];

	snprintf(path, sizeof(path), "%smemory.current", group);
	return (int64_t)(number_in(path) / t_page());
}

static uint64_t events(const char *name)
{
	return counter_of(A "memory.events", name);
}

/* The same where no memory can be had. */
static uint64_t ooms(void)
{
	static char text[256];
	static int fd = -1;
	ssize_t n = 0;
	char *at;

	if (fd < 0)
		fd = open(A "memory.events", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = pread(fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		t_die("memory.events");
	text[n] = '\0';
	at = strstr(text, "oom ");
	return at == NULL ? 0 : strtoull(at + 4, NULL, 10);
}

static bool near(int64_t a, int64_t b)
{
	return a - b < FUZZ && b - a < FUZZ;
}

/* ---- who pays ---- */

static struct {
	int64_t a, b;
	unsigned int cases;
} kept, changed;

static void note(int64_t a, int64_t b, bool along)
{
	if (along) {
		kept.a += a;
		kept.b += b;
		kept.cases++;
	} else {
		changed.a += a;
		changed.b += b;
		changed.cases++;
	}
}

/* Pages that a paid for, moved in b, beside pages that b paid for. */
static const char *move_charged(struct t_case *c)
{
	char *src = t_case_map(c, MANY), *dst = t_case_heap(c, 2 * MANY);
	struct pagemv_result res;
	const char *what;
	int64_t a, b;

	enter(A);
	t_fill_range(src, MANY, 1);
	enter(B);
	t_fill_range(dst + t_pages(MANY), MANY, 1 + MANY);
	a = charged(A);
	b = charged(B);
	what = done_all(c, move(c, dst, src, MANY, 0, &res), &res, MANY);
	a = charged(A) - a;
	b = charged(B) - b;
	if (what == NULL)
		what = t_check_range(dst, 2 * MANY, 1);
	if (what != NULL)
		return what;
	note(a, b, took_along(&res));
	if (took_along(&res) ? !near(a, 0) || !near(b, 0)
			     : !near(a, -MANY) || !near(b, MANY))
		return wrong("of %d pages: a is charged for %" PRId64
			     " more, b for %" PRId64,
			     MANY, a, b);
	return NULL;
}

static void run_charges(struct tap *tap)
{
	static const struct section section = { "charged to another cgroup",
						T_WAYS_ALL, move_charged };

	run_section(tap, &section);
	if (kept.cases > 0)
		lab_seen("charges when pages move",
			 "%d pages: %+" PRId64
			 " where they came from, %+" PRId64 " where they go",
			 MANY, kept.a / kept.cases, kept.b / kept.cases);
	if (changed.cases > 0)
		lab_seen("charges when pages are copied",
			 "%d pages: %+" PRId64
			 " where they came from, %+" PRId64 " where they go",
			 MANY, changed.a / changed.cases,
			 changed.b / changed.cases);
}

/* ---- at the limit ---- */

static char *filler;
static char *spare; /* a few pages, taken before and given back at the limit */

/* From the OOM killer. Opening the file needs memory: early. */
static void protect(bool on)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (pwrite(fd, on ? "-1000" : "0", on ? 5 : 1, 0) <= 0)
		t_die("oom_score_adj");
}

/*
 * Until not one page more can be had. From here on nothing may be touched that
 * was not before: a store that finds no memory is tried again for ever.
 */
static void fill_up(size_t spare_pages)
{
	spare = t_map(SPARE);
	t_fill_range(spare, spare_pages, 1);
	filler = t_map(FILLER);
	if (mlock(filler, t_pages(FILLER)) == 0)
		t_die("the limit does not hold");
	t_drop(spare, SPARE);
}

static void make_room(void)
{
	t_unmap(filler, FILLER);
	t_unmap(spare, SPARE);
}

/* Has all the memory that there is now, and some stack, written to once. */
static void touch_all(void)
{
	volatile char stack[64 << 10];
	size_t i;

	for (i = 0; i < sizeof(stack); i += 1024)
		stack[i] = 1;
	if (mlockall(MCL_CURRENT) != 0 || munlockall() != 0)
		t_die("mlockall");
}

/* A range that has its page table already, which would have to be paid. */
static char *map_paid(struct t_case *c)
{
	char *addr = t_case_map_at(c, PAGES + 1, HUGE_BYTES, 0, false);

	addr[t_pages(PAGES)] = 1;
	t_register(c->pv, addr, PAGES + 1);
	return addr;
}

/* Every page at src or dst, as many at dst as the result says. */
static const char *check_parted(const char *src, const char *dst,
				const struct pagemv_result *res)
{
	size_t done = (res->moved_bytes + res->copied_bytes) / t_page();
	const char *what;

	if (res->stray != NULL)
		return wrong("%zu stray pages", res->stray_bytes / t_page());
	if (res->left_off != t_pages(done))
		return wrong("%zu pages done, the first left is at %zu", done,
			     res->left_off);
	what = wrong_at("dst", t_check_range(dst, done, 1));
	if (what == NULL)
		what = wrong_at(
			"behind dst",
			t_check_absent(dst + t_pages(done), PAGES - done));
	if (what == NULL)
		what = wrong_at("src", t_check_absent(src, done));
	if (what == NULL)
		what = wrong_at("src left",
				t_check_range(src + t_pages(done), PAGES - done,
					      1 + done));
	return what;
}

/* There and back: what is made once and kept is there then. */
static const char *warm_up(struct t_case *c, char *dst, char *src)
{
	struct pagemv_result res;
	const char *what;

	touch_all();
	t_drop(src, PAGES);
	t_drop(dst, PAGES);
	t_fill_range(src, PAGES, 1);
	what = done_all(c, move(c, dst, src, PAGES, 0, &res), &res, PAGES);
	if (what == NULL)
		what = done_all(c, move(c, src, dst, PAGES, 0, &res), &res,
				PAGES);
	(void)ooms();
	return what != NULL ? what : t_check_range(src, PAGES, 1);
}

static struct {
	unsigned int done[PAGEMV_MECH_COUNT];
	unsigned int refused[PAGEMV_MECH_COUNT];
	unsigned int unmapped;
} at_limit;

static void note_limit(const struct t_case *c, int r)
{
	unsigned int m = c->opts.mechanism;

	if (r == 0)
		at_limit.done[m]++;
	else
		at_limit.refused[m]++;
}

/* What is left when there was no memory comes when there is some. */
static const char *move_rest(struct t_case *c, char *dst, char *src,
			     const struct pagemv_result *res)
{
	size_t done = res->left_off / t_page();
	struct pagemv_result rest;
	const char *what;

	if (done == PAGES)
		return NULL;
	what = done_all(c,
			move(c, dst + t_pages(done), src + t_pages(done),
			     PAGES - done, 0, &rest),
			&rest, PAGES - done);
	if (what == NULL)
		what = wrong_at("rest", t_check_range(dst, PAGES, 1));
	return what;
}

/*
 * Has mremap() unmapped dst, and was there no memory for another mapping there
 * even when it had been waited for (6.12: lib/mover_remap.c)? The move says so,
 * and the program has to map it.
 */
static bool is_unmapped(char *dst, int r)
{
	unsigned char in_core[PAGES];

	return r == -ENOENT && mincore(dst, t_pages(PAGES), in_core) != 0 &&
	       errno == ENOMEM;
}

static void map_again(char *dst)
{
	if (mmap(dst, t_pages(PAGES), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != dst)
		t_die("mapping dst");
	at_limit.unmapped++;
}

static const char *move_at_limit(struct t_case *c, size_t spare_pages)
{
	char *src = map_paid(c), *dst = map_paid(c);
	struct pagemv_result res;
	const char *what;
	uint64_t before, after;
	int r;

	if (c->variant == T_NO_UFFD && t_case_only_copies(c) &&
	    c->way != T_AUTO_REMAP)
		return skip("a store waits for memory as long as it takes");
	what = warm_up(c, dst, src);
	if (what != NULL)
		return what;
	fill_up(spare_pages);
	before = ooms();
	r = move(c, dst, src, PAGES, 0, &res);
	after = ooms();
	make_room();
	note_limit(c, r);
	what = check_parted(src, dst, &res);
	if (is_unmapped(dst, r))
		map_again(dst);
	else if (what == NULL && r != 0 &&
		 (r != -ENOMEM ||
		  (res.reason != PAGEMV_REASON_NO_MEMORY && c->way != T_REMAP &&
		   c->way != T_AUTO_REMAP)))
		what = wrong("returned %d (%s)", r,
			     pagemv_reason_string(res.reason));
	/* What moving promises: nothing is needed, nobody is killed. */
	if (what == NULL && (r != 0 || after > before) &&
	    (c->way == T_MOVE || (c->way == T_AUTO && !t_case_only_copies(c))))
		what = wrong(
			"returned %d (%s), out of memory %" PRIu64 " times", r,
			pagemv_reason_string(res.reason), after - before);
	return what != NULL ? what : move_rest(c, dst, src, &res);
}

static const char *move_with_none(struct t_case *c)
{
	return move_at_limit(c, 0);
}

static const char *move_with_few(struct t_case *c)
{
	return move_at_limit(c, SPARE);
}

static void enter_limit(void)
{
	enter(A);
	put(A "memory.max", LIMIT);
	t_write_file(A "memory.swap.max", "0");
	protect(true);
}

static void run_limit(struct tap *tap)
{
	static const struct section sections[] = {
		{ "no memory left", T_WAYS_ALL, move_with_none },
		{ "little memory left", T_WAYS_ALL, move_with_few },
	};
	unsigned int m;

	enter_limit();
	run_section(tap, &sections[0]);
	run_section(tap, &sections[1]);
	for (m = 0; m < PAGEMV_MECH_COUNT; m++)
		lab_seen("little or no memory left", "%s: %u moved, %u refused",
			 pagemv_mechanism_name((enum pagemv_mechanism)m),
			 at_limit.done[m], at_limit.refused[m]);
	lab_seen("dst that mremap() unmapped with no memory left, and nobody "
		 "could map again",
		 "%u times", at_limit.unmapped);
}

/* ---- one that may be killed ---- */

#define ROUNDS 500

static int go_to_and_fro(void *arg)
{
	struct pagemv_result res;
	struct t_case c;
	char *src, *dst;
	int i, r = 0;

	enter_limit();
	t_cases(&c, *(unsigned int *)arg);
	if (!t_next_case(&c))
		return 3;
	src = map_paid(&c);
	dst = map_paid(&c);
	if (warm_up(&c, dst, src) != NULL)
		return 4;
	fill_up(0);
	protect(false);
	for (i = 0; i < ROUNDS && r == 0; i++) {
		r = move(&c, dst, src, PAGES, 0, &res);
		if (r == 0)
			r = move(&c, src, dst, PAGES, 0, &res);
	}
	if (r != 0)
		return 1;
	return t_check_range(src, PAGES, 1) == NULL ? 0 : 2;
}

static void run_killable(struct tap *tap)
{
	unsigned int way = T_WAY_BIT(T_MOVE);
	uint64_t kills = events("oom_kill");
	int status;

	status = t_in_child(go_to_and_fro, &way);
	kills = events("oom_kill") - kills;
	if (status == 3)
		tap_skip(tap, "moving gets nobody killed", "no UFFDIO_MOVE");
	else if (!tap_ok(tap, status == 0 && kills == 0,
			 "moving gets nobody killed"))
		tap_say(stdout, "status %d, %" PRIu64 " killed", status, kills);

	way = T_WAY_BIT(T_COPY);
	kills = events("oom_kill");
	status = t_in_child(go_to_and_fro, &way);
	kills = events("oom_kill") - kills;
	if (!tap_ok(tap, status != 0, "there was no memory to copy to"))
		tap_say(stdout, "status %d", status);
	lab_seen("copying with no memory left", "%s",
		 status == 128 + SIGKILL && kills > 0 ? "killed"
						      : "not killed");
}

/* ---- more than memory.high ---- */

#define FEW 16

/* Whoever asks for memory is made to wait; who moves asks for none. */
static const char *move_over_high(struct t_case *c)
{
	char *src = t_case_map(c, FEW), *dst = t_case_heap(c, FEW);
	char *more = t_case_map(c, FEW);
	uint64_t before = events("high");
	const char *what;

	t_fill_range(src, FEW, 1);
	put(A "memory.high", "0");
	/* Only who is charged is noticed. */
	t_fill_range(more, FEW, 1 + FEW);
	what = move_and_check(c, dst, src, FEW, 1, 0);
	put(A "memory.high", "max");
	if (what == NULL && events("high") == before)
		what = "memory.high was not exceeded";
	return what;
}

static void run_high(struct tap *tap)
{
	static const struct section section = { "over memory.high",
						T_WAY_BIT(T_AUTO) |
							T_WAY_BIT(T_MOVE) |
							T_WAY_BIT(T_REMAP),
						move_over_high };

	enter(A);
	run_section(tap, &section);
}

/* ---- storms ---- */

static struct {
	uint64_t hops;
	uint64_t moved;
	uint64_t out;
	uint64_t met; /* the limit */
} storms;

static void hop(struct storm *s, struct t_random *random)
{
	(void)s;
	enter(storms.hops++ % 2 == 0 ? B : A);
	t_sleep_ms((unsigned int)t_random_below(random, 10));
}

static void sum(struct storm *s)
{
	storms.moved += s->moved_pages + s->copied_pages;
}

static const struct storm_plan hopping_plan = {
	.name = "from cgroup to cgroup",
	.ways = T_WAYS_LIVE,
	.ms = 200,
	.disturb = { hop },
	.tear_down = sum,
};

/* A quarter of what is there is too much. */
static bool press(struct storm *s, const char **why)
{
	char text[32];

	(void)s;
	(void)why;
	snprintf(text, sizeof(text), "%" PRId64,
		 charged(A) / 4 * 3 * (int64_t)t_page());
	put(A "memory.max", text);
	return true;
}

static void sum_pressed(struct storm *s)
{
	put(A "memory.max", "max");
	sum(s);
}

static const struct storm_plan limit_plan = {
	.name = "storm at the limit",
	.ways = T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_MOVE) | T_WAY_BIT(T_REMAP) |
		T_WAY_BIT(T_COPY),
	.pages = 256,
	.longest_pages = 32,
	.ms = 300,
	.store_pause_us = 50,
	.set_up = press,
	.tear_down = sum_pressed,
};

static void run_hopping(struct tap *tap)
{
	storm_run(tap, &hopping_plan);
	tap_ok(tap, storms.hops > 1, "from cgroup to cgroup: it went there");
	lab_seen("storm between two cgroups",
		 "%" PRIu64 " pages moved, %" PRIu64 " changes of cgroup",
		 storms.moved, storms.hops);
}

static bool swap_on(void)
{
	t_write_file("/sys/block/zram0/reset", "1");
	return t_write_file("/sys/block/zram0/disksize", "256M") &&
	       system("mkswap /dev/zram0 >/dev/null 2>&1") == 0 &&
	       swapon("/dev/zram0", 0) == 0;
}

static void swap_off(void)
{
	swapoff("/dev/zram0");
	t_write_file("/sys/block/zram0/reset", "1");
}

static void run_limit_storm(struct tap *tap)
{
	uint64_t kills = events("oom_kill");

	enter(A);
	t_write_file(A "memory.swap.max", "max");
	storms.moved = 0;
	storms.met = events("max");
	storms.out = vmstat("pswpout");
	storm_run(tap, &limit_plan);
	storms.met = events("max") - storms.met;
	storms.out = vmstat("pswpout") - storms.out;
	tap_ok(tap, storms.out > 0, "storm at the limit: pages were swapped");
	tap_ok(tap, storms.met > 0, "storm at the limit: it was met");
	tap_ok(tap, events("oom_kill") == kills,
	       "storm at the limit: nobody was killed");
	lab_seen("storm at the limit of a cgroup",
		 "%" PRIu64 " pages moved, %" PRIu64
		 " swapped out, the limit met %" PRIu64 " times",
		 storms.moved, storms.out, storms.met);
}

int main(void)
{
	struct tap tap = { 0, 0 };

	lab_only();
	if (!make_groups()) {
		tap_skip(&tap, "memory cgroups", "no cgroup2 with memory here");
		remove_groups();
		return tap_done(&tap);
	}
	run_apart(&tap, run_charges);
	run_apart(&tap, run_limit);
	run_apart(&tap, run_killable);
	put(A "memory.max", "max");
	run_apart(&tap, run_high);
	run_apart(&tap, run_hopping);
	if (swap_on())
		run_apart(&tap, run_limit_storm);
	else
		tap_skip(&tap, limit_plan.name, "no zram to swap to");
	swap_off();
	remove_groups();
	return tap_done(&tap);
}
