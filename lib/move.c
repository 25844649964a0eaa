// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>

#include "engine.h"
#include "internal.h"

PMV_HOT int pagemv_move(struct pagemv *pv, void *dst, void *src,
			size_t len_bytes, const struct pagemv_move_opts *opts,
			struct pagemv_result *res)
{
	struct pmv_request rq = {
		.dst = (uintptr_t)dst,
		.src = (uintptr_t)src,
		.len = len_bytes,
	};
	struct pagemv_result unwanted;
	int rc;

	if (!res)
		res = &unwanted;
	rc = pv ? pmv_request_opts(&rq, opts,
				   PAGEMV_MOVE_FLAGS_ALL &
					   ~PAGEMV_MOVE_KEEP_HEAD)
		: -EINVAL;
	return pmv_likely(rc == 0) ? pmv_engine_move(pv, &rq, res)
				   : pmv_refuse_opts(res, len_bytes, rc);
}
