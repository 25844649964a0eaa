/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Swap against moves: pages that are out, in the swap cache, or on their way
 * in or out while they are moved; entries shared by fork; huge pages swapped
 * out; swapoff and memory pressure in between. On a disk pages stay in the
 * swap cache for long, on zram only for an instant.
 *
 * All is done in a child: when it has gone, the kernel has counted its pages
 * and says so in its log if there is one too many or too few.
 *
 * Takes zram and a raw disk as /dev/vda; does without one of them.
 */
#include "swap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/swap.h>

#include "cases.h"
#include "lab.h"

/* ---- what the library makes of swap ---- */

static void check_quirk(struct tap *tap)
{
	const struct area *a = zram.there ? &zram : &disk;
	const struct pagemv_mech_caps *m;
	struct t_case c;
	bool was, is;

	t_cases(&c, T_WAY_BIT(T_AUTO));
	t_next_case(&c);
	was = c.caps.mech[PAGEMV_MECH_MOVE].available != 0;
	while (t_next_case(&c))
		;
	switch_on(a);
	t_cases(&c, T_WAY_BIT(T_AUTO));
	t_next_case(&c);
	m = &c.caps.mech[PAGEMV_MECH_MOVE];
	is = m->available != 0;
	if ((c.caps.quirks & PAGEMV_QUIRK_SWAP) != 0)
		tap_ok(tap, was && !is && m->reason == PAGEMV_REASON_KNOWN_BAD,
		       "UFFDIO_MOVE is avoided while swap is on");
	else
		tap_ok(tap, was == is, "UFFDIO_MOVE is there with swap, too");
	lab_seen("UFFDIO_MOVE while swap is on", "%s",
		 is ? "used" : pagemv_reason_string(m->reason));
	while (t_next_case(&c))
		;
	switch_off(a);
}

/* ---- settings of the whole system ---- */

static struct {
	const char *path;
	const char *set;
	char was[80];
} knobs[] = {
	{ THP "enabled", "madvise", "" },
	{ THP "hugepages-64kB/enabled", "madvise", "" },
	/* khugepaged would put pages of zeros where pages have left. */
	{ THP "khugepaged/scan_sleep_millisecs", "100000000", "" },
};

static void set_knobs(void)
{
	char text[80], *begin;
	size_t i;

	for (i = 0; i < T_COUNT(knobs); i++) {
		if (!t_read_file(knobs[i].path, text, sizeof(text)))
			continue;
		/* Of several words, the one that is set stands in brackets. */
		begin = strchr(text, '[');
		begin = begin == NULL ? text : begin + 1;
		begin[strcspn(begin, "]")] = '\0';
		snprintf(knobs[i].was, sizeof(knobs[i].was), "%s", begin);
		t_write_file(knobs[i].path, knobs[i].set);
	}
}

static void give_back(void)
{
	size_t i;

	for (i = 0; i < T_COUNT(knobs); i++)
		if (knobs[i].was[0] != '\0')
			t_write_file(knobs[i].path, knobs[i].was);
	for (i = 0; i < AREAS; i++)
		swapoff(areas[i]->path);
	t_write_file("/sys/block/zram0/reset", "1");
	rmdir(CGROUP);
	t_write_file("/sys/fs/cgroup/cgroup.subtree_control", "-memory");
}

/* A memory cgroup of its own: only its pages are wanted out. */
static bool enter_cgroup(void)
{
	char pid[16];

	t_write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	mkdir(CGROUP, 0755);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	return t_write_file(CGROUP "/cgroup.procs", pid);
}

static int run_all(void *arg)
{
	struct tap *tap = arg;

	if (!enter_cgroup())
		tap_say(stdout, "no memory cgroup: the swap cache stays full");
	check_quirk(tap);
	stay_here(true);
	run_moves(tap);
	stay_here(false);
	run_storms(tap);
	return 0;
}

/* ---- the kernel's log ---- */

static int open_log(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/* What no log may say, least of all when the pages have been counted. */
static const char *bad_line(int fd)
{
	static const char *const bad[] = { "BUG",
					   "WARNING",
					   "Oops",
					   "Bad page",
					   "Bad rss-counter",
					   "Bad swap",
					   "get_swap_device" };
	static char line[1024];
	ssize_t n;
	size_t i;

	while ((n = read(fd, line, sizeof(line) - 1)) > 0 || errno == EPIPE) {
		if (n <= 0)
			continue;
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		for (i = 0; i < T_COUNT(bad); i++)
			if (strstr(line, bad[i]) != NULL)
				return line;
	}
	return NULL;
}

static void check_log(struct tap *tap, int fd)
{
	if (fd < 0)
		tap_skip(tap, "the kernel's log is clean", "no /dev/kmsg");
	else
		result(tap, bad_line(fd), "the kernel's log is clean");
}

int main(void)
{
	struct tap *tap = mmap(NULL, sizeof(*tap), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t i;
	int log, status;

	lab_only();
	if (tap == MAP_FAILED)
		t_die("memory");
	for (i = 0; i < AREAS; i++) {
		make_area(areas[i]);
		if (!areas[i]->there)
			tap_skip(tap, areas[i]->name, "no such device");
	}
	if (!zram.there && !disk.there)
		return tap_done(tap);
	log = open_log();
	set_knobs();
	status = t_in_child(run_all, tap);
	give_back();
	tap_ok(tap, status == 0, "came to the end");
	check_log(tap, log);
	return tap_done(tap);
}
