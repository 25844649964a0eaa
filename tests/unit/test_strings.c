/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <pagemv/pagemv.h>

#include "policy.h"

Test(strings, every_reason_has_its_own_text)
{
	const char *unknown = pagemv_reason_string(PAGEMV_REASON_COUNT);

	for (int i = 0; i < PAGEMV_REASON_COUNT; i++) {
		const char *text = pagemv_reason_string((enum pagemv_reason)i);

		cr_assert(text != NULL && *text != '\0', "reason %d", i);
		cr_expect(strcmp(text, unknown) != 0, "reason %d", i);
		for (int j = 0; j < i; j++)
			cr_expect(strcmp(text,
					 pagemv_reason_string(
						 (enum pagemv_reason)j)) != 0,
				  "reasons %d and %d", i, j);
	}
}

Test(strings, unknown_reasons_have_text_too)
{
	cr_expect(pagemv_reason_string(PAGEMV_REASON_COUNT) != NULL);
	cr_expect(pagemv_reason_string((enum pagemv_reason)1000000) != NULL);
	cr_expect(pagemv_reason_string((enum pagemv_reason) - 1) != NULL);
}

Test(strings, every_errno_of_a_reason_has_text)
{
	const char *unknown = pagemv_strerror(12345);

	for (int i = 0; i < PAGEMV_REASON_COUNT; i++) {
		int err = pmv_reason_errno((enum pagemv_reason)i);

		cr_expect(strcmp(pagemv_strerror(err), unknown) != 0,
			  "errno %d", err);
	}
	cr_expect(strcmp(pagemv_strerror(-E2BIG), unknown) != 0);
	cr_expect(strcmp(pagemv_strerror(-EMFILE), unknown) != 0);
	cr_expect(strcmp(pagemv_strerror(-ENFILE), unknown) != 0);
}

Test(strings, an_errno_may_have_either_sign)
{
	cr_expect(strcmp(pagemv_strerror(-EBUSY), pagemv_strerror(EBUSY)) == 0);
	cr_expect(strcmp(pagemv_strerror(0), pagemv_strerror(-EBUSY)) != 0);
	cr_expect(pagemv_strerror(-2147483647) != NULL);
	cr_expect(pagemv_strerror(-2147483647 - 1) != NULL);
}

Test(strings, mechanisms_have_names)
{
	cr_expect_str_eq(pagemv_mechanism_name(PAGEMV_MECH_AUTO), "auto");
	cr_expect_str_eq(pagemv_mechanism_name(PAGEMV_MECH_MOVE), "move");
	cr_expect_str_eq(pagemv_mechanism_name(PAGEMV_MECH_REMAP), "remap");
	cr_expect_str_eq(pagemv_mechanism_name(PAGEMV_MECH_COPY), "copy");
	cr_expect_str_eq(pagemv_mechanism_name(PAGEMV_MECH_COUNT), "unknown");
	cr_expect_str_eq(pagemv_mechanism_name((enum pagemv_mechanism)99),
			 "unknown");
}

Test(strings, the_version_is_three_numbers)
{
	int a, b, c, n = 0;

	cr_expect(sscanf(pagemv_version(), "%d.%d.%d%n", &a, &b, &c, &n) == 3);
	cr_expect(pagemv_version()[n] == '\0');
}
