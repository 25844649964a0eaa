// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "companion.h"
#include "internal.h"
#include "mapping.h"
#include "pages.h"
#include "quirks.h"
#include "uffd.h"

/* Pages of their own content at src, and as many absent ones at dst. */
struct trial {
	uintptr_t src, dst;
};

#define COMPANION   PAGEMV_MECH_COMPANION
#define MARK	    0x6d7621u
#define TRIAL_PAGES 16
#define MOVE_TRIALS 16

static int trial_begin(struct pagemv *pv, struct trial *t)
{
	size_t bytes = TRIAL_PAGES * pv->page_bytes;
	int rc = pv->sys->mmap(&t->src, 2 * bytes, PROT_READ | PROT_WRITE);

	if (rc < 0)
		return rc;
	pv->sys->madvise(t->src, 2 * bytes, MADV_NOHUGEPAGE);
	t->dst = t->src + bytes;
	for (uintptr_t p = t->src; p < t->dst; p += pv->page_bytes)
		*(volatile unsigned int *)p = MARK;
	return 0;
}

static bool trial_arrived(const struct trial *t)
{
	return *(volatile unsigned int *)t->dst == MARK;
}

static void trial_end(struct pagemv *pv, struct trial *t)
{
	pv->sys->munmap(t->src, 2 * TRIAL_PAGES * pv->page_bytes);
}

enum pagemv_reason pmv_lacking(int error)
{
	switch (error) {
	case -EPERM:
	case -EACCES:
		return PAGEMV_REASON_NOT_PERMITTED;
	default:
		return PAGEMV_REASON_NOT_IN_KERNEL;
	}
}

static void unavailable(struct pagemv *pv, enum pagemv_mechanism m,
			enum pagemv_reason reason, int error)
{
	pv->available &= ~PAGEMV_MECH_BIT(m);
	pv->caps.mech[m].available = 0;
	pv->caps.mech[m].reason = reason;
	pv->caps.mech[m].error = error;
}

static void available(struct pagemv *pv, enum pagemv_mechanism m)
{
	pv->available |= PAGEMV_MECH_BIT(m);
	pv->caps.mech[m] = (struct pagemv_mech_caps){ .available = 1 };
}

/* ---- userfaultfd ---- */

static bool open_one_way(struct pagemv *pv, int how, int dev_fd)
{
	int fd = pmv_uffd_open(pv->sys, how, dev_fd);
	int rc = fd;

	pv->caps.uffd_features = 0;
	if (fd >= 0)
		rc = pmv_uffd_api(pv->sys, fd, &pv->caps.uffd_features);
	if (fd >= 0 && rc < 0)
		pv->sys->close(fd);
	pv->caps.uffd_errors[how] = rc < 0 ? rc : 0;
	if (rc < 0)
		return false;
	pv->uffd = fd;
	pv->caps.uffd_how = (uint32_t)how;
	pv->facilities |= PAGEMV_HAS_UFFD;
	return true;
}

/*
 * The three ways, most modest first; whatever a way answers, the next one is
 * tried, as sandboxes refuse with all sorts of errors.
 */
static bool open_uffd(struct pagemv *pv, const struct pagemv_open_opts *opts)
{
	static const int ways[] = { PAGEMV_UFFD_USER_MODE, PAGEMV_UFFD_DEVICE,
				    PAGEMV_UFFD_SYSCALL };

	for (int how = 0; how < PAGEMV_UFFD_HOW_COUNT; how++)
		pv->caps.uffd_errors[how] = 1; /* not tried */
	if (opts->flags & PAGEMV_OPEN_NO_UFFD)
		return false;
	if (opts->flags & PAGEMV_OPEN_DEV_FD &&
	    open_one_way(pv, PAGEMV_UFFD_DEVICE, opts->dev_fd))
		return true;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (open_one_way(pv, ways[i], -1))
			return true;
	return false;
}

/* -EMFILE or -ENFILE, if it was for that that there is no userfaultfd. */
static int no_descriptor_left(const struct pagemv *pv)
{
	for (int how = 0; how < PAGEMV_UFFD_HOW_COUNT; how++) {
		int error = pv->caps.uffd_errors[how];

		if (error == -EMFILE || error == -ENFILE)
			return error;
	}
	return 0;
}

