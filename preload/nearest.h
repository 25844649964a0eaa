/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What somebody who mistyped a word may have meant.
 */
#ifndef PRELOAD_NEAREST_H
#define PRELOAD_NEAREST_H

#include <stddef.h>

/* Of words, which end with NULL, the one that is fewest insertions, deletions,
 * replacements and swaps of letters away from the len characters at word; NULL
 * where none is near. */
const char *pmv_nearest(const char *word, size_t len, const char *const *words);

#endif /* PRELOAD_NEAREST_H */
