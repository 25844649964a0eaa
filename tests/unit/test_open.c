/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sweep.h"
#include "slow.h"

#include <stdio.h>
#include <sys/mman.h>

/* ---- options ---- */

struct known {
	size_t size;
	uint32_t a, b;
};

static int copy(struct known *to, const void *from)
{
	memset(to, 0, sizeof(*to));
	return pmv_opts_copy(to, sizeof(*to), from);
}

Test(open, options_of_the_same_size_are_copied)
{
	struct known from = { sizeof(from), 5, 6 }, to;

	cr_expect(copy(&to, &from) == 0);
	cr_expect(to.a == 5 && to.b == 6);
}

Test(open, shorter_options_are_filled_up_with_zeros)
{
	struct known from = { offsetof(struct known, b), 5, 6 }, to;

	cr_expect(copy(&to, &from) == 0);
	cr_expect(to.a == 5 && to.b == 0);
	from.size = sizeof(size_t);
	cr_expect(copy(&to, &from) == 0);
	cr_expect(to.a == 0 && to.b == 0);
}

Test(open, longer_options_must_end_in_zeros)
{
	struct {
		struct known known;
		unsigned char more[104]; /* no padding behind it */
	} from = { { sizeof(from), 5, 6 }, { 0 } };
	struct known to;

	cr_expect(copy(&to, &from) == 0);
	cr_expect(to.a == 5 && to.b == 6);
	for (size_t i = 0; i < sizeof(from.more); i++) {
		from.more[i] = 1;
		cr_expect(copy(&to, &from) == -E2BIG, "byte %zu", i);
		from.more[i] = 0;
	}
}

Test(open, a_size_that_does_not_hold_itself_is_refused)
{
	struct known from = { 0, 5, 6 }, to;

	for (size_t size = 0; size < sizeof(size_t); size++) {
		from.size = size;
		cr_expect(copy(&to, &from) == -EINVAL, "%zu", size);
	}
}

static int try_open(const struct pagemv_open_opts *opts)
{
	struct pagemv *pv = (struct pagemv *)&pv;
	struct pagemv *untouched = pv;
	int rc = pmv_open_with(&pv, opts, &fake_sys);

	if (rc == 0)
		pagemv_close(pv);
	else
		cr_expect(pv == untouched, "out is untouched on error");
	return rc;
}

Test(open, options_are_checked)
{
	const struct pagemv_open_opts good = { .size = sizeof(good) };
	struct pagemv_open_opts o;

	cr_expect(try_open(NULL) == 0);
	cr_expect(try_open(&good) == 0);
	o = good, o.flags = PAGEMV_OPEN_FLAGS_ALL + 1;
	cr_expect(try_open(&o) == -EINVAL);
	o = good, o.disabled = PAGEMV_MECH_BIT(PAGEMV_MECH_AUTO);
	cr_expect(try_open(&o) == -EINVAL);
	o = good, o.disabled = PAGEMV_MECH_BIT(PAGEMV_MECH_COUNT);
	cr_expect(try_open(&o) == -EINVAL);
	o = good, o.trusted = PAGEMV_QUIRKS_ALL + 1;
	cr_expect(try_open(&o) == -EINVAL);
	o = good, o.distrusted = PAGEMV_QUIRKS_ALL + 1;
	cr_expect(try_open(&o) == -EINVAL);
	o = good, o.trusted = o.distrusted = PAGEMV_QUIRK_SWAP;
	cr_expect(try_open(&o) == -EINVAL);
	o = good, o.size = 3;
	cr_expect(try_open(&o) == -EINVAL);
	cr_expect(pmv_open_with(NULL, NULL, &fake_sys) == -EINVAL);
	cr_expect(fake_open_fds() == 0 && fake_mapped_bytes() == 0);
}

Test(open, errno_is_left_alone)
{
	errno = 4711;
	cr_expect(try_open(NULL) == 0);
	cr_expect(errno == 4711);
	fake_refuse(FAKE_MMAP, -ENOMEM);
	cr_expect(try_open(NULL) == -ENOMEM);
	cr_expect(errno == 4711);
}

