/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Filling pages when system calls fail: whatever fails, a page that is there is
 * the right one, one that is not can be filled afterwards, and nothing is left
 * claimed. By pagemv_populate(), which takes the way that faults take. How
 * faults arrive: tests/live/test_fault.c, test_sigbus.c, test_handlers.c.
 */
#include "fault.h"

#include <sys/mman.h>
#include <unistd.h>

#include "region.h"
#include "slow.h"
#include "sweep.h"

#define PAGES 12

struct setting {
	struct pagemv *pv;
	struct pagemv_region *region;
	char *heap;
	char *src; /* of a range, or what a callback copies from */
	uint32_t source;
};

/* Real ones, as a played userfaultfd does not know absent pages. */
static struct pagemv *need_faults(void)
{
	struct pagemv *pv;

	if (!fake_is_real())
		cr_skip("userfaultfd is played here");
	pv = scene_handle(NULL);
	if (!pmv_has(pv, PAGEMV_HAS_FAULTS))
		cr_skip("userfaultfd is played here");
	return pv;
}

static int copy_pages(void *arg, const struct pagemv_fill *f)
{
	const struct setting *s = arg;

	memcpy(f->scratch, s->src + f->off_bytes, f->len_bytes);
	return 0;
}

/* The pages of src, as a file. */
static int make_file(const struct setting *s)
{
	int fd = t_temp_file();

	cr_assert(write(fd, s->src, t_pages(PAGES)) == (ssize_t)t_pages(PAGES));
	return fd;
}

static void set_up(struct setting *s, uint32_t source, uint32_t around)
{
	struct pagemv_region_opts opts = {
		.size = sizeof(opts),
		.flags = PAGEMV_REGION_FAULTING | PAGEMV_REGION_AROUND_FIXED,
		.source = source,
		.around_pages = around,
		.arg = s,
	};

	*s = (struct setting){ .pv = need_faults(), .source = source };
	s->heap = t_map(PAGES);
	s->src = t_map(PAGES);
	t_fill_range(s->src, PAGES, 1);
	if (source == PAGEMV_SOURCE_CALLBACK)
		opts.fill = copy_pages;
	if (source == PAGEMV_SOURCE_RANGE)
		opts.src_off_bytes = s->src - s->heap;
	if (source == PAGEMV_SOURCE_FILE)
		opts.fd = make_file(s);
	cr_assert(pagemv_region_register(s->pv, s->heap, t_pages(PAGES), &opts,
					 &s->region, NULL) == 0);
}

static void tear_down(struct setting *s)
{
	fake_behave();
	cr_expect(pagemv_region_unregister(s->region) == 0);
	pagemv_close(s->pv);
	cr_expect(fake_open_fds() == 0);
	cr_expect(fake_mapped_bytes() == 0);
	t_unmap(s->heap, PAGES);
	t_unmap(s->src, PAGES);
}

/* Whether page i at addr is what the source has for it. */
static bool is_right(const struct setting *s, const char *addr, size_t i)
{
	if (s->source == PAGEMV_SOURCE_ZERO)
		return !t_check_zero(addr + t_pages(i), 1);
	return !t_check(addr + t_pages(i), i + 1, 1);
}

/* Each page is there and right, or absent; of a range, then at its source. */
static const char *pages_are_wrong(const struct setting *s, bool all)
{
	for (size_t i = 0; i < PAGES; i++) {
		if (t_present(s->heap + t_pages(i))) {
			if (!is_right(s, s->heap, i))
				return "a page is not the right one";
			if (s->source == PAGEMV_SOURCE_RANGE &&
			    t_present(s->src + t_pages(i)))
				return "a page is at both places";
		} else if (all) {
			return "a page is missing";
		} else if (!is_right(s, s->src, i) &&
			   s->source != PAGEMV_SOURCE_ZERO) {
			return "a page is nowhere";
		}
	}
	return NULL;
}

/* What read() says is passed on. */
static bool is_known(const struct setting *s, int rc)
{
	return rc == -EIO || sweep_known_error(rc) ||
	       s->source == PAGEMV_SOURCE_FILE;
}

