/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Releases with known faults (doc/kernel-facts.md, section 4): which of them
 * the library's table names for this kernel, whether the kernel has them, as
 * far as that can be seen without harm, and whether the library does what its
 * table says.
 *
 *	quirks		leaves the kernel as it was
 *	quirks raw	shows with bare ioctls what the library keeps away from:
 *			the kernel is not sound any more and may say so
 */
#include "quirks.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.h"
#include "oracle.h"
#include "proc.h"
#include "rawuffd.h"
#include "t.h"
#include "thp.h"
#include "ways.h"

struct tap tap;

static const struct {
	uint32_t quirk;
	const char *name;
} quirks[] = {
	{ PAGEMV_QUIRK_MISCOUNT, "MISCOUNT" },
	{ PAGEMV_QUIRK_HUGE_MOVE, "HUGE_MOVE" },
	{ PAGEMV_QUIRK_HUGE_PAGES, "HUGE_PAGES" },
	{ PAGEMV_QUIRK_SWAP, "SWAP" },
	{ PAGEMV_QUIRK_ZERO_PAGE, "ZERO_PAGE" },
};

static uint32_t known;

bool knows(uint32_t quirk)
{
	return (known & quirk) != 0;
}

bool expect(bool ok, const char *name, const char *format, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (!ok)
		tap_say(stdout, "%s", text);
	return tap_ok(&tap, ok, name);
}

struct pagemv *open_trusting(uint32_t trusted, struct pagemv_caps *caps)
{
	const struct pagemv_open_opts opts = {
		.size = sizeof(opts),
		.trusted = trusted,
	};
	struct pagemv *pv = NULL;

	*caps = (struct pagemv_caps){ .size = sizeof(*caps) };
	if (pagemv_open(&pv, &opts) != 0 || pagemv_caps(pv, caps) != 0)
		t_die("pagemv_open");
	return pv;
}

int force_move(struct pagemv *pv, void *dst, void *src, size_t pages,
	       struct pagemv_result *res)
{
	const struct pagemv_move_opts opts = {
		.size = sizeof(opts),
		.mechanism = PAGEMV_MECH_MOVE,
	};

	return pagemv_move(pv, dst, src, t_pages(pages), &opts, res);
}

/* ---- the table ---- */

static bool tell_known(void)
{
	struct pagemv_caps caps;
	struct pagemv *pv = open_trusting(0, &caps);
	char text[80] = "";
	size_t len = 0, i;

	known = caps.quirks;
	for (i = 0; i < T_COUNT(quirks); i++)
		if (knows(quirks[i].quirk))
			len += (size_t)snprintf(text + len, sizeof(text) - len,
						"%s%s", len == 0 ? "" : " ",
						quirks[i].name);
	lab_seen("known faults in force", "%s", len == 0 ? "none" : text);
	pagemv_close(pv);
	return caps.mech[PAGEMV_MECH_MOVE].reason !=
	       PAGEMV_REASON_NOT_IN_KERNEL;
}

static void test_trusted(void)
{
	bool right = true;
	size_t i;

	for (i = 0; i < T_COUNT(quirks); i++) {
		uint32_t trusted = quirks[i].quirk;
		struct pagemv_caps caps;

		pagemv_close(open_trusting(trusted, &caps));
		right = right && caps.quirks == (known & ~trusted) &&
			caps.trusted == (known & trusted);
	}
	tap_ok(&tap, right, "a fault that the caller trusts is not in force");
}

static void test_swap(void)
{
	struct pagemv_caps caps;
	bool bad = knows(PAGEMV_QUIRK_SWAP) && t_has_swap();

	pagemv_close(open_trusting(0, &caps));
	expect(caps.mech[PAGEMV_MECH_MOVE].available == !bad,
	       "SWAP: UFFDIO_MOVE is used unless swap is on there",
	       "available: %u, bad: %d", caps.mech[PAGEMV_MECH_MOVE].available,
	       bad);
}

/* ---- pages that have only been read ---- */

static void test_zero_page(void)
{
	char *p = t_map(2);
	int fd = t_uffd_open();
	struct pagemv_result res;
	struct pagemv_caps caps;
	struct pagemv *pv;
	int r;

	t_uffd_register_wp(fd, p, t_page());
	(void)*(volatile char *)(p + t_page());
	r = t_uffd_move(fd, p, p + t_page(), t_page(), NULL);
	close(fd);
	lab_seen("zero page by UFFDIO_MOVE", "%s",
		 r == 0 ? "moves" : strerror(-r));
	expect(knows(PAGEMV_QUIRK_ZERO_PAGE) == (r == -EBUSY),
	       "ZERO_PAGE: the kernel is as the table says", "returned %d", r);

	t_drop(p, 2);
	pv = open_trusting(0, &caps);
	t_register(pv, p, 1);
	(void)*(volatile char *)(p + t_page());
	r = force_move(pv, p, p + t_page(), 1, &res);
	expect(r == 0 && t_check_zero(p, 1) == NULL,
	       "ZERO_PAGE: zeros arrive by the library", "returned %d", r);
	pagemv_close(pv);
	t_unmap(p, 2);
}

/* ---- mappings that are changing (95567729173e: the count unwritten) ---- */

static int open_with_events(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_EVENT_REMOVE,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0)
		t_die("a userfaultfd with events");
	return fd;
}

static void *drop_pages(void *arg)
{
	t_drop(arg, 1);
	return NULL;
}