Test(open, a_handle_gives_back_all_it_took)
{
	struct pagemv *pv = scene_handle(NULL);

	cr_expect(fake_open_fds() <= 3, "at most three descriptors");
	cr_expect(fake_mapped_bytes() <= t_page());
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 0 && fake_mapped_bytes() == 0);
	pagemv_close(NULL);
}

Test(open, two_handles_are_independent)
{
	struct scene a = scene_open(4, NULL);
	struct pagemv *other = scene_handle(NULL);
	struct pagemv_result res;

	/* The other one has no region there. */
	cr_expect(pagemv_move(other, a.heap, a.src, t_pages(4), NULL, &res) <
		  0);
	EXPECT_RIGHT(t_check_range(a.src, 4, 1));
	pagemv_close(other);
	cr_expect(scene_move(&a, 0, &res) == 0);
	EXPECT_RIGHT(t_check_range(a.heap, 4, 1));
	scene_close(&a);
}

/* ---- caps ---- */

Test(open, caps_are_written_as_far_as_the_caller_knows)
{
	struct pagemv *pv = scene_handle(NULL);
	struct {
		struct pagemv_caps caps;
		unsigned char more[64];
	} big;
	struct pagemv_caps caps;

	memset(&big, 0xa5, sizeof(big));
	big.caps.size = sizeof(big);
	cr_expect(pagemv_caps(pv, &big.caps) == 0);
	cr_expect(big.caps.size == sizeof(big));
	for (size_t i = 0; i < sizeof(big.more); i++)
		cr_expect(big.more[i] == 0xa5);
	memset(&caps, 0xa5, sizeof(caps));
	caps.size = offsetof(struct pagemv_caps, uffd_features);
	cr_expect(pagemv_caps(pv, &caps) == 0);
	cr_expect(caps.facilities == big.caps.facilities);
	cr_expect(caps.uffd_features == 0xa5a5a5a5a5a5a5a5u);
	caps.size = 0;
	cr_expect(pagemv_caps(pv, &caps) == -EINVAL);
	cr_expect(pagemv_caps(pv, NULL) == -EINVAL);
	cr_expect(pagemv_caps(NULL, &big.caps) == -EINVAL);
	pagemv_close(pv);
}

Test(open, caps_tell_the_costs)
{
	struct pagemv_caps caps = { .size = sizeof(caps) };
	struct pagemv *pv = scene_handle(NULL);

	cr_assert(pagemv_caps(pv, &caps) == 0);
	for (int m = PAGEMV_MECH_MOVE; m < PAGEMV_MECH_COUNT; m++) {
		cr_expect(caps.mech[m].call_ns ==
			  pmv_default_costs.mech[m].call_ns);
		cr_expect(!caps.mech[m].calibrated);
		cr_expect(caps.mech[m].available ==
			  (caps.mech[m].reason == PAGEMV_REASON_NONE));
	}
	cr_expect_str_eq(caps.kernel_release, "6.18.44");
	cr_expect(caps.page_bytes == t_page());
	pagemv_close(pv);
}

/* ---- forked ---- */

static int use_in_child(void *arg)
{
	struct scene *s = arg;
	struct pagemv_caps caps = { .size = sizeof(caps) };
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct pagemv_region *region;
	struct pagemv_result res;
	enum pagemv_reason why;

	if (scene_move(s, 0, &res) != -ESRCH ||
	    res.reason != PAGEMV_REASON_FORKED ||
	    res.left_bytes != t_pages(s->pages))
		return 1;
	if (pagemv_exchange(s->pv, s->heap, s->heap + t_page(), t_page(), NULL,
			    &res) != -ESRCH)
		return 2;
	if (pagemv_relocate(s->pv, s->heap, s->src, 10, NULL, &res) != -ESRCH)
		return 3;
	if (pagemv_caps(s->pv, &caps) != -ESRCH ||
	    pagemv_stats(s->pv, &stats) != -ESRCH ||
	    pagemv_calibrate(s->pv) != -ESRCH)
		return 4;
	if (pagemv_region_register(s->pv, s->src, t_page(), NULL, &region,
				   &why) != -ESRCH ||
	    why != PAGEMV_REASON_FORKED)
		return 5;
	if (pagemv_region_unregister(s->region) != -ESRCH)
		return 6;
	if (t_check_range(s->src, s->pages, 1))
		return 7;
	pagemv_close(s->pv);
	return 0;
}

