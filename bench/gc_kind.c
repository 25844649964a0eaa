// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gc_kind.h"

const char *const gc_workload_name[GC_WORKLOADS] = {
	"binary-trees",
	"lru-cache",
	"large-arrays",
};

static size_t of_heap(struct gc_kind *kind, const struct gc_choice *choice,
		      unsigned int heap_mib, size_t n)
{
	for (unsigned int w = 0; w < GC_WORKLOADS; w++)
		for (unsigned int m = 1; m <= choice->mutators_max; m++)
			for (unsigned int mode = 0; mode < GC_MODES; mode++) {
				if (!(choice->workloads & 1u << w) ||
				    !(choice->modes & 1u << mode) ||
				    n == GC_MAX_KINDS)
					continue;
				kind[n++] = (struct gc_kind){ w, mode, heap_mib,
							      m };
			}
	return n;
}

size_t gc_kinds(struct gc_kind *kind, const struct gc_choice *choice)
{
	size_t n = 0;

	for (unsigned int h = 0; h < choice->heaps; h++)
		n = of_heap(kind, choice, choice->heap_mib[h], n);
	return n;
}

bool gc_kind_equal(const struct gc_kind *a, const struct gc_kind *b)
{
	return a->workload == b->workload && a->mode == b->mode &&
	       a->heap_mib == b->heap_mib && a->mutators == b->mutators;
}
