/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ctrl-C ends a bench early and leaves what is measured. A second one kills
 * the process as usual.
 */
#ifndef BENCH_INTERRUPT_H
#define BENCH_INTERRUPT_H

#include <stdbool.h>

void bench_interrupt_catch(void);
bool bench_interrupted(void);

#endif /* BENCH_INTERRUPT_H */
