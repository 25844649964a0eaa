// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"
#include "kernel.h"

#define ERRORS_MAX 8

/* What the kernel may answer where nothing was wrong with the call, or what an
 * older one does. An answer that would be a false statement on memory, as
 * ENOENT from UFFDIO_COPY or ENOMEM from mincore(), is not among them. */
static const struct {
	const char *name;
	int errors[ERRORS_MAX];
} kinds[INJECT_KINDS] = {
	[INJECT_MOVE] = { "move",
			  { EAGAIN, EBUSY, EEXIST, ENOENT, ENOMEM, EINVAL,
			    EFAULT } },
	[INJECT_COPY] = { "copy", { EAGAIN, ENOMEM } },
	[INJECT_ZERO] = { "zero", { EAGAIN, ENOMEM } },
	[INJECT_REGISTER] = { "register", { ENOMEM, EBUSY, EINVAL } },
	[INJECT_UNREGISTER] = { "unregister", { ENOMEM, EINVAL } },
	[INJECT_IOCTL] = { "ioctl", { ENOMEM, EINTR } },
	[INJECT_USERFAULTFD] = { "userfaultfd",
				 { EPERM, ENOSYS, EMFILE, ENFILE, ENOMEM } },
	[INJECT_OPEN] = { "open", { EMFILE, ENFILE, EACCES, ENOMEM } },
	[INJECT_READ] = { "read", { EINTR, ENOMEM } },
	[INJECT_PREAD] = { "pread", { EINTR, ENOMEM } },
	[INJECT_MMAP] = { "mmap", { ENOMEM, EAGAIN } },
	[INJECT_MMAP_AT] = { "mmap_at", { ENOMEM, EEXIST, EAGAIN } },
	[INJECT_RESERVE] = { "reserve", { ENOMEM, EAGAIN } },
	[INJECT_MPROTECT] = { "mprotect", { ENOMEM, EAGAIN } },
	[INJECT_NAME] = { "name", { EINVAL, ENOMEM } },
	[INJECT_MUNMAP] = { "munmap", { ENOMEM } },
	[INJECT_MREMAP] = { "mremap", { ENOMEM, EAGAIN, EINVAL, EFAULT } },
	[INJECT_DISCARD] = { "discard", { EAGAIN, EINVAL, ENOMEM } },
	[INJECT_POPULATE] = { "populate", { EAGAIN, ENOMEM } },
	[INJECT_ADVISE] = { "advise", { EAGAIN, EINVAL, ENOMEM } },
	[INJECT_MLOCK] = { "mlock", { EAGAIN, ENOMEM, EPERM } },
	[INJECT_MUNLOCK] = { "munlock", { ENOMEM } },
	[INJECT_MINCORE] = { "mincore", { EAGAIN } },
	[INJECT_FUTEX_WAIT] = { "futex_wait", { EINTR, EAGAIN } },
	[INJECT_POLL] = { "poll", { EINTR } },
	[INJECT_EVENTFD] = { "eventfd", { EMFILE, ENFILE, ENOMEM } },
};

/* How many calls in a row are refused: a single one is tried again, twelve are
 * more than the library tries where the answer is EBUSY or EINVAL. */
static const unsigned int bursts[] = { 1, 1, 2, 4, 12 };

/* Settings: constant once read_settings() has run. */
static struct {
	uint64_t rate;
	uint64_t seed;
	uint64_t after;
	bool open;
	char file[256];
} settings;

/* By kind; written by all threads, with relaxed atomics. */
static struct {
	PMV_ATOMIC _Atomic uint64_t calls;
	PMV_ATOMIC _Atomic uint64_t refused;
	PMV_ATOMIC _Atomic uint64_t burst; /* see start_burst() */
} state[INJECT_KINDS];

/* Of all kinds, up to settings.after. */
static PMV_ATOMIC _Atomic uint64_t begun;

/* Threads that find out what the kernel offers, as handles are opened. */
static PMV_ATOMIC _Atomic int probing;

/* splitmix64: each of its bits depends on all of n. */
static uint64_t mix(uint64_t n)
{
	n += 0x9e3779b97f4a7c15u;
	n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u;
	n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
	return n ^ (n >> 31);
}

static struct inject refusal(enum inject_kind kind, uint64_t dice)
{
	size_t n = 0;

	while (n < ERRORS_MAX && kinds[kind].errors[n])
		n++;
	return (struct inject){
		.error = -kinds[kind].errors[dice % n],
		.within = (dice >> 8) % 3 == 0 ? 1 + (dice >> 16) % 64 : 0,
	};
}

/* The dice of a burst without their lowest byte, which is how many of it are
 * left: one word, so that one exchange takes one of them. */
static uint64_t start_burst(uint64_t dice)
{
	unsigned int n =
		bursts[(dice >> 32) % (sizeof(bursts) / sizeof(bursts[0]))];

	return (dice & ~(uint64_t)0xff) | (n - 1);
}