static void expect_forked_handle_refuses(void)
{
	struct scene s = scene_open(4, NULL);
	struct pagemv_result res;
	int status = t_in_child(use_in_child, &s);

	cr_expect(status == 0, "step %d", status);
	cr_expect(scene_move(&s, 0, &res) == 0, "the parent goes on");
	EXPECT_RIGHT(t_check_range(s.heap, 4, 1));
	scene_close(&s);
}

Test(open, a_forked_handle_refuses)
{
	expect_forked_handle_refuses();
}

Test(open, a_forked_handle_refuses_without_wipeonfork_as_well)
{
	struct pagemv *pv;

	fake_refuse(FAKE_ADVISE, -EINVAL);
	pv = scene_handle(NULL);
	cr_expect(pv->alive == NULL);
	cr_expect(fake_mapped_bytes() == 0);
	pagemv_close(pv);
	expect_forked_handle_refuses();
}

/* ---- every call fails ---- */

static bool documented(int rc)
{
	return rc == -EINVAL || rc == -E2BIG || rc == -ENOMEM ||
	       rc == -EMFILE || rc == -ENFILE || rc == -EIO;
}

/* Moves with whatever the handle found. */
static const char *use(struct pagemv *pv, char *heap, char *src)
{
	struct pagemv_region *region;
	struct pagemv_result res;
	struct pagemv_caps caps = { .size = sizeof(caps) };
	int rc;

	if (pagemv_caps(pv, &caps) != 0)
		return "no caps";
	for (int m = PAGEMV_MECH_MOVE; m < PAGEMV_MECH_COUNT; m++)
		if (caps.mech[m].available == (caps.mech[m].reason != 0))
			return "unavailable without a reason, or the reverse";
	if (pagemv_region_register(pv, heap, t_pages(4), NULL, &region, NULL) !=
	    0)
		return "no region";
	rc = pagemv_move(pv, heap, src, t_pages(4), NULL, &res);
	if (result_wrong(rc, &res, t_pages(4)))
		return result_wrong(rc, &res, t_pages(4));
	if (rc != 0 && rc != -EOPNOTSUPP)
		return "nothing moves, and not for want of a mechanism";
	return pages_wrong(heap, src, 4, &res);
}

static const char *open_wrong(void *arg)
{
	struct scene *s = arg;
	struct pagemv *pv = NULL;
	const char *wrong = NULL;
	int rc;

	t_drop(s->heap, 4);
	t_fill_range(s->src, 4, 1);
	rc = pmv_open_with(&pv, NULL, &fake_sys);
	fake_behave();
	if (rc != 0 && !documented(rc))
		wrong = "not an error of pagemv_open()";
	if (rc == 0) {
		wrong = use(pv, s->heap, s->src);
		pagemv_close(pv);
	}
	if (wrong)
		return wrong;
	if (fake_open_fds() != 0)
		return "descriptors leak";
	if (fake_mapped_bytes() != 0 && !fake_injected(FAKE_MUNMAP))
		return "mappings leak";
	while (fake_mapped_bytes() != 0)
		fake_reset();
	return NULL;
}

Test(open, whatever_fails_it_works_or_fails_cleanly, .timeout = 60)
{
	struct scene s = { .heap = t_map(4), .src = t_map(4) };

	sweep("open", open_wrong, &s);
}

Test(open, whatever_fails_with_the_companion_it_works_or_fails_cleanly,
     .timeout = 60)
{
	struct scene s = { .heap = t_map(4), .src = t_map(4) };

	fake_companion(true);
	sweep("open with the companion", open_wrong, &s);
}
