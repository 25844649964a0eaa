/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Options that are refused, and mechanisms that are not to be had: nothing is
 * touched.
 */
#include "live.h"

struct bad_options {
	const char *name;
	struct pagemv_move_opts opts;
};

static void expect_bad_options(const char *name,
			       const struct pagemv_move_opts *opts, int error)
{
	struct pagemv *pv = t_open(T_NORMAL);
	char *heap = t_map(2), *src = t_map(2);
	struct pagemv_result res;
	int r;

	t_register(pv, heap, 2);
	t_fill_range(src, 2, 1);
	memset(&res, 0xa5, sizeof(res));
	r = pagemv_move(pv, heap, src, t_pages(2), opts, &res);
	cr_expect_eq(r, error, "%s: returned %d", name, r);
	cr_expect_eq(res.reason, PAGEMV_REASON_BAD_OPTIONS, "%s: reason %s",
		     name, pagemv_reason_string(res.reason));
	cr_expect_eq(res.left_bytes, t_pages(2), "%s: left_bytes", name);
	cr_expect_eq(res.error, r, "%s: error", name);
	cr_expect_null(t_check_range(src, 2, 1), "%s: src changed", name);
	cr_expect_null(t_check_absent(heap, 2), "%s: dst changed", name);
	pagemv_close(pv);
}

#define OPTS(...)                                                    \
	{                                                            \
		.size = sizeof(struct pagemv_move_opts), __VA_ARGS__ \
	}

Test(options, unknown_options)
{
	static const struct bad_options bad[] = {
		{ "flag 6", OPTS(.flags = PAGEMV_MOVE_FLAGS_ALL + 1) },
		{ "flag 31", OPTS(.flags = 1u << 31) },
		{ "mechanism count", OPTS(.mechanism = PAGEMV_MECH_COUNT) },
		{ "mechanism -1", OPTS(.mechanism = UINT32_MAX) },
		{ "busy count", OPTS(.busy = PAGEMV_BUSY_COUNT) },
		{ "reserved", OPTS(.reserved = 1) },
		{ "size 0", { .size = 0 } },
	};
	size_t i;

	for (i = 0; i < T_COUNT(bad); i++)
		expect_bad_options(bad[i].name, &bad[i].opts, -EINVAL);
}

Test(options, keep_head_outside_relocate)
{
	const struct pagemv_move_opts opts =
		OPTS(.flags = PAGEMV_MOVE_KEEP_HEAD);

	expect_bad_options("KEEP_HEAD", &opts, -EINVAL);
}

Test(options, options_of_a_newer_library)
{
	struct {
		struct pagemv_move_opts known;
		uint64_t unknown[2];
	} opts = { .known = { .size = sizeof(opts) } };
	struct pagemv *pv = t_open(T_NORMAL);
	char *heap = t_map(1), *src = t_map(1);

	opts.unknown[1] = 1;
	expect_bad_options("unknown tail", &opts.known, -E2BIG);
	opts.unknown[1] = 0;
	t_register(pv, heap, 1);
	t_fill(src, 1, 1);
	cr_expect_eq(pagemv_move(pv, heap, src, t_page(), &opts.known, NULL), 0,
		     "an unknown tail of zeros is fine");
	cr_expect_null(t_check(heap, 1, 1));
	pagemv_close(pv);
}

Test(options, remap_without_leave_to_break_mappings_apart)
{
	const struct pagemv_move_opts opts =
		OPTS(.mechanism = PAGEMV_MECH_REMAP);
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAY_BIT(T_REMAP));
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 2), *src = t_case_map(&c, 2);

		t_fill_range(src, 2, 1);
		r = pagemv_move(c.pv, heap, src, t_pages(2), &opts, &res);
		t_expect_stopped(&c, r, &res, t_pages(2), -EOPNOTSUPP,
				 PAGEMV_REASON_LAYOUT, 0);
		T_RIGHT(&c, t_check_range(src, 2, 1), "src");
	}
	if (c.tried == 0)
		cr_skip("mremap does not move pages on this kernel");
}

Test(options, a_forced_mechanism_that_is_not_available)
{
	static const struct {
		uint32_t mech;
		enum t_variant_id variant;
		enum pagemv_reason reason;
	} cases[] = {
		{ PAGEMV_MECH_MOVE, T_NO_MOVE, PAGEMV_REASON_DISABLED },
		{ PAGEMV_MECH_MOVE, T_NO_UFFD, PAGEMV_REASON_DISABLED },
	};
	struct pagemv_result res;
	size_t i;
	int r;

	for (i = 0; i < T_COUNT(cases); i++) {
		const struct pagemv_move_opts opts =
			OPTS(.mechanism = cases[i].mech);
		struct pagemv_caps caps = { .size = sizeof(caps) };
		struct pagemv *pv = t_open(cases[i].variant);
		char *heap = t_map(2), *src = t_map(2);

		t_register(pv, heap, 2);
		t_fill_range(src, 2, 1);
		r = pagemv_move(pv, heap, src, t_pages(2), &opts, &res);
		cr_expect_eq(r, -EOPNOTSUPP, "case %zu: %d", i, r);
		cr_assert_eq(pagemv_caps(pv, &caps), 0);
		cr_expect_eq(
			res.reason, caps.mech[cases[i].mech].reason,
			"case %zu: move says %s, caps says %s", i,
			pagemv_reason_string(res.reason),
			pagemv_reason_string(caps.mech[cases[i].mech].reason));
		cr_expect_null(t_check_range(src, 2, 1));
		pagemv_close(pv);
	}
}
