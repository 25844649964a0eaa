/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How often other CPUs were told to flush their TLB: /proc/interrupts, TLB.
 */
#ifndef BENCH_SHOOTDOWNS_H
#define BENCH_SHOOTDOWNS_H

#include <stdbool.h>
#include <stdint.h>

/* Of all CPUs together. False where the kernel does not count them. */
bool bench_shootdowns(uint64_t *out);

#endif /* BENCH_SHOOTDOWNS_H */
