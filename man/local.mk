# SPDX-License-Identifier: LGPL-2.1-or-later

dist_man_MANS += \
	%D%/pagemv-malloc.7 \
	%D%/pagemv-run.1 \
	%D%/pagemv-top.1 \
	%D%/pagemv.1 \
	%D%/pagemv.7 \
	%D%/pagemv_calibrate.3 \
	%D%/pagemv_caps.3 \
	%D%/pagemv_close.3 \
	%D%/pagemv_dirty.3 \
	%D%/pagemv_exchange.3 \
	%D%/pagemv_handlers_start.3 \
	%D%/pagemv_handlers_stop.3 \
	%D%/pagemv_heap_adopt.3 \
	%D%/pagemv_heap_aligned_alloc.3 \
	%D%/pagemv_heap_alloc.3 \
	%D%/pagemv_heap_bounds.3 \
	%D%/pagemv_heap_create.3 \
	%D%/pagemv_heap_destroy.3 \
	%D%/pagemv_heap_free.3 \
	%D%/pagemv_heap_give.3 \
	%D%/pagemv_heap_realloc.3 \
	%D%/pagemv_heap_stats.3 \
	%D%/pagemv_heap_trim.3 \
	%D%/pagemv_heap_usable_size.3 \
	%D%/pagemv_mechanism_name.3 \
	%D%/pagemv_move.3 \
	%D%/pagemv_movev.3 \
	%D%/pagemv_open.3 \
	%D%/pagemv_populate.3 \
	%D%/pagemv_protect.3 \
	%D%/pagemv_reason_string.3 \
	%D%/pagemv_region_register.3 \
	%D%/pagemv_region_unregister.3 \
	%D%/pagemv_region_unregister_part.3 \
	%D%/pagemv_relocate.3 \
	%D%/pagemv_sigbus.3 \
	%D%/pagemv_sigbus_install.3 \
	%D%/pagemv_sigbus_uninstall.3 \
	%D%/pagemv_stats.3 \
	%D%/pagemv_strerror.3 \
	%D%/pagemv_version.3
