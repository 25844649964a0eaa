# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# The companion module for the kernels of the lab, built with this system's
# compiler against the headers that belong to the kernel, in directories of our
# own. Sourced by lab.sh, which sets $cache, $top, $results, $builtin and
# $headers_dir, and has
# say(); uses apt_in() and index() of fetch.sh.
#
#   $cache/headers/NAME/   the packages unpacked, with their paths made ours
#   $results/kmod/NAME/    a copy of kmod/ and what was built in it

# The modules that are ours, as scenarios.txt names them.
our_modules="pagemv pagemv_test_notifier"

# is_ours MODULE
is_ours() {
	[[ " $our_modules " == *" $1 "* ]]
}

# needs_ours MODULES: is there something to build for a guest with these?
needs_ours() {
	[[ " $1 " == *" pagemv"* ]] &&
		{ [ -z "$builtin" ] || [ -n "$headers_dir" ]; }
}

# header_parts SUITE RELEASE: the packages to build modules with.
header_parts() {
	local package=linux-headers-$2

	echo "$package"
	apt_in "$1" apt-cache show "$package" 2>/dev/null |
		sed -n 's/^Depends: //p' | head -n 1 | tr ',' '\n' |
		grep -oE 'linux-(headers|kbuild)-[^ ]+'
}

# own_paths ROOT: the packages name each other by absolute paths.
own_paths() {
	local file

	while read -r file; do
		sed -i "s@/usr/\(src\|lib\)/linux-@$1/usr/\1/linux-@g" "$file"
	done < <(grep -rlE --include=Makefile --include=.kernelvariables \
		'/usr/(src|lib)/linux-' "$1/usr/src"/linux-headers-*/ 2>/dev/null)
}

# fetch_headers NAME SUITE: into $cache/headers/NAME, of the very kernel in
# $cache/kernels/NAME.
fetch_headers() {
	local name=$1 suite=$2 dir=$cache/headers/$1 part debs=() release parts

	release=$(cat "$cache/kernels/$name/release") || return 1
	[ "$(cat "$dir/stamp" 2>/dev/null)" != "$release $dir" ] || return 0
	index "$suite" || return 1
	rm -rf "$dir"
	mkdir -p "$dir/debs"
	mapfile -t parts < <(header_parts "$suite" "$release")
	[ "${#parts[@]}" -gt 2 ] || {
		say "$name: no linux-headers-$release in $suite any more"
		return 1
	}
	for part in "${parts[@]}"; do
		(cd "$dir/debs" &&
			apt_in "$suite" apt-get download -q "$part") \
			>"$dir/download.log" 2>&1 || {
			say "$name: $part:" \
				"$(tail -n 1 "$dir/download.log")"
			return 1
		}
	done
	for part in "$dir/debs"/*.deb; do
		dpkg-deb -x "$part" "$dir" || return 1
	done
	rm -rf "$dir/debs"
	own_paths "$dir"
	echo "$release $dir" >"$dir/stamp"
}

# headers_of NAME: where modules for that kernel are built.
headers_of() {
	if is_own "$1"; then
		echo "${headers_dir:?}"
	else
		echo "$cache/headers/$1/usr/src/linux-headers-$(cat \
			"$cache/kernels/$1/release")"
	fi
}

# build_in DIR HEADERS: the modules in DIR. Without BTF, which takes pahole.
build_in() {
	make -C "$2" M="$1" CC="${CC:-gcc}" CONFIG_DEBUG_INFO_BTF_MODULES= \
		modules </dev/null 8>&- 9>&-
}

# build_kmod NAME: the companion, unless it is built in, and the test module. What is built already is
# kept, unless the headers are others now.
build_kmod() {
	local name=$1 out=$results/kmod/$1 headers stamp dir dirs

	headers=$(headers_of "$name")
	stamp="$headers $(cat "$cache/kernels/$name/version")"
	[ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ] || rm -rf "$out"
	mkdir -p "$out"
	rm -f "$out/pagemv.ko"
	cp -ru "$top/kmod/." "$out/" || return 1
	dirs=("$out" "$out/test")
	[ -z "$builtin" ] || dirs=("$out/test")
	for dir in "${dirs[@]}"; do
		build_in "$dir" "$headers" || return 1
	done >"$out.log" 2>&1
	echo "$stamp" >"$out/stamp"
}

# module_file NAME MODULE: where one of ours was built.
module_file() {
	find "$results/kmod/$1" -name "$2.ko" 2>/dev/null | head -n 1
}

# make_kmod NAME SUITE: 0 if guests of that kernel can have the module; else
# $missed says that it is not to be had, or, where it does not build, $broken.
make_kmod() {
	local name=$1 suite=$2

	if ! is_own "$name" && ! fetch_headers "$name" "$suite"; then
		missed+=("$name kmod")
		return 1
	fi
	if ! build_kmod "$name"; then
		say "$name: the module does not build: $results/kmod/$name.log"
		tail -n 15 "$results/kmod/$name.log" >&2
		broken+=("$name")
		return 1
	fi
}
