/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sweep.h"

#include <stdio.h>
#include <unistd.h>

/* In the order of how differently they are answered. */
static const int errors[] = { -EAGAIN, -EINVAL, -ENOMEM, -EPERM, -EEXIST,
			      -EBUSY,  -ENOENT, -EFAULT, -EINTR, -ENOSYS };
/* So many of them where a call fails more than once. */
#define LASTING 5

/* Calls that can fail, of an undisturbed run. */
static unsigned int total_of(unsigned int *count)
{
	unsigned int total = 0;

	for (int k = 0; k < FAKE_KINDS; k++) {
		count[k] = fake_count((enum fake_call)k);
		total += count[k];
	}
	return total;
}

static void run_once(const char *name, sweep_fn *run, void *arg,
		     struct fake_rule rule)
{
	const char *wrong;

	fake_behave();
	fake_forget_counts();
	fake_add(rule);
	wrong = run(arg);
	fake_behave();
	cr_expect(wrong == NULL, "%s, %s call %u (%u times) fails with %d: %s",
		  name, fake_call_name(rule.call), rule.nth, rule.times,
		  rule.error, wrong);
}

/* A few calls more than usual are made on the ways that failures open. */
#define MORE 6

/* From here on each call gets half of the errors, the next one the others. */
#define LONG 40

/*
 * How many places are passed over between two that are tried. On a machine that
 * is many times slower, such as a guest of the lab, they are a sample, another
 * one in each program; what fails there fails the same way everywhere.
 */
static unsigned int stride(void)
{
	return t_slow() > 1 ? t_slow() + 1 : 1;
}

static unsigned int first(void)
{
	return 1 + (unsigned int)getpid() % stride();
}

static void sweep_any(const char *name, sweep_fn *run, void *arg,
		      unsigned int total)
{
	size_t step = total > LONG ? 2 : 1;

	for (unsigned int nth = first(); nth <= total + MORE; nth += stride())
		for (size_t e = nth % step; e < T_COUNT(errors) + LASTING;
		     e += step)
			run_once(
				name, run, arg,
				(struct fake_rule){
					.call = FAKE_ANY,
					.nth = nth,
					.times = e < T_COUNT(errors) ? 1 : 3,
					.error = errors[e % T_COUNT(errors)] });
}

static void sweep_kind(const char *name, sweep_fn *run, void *arg,
		       enum fake_call kind, unsigned int count)
{
	for (unsigned int nth = first(); nth <= count; nth += stride())
		for (size_t e = 0; e < LASTING; e++)
			run_once(name, run, arg,
				 (struct fake_rule){ .call = kind,
						     .nth = nth,
						     .times = FAKE_EVER,
						     .error = errors[e] });
}

void sweep(const char *name, sweep_fn *run, void *arg)
{
	unsigned int count[FAKE_KINDS], total;
	const char *wrong;

	fake_behave();
	/* Twice: what is made once and kept is not of the operation. */
	for (int i = 0; i < 2; i++) {
		fake_forget_counts();
		wrong = run(arg);
		cr_assert(wrong == NULL, "%s, undisturbed: %s", name, wrong);
	}
	total = total_of(count);
	cr_assert(total > 0, "%s makes no system call", name);
	sweep_any(name, run, arg, total);
	for (int k = FAKE_NONE + 1; k < FAKE_KINDS; k++)
		sweep_kind(name, run, arg, (enum fake_call)k, count[k]);
}

bool sweep_stuck(void)
{
	return fake_injected(FAKE_DISCARD) >= (t_can_drop_locked() ? 4 : 3);
}

bool sweep_known_error(int rc)
{
	switch (rc) {
	case 0:
	case -EINVAL:
	case -ENOENT:
	case -EEXIST:
	case -EBUSY:
	case -EAGAIN:
	case -ENOMEM:
	case -EFAULT:
	case -EINTR:
	case -EOPNOTSUPP:
	case -EIO:
		return true;
	default:
		return false;
	}
}

const char *sweep_lost(const struct sweep_place *places, size_t n, size_t ids,
		       size_t hole)
{
	struct t_census census;
	const char *wrong;

	t_census_open(&census, ids);
	for (size_t i = 0; i < n; i++)
		if (places[i].addr)
			t_census_take(&census, places[i].addr, places[i].pages);
	if (hole && census.found[hole] == 0)
		census.found[hole] = 1;
	wrong = t_census_verdict(&census);
	t_census_close(&census);
	return wrong;
}