/* Fills all pages: with failing calls, and then without. */
static const char *fill_all(void *arg)
{
	struct setting *s = arg;
	const char *wrong;
	size_t filled;
	int rc;

	t_drop(s->heap, PAGES);
	t_fill_range(s->src, PAGES, 1);
	rc = pagemv_populate(s->pv, s->heap, t_pages(PAGES), &filled);
	fake_behave();
	if (!is_known(s, rc))
		return "an error that is not documented";
	wrong = pages_are_wrong(s, rc == 0);
	if (wrong)
		return wrong;
	rc = pagemv_populate(s->pv, s->heap, t_pages(PAGES), &filled);
	if (rc < 0)
		return "it does not fill the rest afterwards";
	if (atomic_load(&s->region->users))
		return "the region is held";
	return pages_are_wrong(s, true);
}

static void sweep_source(const char *name, uint32_t source)
{
	struct setting s;

	for (uint32_t around = 1; around <= 8; around *= 8) {
		set_up(&s, source, around);
		sweep(name, fill_all, &s);
		tear_down(&s);
	}
}

Test(fault, zeros_survive_failing_calls)
{
	sweep_source("zeros", PAGEMV_SOURCE_ZERO);
}

Test(fault, callbacks_survive_failing_calls)
{
	sweep_source("a callback", PAGEMV_SOURCE_CALLBACK);
}

Test(fault, ranges_survive_failing_calls)
{
	sweep_source("a range", PAGEMV_SOURCE_RANGE);
}

Test(fault, files_survive_failing_calls)
{
	sweep_source("a file", PAGEMV_SOURCE_FILE);
}

/* ---- one by one ---- */

static int populate(const struct setting *s, size_t page)
{
	return pagemv_populate(s->pv, s->heap + t_pages(page), 1, NULL);
}

Test(fault, a_page_of_scratch_that_cannot_be_moved_is_copied)
{
	static const int errors[] = { -EBUSY, -EINVAL, -ENOENT };
	struct setting s;

	set_up(&s, PAGEMV_SOURCE_CALLBACK, 1);
	for (size_t i = 0; i < T_COUNT(errors); i++) {
		fake_fail(FAKE_MOVE, 1, errors[i]);
		fake_forget_counts();
		cr_expect(populate(&s, i) == 0, "after %d", errors[i]);
		cr_expect(fake_count(FAKE_COPY) == 1);
		cr_expect(is_right(&s, s.heap, i));
		fake_behave();
	}
	tear_down(&s);
}

Test(fault, what_the_kernel_did_not_count_is_there)
{
	struct setting s;

	set_up(&s, PAGEMV_SOURCE_CALLBACK, 8);
	/* All moved, and EEXIST for an answer. */
	fake_add((struct fake_rule){
		.call = FAKE_MOVE, .really = t_pages(8), .error = -EEXIST });
	cr_expect(populate(&s, 0) == 0);
	for (size_t i = 0; i < 8; i++)
		cr_expect(is_right(&s, s.heap, i), "page %zu", i);
	/* Four moved, and one told. */
	fake_add((struct fake_rule){ .call = FAKE_MOVE,
				     .really = t_pages(3),
				     .error = -EAGAIN,
				     .tell = true,
				     .told = (int64_t)t_pages(1) });
	cr_expect(populate(&s, 8) == 0);
	for (size_t i = 8; i < PAGES; i++)
		cr_expect(is_right(&s, s.heap, i), "page %zu", i);
	tear_down(&s);
}

Test(fault, mappings_that_keep_changing_end_populate_but_not_for_ever)
{
	struct setting s;

	set_up(&s, PAGEMV_SOURCE_ZERO, 1);
	fake_refuse(FAKE_ZERO, -EAGAIN);
	cr_expect(populate(&s, 0) == -EAGAIN);
	cr_expect(fake_slept_ns() > 10000000, "it waits in between");
	fake_behave();
	cr_expect(populate(&s, 0) == 0);
	tear_down(&s);
}

Test(fault, an_address_of_nobody_is_foreign)
{
	struct setting s;
	int error = 7;

	set_up(&s, PAGEMV_SOURCE_ZERO, 1);
	cr_expect(pmv_fault(s.pv, (uintptr_t)s.src, &error) ==
		  PMV_FAULT_FOREIGN);
	cr_expect(error == 0);
	tear_down(&s);
}
