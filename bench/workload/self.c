// SPDX-License-Identifier: LGPL-2.1-or-later
#include "self.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line at a time, without stdio, which would allocate. */
struct lines {
	int fd;
	size_t used; /* of text, taken by the line before */
	size_t n;
	char text[8192];
};

static bool lines_open(struct lines *lines, const char *path)
{
	lines->fd = open(path, O_RDONLY | O_CLOEXEC);
	lines->used = 0;
	lines->n = 0;
	return lines->fd >= 0;
}

/* NULL at the end, and then it is closed. */
static char *lines_next(struct lines *lines)
{
	for (;;) {
		char *start = lines->text + lines->used;
		size_t left = lines->n - lines->used;
		char *end = memchr(start, '\n', left);
		ssize_t n;

		if (end) {
			*end = '\0';
			lines->used += (size_t)(end - start) + 1;
			return start;
		}
		memmove(lines->text, start, left);
		lines->used = 0;
		lines->n = left;
		n = read(lines->fd, lines->text + left,
			 sizeof(lines->text) - left);
		if (n <= 0)
			break;
		lines->n += (size_t)n;
	}
	close(lines->fd);
	return NULL;
}

int64_t self_mappings(void)
{
	struct lines lines;
	int64_t n = 0;

	if (!lines_open(&lines, "/proc/self/maps"))
		return -1;
	while (lines_next(&lines))
		n++;
	return n;
}

bool self_maps_file(const char *name)
{
	struct lines lines;
	bool found = false;
	char *line;

	if (!lines_open(&lines, "/proc/self/maps"))
		return false;
	while ((line = lines_next(&lines))) {
		const char *base = strrchr(line, '/');

		/* "libmimalloc.so.2" is a link to "libmimalloc.so.2.0". */
		found |= base && !strncmp(base + 1, name, strlen(name));
	}
	return found;
}

uint64_t self_status_kib(const char *key)
{
	struct lines lines;
	uint64_t kib = 0;
	char *line;

	if (!lines_open(&lines, "/proc/self/status"))
		return 0;
	while ((line = lines_next(&lines)))
		if (!strncmp(line, key, strlen(key)))
			kib = strtoull(line + strlen(key), NULL, 10);
	return kib;
}
