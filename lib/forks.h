/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fork() of the program, as far as handlers of pthread_atfork() see it.
 */
#ifndef PMV_FORKS_H
#define PMV_FORKS_H

#include "base.h"

/* Registers the handlers, and those of liburcu: readers and their grace periods
 * survive fork() in the thread that calls it. Once for the process. */
void pmv_forks_survive(void);

/* Registers the handlers, which do nothing about liburcu before somebody calls
 * pmv_forks_survive(): handlers that wait for readers are registered later, so
 * that they are called before. */
void pmv_forks_reserve(void);

/* How often fork() began or ended in this process: odd while it is running. */
unsigned int pmv_forks(void);

/* Whether somebody has: else liburcu is not looked after. */
bool pmv_forks_known(void);

/* Keeps fork() from beginning; false if one may be under way. Does not wait. */
bool pmv_forks_stop(void);
void pmv_forks_go_on(void);

#endif /* PMV_FORKS_H */
