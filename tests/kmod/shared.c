/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that somebody else has, too: a child, KSM, a device. EBUSY, with the
 * page where it was and everybody's view of it whole; and what makes it go
 * away.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kmod.h"
#include "pin.h"

#define PAGES 8

/* ---- fork ---- */

struct holder {
	pid_t pid;
	int go;
};

/* A child that looks at src when it is told to, and ends. */
static struct holder hold(const char *src, size_t pages)
{
	struct holder h;
	int go[2];
	char byte;

	if (pipe(go) != 0)
		t_die("pipe");
	h.pid = fork();
	if (h.pid == 0) {
		close(go[1]);
		if (read(go[0], &byte, 1) < 0)
			_exit(3);
		_exit(t_check_range(src, pages, 1) == NULL ? 0 : 1);
	}
	if (h.pid < 0)
		t_die("fork");
	close(go[0]);
	h.go = go[1];
	return h;
}

static int let_look(const struct holder *h)
{
	close(h->go);
	return t_wait(h->pid);
}

static const char *shared_with_child(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	struct holder h = hold(src, PAGES);

	RIGHT("shared", refuses(dst, src, PAGES, 1, -EBUSY));
	MUST(let_look(&h) == 0, "the child has something else");
	/* Nobody tells the parent that it is alone again. */
	RIGHT("once shared", refuses(dst, src, PAGES, 1, -EBUSY));
	if (madvise(src, t_pages(PAGES), MADV_POPULATE_WRITE) != 0)
		t_die("MADV_POPULATE_WRITE");
	return moves(dst, src, PAGES, 1);
}

/* The parent's own copy moves; the child keeps the old one. */
static const char *made_exclusive(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	struct holder h = hold(src, PAGES);

	if (madvise(src, t_pages(PAGES), MADV_POPULATE_WRITE) != 0)
		t_die("MADV_POPULATE_WRITE");
	RIGHT("move", moves(dst, src, PAGES, 1));
	t_fill_range(dst, PAGES, 100);
	MUST(let_look(&h) == 0, "the child has something else");
	return t_check_range(dst, PAGES, 100);
}

static const char *partly_shared(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	struct holder h = hold(src, PAGES);
	int64_t moved;
	int r;

	if (madvise(src, t_pages(3), MADV_POPULATE_WRITE) != 0)
		t_die("MADV_POPULATE_WRITE");
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	RIGHT("up to it", ended(r, moved, -EAGAIN, 3));
	RIGHT("dst", t_check_range(dst, 3, 1));
	RIGHT("rest", t_check_range(src + t_pages(3), PAGES - 3, 4));
	MUST(let_look(&h) == 0, "the child has something else");
	return NULL;
}

/* A child's own pages, with the parent's anon_vma above its own. */
static int moves_as_child(void *arg)
{
	char *src = arg, *dst;
	const char *what;

	close(kmod_fd);
	kmod_fd = kmod_open();
	dst = kmod_map_dst(PAGES);
	t_fill_range(src, PAGES, 50);
	what = moves(dst, src, PAGES, 50);
	if (what == NULL && madvise(dst, t_pages(PAGES), MADV_COLD) != 0)
		what = "MADV_COLD";
	return what == NULL ? 0 : 1;
}

static const char *in_child(void)
{
	char *src = kmod_map_src(PAGES, 1);

	MUST(t_in_child(moves_as_child, src) == 0, "the child cannot");
	return t_check_range(src, PAGES, 1);
}

static const char *shared_zero_page(void)
{
	char *src = t_map(1), *dst = kmod_map_dst(1);
	struct holder h;
	int64_t moved;
	int r;

	(void)*(volatile char *)src;
	h = hold(src, 0);
	r = kmod_remap(dst, src, 1, 0, &moved);
	RIGHT("move", ended(r, moved, 0, 1));
	MUST(let_look(&h) == 0, "the child");
	return t_check_zero(dst, 1);
}

/* ---- KSM ---- */

#define KSM "/sys/kernel/mm/ksm/"

