/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake_sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "companion_uapi.h"
#include "fake_companion.h"
#include "fake_uffd.h"
#include "uffd_uapi.h"
#include "t.h"

#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define RULES 16
#define PINS  8
#define FILES 4

struct text_file {
	const char *path;
	const char *text;
	size_t pos;
	size_t chunk;
	int fd;
};

static struct {
	struct fake_rule rules[RULES];
	size_t n_rules;
	uintptr_t pins[PINS];
	size_t n_pins;
	struct text_file files[FILES];
	size_t n_files;
	const char *release;
	unsigned int count[FAKE_CALLS];
	unsigned int injected[FAKE_CALLS];
	uint64_t slept_ns;
	uint64_t passed_ns, spent_ns;
	int fds;
	size_t mapped;
	bool companion;
} fake;

/* ---- what tests say and ask ---- */

void fake_behave(void)
{
	/* Told that memory is locked, the library locks it again after it
	 * took pages from it; no test locks memory while calls fail. Directly,
	 * as AddressSanitizer makes nothing of the C library's function. */
	syscall(SYS_munlockall);
	fake.n_rules = 0;
	fake.n_pins = 0;
	fake.n_files = 0;
	fake.release = NULL;
}

void fake_reset(void)
{
	fake_behave();
	fake_forget_counts();
	fake.fds = 0;
	fake.mapped = 0;
	fake.companion = false;
}

void fake_companion(bool there)
{
	fake.companion = there;
}

void fake_add(struct fake_rule rule)
{
	if (fake.n_rules == RULES)
		t_die("too many rules for the fake");
	rule.nth = rule.nth ? rule.nth : 1;
	rule.times = rule.times ? rule.times : 1;
	fake.rules[fake.n_rules++] = rule;
}

void fake_fail(enum fake_call call, unsigned int nth, int error)
{
	fake_add(
		(struct fake_rule){ .call = call, .nth = nth, .error = error });
}

void fake_refuse(enum fake_call call, int error)
{
	fake_add((struct fake_rule){
		.call = call, .times = FAKE_EVER, .error = error });
}

void fake_pin(const void *page)
{
	if (fake.n_pins == PINS)
		t_die("too many pins for the fake");
	fake.pins[fake.n_pins++] = (uintptr_t)page;
}

void fake_release(const char *release)
{
	fake.release = release;
}

void fake_file(const char *path, const char *text, size_t bytes_a_read)
{
	if (fake.n_files == FILES)
		t_die("too many files for the fake");
	fake.files[fake.n_files++] = (struct text_file){
		.path = path, .text = text, .chunk = bytes_a_read, .fd = -1
	};
}

void fake_no_proc(void)
{
	fake_add((struct fake_rule){ .call = FAKE_OPEN,
				     .path = "/proc/",
				     .times = FAKE_EVER,
				     .error = -ENOENT });
}

unsigned int fake_count(enum fake_call call)
{
	return fake.count[call];
}

unsigned int fake_injected(enum fake_call call)
{
	return fake.injected[call];
}

unsigned int fake_total(void)
{
	unsigned int sum = 0;

	for (int i = 0; i < FAKE_NOW; i++)
		sum += fake.count[i];
	return sum;
}

void fake_forget_counts(void)
{
	memset(fake.count, 0, sizeof(fake.count));
	memset(fake.injected, 0, sizeof(fake.injected));
	fake.slept_ns = 0;
}

uint64_t fake_slept_ns(void)
{
	return fake.slept_ns;
}

void fake_pass(uint64_t ns)
{
	fake.passed_ns += ns;
}

void fake_spend(uint64_t ns)
{
	fake.spent_ns += ns;
}

int fake_open_fds(void)
{
	return fake.fds;
}

size_t fake_mapped_bytes(void)
{
	return fake.mapped;
}

const char *fake_call_name(enum fake_call call)
{
	static const char *const names[] = {
		"none",
		"API",
		"IOC_NEW",
		"REGISTER",
		"UNREGISTER",
		"WAKE",
		"MOVE",
		"COPY",
		"ZEROPAGE",
		"POISON",
		"WRITEPROTECT",
		"SCAN",
		"QUERY",
		"INFO",
		"REMAP",
		"REMAPV",
		"EXCHANGE",
		"ioctl",
		"userfaultfd(user)",
		"userfaultfd",
		"discard",
		"populate",
		"cold",
		"madvise",
		"open",
		"close",
		"dup",
		"read",
		"pread",
		"mmap",
		"mmap at",
		"munmap",
		"mremap",
		"mincore",
		"msync",
		"mlock",
		"munlock",
		"futex wait",
		"futex wake",
		"poll",
		"eventfd",
		"write",
		"queue signal",
		"sigaction",
		"uname",
		"reserve",
		"reserve over",
		"mprotect",
		"name",
		"limit",
		"getpid",
		"yield",
		"sleep",
		"now",
		"any",
	};

	return names[call];
}

