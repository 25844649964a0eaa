/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * USDT probes of provider "pagemv": a nop each where nobody listens.
 *
 *   move_done(dst, src, len_bytes, left_bytes, error)
 *   repaired(dst, src, bytes)          pages that the kernel did not count
 *   retry(dst, src, attempt)           EAGAIN
 *   pinned(src)                        EBUSY that stays
 *   evac_flip(space, pages, ns)        all of them to the shadow
 *   evac_run(dst, pages, done)         to-space: how many of a run are there
 *   evac_finish(space, pages, on_fault)
 */
#ifndef PMV_TRACE_H
#define PMV_TRACE_H

#ifdef HAVE_SYS_SDT_H
#include <sys/sdt.h>
#define PMV_TRACE1(name, a)	  DTRACE_PROBE1(pagemv, name, a)
#define PMV_TRACE3(name, a, b, c) DTRACE_PROBE3(pagemv, name, a, b, c)
#define PMV_TRACE5(name, a, b, c, d, e) \
	DTRACE_PROBE5(pagemv, name, a, b, c, d, e)
#else
#define PMV_TRACE1(name, a)	  ((void)(a))
#define PMV_TRACE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#define PMV_TRACE5(name, a, b, c, d, e) \
	((void)(a), (void)(b), (void)(c), (void)(d), (void)(e))
#endif

#endif /* PMV_TRACE_H */
