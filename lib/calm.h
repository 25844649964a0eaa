/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What must not come between claiming a page and giving it back: a signal
 * handler that touches the same page would wait for its own thread, and a
 * thread that is cancelled there would never give it back.
 */
#ifndef PMV_CALM_H
#define PMV_CALM_H

#include <signal.h>

/* All signals but those that a thread's own instructions raise: a callback may
 * touch a region, or fail as any code may. AS-Safe. */
void pmv_calm_signals(sigset_t *set);

struct pmv_calm {
	sigset_t signals;
	int cancel_type;
};

/* Blocks these signals; cancellation waits for a cancellation point. */
void pmv_calm_begin(struct pmv_calm *calm);
void pmv_calm_end(const struct pmv_calm *calm);

#endif /* PMV_CALM_H */