/* While an event waits to be read: another userfaultfd is not concerned. */
static bool library_moves(void)
{
	char *p = t_map(2);
	struct pagemv_result res;
	struct pagemv_caps caps;
	struct pagemv *pv = open_trusting(0, &caps);
	int r;

	t_register(pv, p, 1);
	t_fill(p + t_page(), 1, 1);
	r = force_move(pv, p, p + t_page(), 1, &res);
	pagemv_close(pv);
	t_unmap(p, 2);
	return r == 0 && res.kernel_calls == 1;
}

static void test_changing(void)
{
	const int64_t untouched = 4711;
	char *p = t_map(2), *src = t_map(1);
	uint64_t arg[5] = { (uintptr_t)p, (uintptr_t)src, t_page(), 0,
			    (uint64_t)untouched };
	struct pollfd event = { .fd = open_with_events(), .events = POLLIN };
	struct uffd_msg msg;
	pthread_t thread;
	bool moved;
	int r;

	t_fill(src, 1, 1);
	if (t_uffd_register_wp(event.fd, p, t_pages(2)) != 0 ||
	    pthread_create(&thread, NULL, drop_pages, p + t_page()) != 0 ||
	    poll(&event, 1, 10000) != 1)
		t_die("a changing mapping");
	r = ioctl(event.fd, t_uffd_move_request(), arg) == 0 ? 0 : -errno;
	moved = library_moves();
	if (read(event.fd, &msg, sizeof(msg)) != sizeof(msg))
		t_die("reading the event");
	pthread_join(thread, NULL);
	close(event.fd);
	lab_seen("EAGAIN of changing mappings", "%s",
		 (int64_t)arg[4] == untouched ? "leaves the count unwritten"
					      : "is written as the count");
	expect(r == -EAGAIN && t_check(src, 1, 1) == NULL,
	       "mappings that change give EAGAIN", "returned %d", r);
	tap_ok(&tap, moved, "the library's moves are not held up by it");
	t_unmap(p, 2);
	t_unmap(src, 1);
}

/* ---- raw: what the library keeps away from ---- */

struct bare_zero {
	_Atomic bool moved;
	_Atomic bool looked;
	bool huge; /* src was the huge zero page */
	int r;
	uint64_t flags; /* of the page at dst */
};

/*
 * CVE-2026-31397: dst is mapped to memory that is not there. The kernel does
 * not survive to look at that mapping, nor to unmap it.
 */
static void move_huge_zero(struct bare_zero *seen)
{
	char *src = t_map_at(huge_pages(), HUGE_BYTES, 0, true);
	char *dst = t_map_at(huge_pages(), HUGE_BYTES, 0, true);
	int fd = t_uffd_open();

	(void)*(volatile char *)src;
	seen->huge = thp_is_huge_zero(src);
	t_uffd_register_wp(fd, dst, HUGE_BYTES);
	seen->r = t_uffd_move(fd, dst, src, HUGE_BYTES, NULL);
	seen->moved = true;
	seen->flags = thp_flags(thp_frame(dst));
	seen->looked = true;
}

/* The child cannot be waited for, where its end is what goes wrong. */
static void await(pid_t child, const struct bare_zero *seen)
{
	int i, status;

	for (i = 0; i < 5000 && !seen->looked; i++) {
		if (waitpid(child, &status, WNOHANG) == child)
			return;
		t_sleep_ms(1);
	}
}

/* HUGE_MOVE is in force for this fault; from 6.19.10 to 7.0 it is for another,
 * of huge pages that migrate. */
static bool knows_of_huge_zero(void)
{
	unsigned int major = 0, minor = 0, patch = 0;
	struct utsname u;

	uname(&u);
	sscanf(u.release, "%u.%u.%u", &major, &minor, &patch);
	return knows(PAGEMV_QUIRK_HUGE_MOVE) && major == 6 &&
	       (minor != 19 || patch < 10);
}

static void test_raw(void)
{
	struct bare_zero *seen = mmap(NULL, t_page(), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool right;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child < 0 || seen == MAP_FAILED)
		t_die("fork");
	if (child == 0) {
		move_huge_zero(seen);
		_exit(0);
	}
	await(child, seen);
	right = seen->looked && (seen->flags & KPF_ZERO) != 0;
	lab_seen("huge zero page by a bare UFFDIO_MOVE", "%s",
		 right		? "is a zero page at dst"
		 : seen->looked ? "is another page at dst"
				: "the kernel crashes on what it becomes");
	expect(seen->moved && seen->huge && seen->r == 0,
	       "HUGE_MOVE: the huge zero page was moved", "returned %d",
	       seen->r);
	expect(right == !knows_of_huge_zero(),
	       "HUGE_MOVE: the kernel is as the table says",
	       "looked at: %d, flags 0x%" PRIx64, seen->looked, seen->flags);
}

/* ---- */

static void test_all(void)
{
	test_trusted();
	test_swap();
	test_zero_page();
	test_huge_move();
	test_huge_pages();
	test_two_movers();
	test_changing();
	test_miscount_bare();
	test_miscount_library();
	test_forgotten();
	test_migration();
}

int main(int argc, char **argv)
{
	struct thp_settings settings = { .n = 0 };

	lab_only();
	if (!tell_known()) {
		tap_ok(&tap, known == 0, "no faults without UFFDIO_MOVE");
		return tap_done(&tap);
	}
	if (!thp_set(&settings, THP "enabled", "madvise") ||
	    !thp_set(&settings, THP "use_zero_page", "1"))
		t_die(THP);
	thp_set(&settings, THP "defrag", "always");
	if (argc > 1 && strcmp(argv[1], "raw") == 0)
		test_raw();
	else
		test_all();
	thp_give_back(&settings);
	return tap_done(&tap);
}
