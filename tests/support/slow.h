/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Time limits for slow machines, such as the lab's guests: PMV_SLOW=10 makes
 * all limits that Criterion's tests set ten times as long. Include it once in a
 * program.
 */
#ifndef TESTS_SUPPORT_SLOW_H
#define TESTS_SUPPORT_SLOW_H

#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include "t.h"

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
	double slow = (double)t_slow();

	FOREACH_SET (struct criterion_suite_set *suite, set->suites) {
		if (suite->suite.data != NULL)
			suite->suite.data->timeout *= slow;
		FOREACH_SET (struct criterion_test *test, suite->tests)
			test->data->timeout *= slow;
	}
}

#endif /* TESTS_SUPPORT_SLOW_H */
