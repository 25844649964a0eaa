# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What a guest starts from: an initramfs in two archives, which the kernel
# unpacks one after the other. Sourced by lab.sh, which sets $here, $top, $build
# and $work.

# add FILE DIR: with the debugging information left out.
add() {
	mkdir -p "$2"
	cp -L "$1" "$2/"
	strip -g "$2/$(basename "$1")" 2>/dev/null
	return 0
}

# libraries PROGRAM...: the shared libraries that they are loaded with.
libraries() {
	local library name

	LD_LIBRARY_PATH=$build/lib/.libs ldd "$@" 2>/dev/null |
		grep -oE '/[^ ]+ \(0x' | sed 's/ (0x//' | sort -u
	# What is loaded later: by pthread_exit() and pthread_cancel(), and when
	# there is something to know of nodes.
	for name in libgcc_s.so.1 libnuma.so.1; do
		library=$(${CC:-cc} -print-file-name="$name")
		[ ! -e "$library" ] || echo "$library"
	done
}

pack() { # DIRECTORY: it as an archive, to standard output
	(cd "$1" && find . | LC_ALL=C sort |
		cpio --quiet -o -H newc -R 0:0 --reproducible)
}

# programs_of SELECTION...: paths below tests/, without arguments.
programs_of() {
	local word

	for word; do
		case $word in
		@*) list "${word#@}" ;;
		*) echo "$word" ;;
		esac
	done
}

# list KIND: the programs of that kind that were built.
list() {
	local file

	for file in "$build/tests/$1"/*; do
		[ ! -f "$file" ] || [ ! -x "$file" ] || [ "${file##*.}" != \
			"$file" ] || echo "$1/${file##*/}"
	done
}

# pack_base: everything that is the same for all guests, $work/base.cpio.
pack_base() {
	local root=$work/root programs program library

	mkdir -p "$root"/{bin,dev,proc,sys,tmp,lab/build-aux,lab/tests/vm,etc}
	cp "$(command -v busybox)" "$root/bin/busybox"
	cp "$here/init" "$root/init"
	chmod 755 "$root/init" "$root/bin/busybox"
	echo 'root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/tmp:/bin/sh' >"$root/etc/passwd"
	cp "$top/tests/conditions.sh" "$root/lab/tests/"
	cp "$top/build-aux/run-test" "$root/lab/build-aux/"

	mapfile -t programs < <(programs_of @unit @live @stress @vm/scenarios \
		@kmod)
	cp "$here/bench-companion.sh" "$root/lab/tests/vm/"
	for program in "${programs[@]}" vm/confined; do
		add "$build/tests/$program" \
			"$root/lab/tests/$(dirname "$program")"
	done
	add "$build/tools/.libs/pagemv" "$root/lab"
	add "$build/lib/.libs/libpagemv.so.0" "$root/lib"
	while read -r library; do
		add "$library" "$root$(dirname "$library")"
	done < <(libraries "${programs[@]/#/$build/tests/}" \
		"$build/tools/.libs/pagemv")
	pack "$root" >"$work/base.cpio" && rm -rf "$root"
}

# pack_guest OUT KERNEL MODULES AS MACHINE LIMIT PROGRAMS: base and what is the
# guest's own, its modules in the order they are loaded and its plan.
pack_guest() {
	local out=$1 kernel=$2 root=$1.root module file

	mkdir -p "$root/lab/modules"
	for module in $3; do
		is_ours "$module" || cat "$kernel/load/$module" 2>/dev/null
	done | awk '!seen[$0]++' >"$root/lab/modules.order"
	while read -r file; do
		cp "$kernel/modules/$file" "$root/lab/modules/"
	done <"$root/lab/modules.order"
	for module in $3; do
		! is_ours "$module" ||
			file=$(module_file "$(basename "$kernel")" "$module")
		is_ours "$module" && [ -n "$file" ] || continue
		cp "$file" "$root/lab/modules/"
		echo "$module.ko" >>"$root/lab/modules.order"
	done
	printf 'as=%s\nmachine=%s\nlimit=%s\nprograms="%s"\n' "$4" "$5" "$6" \
		"$7" >"$root/lab/plan"
	env | sed -nE "s/^(PMV_(SECONDS|SEED|LONG|KMOD_WAY))=(.*)/export \1='\3'/p" \
		>>"$root/lab/plan"
	{
		cat "$work/base.cpio" && pack "$root"
	} >"$out" && rm -rf "$root"
}