/* From what the ways of opening answered. */
enum pagemv_reason pmv_uffd_reason(const struct pagemv *pv, int *error)
{
	const int *errors = pv->caps.uffd_errors;

	*error = errors[PAGEMV_UFFD_SYSCALL];
	if (*error == 1) {
		*error = 0;
		return PAGEMV_REASON_DISABLED;
	}
	/* USER_MODE_ONLY is open to everybody, so EPERM there is a filter's. */
	if (errors[PAGEMV_UFFD_USER_MODE] == -EPERM)
		return PAGEMV_REASON_FILTERED;
	/* Nor does a kernel have the device and not the system call. */
	if (*error == -ENOSYS && errors[PAGEMV_UFFD_DEVICE] == -EACCES)
		return PAGEMV_REASON_FILTERED;
	return pmv_lacking(*error);
}

/* ---- the mechanisms ---- */

/*
 * Moves pages once. What may happen to any move must not cost the mechanism:
 * EAGAIN is tried again, and EEXIST may be a move that was not counted, which
 * the mark will tell in the end.
 */
static int try_move(struct pagemv *pv, uintptr_t dst, uintptr_t src,
		    size_t bytes, uint64_t *ticks)
{
	int error = -EAGAIN;

	for (unsigned int i = 0; error == -EAGAIN && i < PMV_IDLE_MAX; i++) {
		uint64_t begun = pmv_ticks();

		error = pmv_uffd_move(pv->sys, pv->uffd, dst, src, bytes).error;
		*ticks = pmv_ticks() - begun;
		if (error == -EAGAIN)
			pv->sys->yield();
	}
	return error == -EEXIST ? 0 : error;
}

/* Moves pages to and fro; tells the ticks of the fastest time. */
static int try_moves(struct pagemv *pv, const struct trial *t, size_t bytes,
		     uint64_t *fastest)
{
	*fastest = UINT64_MAX;
	for (int i = 0; i < MOVE_TRIALS; i++) {
		uint64_t ticks;
		int rc = try_move(pv, i & 1 ? t->src : t->dst,
				  i & 1 ? t->dst : t->src, bytes, &ticks);

		if (rc < 0)
			return rc;
		if (ticks < *fastest)
			*fastest = ticks;
	}
	return 0;
}

/* How fast this kernel moves pages at best: one, and each page more. */
static int time_moves(struct pagemv *pv, const struct trial *t)
{
	uint64_t one, many, ticks;
	int rc = try_moves(pv, t, pv->page_bytes, &one);

	if (rc == 0)
		rc = try_moves(pv, t, TRIAL_PAGES * pv->page_bytes, &many);
	if (rc == 0)
		rc = try_move(pv, t->dst, t->src, pv->page_bytes, &ticks);
	if (rc < 0)
		return rc;
	pv->fastest_move = one;
	pv->fastest_page = many > one ? (many - one) / (TRIAL_PAGES - 1) : 0;
	return trial_arrived(t) ? 0 : -EIO;
}

bool pmv_swap_is_on(const struct pagemv *pv)
{
	char text[512];
	int fd = pv->sys->open("/proc/swaps", O_RDONLY);
	ssize_t n;

	/* A kernel without swap has no such file; without /proc, or where it
	 * cannot be read, be careful. */
	if (fd < 0)
		return fd != -ENOENT || pv->pagemap_fd < 0;
	n = pv->sys->read(fd, text, sizeof(text));
	pv->sys->close(fd);
	/* The first line is the heading. */
	return n <= 0 || memchr(text, '\n', (size_t)n) != text + n - 1;
}

