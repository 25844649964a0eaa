/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "log.h"

#include <criterion/criterion.h>
#include <string.h>

struct heard {
	unsigned int lines;
	enum pagemv_log_level level;
	char text[1024];
};

static void hear(void *arg, enum pagemv_log_level level, const char *line)
{
	struct heard *h = arg;

	h->lines++;
	h->level = level;
	strncpy(h->text, line, sizeof(h->text) - 1);
}

Test(log, a_line_reaches_the_callback)
{
	struct heard h = { 0 };
	struct pmv_log log = { hear, &h };

	pmv_log(&log, PAGEMV_LOG_WARNING, "%d of %s", 7, "nine");
	cr_expect(h.lines == 1 && h.level == PAGEMV_LOG_WARNING);
	cr_expect_str_eq(h.text, "7 of nine");
}

Test(log, nobody_need_listen)
{
	struct pmv_log log = { NULL, NULL };

	pmv_log(&log, PAGEMV_LOG_ERROR, "%s", "lost");
}

Test(log, a_long_line_is_cut_not_overrun)
{
	struct heard h = { 0 };
	struct pmv_log log = { hear, &h };
	char text[2000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	pmv_log(&log, PAGEMV_LOG_DEBUG, "%s", text);
	cr_expect(h.lines == 1);
	cr_expect(strlen(h.text) > 100 && strlen(h.text) < 1000);
}
