// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv top: figures for people.
 */
#include "top.h"

#include <inttypes.h>

void top_format_bytes(uint64_t bytes, char *text, size_t cap)
{
	static const char units[] = "BKMGTPE";
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1023.5 && units[unit + 1]) {
		value /= 1024;
		unit++;
	}
	/* Three digits, four from 1000 to 1023. */
	snprintf(text, cap, "%.*f%c",
		 !unit || value >= 99.95 ? 0
		 : value >= 9.995	 ? 1
					 : 2,
		 value, units[unit]);
}

/* Up to seven characters. */
static void format_count(uint64_t n, char *text, size_t cap)
{
	static const char units[] = "kMGTPE";
	double value = (double)n;
	int unit = -1;

	if (n < 10000000) {
		snprintf(text, cap, "%" PRIu64, n);
		return;
	}
	while (value >= 999.95) {
		value /= 1000;
		unit++;
	}
	snprintf(text, cap, "%.1f%c", value, units[unit]);
}

void top_format_span(double seconds, char *text, size_t cap)
{
	uint64_t s = (uint64_t)seconds;

	snprintf(text, cap, "%" PRIu64 ":%02u:%02u", s / 3600,
		 (unsigned int)(s / 60 % 60), (unsigned int)(s % 60));
}

static void format_share(uint64_t part, uint64_t whole, char *text, size_t cap)
{
	if (!whole)
		snprintf(text, cap, "-");
	else
		snprintf(text, cap, "%.0f%%",
			 100 * (double)part / (double)whole);
}

static void print_line(FILE *out, const char *const cell[9], const char *last)
{
	static const int width[9] = { 8, 7, 6, 7, 6, 6, 6, 8, 7 };

	for (int i = 0; i < 9; i++)
		fprintf(out, "%s%*s", i ? " " : "", width[i], cell[i]);
	fprintf(out, "%s%s\n", *last ? " " : "", last);
}

void top_print_heading(FILE *out, const char *first, const char *last)
{
	static const char *const above[9] = { "", "", "bytes",	  "", "in",
					      "", "", "mappings", "" };
	const char *const below[9] = { first,	 "blocks", "live",
				       "calls",	 "place",  "moved",
				       "copied", "saved",  "MiB/s" };

	print_line(out, above, "");
	print_line(out, below, last);
}

void top_print_row(FILE *out, const char *first,
		   const struct top_figures *figures, double speed,
		   const char *last)
{
	char blocks[24], live[24], calls[24], place[24], moved[24], copied[24],
		saved[24], rate[24];
	const char *const cell[9] = { first, blocks, live,  calls, place,
				      moved, copied, saved, rate };

	format_count(figures->blocks, blocks, sizeof(blocks));
	top_format_bytes(figures->live_bytes, live, sizeof(live));
	format_count(figures->calls, calls, sizeof(calls));
	format_share(figures->in_place, figures->reallocs, place,
		     sizeof(place));
	top_format_bytes(figures->moved_bytes, moved, sizeof(moved));
	top_format_bytes(figures->copied_bytes, copied, sizeof(copied));
	format_count(figures->saved, saved, sizeof(saved));
	snprintf(rate, sizeof(rate), "%.*f", speed < 999.95 ? 1 : 0, speed);
	print_line(out, cell, last);
}