/* Takes one of the burst that is on, if one is. */
static bool in_burst(enum inject_kind kind, uint64_t *dice)
{
	uint64_t burst =
		atomic_load_explicit(&state[kind].burst, memory_order_relaxed);

	while (burst & 0xff)
		if (atomic_compare_exchange_weak_explicit(
			    &state[kind].burst, &burst, burst - 1,
			    memory_order_relaxed, memory_order_relaxed)) {
			*dice = burst >> 8;
			return true;
		}
	return false;
}

/* Whether calls are refused already, and now. */
static bool may_refuse(void)
{
	if (!settings.rate)
		return false;
	if (atomic_load_explicit(&begun, memory_order_relaxed) <
		    settings.after &&
	    atomic_fetch_add_explicit(&begun, 1, memory_order_relaxed) <
		    settings.after)
		return false;
	return settings.open ||
	       atomic_load_explicit(&probing, memory_order_relaxed) == 0;
}

struct inject inject_next(enum inject_kind kind)
{
	uint64_t call = atomic_fetch_add_explicit(&state[kind].calls, 1,
						  memory_order_relaxed);
	uint64_t dice;

	if (!may_refuse())
		return (struct inject){ 0 };
	if (!in_burst(kind, &dice)) {
		dice = mix(mix(settings.seed + kind) + call);
		if (dice % settings.rate)
			return (struct inject){ 0 };
		dice = mix(dice);
		atomic_store_explicit(&state[kind].burst, start_burst(dice),
				      memory_order_relaxed);
		dice >>= 8;
	}
	atomic_fetch_add_explicit(&state[kind].refused, 1,
				  memory_order_relaxed);
	return refusal(kind, dice);
}

/* ---- settings ---- */

static bool set(const char *key, const char *value)
{
	if (strcmp(key, "rate") == 0)
		settings.rate = strtoull(value, NULL, 10);
	else if (strcmp(key, "seed") == 0)
		settings.seed = strtoull(value, NULL, 10);
	else if (strcmp(key, "after") == 0)
		settings.after = strtoull(value, NULL, 10);
	else if (strcmp(key, "open") == 0)
		settings.open = strcmp(value, "0") != 0;
	else if (strcmp(key, "file") == 0 &&
		 strlen(value) < sizeof(settings.file))
		strcpy(settings.file, value);
	else
		return false;
	return true;
}

/* Perhaps called from malloc(): must not call it. */
static void read_settings(void)
{
	const char *env = getenv("PAGEMV_INJECT");
	char text[512], *rest = NULL, *key, *value;

	settings.seed = 1;
	if (!env)
		return;
	snprintf(text, sizeof(text), "%s", env);
	for (key = strtok_r(text, ",", &rest); key;
	     key = strtok_r(NULL, ",", &rest)) {
		value = strchr(key, '=');
		if (value)
			*value++ = '\0';
		if (!value || !set(key, value)) {
			fprintf(stderr, "PAGEMV_INJECT: %s is not known\n",
				key);
			abort();
		}
	}
}

/* The linker has the library call these two instead (--wrap). */

const struct pmv_sys *__wrap_pmv_sys_default(void);
int __wrap_pmv_kernel_probe(struct pagemv *pv,
			    const struct pagemv_open_opts *opts);
int __real_pmv_kernel_probe(struct pagemv *pv,
			    const struct pagemv_open_opts *opts);

const struct pmv_sys *__wrap_pmv_sys_default(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_settings);
	return inject_sys();
}

int __wrap_pmv_kernel_probe(struct pagemv *pv,
			    const struct pagemv_open_opts *opts)
{
	int rc;

	atomic_fetch_add(&probing, 1);
	rc = __real_pmv_kernel_probe(pv, opts);
	atomic_fetch_sub(&probing, 1);
	return rc;
}

/* ---- the account ---- */

/* In one write(), so that the lines of processes do not mix. */
__attribute__((destructor)) static void tell(void)
{
	char line[64 * INJECT_KINDS];
	int n = snprintf(line, sizeof(line), "%d", (int)getpid());
	int fd;

	if (!settings.file[0])
		return;
	for (int kind = 0; kind < INJECT_KINDS; kind++)
		n += snprintf(
			line + n, sizeof(line) - (size_t)n, " %s=%llu/%llu",
			kinds[kind].name,
			(unsigned long long)atomic_load(&state[kind].refused),
			(unsigned long long)atomic_load(&state[kind].calls));
	line[n++] = '\n';
	fd = open(settings.file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
		  0666);
	if (fd < 0)
		return;
	if (write(fd, line, (size_t)n) != n)
		fprintf(stderr, "PAGEMV_INJECT: cannot write to %s\n",
			settings.file);
	close(fd);
}
