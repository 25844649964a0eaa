/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake_numa.h"

#include <errno.h>
#include <string.h>

#include "t.h"

struct fake_numa fake_numa = { .allowed = 1 };

static long answer(int error)
{
	if (!error)
		return 0;
	errno = error;
	return -1;
}

static long fake_get_mempolicy(int *mode, unsigned long *mask,
			       unsigned long bits, void *addr,
			       unsigned int flags)
{
	(void)mode, (void)bits, (void)addr, (void)flags;
	fake_numa.asked++;
	if (!fake_numa.ask_error)
		mask[0] = fake_numa.allowed;
	return answer(fake_numa.ask_error);
}

static long fake_mbind(void *addr, unsigned long bytes, int mode,
		       const unsigned long *mask, unsigned long bits,
		       unsigned int flags)
{
	(void)bits, (void)flags;
	fake_numa.binds++;
	fake_numa.bind_addr = addr;
	fake_numa.bind_bytes = bytes;
	fake_numa.bind_mode = mode;
	fake_numa.bind_nodes = mask[0];
	return answer(fake_numa.bind_error);
}

static int *node_of(const void *page)
{
	return &fake_numa.on[(size_t)((const char *)page - fake_numa.base) /
			     t_page()];
}

static int migrate(const void *page, int node)
{
	size_t i = (size_t)(node_of(page) - fake_numa.on), n = 1;

	if (fake_numa.on[i] < 0)
		return fake_numa.on[i];
	if (fake_numa.stays[i])
		return -EBUSY;
	if (fake_numa.huge_pages) {
		n = fake_numa.huge_pages;
		i -= i % n;
	}
	for (; n--; i++)
		fake_numa.on[i] = node;
	return node;
}

static long fake_move_pages(int pid, unsigned long n, void **pages,
			    const int *nodes, int *status, int flags)
{
	int error = nodes ? fake_numa.move_error : fake_numa.query_error;

	(void)pid, (void)flags;
	if (!fake_numa.base)
		fake_numa.base = pages[0];
	fake_numa.queries += !nodes;
	fake_numa.moves += !!nodes;
	for (unsigned long i = 0; i < n && !error; i++)
		status[i] = nodes ? migrate(pages[i], nodes[i])
				  : *node_of(pages[i]);
	fake_numa.asked_pages += nodes ? n : 0;
	return answer(error);
}

void *__real_dlopen(const char *file, int mode);
void *__real_dlsym(void *library, const char *name);
void *__wrap_dlopen(const char *file, int mode);
void *__wrap_dlsym(void *library, const char *name);

void *__wrap_dlopen(const char *file, int mode)
{
	fake_numa.loads++;
	return fake_numa.not_installed ? NULL : __real_dlopen(file, mode);
}

void *__wrap_dlsym(void *library, const char *name)
{
	if (strcmp(name, "get_mempolicy") == 0)
		return (void *)fake_get_mempolicy;
	if (strcmp(name, "mbind") == 0)
		return (void *)fake_mbind;
	if (strcmp(name, "move_pages") == 0)
		return (void *)fake_move_pages;
	return __real_dlsym(library, name);
}
