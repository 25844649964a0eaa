#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Which of the interfaces below this kernel's headers have: one line of C a
# question. Run by Kbuild with CC and FLAGS set; prints a header.

set -u

# A compiler that compiles nothing would answer no to all.
works()
{
	# shellcheck disable=SC2086 # flags are words
	printf '%s\n' "$2" | $CC $FLAGS -DMODULE -DKBUILD_MODNAME='"probe"' \
		-DKBUILD_BASENAME='"probe"' -Werror -Wno-unused -x c -c -o /dev/null - \
		>/dev/null 2>&1
}

probe()
{
	if works "$1" "#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/huge_mm.h>
$2"; then
		echo "#define $1 1"
	else
		echo "/* $1 is not */"
	fi
}

echo "/* Made by compat/probe.sh. */"
works sanity '#include <linux/mm.h>' || {
	echo "probe.sh: cannot compile against this kernel's headers" >&2
	exit 1
}

probe PMV_HAVE_NOTIFIER_RANGE_VMA \
	'static void f(struct mmu_notifier_range *r, struct vm_area_struct *v)
	{ mmu_notifier_range_init(r, MMU_NOTIFY_CLEAR, 0, v, v->vm_mm, 0, 1); }'
probe PMV_HAVE_NOTIFIER_ONLY_END \
	'static typeof(__mmu_notifier_invalidate_range_end) *f;
	static void g(struct mmu_notifier_range *r) { f(r, true); }'
probe PMV_HAVE_NOTIFIER_RANGE \
	'static typeof(__mmu_notifier_invalidate_range) *f;'
probe PMV_HAVE_MKWRITE_NOVMA \
	'static pte_t f(pte_t p) { return pte_mkwrite_novma(p); }'
probe PMV_HAVE_SPLIT_TO_ORDER \
	'static typeof(split_huge_page_to_list_to_order) *f;'
probe PMV_HAVE_FOLIO_SWAP \
	'static swp_entry_t f(struct folio *f) { return f->swap; }'