bool fake_is_real(void)
{
	static int real = -1;

	if (real < 0)
		real = !t_env("FAKE_UFFD", 0) && fake_uffd_in_kernel();
	return real;
}

bool fake_companion_is_real(void)
{
	static int real = -1;

	if (real < 0)
		real = !t_env("FAKE_UFFD", 0) && fake_companion_in_kernel();
	return real;
}

/* ---- the rules ---- */

static bool matches(const struct fake_rule *r, enum fake_call call,
		    uintptr_t at, const char *path)
{
	if (r->call == FAKE_ANY ? call >= FAKE_KINDS : r->call != call)
		return false;
	if (r->path && (!path || strncmp(path, r->path, strlen(r->path)) != 0))
		return false;
	return !r->at || r->at == at;
}

/* Counts a call; the rule for it, or NULL. */
static const struct fake_rule *rule_for(enum fake_call call, uintptr_t at,
					const char *path)
{
	const struct fake_rule *found = NULL;

	fake.count[call]++;
	for (size_t i = 0; i < fake.n_rules; i++) {
		struct fake_rule *r = &fake.rules[i];

		if (!matches(r, call, at, path))
			continue;
		r->seen++;
		if (found || r->seen < r->nth || r->seen - r->nth >= r->times)
			continue;
		found = r;
		if (r->hits)
			(*r->hits)++;
	}
	if (found && found->error)
		fake.injected[call]++;
	if (found && found->before)
		found->before(found->arg);
	return found;
}

/* Whether the rule, not the kernel, answers. */
static bool answers(const struct fake_rule *r)
{
	return r && (r->error || r->lie);
}

/* ---- the calls ---- */

static bool is_text(int fd)
{
	for (size_t i = 0; i < fake.n_files; i++)
		if (fake.files[i].fd == fd)
			return true;
	return false;
}

static int forward_ioctl(int fd, unsigned long request, void *arg)
{
	if (fake_uffd_owns(fd))
		return fake_uffd_ioctl(fd, request, arg);
	if (fake_companion_owns(fd))
		return fake_companion_ioctl(fd, request, arg);
	return pmv_sys_linux.ioctl(fd, request, arg);
}

/* Makes a request shorter; false where that means nothing. */
static bool shorten(enum fake_call call, void *arg, size_t bytes)
{
	struct pmv_uffdio_move *m = arg;
	struct uffdio_copy *c = arg;
	struct uffdio_range *r = arg; /* first in what the others take */
	struct pmv_companion_remapv *v = arg;
	struct pmv_companion_exchange *x = arg;

	switch (call) {
	case FAKE_MOVE:
	case FAKE_REMAP: /* laid out as MOVE */
		m->len = bytes < m->len ? bytes : m->len;
		return true;
	case FAKE_REMAPV: /* so many ranges */
		v->count = bytes < v->count ? (uint32_t)bytes : v->count;
		return true;
	case FAKE_EXCHANGE:
		x->len = bytes < x->len ? bytes : x->len;
		return true;
	case FAKE_COPY:
		c->len = bytes < c->len ? bytes : c->len;
		return true;
	case FAKE_REGISTER:
	case FAKE_ZERO:
	case FAKE_POISON:
	case FAKE_PROTECT:
		r->len = bytes < r->len ? bytes : r->len;
		return true;
	default:
		return false;
	}
}

static void tell(enum fake_call call, void *arg, int64_t count)
{
	if (call == FAKE_MOVE || call == FAKE_REMAP)
		((struct pmv_uffdio_move *)arg)->move = count;
	else if (call == FAKE_EXCHANGE)
		((struct pmv_companion_exchange *)arg)->moved = count;
	else if (call == FAKE_COPY)
		((struct uffdio_copy *)arg)->copy = count;
	else if (call == FAKE_ZERO)
		((struct uffdio_zeropage *)arg)->zeropage = count;
	else if (call == FAKE_POISON)
		((struct pmv_uffdio_poison *)arg)->updated = count;
}