/* Registers the trial's pages and moves between them. */
static void try_quiet(struct pagemv *pv, const struct trial *t)
{
	uint64_t ioctls = 0;
	int rc = pmv_uffd_register(pv->sys, pv->uffd, t->src,
				   2 * TRIAL_PAGES * pv->page_bytes, &ioctls);

	if (rc < 0 || !pmv_uffd_has_copy(ioctls)) {
		unavailable(pv, PAGEMV_MECH_MOVE, pmv_lacking(rc), rc);
		return;
	}
	pv->facilities |= PAGEMV_HAS_QUIET;
	if (!pmv_uffd_has_move(ioctls)) {
		unavailable(pv, PAGEMV_MECH_MOVE, PAGEMV_REASON_NOT_IN_KERNEL,
			    0);
		return;
	}
	rc = time_moves(pv, t);
	if (rc == -EPERM || rc == -ENOSYS || rc == -EACCES)
		unavailable(pv, PAGEMV_MECH_MOVE, PAGEMV_REASON_FILTERED, rc);
	else if (rc < 0)
		unavailable(pv, PAGEMV_MECH_MOVE, PAGEMV_REASON_UNEXPECTED, rc);
	else
		available(pv, PAGEMV_MECH_MOVE);
}

/* Registers them for faults as well. */
static void try_faults(struct pagemv *pv, const struct trial *t)
{
	const uint64_t async = PMV_UFFD_WP_UNPOPULATED | PMV_UFFD_WP_ASYNC;
	uint64_t features = pv->caps.uffd_features, ioctls = 0;
	bool quiet = pmv_has(pv, PAGEMV_HAS_QUIET);
	int rc;

	if (quiet && (features & async) == async &&
	    pmv_has(pv, PAGEMV_HAS_PAGEMAP_SCAN))
		pv->facilities |= PAGEMV_HAS_ASYNC_WP;
	if (!(features & PMV_UFFD_SIGBUS))
		return;
	rc = pmv_uffd_register_for(
		pv->sys, pv->uffd, t->src, 2 * TRIAL_PAGES * pv->page_bytes,
		PMV_UFFD_MISSING | (quiet ? PMV_UFFD_WP : 0), &ioctls);
	if (rc < 0 || !pmv_uffd_has_copy(ioctls))
		return;
	pv->facilities |= PAGEMV_HAS_FAULTS;
	if (features & PMV_UFFD_CAN_POISON)
		pv->facilities |= PAGEMV_HAS_POISON;
}

static void probe_move(struct pagemv *pv, const struct trial *t)
{
	int error = 0;

	if (pv->uffd < 0) {
		enum pagemv_reason reason = pmv_uffd_reason(pv, &error);

		unavailable(pv, PAGEMV_MECH_MOVE, reason, error);
		return;
	}
	try_quiet(pv, t);
	try_faults(pv, t);
	if (!pmv_available(pv, PAGEMV_MECH_MOVE))
		return;
	if (pv->quirks & PAGEMV_QUIRK_SWAP && pmv_swap_is_on(pv))
		unavailable(pv, PAGEMV_MECH_MOVE, PAGEMV_REASON_KNOWN_BAD, 0);
}

static void probe_remap(struct pagemv *pv, const struct trial *t)
{
	int rc = pv->sys->mremap(t->src, pv->page_bytes, t->dst);

	if (rc < 0)
		unavailable(pv, PAGEMV_MECH_REMAP, pmv_lacking(rc), rc);
	else if (!trial_arrived(t))
		unavailable(pv, PAGEMV_MECH_REMAP, PAGEMV_REASON_UNEXPECTED, 0);
	else
		available(pv, PAGEMV_MECH_REMAP);
}

/* Moves a page by the companion: that it is there says nothing yet. */
static void try_companion(struct pagemv *pv, const struct trial *t)
{
	int rc = -EAGAIN;

	for (unsigned int i = 0; rc == -EAGAIN && i < PMV_IDLE_MAX; i++)
		rc = pmv_companion_move(pv->sys, pv->companion, t->dst, t->src,
					pv->page_bytes)
			     .error;
	if (rc == -EINVAL)
		unavailable(pv, COMPANION, PAGEMV_REASON_OTHER_DEVICE, rc);
	else if (rc == -EPERM || rc == -ENOSYS || rc == -EACCES)
		unavailable(pv, COMPANION, PAGEMV_REASON_FILTERED, rc);
	else if (rc < 0 || !trial_arrived(t))
		unavailable(pv, COMPANION, PAGEMV_REASON_UNEXPECTED, rc);
	else
		available(pv, COMPANION);
}

/* Where there is UFFDIO_MOVE it is not worth failing for. */
static int no_descriptor_for_it(const struct pagemv *pv, int error)
{
	return (error == -EMFILE || error == -ENFILE) &&
			       !pmv_available(pv, PAGEMV_MECH_MOVE)
		       ? error
		       : 0;
}

