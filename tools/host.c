// SPDX-License-Identifier: LGPL-2.1-or-later
#include "host.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool host_read_line(const char *path, char *line, size_t cap)
{
	FILE *file = fopen(path, "re");
	bool ok;

	line[0] = '\0';
	if (!file)
		return false;
	ok = fgets(line, (int)cap, file) != NULL;
	fclose(file);
	line[strcspn(line, "\n")] = '\0';
	return ok;
}

long long host_read_number(const char *path, long long fallback)
{
	char line[64];
	char *end;
	long long value;

	if (!host_read_line(path, line, sizeof(line)))
		return fallback;
	errno = 0;
	value = strtoll(line, &end, 10);
	return end == line || errno ? fallback : value;
}

bool host_read_choice(const char *path, char *word, size_t cap)
{
	char line[128];
	const char *open, *close;

	word[0] = '\0';
	if (!host_read_line(path, line, sizeof(line)))
		return false;
	open = strchr(line, '[');
	close = open ? strchr(open, ']') : NULL;
	if (!close)
		return false;
	snprintf(word, cap, "%.*s", (int)(close - open - 1), open + 1);
	return true;
}

/* The text behind "key:" in a file of such lines. */
static bool read_field(const char *path, const char *key, char *value,
		       size_t cap)
{
	size_t key_len = strlen(key);
	char line[512];
	FILE *file = fopen(path, "re");
	bool found = false;

	value[0] = '\0';
	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file)) {
		const char *text = line + key_len;

		if (strncmp(line, key, key_len))
			continue;
		text += strspn(text, " \t:");
		snprintf(value, cap, "%.*s", (int)strcspn(text, "\n"), text);
		found = true;
	}
	fclose(file);
	return found;
}

/* What the control group of a container still allows; UINT64_MAX: all. */
static uint64_t cgroup_room_bytes(void)
{
	long long max = host_read_number("/sys/fs/cgroup/memory.max", -1);
	long long now = host_read_number("/sys/fs/cgroup/memory.current", 0);

	if (max < 0)
		return UINT64_MAX;
	return max > now ? (uint64_t)(max - now) : 0;
}

uint64_t host_memory_available_bytes(void)
{
	uint64_t room = cgroup_room_bytes();
	uint64_t available;
	char value[64];

	if (!read_field("/proc/meminfo", "MemAvailable", value, sizeof(value)))
		return 0;
	available = strtoull(value, NULL, 10) << 10;
	return available < room ? available : room;
}

static size_t count_lines(const char *path)
{
	FILE *file = fopen(path, "re");
	size_t lines = 0;
	int c;

	if (!file)
		return 0;
	while ((c = getc_unlocked(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

size_t host_mapping_count(void)
{
	return count_lines("/proc/self/maps");
}

unsigned int host_swap_areas(void)
{
	size_t lines = count_lines("/proc/swaps");

	return lines > 1 ? (unsigned int)(lines - 1) : 0;
}

int host_seccomp_mode(void)
{
	char value[16];

	if (!read_field("/proc/self/status", "Seccomp", value, sizeof(value)))
		return -1;
	return atoi(value);
}

void host_cpu_model(char *model, size_t cap)
{
	if (!read_field("/proc/cpuinfo", "model name", model, cap))
		snprintf(model, cap, "unknown");
}