/* Really does the start of a request, leaving arg as it was given. */
static void do_really(enum fake_call call, int fd, unsigned long request,
		      void *arg, size_t bytes)
{
	uint64_t copy[8]; /* aligned for any of them */

	if (!bytes)
		return;
	memcpy(copy, arg, _IOC_SIZE(request));
	if (shorten(call, copy, bytes))
		forward_ioctl(fd, request, copy);
}

/* Bytes before the first pinned page of a range; all if there is none. */
static size_t before_pin(uintptr_t src, size_t bytes)
{
	for (size_t i = 0; i < fake.n_pins; i++)
		if (fake.pins[i] - src < bytes)
			bytes = fake.pins[i] - src;
	return bytes;
}

static int move_with_pins(int fd, unsigned long request, void *arg)
{
	struct pmv_uffdio_move *m = arg;
	size_t bytes = before_pin(m->src, m->len);
	struct pmv_uffdio_move part = *m;
	int rc;

	if (bytes == m->len)
		return forward_ioctl(fd, request, arg);
	if (bytes == 0) {
		m->move = -EBUSY;
		return -EBUSY;
	}
	part.len = bytes;
	rc = forward_ioctl(fd, request, &part);
	m->move = part.move;
	return rc == 0 ? -EAGAIN : rc;
}

/* As the module does it, which makes no difference to who looks at it. */
static int vector_with_pins(int fd, struct pmv_companion_remapv *v)
{
	struct pmv_companion_range *ranges = (void *)(uintptr_t)v->ranges;
	int error = 0;

	v->moved = 0;
	for (uint32_t i = 0; i < v->count; i++) {
		struct pmv_companion_range *r = &ranges[i];
		struct pmv_companion_remap one = { r->dst, r->src, r->len,
						   v->mode, 0 };
		int rc = move_with_pins(fd, PMV_COMPANION_REMAP, &one);

		r->moved = one.moved;
		v->moved += r->moved > 0 ? r->moved : 0;
		error = error ? error : rc;
	}
	return error && v->moved ? -EAGAIN : error;
}

static int exchange_with_pins(int fd, struct pmv_companion_exchange *x)
{
	size_t bytes = before_pin(x->b, before_pin(x->a, x->len));
	struct pmv_companion_exchange part = *x;
	int rc = -EBUSY;

	part.len = bytes;
	part.moved = -EBUSY;
	if (bytes)
		rc = forward_ioctl(fd, PMV_COMPANION_EXCHANGE, &part);
	x->moved = part.moved;
	return rc == 0 && bytes < x->len ? -EAGAIN : rc;
}

static enum fake_call ioctl_kind(unsigned long request)
{
	switch (request) {
	case UFFDIO_API:
		return FAKE_API;
	case PMV_USERFAULTFD_IOC_NEW:
		return FAKE_NEW;
	case UFFDIO_REGISTER:
		return FAKE_REGISTER;
	case UFFDIO_UNREGISTER:
		return FAKE_UNREGISTER;
	case UFFDIO_WAKE:
		return FAKE_WAKE;
	case PMV_UFFDIO_MOVE:
		return FAKE_MOVE;
	case UFFDIO_COPY:
		return FAKE_COPY;
	case UFFDIO_ZEROPAGE:
		return FAKE_ZERO;
	case PMV_UFFDIO_POISON:
		return FAKE_POISON;
	case UFFDIO_WRITEPROTECT:
		return FAKE_PROTECT;
	case PMV_PAGEMAP_SCAN:
		return FAKE_SCAN;
	case PMV_PROCMAP_QUERY:
		return FAKE_QUERY;
	case PMV_COMPANION_INFO:
		return FAKE_INFO;
	case PMV_COMPANION_REMAP:
		return FAKE_REMAP;
	case PMV_COMPANION_REMAPV:
		return FAKE_REMAPV;
	case PMV_COMPANION_EXCHANGE:
		return FAKE_EXCHANGE;
	default:
		return FAKE_OTHER_IOCTL;
	}
}

