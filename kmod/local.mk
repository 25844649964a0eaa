# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The companion. It is built by Kbuild: by hand in kmod/, by DKMS, by the lab,
# and with --enable-kmod by "make", from a copy in the build directory, for the
# kernel whose headers are KDIR (that of the running kernel, if it is not given).

pmv_kmod_sources = \
	%D%/Kbuild \
	%D%/Kconfig \
	%D%/Makefile \
	%D%/compat/compat.h \
	%D%/compat/keep.c \
	%D%/compat/keep.h \
	%D%/compat/probe.sh \
	%D%/core.h \
	%D%/exchange.c \
	%D%/huge.c \
	%D%/pagemv_main.c \
	%D%/ptes.c \
	%D%/remap.c \
	%D%/swap.c \
	%D%/symbols.c \
	%D%/symbols.h \
	%D%/uapi/linux/pagemv.h \
	%D%/uffd.c \
	%D%/vector.c

EXTRA_DIST += $(pmv_kmod_sources) \
	%D%/test/Kbuild \
	%D%/test/Makefile \
	%D%/test/notifier.c \
	%D%/test/notifier.h \
	%D%/60-pagemv.rules \
	%D%/README.md \
	%D%/patches/0002-mm-build-pagemv.patch \
	%D%/patches/0003-mm-rmap-look-again.patch \
	%D%/patches/0004-userfaultfd-UFFDIO_REMAP.patch \
	%D%/patches/README.md \
	%D%/patches/series.sh

# Where dkms looks for sources, if the prefix is /usr.
pmv_dkms_dir = $(prefix)/src/pagemv-$(PACKAGE_VERSION)
pmv_udev_dir = $(prefix)/lib/udev/rules.d

# pmv_kmod_copy DIRECTORY: what has changed, so that Kbuild builds that.
pmv_kmod_copy = \
	copy() { \
		for file in $(pmv_kmod_sources); do \
			to="$$1/$${file\#%D%/}"; \
			cmp -s "$(srcdir)/$$file" "$$to" && continue; \
			$(MKDIR_P) "$${to%/*}" && \
				cp "$(srcdir)/$$file" "$$to" || return 1; \
		done; \
	}; copy

if KMOD
all-local: pmv-kmod
install-data-local: pmv-install-kmod
uninstall-local: pmv-uninstall-kmod
endif
clean-local: pmv-clean-kmod

pmv-kmod:
	@$(pmv_kmod_copy) %D%/module
	+$(MAKE) -C %D%/module KDIR='$(KDIR)' modules

pmv-install-kmod:
	@$(pmv_kmod_copy) '$(DESTDIR)$(pmv_dkms_dir)'
	$(INSTALL_DATA) %D%/dkms.conf '$(DESTDIR)$(pmv_dkms_dir)/dkms.conf'
	$(MKDIR_P) '$(DESTDIR)$(pmv_udev_dir)'
	$(INSTALL_DATA) '$(srcdir)/%D%/60-pagemv.rules' \
		'$(DESTDIR)$(pmv_udev_dir)/'

pmv-uninstall-kmod:
	rm -rf '$(DESTDIR)$(pmv_dkms_dir)'
	rm -f '$(DESTDIR)$(pmv_udev_dir)/60-pagemv.rules'

pmv-clean-kmod:
	rm -rf %D%/module

.PHONY: pmv-kmod pmv-install-kmod pmv-uninstall-kmod pmv-clean-kmod
