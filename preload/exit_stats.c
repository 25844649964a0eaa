// SPDX-License-Identifier: LGPL-2.1-or-later
#include "exit_stats.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <pagemv/heap.h>

#include "serve.h"
#include "shim.h"

/* The name with the process ID in place of each %p. False: too long. */
static bool file_name(const char *pattern, char *out, size_t bytes)
{
	size_t n = 0;

	for (; *pattern; pattern++) {
		int more;

		if (pattern[0] == '%' && pattern[1] == 'p') {
			more = snprintf(out + n, bytes - n, "%d", getpid());
			pattern++;
		} else {
			more = snprintf(out + n, bytes - n, "%c", *pattern);
		}
		n += (size_t)more;
		if (n >= bytes)
			return false;
	}
	return n > 0;
}

static int describe(char *line, size_t bytes)
{
	struct pagemv_heap_stats s;
	const struct pagemv_heap_counters *c = &s.sum;
	uint64_t adopted;

	if (!pmv_serve_stats(&s, &adopted))
		return snprintf(line, bytes,
				"pagemv-malloc: pid=%d program=%s heap=none\n",
				getpid(), program_invocation_short_name);
	return snprintf(line, bytes,
			"pagemv-malloc: pid=%d program=%s allocs=%" PRIu64
			" frees=%" PRIu64 " reallocs=%" PRIu64
			" in_place=%" PRIu64 " moves=%" PRIu64
			" adopted=%" PRIu64 " alloc_bytes=%" PRIu64
			" free_bytes=%" PRIu64 " moved_bytes=%" PRIu64
			" copied_bytes=%" PRIu64 " given_back_bytes=%" PRIu64
			" misuses=%" PRIu64 " failures=%" PRIu64
			" blocks=%" PRIu64 " block_bytes=%" PRIu64
			" committed_bytes=%" PRIu64 " reserved_bytes=%" PRIu64
			" warm_bytes=%" PRIu64 " mappings=%" PRIu64 "\n",
			getpid(), program_invocation_short_name, c->allocs,
			c->frees, c->reallocs, c->in_place, c->moves, adopted,
			c->alloc_bytes, c->free_bytes, c->moved_bytes,
			c->copied_bytes, c->given_back_bytes, c->misuses,
			c->failures, s.blocks, s.block_bytes, s.committed_bytes,
			s.reserved_bytes, s.warm_bytes, s.mappings);
}

/* By one call, so that the lines of processes do not mix. */
static void put(int fd, const char *line, size_t bytes)
{
	while (write(fd, line, bytes) < 0 && errno == EINTR)
		;
}

void pmv_exit_stats(const struct pmv_conf *conf)
{
	char line[1024], name[PMV_CONF_FILE_MAX + 64];
	int fd, n;

	if (conf->stats == PMV_STATS_OFF)
		return;
	n = describe(line, sizeof(line));
	if (n <= 0 || (size_t)n >= sizeof(line))
		return;
	if (!*conf->stats_file) {
		put(STDERR_FILENO, line, (size_t)n);
		return;
	}
	if (!file_name(conf->stats_file, name, sizeof(name))) {
		pmv_say("stats: %s: too long", conf->stats_file);
		return;
	}
	fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY,
		  0666);
	if (fd < 0) {
		pmv_say("stats: %s: %s", name, strerror(errno));
		return;
	}
	put(fd, line, (size_t)n);
	close(fd);
}
