# SPDX-License-Identifier: LGPL-2.1-or-later

pagemvincludedir = $(includedir)/pagemv
pagemvinclude_HEADERS = \
	%D%/pagemv/base.h \
	%D%/pagemv/caps.h \
	%D%/pagemv/evac.h \
	%D%/pagemv/fault.h \
	%D%/pagemv/heap.h \
	%D%/pagemv/move.h \
	%D%/pagemv/pagemv.h \
	%D%/pagemv/region.h \
	%D%/pagemv/stats.h \
	%D%/pagemv/track.h
