/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t.h"

#define PM_PRESENT (UINT64_C(1) << 63)
#define PM_SWAP	   (UINT64_C(1) << 62)

/* A descriptor of pagemap shows the process that opened it: ask again. */
static int pagemap_fd(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int shared_fd = -1;
	static pid_t owner;
	int fd;

	pthread_mutex_lock(&lock);
	if (shared_fd < 0 || owner != getpid()) {
		shared_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
		if (shared_fd < 0)
			t_die("/proc/self/pagemap");
		owner = getpid();
	}
	fd = shared_fd;
	pthread_mutex_unlock(&lock);
	return fd;
}

static void read_entries(const void *addr, uint64_t *entries, size_t n)
{
	off_t at = (off_t)((uintptr_t)addr / t_page() * sizeof(uint64_t));
	size_t bytes = n * sizeof(uint64_t);

	if (pread(pagemap_fd(), entries, bytes, at) != (ssize_t)bytes)
		t_die("reading pagemap of %p", addr);
}

bool t_present(const void *addr)
{
	uint64_t entry;

	read_entries(addr, &entry, 1);
	return (entry & (PM_PRESENT | PM_SWAP)) != 0;
}

/* Calls of pread for 512 entries each; stop_at_first: index, else count. */
static size_t scan(const void *addr, size_t pages, bool stop_at_first)
{
	uint64_t entries[512];
	size_t done, i, n, count = 0;

	for (done = 0; done < pages; done += n) {
		n = pages - done < 512 ? pages - done : 512;
		read_entries((const char *)addr + t_pages(done), entries, n);
		for (i = 0; i < n; i++) {
			if ((entries[i] & (PM_PRESENT | PM_SWAP)) == 0)
				continue;
			if (stop_at_first)
				return done + i;
			count++;
		}
	}
	return stop_at_first ? pages : count;
}

size_t t_count_present(const void *addr, size_t pages)
{
	return scan(addr, pages, false);
}

size_t t_first_present(const void *addr, size_t pages)
{
	return scan(addr, pages, true);
}

/* One line of maps at a time; true while there are some. */
static bool next_mapping(FILE *f, char *line, size_t size, uintptr_t *start,
			 uintptr_t *end)
{
	while (fgets(line, (int)size, f) != NULL)
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, start, end) == 2)
			return true;
	return false;
}

static FILE *open_proc(const char *path)
{
	FILE *f = fopen(path, "re");

	if (f == NULL)
		t_die("%s", path);
	return f;
}

size_t t_count_mappings_in(const void *addr, size_t bytes)
{
	uintptr_t from = (uintptr_t)addr, start, end;
	FILE *f = open_proc("/proc/self/maps");
	char line[4400];
	size_t n = 0;

	while (next_mapping(f, line, sizeof(line), &start, &end))
		if (start < from + bytes && end > from)
			n++;
	fclose(f);
	return n;
}

size_t t_count_mappings(void)
{
	return t_count_mappings_in(NULL, SIZE_MAX);
}

/* The whole file, or the end of the test. */
static void read_maps(struct t_maps *maps)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		t_die("/proc/self/maps");
	maps->len = 0;
	while ((n = read(fd, maps->text + maps->len,
			 sizeof(maps->text) - 1 - maps->len)) > 0)
		maps->len += (size_t)n;
	if (n < 0 || maps->len == sizeof(maps->text) - 1)
		t_die("more mappings than there is room for");
	maps->text[maps->len] = '\0';
	close(fd);
}

static bool line_counts(const char *line, uintptr_t from, size_t bytes)
{
	char *dash;
	uintptr_t start = (uintptr_t)strtoull(line, &dash, 16);
	uintptr_t end = (uintptr_t)strtoull(dash + 1, NULL, 16);
	size_t len = strcspn(line, "\n");

	return start < from + bytes && end > from &&
	       memmem(line, len, "[heap]", 6) == NULL &&
	       memmem(line, len, "[stack]", 7) == NULL;
}

