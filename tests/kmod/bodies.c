/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kmod.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/scenarios/lab.h"

/* What a body says, in memory that its process shares with ours. */
struct said {
	char wrong[240];
	const char *skip; /* a static text: the same address in both */
	bool done;
};

static struct said *said;

const char *wrong(const char *format, ...)
{
	char text[sizeof(said->wrong)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	memcpy(said->wrong, text, sizeof(text));
	return said->wrong;
}

const char *wrong_at(const char *where, const char *what)
{
	return what == NULL ? NULL : wrong("%s: %s", where, what);
}

const char *skip(const char *why)
{
	said->skip = why;
	return NULL;
}

bool skip_unless_module(void)
{
	if (kmod_way() == KMOD_MODULE)
		return false;
	skip("only the module can");
	return true;
}

const char *ended(int r, int64_t moved, int want, int64_t want_moved)
{
	if (want_moved > 0)
		want_moved *= (int64_t)t_page();
	if (r == want && moved == want_moved)
		return NULL;
	return wrong("returned %d, moved %" PRId64 "; should have been %d, "
		     "%" PRId64,
		     r, moved, want, want_moved);
}

const char *moves(void *dst, void *src, size_t pages, uint64_t first_id)
{
	int64_t moved;
	int r = kmod_remap(dst, src, pages, 0, &moved);

	RIGHT("move", ended(r, moved, 0, (int64_t)pages));
	RIGHT("src", t_check_absent(src, pages));
	RIGHT("dst", t_check_range(dst, pages, first_id));
	return NULL;
}

const char *refuses(void *dst, void *src, size_t pages, uint64_t first_id,
		    int error)
{
	size_t there = t_count_present(dst, pages);
	int64_t moved;
	int r = kmod_remap(dst, src, pages, 0, &moved);

	/* UFFDIO_MOVE leaves moved alone where its arguments are wrong. */
	if (kmod_way() == KMOD_MOVE && moved == KMOD_UNTOLD)
		moved = error;
	RIGHT("refusal", ended(r, moved, error, error));
	MUST(t_count_present(dst, pages) == there, "dst has %zu pages, had %zu",
	     t_count_present(dst, pages), there);
	if (first_id != 0)
		RIGHT("src", t_check_range(src, pages, first_id));
	return NULL;
}

/* ---- the kernel's log ---- */

static const char *const bad_log[] = {
	"BUG:",
	"kernel BUG at",
	"WARNING:",
	"Oops",
	"Bad page",
	"Bad rss-counter",
	"Bad swap",
	"general protection",
	"soft lockup",
	"blocked for more",
	"refcount_t",
	"list_add corruption",
	"list_del corruption",
	"swap_info_get",
	"swap_dup",
	"unable to handle",
	"detected stall",
	"KASAN",
	"possible recursive",
	"possible circular",
};

static int open_log(void)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (log >= 0)
		lseek(log, 0, SEEK_END);
	return log;
}

/* The first bad line since the last time; NULL if there is none. */
static const char *read_log(int log)
{
	static char record[2048], found[200];
	bool bad = false;
	ssize_t n;
	size_t i;

	if (log < 0)
		return NULL;
	/* EPIPE: lines were lost, go on with the next. */
	while ((n = read(log, record, sizeof(record) - 1)) > 0 ||
	       (n < 0 && errno == EPIPE)) {
		record[n > 0 ? n : 0] = '\0';
		for (i = 0; i < T_COUNT(bad_log) && !bad; i++) {
			if (strstr(record, bad_log[i]) == NULL)
				continue;
			bad = true;
			record[strcspn(record, "\n")] = '\0';
			snprintf(found, sizeof(found), "%.199s", record);
		}
	}
	return bad ? found : NULL;
}

/* ---- running ---- */

static int run_body(void *arg)
{
	const struct kmod_test *test = arg;
	const char *what;

	alarm(KMOD_PATIENCE * t_slow());
	kmod_fd = kmod_open();
	if (kmod_fd < 0) {
		wrong("cannot be opened: %s", strerror(-kmod_fd));
		return 0;
	}
	what = test->body();
	said->done = what == NULL;
	/* It may be a text of the oracle's. */
	if (what != NULL && what != said->wrong)
		wrong("%s", what);
	return 0;
}

void kmod_run(struct tap *tap, const struct kmod_test *tests, size_t count)
{
	int log = open_log(), status;
	const char *line;
	size_t i;

	lab_only();
	if (said == NULL)
		said = mmap(NULL, sizeof(*said), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (said == MAP_FAILED)
		t_die("memory");
	for (i = 0; i < count; i++) {
		memset(said, 0, sizeof(*said));
		status = t_in_child(run_body, (void *)&tests[i]);
		line = read_log(log);
		if (status == 0 && said->skip != NULL && line == NULL) {
			tap_skip(tap, tests[i].name, said->skip);
			continue;
		}
		if (tap_ok(tap, status == 0 && said->done && line == NULL,
			   tests[i].name))
			continue;
		if (status != 0)
			tap_say(stdout, "its process ended with %d", status);
		if (said->wrong[0] != '\0')
			tap_say(stdout, "%s", said->wrong);
		if (line != NULL)
			tap_say(stdout, "the kernel's log: %s", line);
	}
	if (log >= 0)
		close(log);
}

int kmod_main(const struct kmod_test *tests, size_t count)
{
	struct tap tap = { 0, 0 };

	kmod_run(&tap, tests, count);
	return tap_done(&tap);
}

bool kmod_into_cgroup(const char *name)
{
	char path[80];

	t_write_file(KMOD_CGROUPS "/cgroup.subtree_control", "+memory");
	snprintf(path, sizeof(path), KMOD_CGROUPS "/%s", name);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), KMOD_CGROUPS "/%s/cgroup.procs", name);
	return t_write_file(path, "0");
}

/* ---- what the kernel says ---- */

static uint64_t word_of(const char *path, uint64_t index)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t word;

	if (fd < 0 || pread(fd, &word, 8, (off_t)(index * 8)) != 8)
		t_die("%s", path);
	close(fd);
	return word;
}

uint64_t pagemap_of(const void *addr)
{
	return word_of("/proc/self/pagemap", (uintptr_t)addr / t_page());
}

size_t count_bits(const void *addr, size_t pages, uint64_t bits)
{
	size_t i, n = 0;

	for (i = 0; i < pages; i++)
		n += (pagemap_of((const char *)addr + t_pages(i)) & bits) ==
		     bits;
	return n;
}

bool page_flag(const void *addr, unsigned int flag)
{
	uint64_t entry = pagemap_of(addr);

	return (entry & PM_PRESENT) != 0 &&
	       (word_of("/proc/kpageflags", entry & PM_FRAME) >> flag & 1) != 0;
}

uint64_t counter_in(const char *path, const char *name)
{
	FILE *f = fopen(path, "re");
	uint64_t value, found = 0;
	char line[256], word[80];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "%79s %" SCNu64, word, &value) == 2 &&
		    strcmp(word, name) == 0)
			found = value;
	if (f != NULL)
		fclose(f);
	return found;
}

uint64_t status_kb(const char *name)
{
	return counter_in("/proc/self/status", name);
}