static uintptr_t ioctl_address(enum fake_call call, const void *arg)
{
	switch (call) {
	case FAKE_MOVE:
	case FAKE_REMAP:
		return ((const struct pmv_uffdio_move *)arg)->dst;
	case FAKE_EXCHANGE:
		return ((const struct pmv_companion_exchange *)arg)->a;
	case FAKE_COPY:
		return ((const struct uffdio_copy *)arg)->dst;
	case FAKE_REGISTER:
	case FAKE_UNREGISTER:
	case FAKE_WAKE:
	case FAKE_ZERO:
	case FAKE_POISON:
	case FAKE_PROTECT:
		return ((const struct uffdio_range *)arg)->start;
	case FAKE_SCAN:
		return ((const struct pmv_pm_scan *)arg)->start;
	case FAKE_QUERY:
		return ((const struct pmv_procmap_query *)arg)->query_addr;
	default:
		return 0;
	}
}

static int new_fd(int fd)
{
	if (fd >= 0)
		fake.fds++;
	return fd;
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	enum fake_call call = ioctl_kind(request);
	const struct fake_rule *r =
		rule_for(call, ioctl_address(call, arg), NULL);

	if (answers(r)) {
		do_really(call, fd, request, arg, r->really);
		if (r->tell)
			tell(call, arg, r->told);
		return r->error;
	}
	if (call == FAKE_MOVE || call == FAKE_REMAP)
		return move_with_pins(fd, request, arg);
	if (call == FAKE_REMAPV && fake.n_pins)
		return vector_with_pins(fd, arg);
	if (call == FAKE_EXCHANGE)
		return exchange_with_pins(fd, arg);
	if (call == FAKE_NEW)
		return new_fd(fake_is_real() ? forward_ioctl(fd, request, arg)
					     : fake_uffd_open());
	return forward_ioctl(fd, request, arg);
}

static int fake_userfaultfd(int flags)
{
	bool user = flags & PMV_UFFD_USER_MODE_ONLY;
	const struct fake_rule *r =
		rule_for(user ? FAKE_UFFD_USER : FAKE_UFFD_FULL, 0, NULL);

	if (answers(r))
		return r->error;
	return new_fd(fake_is_real() ? pmv_sys_linux.userfaultfd(flags)
				     : fake_uffd_open());
}

static int open_text(const char *path)
{
	for (size_t i = 0; i < fake.n_files; i++) {
		struct text_file *f = &fake.files[i];

		if (strcmp(path, f->path) != 0)
			continue;
		f->pos = 0;
		f->fd = pmv_sys_linux.open("/dev/null", O_RDONLY);
		return f->fd;
	}
	return -1;
}

static int fake_open(const char *path, int flags)
{
	const struct fake_rule *r = rule_for(FAKE_OPEN, 0, path);
	int fd;

	if (answers(r))
		return r->error;
	fd = open_text(path);
	if (fd >= 0)
		return new_fd(fd);
	if (strcmp(path, "/dev/pagemv") == 0) {
		if (!fake.companion)
			return -ENOENT;
		if (!fake_companion_is_real())
			return new_fd(fake_companion_open());
	}
	/* A played userfaultfd has a device, too. */
	if (!fake_is_real() && strcmp(path, "/dev/userfaultfd") == 0)
		path = "/dev/null";
	return new_fd(pmv_sys_linux.open(path, flags));
}

/* The descriptor goes whatever is answered, as in the kernel. */
static int fake_close(int fd)
{
	const struct fake_rule *r = rule_for(FAKE_CLOSE, 0, NULL);
	int rc;

	for (size_t i = 0; i < fake.n_files; i++)
		if (fake.files[i].fd == fd)
			fake.files[i].fd = -1;
	if (fake_uffd_owns(fd))
		fake_uffd_close(fd);
	if (fake_companion_owns(fd))
		fake_companion_close(fd);
	rc = pmv_sys_linux.close(fd);
	if (rc == 0)
		fake.fds--;
	return answers(r) ? r->error : rc;
}

static int fake_dup_from(int fd, int least)
{
	const struct fake_rule *r = rule_for(FAKE_DUP, 0, NULL);
	int twin;

	if (answers(r))
		return r->error;
	twin = pmv_sys_linux.dup_from(fd, least);
	if (twin >= 0 && fake_companion_owns(fd))
		fake_companion_dup(twin);
	return new_fd(twin);
}

static ssize_t read_text(int fd, void *buf, size_t bytes)
{
	for (size_t i = 0; i < fake.n_files; i++) {
		struct text_file *f = &fake.files[i];
		size_t n = strlen(f->text + f->pos);

		if (f->fd != fd)
			continue;
		n = n < bytes ? n : bytes;
		n = n < f->chunk ? n : f->chunk;
		memcpy(buf, f->text + f->pos, n);
		f->pos += n;
		return (ssize_t)n;
	}
	return -EBADF;
}

