/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quirks.h"

#include <criterion/criterion.h>

#include <pagemv/caps.h>

#include "t.h"

#define MISCOUNT   PAGEMV_QUIRK_MISCOUNT
#define HUGE_MOVE  PAGEMV_QUIRK_HUGE_MOVE
#define HUGE_PAGES PAGEMV_QUIRK_HUGE_PAGES
#define SWAP	   PAGEMV_QUIRK_SWAP
#define ZERO_PAGE  PAGEMV_QUIRK_ZERO_PAGE

static uint32_t quirks_of(const char *release)
{
	return pmv_quirks_of(pmv_release_parse(release));
}

Test(quirks, releases_are_parsed)
{
	static const struct {
		const char *text;
		struct pmv_release is;
	} cases[] = {
		{ "6.12.9-amd64", { 6, 12, 9 } },
		{ "6.18.44-local1", { 6, 18, 44 } },
		{ "7.0-rc3", { 7, 0, 0 } },
		{ "7.0.0-rc3+", { 7, 0, 0 } },
		{ "6.8.0-31-generic", { 6, 8, 0 } },
		{ "5.15.153.1-microsoft-standard-WSL2", { 5, 15, 153 } },
		{ "4.19", { 4, 19, 0 } },
		{ "6", { 6, 0, 0 } },
		{ "6.", { 6, 0, 0 } },
		{ "6.x.7", { 6, 0, 0 } },
		{ "", { 0, 0, 0 } },
		{ "next-20260101", { 0, 0, 0 } },
		{ "6.1.0-13-amd64 extra", { 6, 1, 0 } },
		{ "10.20.300", { 10, 20, 300 } },
	};

	for (size_t i = 0; i < T_COUNT(cases); i++) {
		struct pmv_release r = pmv_release_parse(cases[i].text);

		cr_expect(r.major == cases[i].is.major &&
				  r.minor == cases[i].is.minor &&
				  r.patch == cases[i].is.patch,
			  "\"%s\": %u.%u.%u", cases[i].text, r.major, r.minor,
			  r.patch);
	}
}

/* Both sides of every border of the table. */
Test(quirks, each_border_is_where_the_fix_is)
{
	static const struct {
		const char *release;
		uint32_t quirks;
	} cases[] = {
		{ "6.7.99", 0 },
		{ "6.8.0", HUGE_MOVE | HUGE_PAGES | SWAP | ZERO_PAGE },
		{ "6.8.7", HUGE_MOVE | HUGE_PAGES | SWAP | ZERO_PAGE },
		{ "6.8.8", HUGE_PAGES | SWAP | ZERO_PAGE },
		{ "6.8.12", HUGE_PAGES | SWAP | ZERO_PAGE },
		{ "6.9.0", HUGE_PAGES | SWAP },
		{ "6.10.14", HUGE_PAGES | SWAP },
		{ "6.11.11", HUGE_PAGES | SWAP },
		{ "6.12.0", HUGE_PAGES | SWAP },
		{ "6.12.36", HUGE_PAGES | SWAP },
		{ "6.12.37", HUGE_PAGES },
		{ "6.12.42", HUGE_PAGES },
		{ "6.12.43", 0 },
		{ "6.12.99", 0 },
		{ "6.13.0", HUGE_PAGES | SWAP },
		{ "6.13.12", HUGE_PAGES | SWAP },
		{ "6.14.0", HUGE_PAGES | SWAP },
		{ "6.14.11", HUGE_PAGES | SWAP },
		{ "6.15.4", HUGE_PAGES | SWAP },
		{ "6.15.5", HUGE_PAGES },
		{ "6.15.11", HUGE_PAGES },
		{ "6.16.0", HUGE_MOVE | HUGE_PAGES },
		{ "6.16.1", HUGE_MOVE | HUGE_PAGES },
		{ "6.16.2", HUGE_MOVE },
		{ "6.16.12", HUGE_MOVE },
		{ "6.17.0", HUGE_MOVE },
		{ "6.17.13", HUGE_MOVE },
		{ "6.18.0", HUGE_MOVE | MISCOUNT },
		{ "6.18.19", HUGE_MOVE | MISCOUNT },
		{ "6.18.20", MISCOUNT },
		{ "6.18.44", MISCOUNT },
		{ "6.19.0", HUGE_MOVE | MISCOUNT },
		{ "6.19.9", HUGE_MOVE | MISCOUNT },
		{ "6.19.10", HUGE_MOVE | MISCOUNT },
		{ "7.0.0", HUGE_MOVE | MISCOUNT },
		{ "7.0.13", HUGE_MOVE | MISCOUNT },
		{ "7.1.0", MISCOUNT },
		{ "7.1.13", MISCOUNT },
		{ "7.2.0-rc7", MISCOUNT },
		{ "7.2.4", MISCOUNT },
		{ "7.2.5", 0 },
		{ "7.2.12+deb13-cloud-amd64", 0 },
		{ "7.3.0", 0 },
		{ "8.0.0", 0 },
	};

	for (size_t i = 0; i < T_COUNT(cases); i++)
		cr_expect(quirks_of(cases[i].release) == cases[i].quirks,
			  "%s: 0x%x, not 0x%x", cases[i].release,
			  quirks_of(cases[i].release), cases[i].quirks);
}

Test(quirks, kernels_without_move_have_none)
{
	static const char *const releases[] = {
		"6.1.0-25-amd64", "6.1.158", "6.6.0", "6.6.117",
		"5.15.0",	  "5.4.0",   ""
	};

	for (size_t i = 0; i < T_COUNT(releases); i++)
		cr_expect(quirks_of(releases[i]) == 0, "%s", releases[i]);
}

Test(quirks, all_of_them_are_known_to_callers)
{
	cr_expect(PAGEMV_QUIRKS_ALL ==
		  (MISCOUNT | HUGE_MOVE | HUGE_PAGES | SWAP | ZERO_PAGE));
}
