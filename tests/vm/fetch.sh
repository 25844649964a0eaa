# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Kernels from the Debian mirror that this system's own sources name, with an
# apt state of our own: nothing of the system's is changed. Sourced by lab.sh,
# which sets $cache, $here and $work, and has say().
#
#   $cache/apt/SUITE/      the apt state, an index for each suite
#   $cache/debs/           packages as they came
#   $cache/kernels/NAME/   release, vmlinuz, modules/*.ko, load/MODULE

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# mirror: the address of the system's main Debian source, into $work/mirror; also
# where the system's own lists are empty, as in images of containers.
mirror() {
	local codename

	codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	# shellcheck disable=SC2016 # apt's variables
	apt-get indextargets --no-release-info \
		--format '$(REPO_URI) $(RELEASE)' \
		'Created-By: Packages' 2>/dev/null |
		awk -v codename="$codename" '
		$2 == codename || $2 ~ /^(stable|testing|unstable|sid)$/ {
			print $1
			exit
		}' >"$work/mirror"
	[ -s "$work/mirror" ] ||
		say "no Debian mirror among this system's apt sources"
}

# apt_in SUITE COMMAND...: apt-get or apt-cache on the suite's private state.
apt_in() {
	local state=$cache/apt/$1 tool=$2
	shift 2

	"$tool" -o Dir::State="$state" -o Dir::State::lists="$state/lists" \
		-o Dir::State::status="$state/status" \
		-o Dir::Cache="$state/cache" \
		-o Dir::Etc::sourcelist="$state/sources.list" \
		-o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null \
		-o Dir::Etc::preferencesparts=/dev/null \
		-o APT::Architecture=amd64 -o APT::Architectures=amd64 \
		-o APT::Sandbox::User=root \
		-o Acquire::Languages=none -o Acquire::Retries=2 "$@"
}

# index SUITE: brings the suite's index up to date, once a day.
index() {
	local suite=$1 state=$cache/apt/$1 signed=

	if [ -n "$(find "$state/fresh" -mtime -1 2>/dev/null)" ]; then
		return 0
	fi
	[ -e "$work/mirror" ] || mirror # asked once, and missed once
	[ -s "$work/mirror" ] || return 1
	[ ! -e "$keyring" ] || signed="[signed-by=$keyring] "
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
	: >"$state/status"
	echo "deb $signed$(cat "$work/mirror") $suite main" \
		>"$state/sources.list"
	apt_in "$suite" apt-get update -q >"$state/update.log" 2>&1 &&
		! grep -qE '^(Err|E|W: Failed)' "$state/update.log" || {
		say "no index of $suite:" \
			"$(grep -E '^(Err|E|W)' "$state/update.log" | head -n 1)" \
			"(all of it: $state/update.log)"
		return 1
	}
	touch "$state/fresh"
}

# package SUITE WHICH: the name of the kernel's package, or nothing.
package() {
	local suite=$1 which=$2 pick="tail -n 1"

	if [ "$which" = meta ]; then
		apt_in "$suite" apt-cache show linux-image-cloud-amd64 \
			2>/dev/null |
			grep -oE 'linux-image-[0-9][^ ,]*-cloud-amd64' |
			sort -V | tail -n 1
		return
	fi
	[[ $which != =* ]] || pick="head -n 1"
	which=${which#=}
	apt_in "$suite" apt-cache pkgnames "linux-image-$which." 2>/dev/null |
		grep -E '^linux-image-[0-9.]+(\+[a-z0-9]+)?(-[0-9]+)?-cloud-amd64$' |
		sort -V | $pick
}

# version_of NAME SUITE WHICH: of the kernel in the cache, else of the one that
# the suite has; nothing where that cannot be told.
version_of() {
	cat "$cache/kernels/$1/version" 2>/dev/null && return
	! index "$2" || package "$2" "$3" | sed 's/^linux-image-//'
}

# parts SUITE PACKAGE: the packages that hold the image and its modules; from
# 7.x on the image's own package is empty.
parts() {
	echo "$2"
	apt_in "$1" apt-cache show "$2" | sed -n 's/^Depends: //p' |
		tr ',' '\n' |
		grep -oE 'linux-(binary|modules)-[0-9][^ ]*' | sort -u
}

# wanted: the modules that the scenarios name; those that we build are not the
# kernel's.
wanted() {
	awk -F'|' '!/^ *(#|$)/ { print $4 }' "$here/scenarios.txt" |
		tr ' ' '\n' | grep . | grep -v '^pagemv' | sort -u
}

# modules TREE RELEASE OUT: the modules wanted, unpacked, and for each the
# order in which it and what it needs are loaded.
modules() {
	local tree=$1 release=$2 out=$3 module path file

	mkdir -p "$out/modules" "$out/load"
	while read -r module; do
		modprobe -d "$tree" -S "$release" --show-depends "$module" \
			2>/dev/null | sed -nE 's/^insmod ([^ ]+).*/\1/p' |
			while read -r path; do
				file=$(basename "$path")
				file=${file%.xz} file=${file%.zst} \
					file=${file%.gz}
				case $path in
				*.xz) xz -dc "$path" ;;
				*.zst) zstd -qdc "$path" ;;
				*.gz) gzip -dc "$path" ;;
				*) cat "$path" ;;
				esac >"$out/modules/$file"
				echo "$file"
			done >"$out/load/$module"
	done < <(wanted)
}