static ssize_t fake_read(int fd, void *buf, size_t bytes)
{
	const struct fake_rule *r = rule_for(FAKE_READ, 0, NULL);

	if (answers(r))
		return r->error;
	if (is_text(fd))
		return read_text(fd, buf, bytes);
	return pmv_sys_linux.read(fd, buf, bytes);
}

static ssize_t fake_pread(int fd, void *buf, size_t bytes, off_t off)
{
	const struct fake_rule *r = rule_for(FAKE_PREAD, 0, NULL);

	if (answers(r))
		return r->error;
	/* A short read: of so many bytes. */
	if (r && r->really && r->really < bytes)
		bytes = r->really;
	return pmv_sys_linux.pread(fd, buf, bytes, off);
}

static int fake_mmap(uintptr_t *out, size_t bytes, int prot)
{
	const struct fake_rule *r = rule_for(FAKE_MMAP, 0, NULL);
	int rc;

	if (answers(r))
		return r->error;
	rc = pmv_sys_linux.mmap(out, bytes, prot);
	if (rc == 0)
		fake.mapped += bytes;
	return rc;
}

static int fake_mmap_at(uintptr_t addr, size_t bytes, int prot)
{
	const struct fake_rule *r = rule_for(FAKE_MMAP_AT, addr, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.mmap_at(addr, bytes, prot);
}

static int fake_munmap(uintptr_t addr, size_t bytes)
{
	const struct fake_rule *r = rule_for(FAKE_MUNMAP, addr, NULL);
	int rc;

	if (answers(r))
		return r->error;
	rc = pmv_sys_linux.munmap(addr, bytes);
	if (rc == 0) {
		fake.mapped -= bytes;
		fake_uffd_gone(addr, bytes);
	}
	return rc;
}

static int fake_reserve(uintptr_t hint, uintptr_t *out, size_t bytes)
{
	const struct fake_rule *r = rule_for(FAKE_RESERVE, hint, NULL);
	int rc;

	if (answers(r))
		return r->error;
	rc = pmv_sys_linux.reserve(hint, out, bytes);
	if (rc == 0)
		fake.mapped += bytes;
	return rc;
}

static int fake_reserve_over(uintptr_t addr, size_t bytes)
{
	const struct fake_rule *r = rule_for(FAKE_RESERVE_OVER, addr, NULL);
	int rc;

	if (answers(r))
		return r->error;
	rc = pmv_sys_linux.reserve_over(addr, bytes);
	if (rc == 0)
		fake_uffd_gone(addr, bytes);
	return rc;
}

static int fake_mprotect(uintptr_t addr, size_t bytes, int prot)
{
	const struct fake_rule *r = rule_for(FAKE_MPROTECT, addr, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.mprotect(addr, bytes, prot);
}

static int fake_name_memory(uintptr_t addr, size_t bytes, const char *name)
{
	const struct fake_rule *r = rule_for(FAKE_NAME, addr, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.name_memory(addr, bytes, name);
}

static int fake_limit(int resource, uint64_t *out)
{
	const struct fake_rule *r = rule_for(FAKE_LIMIT, 0, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.limit(resource, out);
}

static int fake_mremap(uintptr_t src, size_t bytes, uintptr_t dst)
{
	const struct fake_rule *r = rule_for(FAKE_MREMAP, src, NULL);

	if (answers(r))
		return r->error;
	fake_uffd_gone(dst, bytes);
	return pmv_sys_linux.mremap(src, bytes, dst);
}

static enum fake_call advice_kind(int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
		return FAKE_DISCARD;
	case MADV_POPULATE_WRITE:
		return FAKE_POPULATE;
	case MADV_COLD:
		return FAKE_COLD;
	default:
		return FAKE_ADVISE;
	}
}

static int fake_madvise(uintptr_t addr, size_t bytes, int advice)
{
	const struct fake_rule *r = rule_for(advice_kind(advice), addr, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.madvise(addr, bytes, advice);
}

static int fake_mincore(uintptr_t addr, size_t bytes, unsigned char *vec)
{
	const struct fake_rule *r = rule_for(FAKE_MINCORE, addr, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.mincore(addr, bytes, vec);
}

static int fake_msync(uintptr_t addr, size_t bytes, int flags)
{
	const struct fake_rule *r = rule_for(FAKE_MSYNC, addr, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.msync(addr, bytes, flags);
}

static int fake_mlock_on_fault(uintptr_t addr, size_t bytes)
{
	const struct fake_rule *r = rule_for(FAKE_MLOCK, addr, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.mlock_on_fault(addr, bytes);
}

static int fake_munlock(uintptr_t addr, size_t bytes)
{
	const struct fake_rule *r = rule_for(FAKE_MUNLOCK, addr, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.munlock(addr, bytes);
}

static int fake_futex_wait(const uint32_t *word, uint32_t value,
			   uint64_t timeout_ns)
{
	const struct fake_rule *r =
		rule_for(FAKE_FUTEX_WAIT, (uintptr_t)word, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.futex_wait(word, value, timeout_ns);
}

static int fake_futex_wake(const uint32_t *word)
{
	const struct fake_rule *r =
		rule_for(FAKE_FUTEX_WAKE, (uintptr_t)word, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.futex_wake(word);
}

static int fake_poll(struct pollfd *pollfds, size_t n, int timeout_ms)
{
	const struct fake_rule *r = rule_for(FAKE_POLL, 0, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.poll(pollfds, n, timeout_ms);
}

static int fake_eventfd(void)
{
	const struct fake_rule *r = rule_for(FAKE_EVENTFD, 0, NULL);

	if (answers(r))
		return r->error;
	return new_fd(pmv_sys_linux.eventfd());
}

static ssize_t fake_write(int fd, const void *buf, size_t bytes)
{
	const struct fake_rule *r = rule_for(FAKE_WRITE, 0, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.write(fd, buf, bytes);
}

static int fake_queue_signal(int tid, int signal, const siginfo_t *info)
{
	const struct fake_rule *r = rule_for(FAKE_QUEUE_SIGNAL, 0, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.queue_signal(tid, signal, info);
}

static int fake_sigaction(int signal, const struct sigaction *action,
			  struct sigaction *old)
{
	const struct fake_rule *r = rule_for(FAKE_SIGACTION, 0, NULL);

	if (answers(r))
		return r->error;
	return pmv_sys_linux.sigaction(signal, action, old);
}

/* Neither counted nor refused. */
static int fake_gettid(void)
{
	return pmv_sys_linux.gettid();
}

static int fake_getpid(void)
{
	fake.count[FAKE_GETPID]++;
	return pmv_sys_linux.getpid();
}

static int fake_uname(char *release, size_t bytes)
{
	const struct fake_rule *r = rule_for(FAKE_UNAME, 0, NULL);

	if (answers(r))
		return r->error;
	snprintf(release, bytes, "%s", fake.release ? fake.release : "6.18.44");
	return 0;
}

static void fake_yield(void)
{
	rule_for(FAKE_YIELD, 0, NULL);
}

static void fake_sleep_ns(uint64_t ns)
{
	fake.slept_ns += ns;
	rule_for(FAKE_SLEEP, 0, NULL);
}

static uint64_t fake_now_ns(void)
{
	fake.count[FAKE_NOW]++;
	return pmv_sys_linux.now_ns() + fake.passed_ns;
}

static uint64_t fake_cpu_ns(void)
{
	return pmv_sys_linux.cpu_ns() + fake.spent_ns;
}

const struct pmv_sys fake_sys = {
	.ioctl = fake_ioctl,
	.userfaultfd = fake_userfaultfd,
	.open = fake_open,
	.close = fake_close,
	.dup_from = fake_dup_from,
	.read = fake_read,
	.pread = fake_pread,
	.mmap = fake_mmap,
	.mmap_at = fake_mmap_at,
	.reserve = fake_reserve,
	.reserve_over = fake_reserve_over,
	.munmap = fake_munmap,
	.mprotect = fake_mprotect,
	.name_memory = fake_name_memory,
	.limit = fake_limit,
	.mremap = fake_mremap,
	.madvise = fake_madvise,
	.msync = fake_msync,
	.mlock_on_fault = fake_mlock_on_fault,
	.munlock = fake_munlock,
	.mincore = fake_mincore,
	.futex_wait = fake_futex_wait,
	.futex_wake = fake_futex_wake,
	.poll = fake_poll,
	.eventfd = fake_eventfd,
	.write = fake_write,
	.queue_signal = fake_queue_signal,
	.sigaction = fake_sigaction,
	.getpid = fake_getpid,
	.gettid = fake_gettid,
	.uname = fake_uname,
	.yield = fake_yield,
	.sleep_ns = fake_sleep_ns,
	.now_ns = fake_now_ns,
	.cpu_ns = fake_cpu_ns,
};
