# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# The kernel's source: fetched, patched, configured, built. Sourced by kernel.sh,
# which sets $cache, $top, $here, $work, and has say(); needs fetch.sh.
#
#   $cache/linux/VERSION/source/     as Debian has it, with our series applied
#                       /pristine/   what the series changes, as it was
#                       /FORM/       a build tree (O=) for each form
#                       /FORM/root/  what modules_install makes

suite=bookworm
package=linux-source-6.1

# Not needed to build for x86, and a third of all files.
unneeded=(
	--exclude='*/Documentation/[!K]*'
	--exclude='*/tools/testing/*'
	--exclude='*/drivers/gpu/drm/amd/include'
	--exclude='*.dts' --exclude='*.dtsi'
)

# source_version: the package's today; where the mirror cannot be asked, the
# newest that is there.
source_version() {
	local version=

	! index "$suite" ||
		version=$(apt_in "$suite" apt-cache show "$package" |
			sed -nE 's/^Version: //p' | sort -V | tail -n 1)
	if [ -z "$version" ]; then
		version=$(find "$cache/linux" -mindepth 2 -maxdepth 2 \
			-name unpacked 2>/dev/null | sort -V | tail -n 1)
		version=${version%/unpacked}
		version=${version##*/}
	fi
	echo "$version"
}

# get_source: sets $tree, the directory of the version.
get_source() {
	local version deb

	version=$(source_version)
	if [ -z "$version" ]; then
		say "no $package to be had"
		return 1
	fi
	tree=$cache/linux/$version
	[ ! -e "$tree/unpacked" ] || return 0

	say "fetching $package $version"
	mkdir -p "$cache/debs"
	(cd "$cache/debs" && apt_in "$suite" apt-get download -q "$package") \
		>"$cache/download.log" 2>&1 || {
		say "$package: $(tail -n 1 "$cache/download.log")"
		return 1
	}
	deb=$(find "$cache/debs" -name "${package}_*" | sort -V | tail -n 1)
	rm -rf "$tree/source" "$tree/pristine"
	mkdir -p "$tree/source"
	dpkg-deb --fsys-tarfile "$deb" |
		tar -xO "./usr/src/$package.tar.xz" |
		tar -xJ -C "$tree/source" --strip-components=1 \
			"${unneeded[@]}" || {
		say "$deb: cannot be unpacked"
		return 1
	}
	rm -f "$deb"
	touch "$tree/unpacked"
}

# update FROM TO: only if it differs, so that make builds what changed.
update() {
	cmp -s "$1" "$2" || { mkdir -p "$(dirname "$2")" && cp "$1" "$2"; }
}

# apply_series: the files of the series in $tree/source are what it makes of the
# pristine ones.
apply_series() {
	local patch file new=$work/patched

	"$top/kmod/patches/series.sh" "$work/series" || return 1
	rm -rf "$new"
	mkdir -p "$new"
	while read -r file; do
		[ -e "$tree/pristine/$file" ] ||
			update "$tree/source/$file" "$tree/pristine/$file"
	done < <(cat "$work"/series/000[2-9]*.patch | sed -n 's,^--- a/,,p')
	cp -a "$tree/pristine/." "$new"
	for patch in "$work"/series/*.patch; do
		patch -s -p1 --no-backup-if-mismatch -F 0 -d "$new" <"$patch" ||
			{ say "$(basename "$patch") does not apply"; return 1; }
	done
	while read -r file; do
		update "$new/$file" "$tree/source/$file"
	done < <(cd "$new" && find . -type f)
	# What kmod/ no longer has.
	while read -r file; do
		[ -e "$new/$file" ] || rm -f "$tree/source/$file"
	done < <(cd "$tree/source" && find mm/pagemv -type f)
}

# wanted_config FORM
wanted_config() {
	cat "$here/config" "$here/config.$1"
	echo "CONFIG_LOCALVERSION=\"-pagemv-$1\""
}

# kmake FORM ARGUMENT...
kmake() {
	local form=$1
	shift
	make -C "$tree/source" O="$tree/$form" KBUILD_BUILD_USER=pagemv \
		KBUILD_BUILD_HOST=pagemv KBUILD_BUILD_TIMESTAMP=1970-01-01 \
		"$@" 9>&- </dev/null
}

# configure FORM: again when the wish or a Kconfig has changed.
configure() {
	local form=$1 dir=$tree/$1 stamp lost

	mkdir -p "$dir"
	wanted_config "$form" >"$work/config"
	stamp=$(cat "$work/config" "$tree/source/mm/Kconfig" \
		"$tree/source/mm/pagemv/Kconfig" | sha256sum)
	[ "$stamp" != "$(cat "$dir/.pagemv-config" 2>/dev/null)" ] || return 0
	kmake "$form" -s KCONFIG_ALLCONFIG="$work/config" allnoconfig \
		>"$dir/config.log" 2>&1 || {
		tail -n 5 "$dir/config.log" >&2
		return 1
	}
	lost=$(grep '^CONFIG' "$work/config" | grep -vxFf "$dir/.config")
	if [ -n "$lost" ]; then
		say "this kernel's Kconfig does not take over:" "$lost"
		return 1
	fi
	echo "$stamp" >"$dir/.pagemv-config"
}

# build_kernel FORM JOBS: warnings in what is ours are errors.
build_kernel() {
	local form=$1 dir=$tree/$1 start=$SECONDS

	configure "$form" || return 1
	say "$form: building, with $2 jobs; log: $dir/make.log"
	nice -n 10 make -C "$tree/source" O="$dir" kernelrelease -s \
		>"$dir/release" 2>/dev/null
	kmake "$form" -j"$2" bzImage modules >"$dir/make.log" 2>&1 || {
		grep -E 'error:|Error ' "$dir/make.log" | head -n 20 >&2
		return 1
	}
	if grep -E '(mm/pagemv/|fs/userfaultfd|mm/rmap).*warning:' \
		"$dir/make.log" >&2; then
		say "$form: warnings"
		return 1
	fi
	kmake "$form" -s INSTALL_MOD_PATH="$dir/root" modules_install \
		>>"$dir/make.log" 2>&1 || return 1
	say "$form: built in $((SECONDS - start)) s"
}
