// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nearest.h"

#include <string.h>

#include "base.h"

#define LEN_MAX 24

static unsigned int least(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/*
 * The distance of Damerau and Levenshtein in which no part is changed twice, by
 * rows: d[i][j] is that of the first i letters of a and the first j of b.
 */
static unsigned int distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned int d[LEN_MAX + 1][LEN_MAX + 1];

	for (size_t i = 0; i <= na; i++)
		d[i][0] = (unsigned int)i;
	for (size_t j = 0; j <= nb; j++)
		d[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= na; i++)
		for (size_t j = 1; j <= nb; j++) {
			unsigned int other = a[i - 1] != b[j - 1];

			d[i][j] = least(d[i - 1][j] + 1, d[i][j - 1] + 1,
					d[i - 1][j - 1] + other);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && d[i - 2][j - 2] < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
		}
	return d[na][nb];
}

const char *pmv_nearest(const char *word, size_t len, const char *const *words)
{
	const char *best = NULL;
	unsigned int best_distance = 0;

	if (!len || len > LEN_MAX)
		return NULL;
	for (; *words; words++) {
		size_t n = strlen(*words);
		unsigned int far;

		if (n > LEN_MAX)
			continue;
		far = distance(word, len, *words, n);
		/* Further away, it is another word. */
		if (far > 1 + n / 4 || (best && far >= best_distance))
			continue;
		best = *words;
		best_distance = far;
	}
	return best;
}