/* By the descriptor given, or the device's name. 0, or an error of open. */
static int try_device(struct pagemv *pv, int given)
{
	enum pagemv_reason reason;
	uint64_t calls;
	struct trial t;
	int fd = pmv_companion_open(pv->sys, given, &calls, &reason), rc;

	if (reason) {
		unavailable(pv, COMPANION, reason, fd);
		return no_descriptor_for_it(pv, fd);
	}
	pv->companion = fd;
	rc = pv->nowhere ? 0
			 : pv->sys->reserve(0, &pv->nowhere, pv->page_bytes);
	if (rc == 0)
		rc = trial_begin(pv, &t);
	if (rc < 0)
		return rc;
	try_companion(pv, &t);
	trial_end(pv, &t);
	if (pmv_available(pv, COMPANION)) {
		if (calls & PMV_COMPANION_CAN_VECTORS)
			pv->facilities |= PAGEMV_HAS_VECTORS;
		if (calls & PMV_COMPANION_CAN_EXCHANGE)
			pv->facilities |= PAGEMV_HAS_EXCHANGE;
		return 0;
	}
	pv->sys->close(fd);
	pv->companion = -1;
	return 0;
}

static int probe_companion(struct pagemv *pv,
			   const struct pagemv_open_opts *opts)
{
	int rc = 0;

	if (opts->disabled & PAGEMV_MECH_BIT(COMPANION))
		return 0;
	if (opts->flags & PAGEMV_OPEN_COMPANION_FD)
		rc = try_device(pv, opts->companion_fd);
	if (rc == 0 && pv->companion < 0)
		rc = try_device(pv, -1);
	return rc;
}

static int probe_mechanisms(struct pagemv *pv,
			    const struct pagemv_open_opts *opts)
{
	struct trial t;
	int rc = trial_begin(pv, &t);

	if (rc < 0)
		return rc;
	if (pmv_pages_populate(pv->sys, t.src, pv->page_bytes) == 0)
		pv->facilities |= PAGEMV_HAS_POPULATE_WRITE;
	probe_move(pv, &t);
	trial_end(pv, &t);
	rc = trial_begin(pv, &t);
	if (rc < 0)
		return rc;
	probe_remap(pv, &t);
	trial_end(pv, &t);
	rc = probe_companion(pv, opts);
	if (rc < 0)
		return rc;
	/* By mremap; also when it is not to be used as a mechanism. */
	pv->can_detach = pmv_available(pv, PAGEMV_MECH_REMAP);
	available(pv, PAGEMV_MECH_COPY);
	return 0;
}

static void disable(struct pagemv *pv, uint32_t disabled)
{
	for (int m = PAGEMV_MECH_AUTO + 1; m < PAGEMV_MECH_COUNT; m++)
		if (disabled & PAGEMV_MECH_BIT(m))
			unavailable(pv, m, PAGEMV_REASON_DISABLED, 0);
	pv->kept_layout = PAGEMV_MECH_AUTO;
	if (pmv_available(pv, PAGEMV_MECH_MOVE))
		pv->kept_layout = PAGEMV_MECH_MOVE;
	else if (pmv_available(pv, PAGEMV_MECH_COPY))
		pv->kept_layout = PAGEMV_MECH_COPY;
	pv->can_detach |= pmv_can_move(pv);
	if (pmv_can_move(pv))
		pv->facilities |= PAGEMV_HAS_PIN_CHECK;
	pmv_kernel_prefer(pv);
}

void pmv_kernel_prefer(struct pagemv *pv)
{
	const struct pmv_costs *costs =
		atomic_load_explicit(&pv->costs, memory_order_acquire);
	size_t pages = 0;

	if (!pmv_available(pv, COMPANION))
		return;
	if (pmv_available(pv, PAGEMV_MECH_MOVE))
		pages = pmv_cheaper_from(&costs->mech[COMPANION],
					 &costs->mech[PAGEMV_MECH_MOVE]);
	atomic_store_explicit(&pv->companion_from,
			      pages == SIZE_MAX ? pages
						: pages * pv->page_bytes,
			      memory_order_relaxed);
}

