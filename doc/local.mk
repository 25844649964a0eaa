# SPDX-License-Identifier: LGPL-2.1-or-later

EXTRA_DIST += \
	%D%/bench-fault.svg \
	%D%/bench-move.svg \
	%D%/design.md \
	%D%/kernel-facts.md \
	%D%/kernels.md \
	%D%/measurements.md \
	%D%/model/README.md \
	%D%/model/evac.pml \
	%D%/model/page_state.pml
