/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that a userfaultfd has write-protected stay so where dst is registered
 * with one that can lift it; elsewhere nobody ever would, and they are
 * writable.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "kmod.h"
#include "rawuffd.h"

#define UNIT (KMOD_HUGE / t_page())

/* Pages at src, whatever they are, and room for them. */
struct sides {
	int uffd;
	char *src;
	char *dst;
	size_t pages;
};

static struct sides small(void)
{
	return (struct sides){ kmod_wp_open(), t_map(4), t_map(4), 4 };
}

static struct sides huge(void)
{
	return (struct sides){ kmod_wp_open(),
			       t_map_at(UNIT, KMOD_HUGE, 0, true),
			       t_map_at(UNIT, KMOD_HUGE, 0, true), UNIT };
}

/* Read and not written: the zero page, or the huge one. */
static void read_in(const struct sides *s)
{
	size_t i;

	for (i = 0; i < s->pages; i++)
		(void)*(volatile char *)(s->src + t_pages(i));
}

static bool registered(const struct sides *s, char *side)
{
	return t_uffd_register_wp(s->uffd, side, t_pages(s->pages)) == 0;
}

/* Moves them, protected, and says how many are at dst. */
static const char *move_protected(const struct sides *s, size_t *left)
{
	int64_t moved;
	int r;

	if (kmod_protect(s->uffd, s->src, s->pages) != 0)
		t_die("UFFDIO_WRITEPROTECT");
	MUST(count_bits(s->src, s->pages, PM_WP) == s->pages,
	     "not protected to begin with");
	r = kmod_remap(s->dst, s->src, s->pages, 0, &moved);
	*left = count_bits(s->dst, s->pages, PM_WP);
	return wrong_at("move", ended(r, moved, 0, (int64_t)s->pages));
}

static const char *stays(struct sides s, uint64_t first_id)
{
	size_t left;

	if (kmod_way() == KMOD_MOVE)
		return skip("UFFDIO_MOVE loses write protection");
	if (s.uffd < 0 || !registered(&s, s.src) || !registered(&s, s.dst))
		return skip("no userfaultfd");
	if (first_id != 0)
		t_fill_range(s.src, s.pages, first_id);
	else
		read_in(&s);
	RIGHT("protected", move_protected(&s, &left));
	MUST(left == s.pages, "%zu of %zu are protected", left, s.pages);
	return first_id != 0 ? t_check_range(s.dst, s.pages, first_id)
			     : t_check_zero(s.dst, s.pages);
}

static const char *ends(struct sides s, uint64_t first_id)
{
	size_t left;

	if (s.uffd < 0 || !registered(&s, s.src))
		return skip("no userfaultfd");
	if (kmod_way() != KMOD_MODULE &&
	    t_uffd_register_missing(kmod_fd, s.dst, t_pages(s.pages)) != 0)
		t_die("registering");
	if (first_id != 0)
		t_fill_range(s.src, s.pages, first_id);
	else
		read_in(&s);
	RIGHT("protected", move_protected(&s, &left));
	MUST(left == 0, "%zu of %zu are protected", left, s.pages);
	alarm(10 * t_slow());
	t_fill_range(s.dst, s.pages, 5000);
	return t_check_range(s.dst, s.pages, 5000);
}

static const char *small_stays(void)
{
	return stays(small(), 1);
}

static const char *small_ends(void)
{
	return ends(small(), 1);
}

static const char *zero_stays(void)
{
	return stays(small(), 0);
}

static const char *zero_ends(void)
{
	return ends(small(), 0);
}

static const char *huge_stays(void)
{
	return stays(huge(), 1);
}

static const char *huge_ends(void)
{
	return ends(huge(), 1);
}

static const char *huge_zero_stays(void)
{
	return stays(huge(), 0);
}

static const char *huge_zero_ends(void)
{
	return ends(huge(), 0);
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "write-protected, into a registered range", small_stays },
		{ "write-protected, into any other range", small_ends },
		{ "the zero page, into a registered range", zero_stays },
		{ "the zero page, into any other range", zero_ends },
		{ "a huge page, into a registered range", huge_stays },
		{ "a huge page, into any other range", huge_ends },
		{ "the huge zero page, into a registered range",
		  huge_zero_stays },
		{ "the huge zero page, into any other range", huge_zero_ends },
	};

	return kmod_main(tests, T_COUNT(tests));
}