/* Not by its flag, which some kernels show for all anonymous pages. */
static bool merged(const char *p)
{
	uint64_t entry;
	int i;

	for (i = 0; i < 100; i++) {
		entry = pagemap_of(p);
		if ((entry & PM_PRESENT) != 0 && (entry & PM_EXCLUSIVE) == 0)
			return true;
		t_sleep_ms(50 * t_slow() / 4 + 20);
	}
	return false;
}

static const char *merged_by_ksm(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	char *twin = kmod_map_src(PAGES, 1), was[16];
	const char *what;

	if (!t_read_file(KSM "run", was, sizeof(was)))
		return skip("no KSM");
	madvise(src, t_pages(PAGES), MADV_MERGEABLE);
	madvise(twin, t_pages(PAGES), MADV_MERGEABLE);
	t_write_file(KSM "pages_to_scan", "10000");
	t_write_file(KSM "sleep_millisecs", "10");
	t_write_file(KSM "run", "1");
	if (!merged(src) || !merged(src + t_pages(PAGES - 1)))
		return skip("KSM merges nothing");
	t_write_file(KSM "run", "0");
	RIGHT("merged", refuses(dst, src, PAGES, 1, -EBUSY));
	RIGHT("twin", t_check_range(twin, PAGES, 1));
	madvise(src, t_pages(PAGES), MADV_UNMERGEABLE);
	what = moves(dst, src, PAGES, 1);
	t_write_file(KSM "run", "2");
	t_write_file(KSM "run", was);
	return what;
}

/* ---- DMA ---- */

static const char *pinned(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	char text[64] = "written by the device";
	const char *why = NULL;
	struct t_pin *pin = t_pin(src + t_pages(3), t_pages(2), &why);
	int64_t moved;
	int r;

	if (pin == NULL)
		return skip(why);
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	RIGHT("up to it", ended(r, moved, -EAGAIN, 3));
	RIGHT("at it",
	      refuses(dst + t_pages(3), src + t_pages(3), 2, 4, -EBUSY));
	RIGHT("behind it", moves(dst + t_pages(5), src + t_pages(5), 3, 6));
	MUST(t_pin_write(pin, 100, text, sizeof(text)) == 0, "no DMA");
	MUST(memcmp(src + t_pages(3) + 100, text, sizeof(text)) == 0,
	     "the device has another page than the process");
	t_fill_range(src + t_pages(3), 2, 4);
	t_unpin(pin);
	RIGHT("let go", moves(dst + t_pages(3), src + t_pages(3), 2, 4));
	return t_check_range(dst, PAGES, 1);
}

/* A pin of a moment in another process's read of ours. */
static const char *read_by_others(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	char *copy = t_map(PAGES);
	struct iovec from = { src, t_pages(PAGES) };
	struct iovec to = { copy, t_pages(PAGES) };

	if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) !=
	    (ssize_t)t_pages(PAGES))
		return skip("no process_vm_readv");
	RIGHT("copy", t_check_range(copy, PAGES, 1));
	return moves(dst, src, PAGES, 1);
}

/* A reference that is not a pin: pipes give away what they hold. */
static const char *in_a_pipe(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1),
	     *copy = t_map(1);
	struct iovec from = { src, t_page() };
	int fd[2];

	if (pipe(fd) != 0 || vmsplice(fd[1], &from, 1, 0) != (ssize_t)t_page())
		return skip("no vmsplice");
	RIGHT("move", moves(dst, src, 1, 1));
	MUST(read(fd[0], copy, t_page()) == (ssize_t)t_page(), "short read");
	return t_check_range(copy, 1, 1);
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "EBUSY: shared with a child, also when it has gone",
		  shared_with_child },
		{ "made exclusive, the child keeps its page", made_exclusive },
		{ "EBUSY: behind pages that are not shared", partly_shared },
		{ "a child's own pages", in_child },
		{ "the zero page is shared with a child", shared_zero_page },
		{ "EBUSY: merged by KSM", merged_by_ksm },
		{ "EBUSY: pinned as a fixed buffer of io_uring", pinned },
		{ "read by process_vm_readv before", read_by_others },
		{ "in a pipe by vmsplice", in_a_pipe },
	};

	return kmod_main(tests, T_COUNT(tests));
}