void t_maps_take(struct t_maps *maps, const void *addr, size_t bytes)
{
	char *line, *next, *kept = maps->text;

	read_maps(maps);
	for (line = maps->text; *line != '\0'; line = next) {
		next = strchr(line, '\n') + 1;
		if (!line_counts(line, (uintptr_t)addr, bytes))
			continue;
		memmove(kept, line, (size_t)(next - line));
		kept += next - line;
	}
	*kept = '\0';
	maps->len = (size_t)(kept - maps->text);
}

bool t_maps_same(const struct t_maps *a, const struct t_maps *b, char *line,
		 size_t size)
{
	size_t i = 0, start = 0;

	if (a->len == b->len && memcmp(a->text, b->text, a->len) == 0)
		return true;
	for (; b->text[i] != '\0' && b->text[i] == a->text[i]; i++)
		if (b->text[i] == '\n')
			start = i + 1;
	snprintf(line, size, "%.*s", (int)strcspn(b->text + start, "\n"),
		 b->text + start);
	return false;
}

/* The value in kB of the first line that starts with name, from f. */
static size_t kilobytes(FILE *f, const char *name)
{
	char line[4400];
	size_t kb = 0;

	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, strlen(name)) == 0) {
			sscanf(line + strlen(name), "%zu", &kb);
			break;
		}
	return kb;
}

/* By mapping: smaps_rollup of 6.1 leaves one out for each time that another
 * thread waits for the lock, and statm is only as right as the counters that
 * each processor keeps for itself. */
size_t t_rss_pages(void)
{
	FILE *f = open_proc("/proc/self/smaps");
	char line[4400];
	size_t kb, all = 0;

	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "Rss: %zu", &kb) == 1)
			all += kb;
	fclose(f);
	return all * 1024 / t_page();
}

size_t t_huge_bytes(const void *addr, size_t bytes)
{
	uintptr_t from = (uintptr_t)addr, start, end;
	FILE *f = open_proc("/proc/self/smaps");
	char line[4400];
	size_t kb = 0;

	while (next_mapping(f, line, sizeof(line), &start, &end))
		if (start < from + bytes && end > from)
			kb += kilobytes(f, "AnonHugePages:");
	fclose(f);
	return kb * 1024;
}

bool t_mapping_has_flag(const void *addr, const char *flag)
{
	uintptr_t from = (uintptr_t)addr, start, end;
	FILE *f = open_proc("/proc/self/smaps");
	char line[4400], word[8];
	bool inside = false, found = false;

	snprintf(word, sizeof(word), " %s ", flag);
	while (!found && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &start, &end) == 2)
			inside = start <= from && from < end;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, word) != NULL;
	}
	fclose(f);
	return found;
}

size_t t_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	if (dir == NULL)
		t_die("/proc/self/fd");
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n - 3; /* ".", "..", and the directory itself */
}

bool t_read_file(const char *path, char *text, size_t size)
{
	FILE *f = fopen(path, "re");
	bool ok;

	if (f == NULL)
		return false;
	ok = fgets(text, (int)size, f) != NULL;
	fclose(f);
	if (ok)
		text[strcspn(text, "\n")] = '\0';
	return ok;
}

bool t_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text);
}

bool t_lock_setting(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	while (flock(fd, LOCK_EX) != 0)
		if (errno != EINTR)
			t_die("flock of %s", path);
	return true; /* fd stays open: it is the lock */
}

bool t_has_swap(void)
{
	char line[256];
	FILE *f = fopen("/proc/swaps", "re");
	size_t n = 0;

	if (f == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL)
		n++;
	fclose(f);
	return n > 1;
}

int t_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			t_die("waiting for a child");
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

int t_in_child(int (*body)(void *arg), void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		t_die("fork");
	if (pid == 0)
		_exit(body(arg));
	return t_wait(pid);
}
