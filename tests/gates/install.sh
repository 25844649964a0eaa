#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# "make install", then the example as a caller compiles it: with nothing but
# what pkg-config prints.

# shellcheck disable=SC2317 # called through passes and refuses
# shellcheck source=tests/gates/gatelib.sh
. "${top_srcdir:?}/tests/gates/gatelib.sh"

pkg_config=${PKG_CONFIG:-pkg-config}
command -v "$pkg_config" >/dev/null || skip_all "no pkg-config"

root=$gate_tmp/root
install_all() {
	${MAKE:-make} -C "$top_builddir" install "DESTDIR=$root"
}

# Where the installation put it, whatever the prefix.
found() { # NAME
	find "$root" -name "$1" | head -n 1 | grep .
}

flags() {
	PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$(dirname "$pc") \
		"$pkg_config" --cflags --libs libpagemv
}

compile() { # SOURCE
	# shellcheck disable=SC2046,SC2086 # flags and CC are words
	${CC:-cc} -o "$gate_tmp/program" "$1" $(flags)
}

run() {
	LD_LIBRARY_PATH=$(dirname "$library") "$gate_tmp/program"
}

passes "make install" install_all
for name in pagemv pagemv-workload pagemv.h libpagemv.so libpagemv.pc; do
	passes "$name is installed" found "$name"
done
pc=$(found libpagemv.pc)
library=$(found libpagemv.so)
if [ -z "$pc" ] || [ -z "$library" ]; then
	finish
fi
passes "hello-move compiles with what pkg-config prints" \
	compile "$top_srcdir/examples/hello-move.c"
passes "hello-move runs" run
cat >"$gate_tmp/planted.c" <<'END'
#include <pagemv/pagemv.h>
#include <pagemv/planted.h>
int main(void) { return 0; }
END
refuses "a header that is not installed" planted.h \
	compile "$gate_tmp/planted.c"
finish