# unpack OUT DEB...: the image and the modules wanted.
unpack() {
	local out=$1 deb tree release root
	shift

	tree=$work/tree
	rm -rf "$tree"
	mkdir "$tree" || return 1
	for deb; do
		dpkg-deb -x "$deb" "$tree" || return 1
	done
	root=$tree
	[ ! -d "$tree/usr/lib/modules" ] || root=$tree/usr
	release=$(find "$root/lib/modules" -mindepth 1 -maxdepth 1 -printf '%f\n')
	rm -rf "$out"
	mkdir -p "$out"
	cp "$(find "$tree" -name 'vmlinuz*' -type f | head -n 1)" \
		"$out/vmlinuz" || return 1
	depmod -b "$root" "$release" 2>/dev/null
	modules "$root" "$release" "$out"
	rm -rf "$tree"
	echo "$release" >"$out/release"
}

# earlier NAME WHY...: is there a kernel of an earlier day? Says what is not to be
# had, and why.
earlier() {
	local name=$1 dir=$cache/kernels/$1
	shift

	if [ -e "$dir/stamp" ]; then
		say "$name: the kernel of an earlier day," \
			"$(cat "$dir/release"): $*"
		return 0
	fi
	say "$name: NOT TO BE HAD: $*"
	return 1
}

# fetch NAME SUITE WHICH: $cache/kernels/NAME is the kernel of today; if that is
# not to be had, one that is there already.
fetch() {
	local name=$1 suite=$2 dir=$cache/kernels/$1 package part debs=() stamp

	index "$suite" || {
		earlier "$name" "no index of $suite"
		return
	}
	package=$(package "$suite" "$3")
	[ -n "$package" ] || {
		earlier "$name" "no ${3/#meta/cloud} kernel in $suite"
		return
	}
	stamp="$package $(wanted | sha256sum)"
	[ "$(cat "$dir/stamp" 2>/dev/null)" != "$stamp" ] || return 0

	mkdir -p "$cache/debs"
	while read -r part; do
		(cd "$cache/debs" &&
			apt_in "$suite" apt-get download -q "$part") \
			>"$cache/download.log" 2>&1 || {
			if [[ $part == linux-modules-* ]]; then
				say "$name: without modules: $part is not in" \
					"$suite any more"
				continue
			fi
			earlier "$name" "$part:" \
				"$(tail -n 1 "$cache/download.log")"
			return
		}
		debs+=("$(find "$cache/debs" -name "${part}_*" | sort -V |
			tail -n 1)")
	done < <(parts "$suite" "$package")
	unpack "$dir" "${debs[@]}" || {
		say "$name: NOT TO BE HAD: $package cannot be unpacked"
		return 1
	}
	apt_in "$suite" apt-cache show "$package" |
		sed -nE 's/^Version: //p' | head -n 1 >"$dir/version"
	echo "$suite" >"$dir/suite"
	rm -f "${debs[@]}"
	echo "$stamp" >"$dir/stamp"
}

# own_kernel NAME IMAGE [MODULES]: one of the user's own, as $cache/kernels/NAME.
own_kernel() {
	local dir=$cache/kernels/$1 release=
	shift

	rm -rf "$dir"
	mkdir -p "$dir/modules" "$dir/load"
	cp "$1" "$dir/vmlinuz" || return 1
	if [ -n "${2-}" ]; then
		release=$(basename "$(realpath "$2")")
		[ -e "$2/modules.dep" ] || {
			say "$2/modules.dep is missing: --modules takes" \
				"DIR/lib/modules/RELEASE as modules_install" \
				"leaves it"
			return 1
		}
		modules "$(realpath "$2/../../..")" "$release" "$dir"
	fi
	echo "${release:-unknown}" >"$dir/release"
	echo "${release:-local}" >"$dir/version"
	echo "local" >"$dir/suite"
}
