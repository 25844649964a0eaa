// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv top: all processes that have a statistics page.
 */
#include "top.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The mappings of all processes are many lines: not at each interval. */
#define SEARCH_NS 3000000000u

static bool is_listed(const struct top_list *list, pid_t pid)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->process[i].pid == pid)
			return true;
	return false;
}

static int append(struct top_list *list, const struct top_process *process)
{
	size_t cap = list->cap ? 2 * list->cap : 16;
	struct top_process *bigger;

	if (list->count == list->cap) {
		bigger = realloc(list->process, cap * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		list->process = bigger;
		list->cap = cap;
	}
	list->process[list->count++] = *process;
	return 0;
}

/* A child between vfork() and exec has its parent's page. */
static bool is_of_another(const struct top_process *process)
{
	pid_t pid = top_inner_pid(process->pid);

	return process->page && pid && (uint32_t)pid != process->page_pid;
}

static int look_at(struct top_list *list, pid_t pid)
{
	struct top_process process;
	int rc;

	if (is_listed(list, pid))
		return 0;
	rc = top_attach(pid, &process);
	if (rc == -EACCES || rc == -EPERM)
		list->hidden++;
	/* Those that are not under the shim, or that have ended meanwhile. */
	if (rc)
		return 0;
	rc = is_of_another(&process) ? -ENOENT : append(list, &process);
	if (rc)
		top_detach(&process);
	return rc == -ENOENT ? 0 : rc;
}

static int search(struct top_list *list)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	int rc = 0;
	char *end;
	long pid;

	if (!proc)
		return -errno;
	list->hidden = 0;
	while (!rc && (entry = readdir(proc))) {
		pid = strtol(entry->d_name, &end, 10);
		if (pid > 0 && !*end)
			rc = look_at(list, (pid_t)pid);
	}
	closedir(proc);
	return rc;
}

static void sample_all(struct top_list *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (top_sample(&list->process[i]))
			top_detach(&list->process[i]);
		else
			list->process[kept++] = list->process[i];
	}
	list->count = kept;
}

static int more_memory_first(const void *a, const void *b)
{
	const struct top_process *left = a, *right = b;
	uint64_t left_bytes = top_total(left).live_bytes;
	uint64_t right_bytes = top_total(right).live_bytes;

	if (left_bytes != right_bytes)
		return left_bytes < right_bytes ? 1 : -1;
	return left->pid < right->pid ? -1 : left->pid > right->pid;
}

int top_list_update(struct top_list *list)
{
	uint64_t now_ns = top_now_ns();
	int rc = 0;

	sample_all(list);
	if (!list->searched_ns || now_ns - list->searched_ns >= SEARCH_NS) {
		list->searched_ns = now_ns;
		rc = search(list);
	}
	if (list->count)
		qsort(list->process, list->count, sizeof(*list->process),
		      more_memory_first);
	return rc;
}

void top_list_free(struct top_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		top_detach(&list->process[i]);
	free(list->process);
	*list = (struct top_list){ 0 };
}
