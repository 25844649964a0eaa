# SPDX-License-Identifier: LGPL-2.1-or-later

dist_man_MANS += \
	%D%/pagemv.1 \
	%D%/pagemv-gc.7 \
	%D%/pagemv.7 \
	%D%/pagemv_calibrate.3 \
	%D%/pagemv_caps.3 \
	%D%/pagemv_close.3 \
	%D%/pagemv_dirty.3 \
	%D%/pagemv_evac_begin.3 \
	%D%/pagemv_evac_close.3 \
	%D%/pagemv_evac_finish.3 \
	%D%/pagemv_evac_flip.3 \
	%D%/pagemv_evac_info.3 \
	%D%/pagemv_evac_open.3 \
	%D%/pagemv_evac_progress.3 \
	%D%/pagemv_evac_run.3 \
	%D%/pagemv_evac_wait.3 \
	%D%/pagemv_evac_work.3 \
	%D%/pagemv_exchange.3 \
	%D%/pagemv_handlers_start.3 \
	%D%/pagemv_handlers_stop.3 \
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
	%D%/pagemv_slide.3 \
	%D%/pagemv_stats.3 \
	%D%/pagemv_strerror.3 \
	%D%/pagemv_version.3
