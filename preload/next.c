// SPDX-License-Identifier: LGPL-2.1-or-later
#include "next.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "boot.h"
#include "shim.h"

static struct pmv_next next;

/* Of the next allocator, while the functions of pmv_hot see first whether a
 * block is of the static area. */
static struct {
	void (*free)(void *ptr);
	void *(*realloc)(void *ptr, size_t bytes);
	size_t (*usable_size)(void *ptr);
} behind;

/* The thread is in dlsym(). */
static __thread bool finding __attribute__((tls_model("initial-exec")));

/* ---- once there is a block of the static area ---- */

static void past_boot_free(void *ptr)
{
	if (!pmv_boot_has(ptr))
		behind.free(ptr);
}

static void *past_boot_realloc(void *ptr, size_t bytes)
{
	void *new;

	if (!pmv_boot_has(ptr))
		return behind.realloc(ptr, bytes);
	new = pmv_hot.malloc(bytes);
	if (new)
		memcpy(new, ptr, pmv_min(pmv_boot_size(ptr), bytes));
	return new;
}

static size_t past_boot_usable_size(void *ptr)
{
	return pmv_boot_has(ptr) ? pmv_boot_size(ptr) : behind.usable_size(ptr);
}

/* ---- finding it ---- */

/* ISO C has no cast from an object's address to a function's. */
static void find(void *function, const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	memcpy(function, &found, sizeof(found));
}

static bool same_object(const void *a, const void *b)
{
	Dl_info of_a, of_b;

	return a && b && dladdr(a, &of_a) && dladdr(b, &of_b) &&
	       of_a.dli_fbase == of_b.dli_fbase;
}

static void find_family(struct pmv_hot *hot, struct pmv_next *n)
{
	find(&hot->malloc, "malloc");
	find(&hot->free, "free");
	find(&hot->realloc, "realloc");
	find(&hot->calloc, "calloc");
	find(&n->posix_memalign, "posix_memalign");
	find(&n->aligned_alloc, "aligned_alloc");
	find(&n->memalign, "memalign");
	find(&n->valloc, "valloc");
	find(&n->pvalloc, "pvalloc");
	find(&n->reallocarray, "reallocarray");
	find(&n->usable_size, "malloc_usable_size");
	find(&n->trim, "malloc_trim");
}

/* Where a C library lacks what the program cannot have linked with then. */
static int no_posix_memalign(void **out, size_t align, size_t bytes)
{
	(void)out;
	(void)align;
	(void)bytes;
	return ENOMEM;
}

static void *no_aligned(size_t align, size_t bytes)
{
	(void)align;
	(void)bytes;
	errno = ENOMEM;
	return NULL;
}

static void *no_valloc(size_t bytes)
{
	return no_aligned(1, bytes);
}

static void *no_reallocarray(void *ptr, size_t n, size_t bytes)
{
	return pmv_hot.realloc(ptr, n * bytes);
}

static size_t no_usable_size(void *ptr)
{
	(void)ptr;
	return 0;
}

static int no_trim(size_t pad)
{
	(void)pad;
	return 0;
}

static void fill_gaps(struct pmv_next *n)
{
	if (!n->posix_memalign)
		n->posix_memalign = no_posix_memalign;
	if (!n->aligned_alloc)
		n->aligned_alloc = no_aligned;
	if (!n->memalign)
		n->memalign = no_aligned;
	if (!n->valloc)
		n->valloc = no_valloc;
	if (!n->pvalloc)
		n->pvalloc = no_valloc;
	if (!n->reallocarray)
		n->reallocarray = no_reallocarray;
	if (!n->usable_size)
		n->usable_size = no_usable_size;
	if (!n->trim)
		n->trim = no_trim;
}

/* Two threads that do this at once store the same. */
static void install(const struct pmv_hot *hot, struct pmv_next *n)
{
	bool boot = pmv_boot_used();

	behind.free = hot->free;
	behind.realloc = hot->realloc;
	behind.usable_size = n->usable_size;
	if (boot)
		n->usable_size = past_boot_usable_size;
	n->found = true;
	next = *n;
	pmv_hot.malloc = hot->malloc;
	pmv_hot.calloc = hot->calloc;
	pmv_hot.free = boot ? past_boot_free : hot->free;
	pmv_hot.realloc = boot ? past_boot_realloc : hot->realloc;
}

/* False: the thread is at it already, so dlsym() wants memory. */
static bool find_next(void)
{
	struct pmv_hot hot;
	struct pmv_next n = { 0 };

	if (finding)
		return false;
	finding = true;
	find_family(&hot, &n);
	if (!hot.malloc || !hot.free || !hot.realloc || !hot.calloc) {
		pmv_say("no other malloc() in this program: %s", dlerror());
		abort();
	}
	n.knows_sizes = same_object((void *)hot.malloc, (void *)n.usable_size);
	fill_gaps(&n);
	install(&hot, &n);
	finding = false;
	return true;
}

const struct pmv_next *pmv_next(void)
{
	if (pmv_unlikely(!next.found))
		find_next();
	return &next;
}

void *pmv_first_malloc(size_t bytes)
{
	return find_next() ? pmv_hot.malloc(bytes) : pmv_boot_alloc(bytes);
}

void pmv_first_free(void *ptr)
{
	if (ptr && find_next())
		pmv_hot.free(ptr);
}

void *pmv_first_realloc(void *ptr, size_t bytes)
{
	void *new;

	if (find_next())
		return pmv_hot.realloc(ptr, bytes);
	new = pmv_boot_alloc(bytes);
	if (new &&ptr)
		memcpy(new, ptr, pmv_min(pmv_boot_size(ptr), bytes));
	return new;
}

void *pmv_first_calloc(size_t n, size_t bytes)
{
	size_t all;

	if (find_next())
		return pmv_hot.calloc(n, bytes);
	if (__builtin_mul_overflow(n, bytes, &all))
		all = SIZE_MAX;
	return pmv_boot_alloc(all);
}