/* ---- the rest ---- */

static void read_release(struct pagemv *pv, const struct pagemv_open_opts *opts)
{
	char *release = pv->caps.kernel_release;
	uint32_t known;

	pv->quirks = opts->distrusted;
	if (pv->sys->uname(release, sizeof(pv->caps.kernel_release)) < 0)
		return;
	known = pmv_quirks_of(pmv_release_parse(release));
	pv->caps.trusted = known & opts->trusted;
	known &= ~opts->trusted;
	pv->quirks |= known;
	if (known)
		pmv_log(&pv->log, PAGEMV_LOG_WARNING,
			"Linux %s has known faults in UFFDIO_MOVE "
			"(quirks 0x%x): working around them",
			release, known);
}

size_t pmv_kernel_huge_bytes(const struct pmv_sys *sys, size_t page_bytes)
{
	char text[32] = { 0 };
	unsigned long bytes;
	size_t huge = 0;
	int fd = sys->open("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
			   O_RDONLY);

	if (fd < 0)
		return 0;
	if (sys->read(fd, text, sizeof(text) - 1) > 0 &&
	    sscanf(text, "%lu", &bytes) == 1 && bytes > page_bytes &&
	    !(bytes & (bytes - 1)))
		huge = bytes;
	sys->close(fd);
	return huge;
}

/* As high as the limit that is usual, 1024, allows: not higher, as the kernel
 * makes the table of descriptors as long as the highest number. */
#define HIGH_FD 896

/* Where there is no such number it stays. */
static void raise_fd(const struct pagemv *pv, int *fd)
{
	int high = *fd < 0 ? -1 : pv->sys->dup_from(*fd, HIGH_FD);

	if (high < 0)
		return;
	pv->sys->close(*fd);
	*fd = high;
}

static void raise_fds(struct pagemv *pv)
{
	raise_fd(pv, &pv->uffd);
	raise_fd(pv, &pv->pagemap_fd);
	raise_fd(pv, &pv->maps_fd);
	raise_fd(pv, &pv->companion);
}

static const char *pages_are(const struct pagemv *pv)
{
	if (pmv_available(pv, COMPANION))
		return "moved by the companion module";
	return pv->kept_layout == PAGEMV_MECH_COPY ? "copied" : "remapped";
}

static void log_result(struct pagemv *pv)
{
	const struct pagemv_mech_caps *move = &pv->caps.mech[PAGEMV_MECH_MOVE];

	if (move->available)
		return;
	pmv_log(&pv->log, PAGEMV_LOG_INFO,
		"UFFDIO_MOVE is not available: %s; pages are %s",
		pagemv_reason_string(move->reason), pages_are(pv));
}

int pmv_kernel_probe(struct pagemv *pv, const struct pagemv_open_opts *opts)
{
	int rc;

	read_release(pv, opts);
	pv->huge_bytes = pmv_kernel_huge_bytes(pv->sys, pv->page_bytes);
	rc = pmv_pages_open(pv);
	if (rc == 0)
		rc = pmv_mapping_open(pv);
	if (rc == 0 && !open_uffd(pv, opts))
		rc = no_descriptor_left(pv);
	if (rc == 0)
		rc = probe_mechanisms(pv, opts);
	if (rc < 0)
		return rc;
	if (opts->flags & PAGEMV_OPEN_HIGH_FDS)
		raise_fds(pv);
	disable(pv, opts->disabled);
	pv->caps.facilities = pv->facilities;
	pv->caps.quirks = pv->quirks;
	pv->caps.page_bytes = pv->page_bytes;
	pv->caps.huge_page_bytes = pv->huge_bytes;
	log_result(pv);
	return 0;
}

void pmv_kernel_close(struct pagemv *pv)
{
	if (pv->uffd >= 0)
		pv->sys->close(pv->uffd);
	if (pv->pagemap_fd >= 0)
		pv->sys->close(pv->pagemap_fd);
	if (pv->maps_fd >= 0)
		pv->sys->close(pv->maps_fd);
	if (pv->companion >= 0)
		pv->sys->close(pv->companion);
	if (pv->nowhere)
		pv->sys->munmap(pv->nowhere, pv->page_bytes);
}
