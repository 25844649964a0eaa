# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# One guest: booted, watched, judged. Sourced by lab.sh, which sets $results,
# $cache, $work, $slow, $running.
#
#   $results/KERNEL/SCENARIO/console   the kernel's log, whole
#                           /tap       what init wrote
#                           /verdict   one line, for the matrix

# What no kernel log may say, whatever the tests say.
bad_log='BUG:|kernel BUG at|WARNING:|Oops|Bad page|Bad rss-counter|Bad swap'
bad_log+='|general protection fault|possible (circular|recursive) locking'
bad_log+='|inconsistent lock state|suspicious RCU usage|rcu_.*detected.* stall'
bad_log+='|soft lockup|hard LOCKUP|blocked for more than|Kernel panic'
bad_log+='|double free|refcount_t:|list_(add|del) corruption|unable to handle'
bad_log+='|UBSAN:'

# machine_of MACHINE: the arguments for QEMU, a line each.
machine_of() {
	case $1 in
	plain)
		printf '%s\n' -m 2G ;;
	disk | files)
		printf '%s\n' -m 2G -drive \
			"file=$2,if=virtio,format=raw,cache=unsafe" ;;
	numa)
		# Two sockets: a kernel warns of one that has two nodes.
		printf '%s\n' -m 2G -smp 2,sockets=2,cores=1,threads=1 \
			-object memory-backend-ram,id=m0,size=1G \
			-object memory-backend-ram,id=m1,size=1G \
			-numa node,nodeid=0,cpus=0,memdev=m0 \
			-numa node,nodeid=1,cpus=1,memdev=m1 ;;
	iommu)
		printf '%s\n' -m 2G -machine q35,kernel-irqchip=split \
			-device intel-iommu,intremap=off,caching-mode=on \
			-device edu -device edu -device edu -device edu ;;
	icount)
		# The guest's clock counts instructions, a nanosecond each.
		printf '%s\n' -m 2G -icount shift=0,sleep=off ;;
	*)
		die "scenarios.txt: no machine $1" ;;
	esac
}

# start_guest KERNEL|ROW: runs until the guest has powered off or time is up.
start_guest() {
	local kernel name as machine modules boot_with limit lanes programs
	local dir guest arguments qemu try

	IFS='|' read -r kernel name as machine modules boot_with limit lanes \
		programs <<<"$1"
	dir=$results/$kernel/$name
	guest=$work/$kernel-$name
	limit=$((limit * slow))
	if [ -n "$again" ]; then
		programs=$(only_failed "$dir" "$guest.before" "$programs")
	fi
	rm -rf "$dir"
	mkdir -p "$dir"
	date +%s >"$dir/started"
	# shellcheck disable=SC2086 # words
	pack_guest "$guest.cpio" "$cache/kernels/$kernel" "$modules" "$as" \
		"$machine" "$limit" "$(programs_of $programs | tr '\n' ' ')" \
		2>"$dir/qemu.log" || return
	[[ $machine != disk && $machine != files ]] || truncate -s 512M "$guest.disk"
	mapfile -t arguments < <(machine_of "$machine" "$guest.disk")

	# Under emulation a kernel may fall while it patches its own code, before
	# the first process starts (one boot in twenty of a busy machine). That is
	# no result, but three times is.
	for try in 1 2 3; do
		boot
		! grep -q '^=== release' "$dir/tap" 2>/dev/null || break
		mv "$dir/console" "$dir/console.$try" 2>/dev/null
	done
	[ ! -e "$guest.before" ] || put_in "$dir/tap" "$guest.before"
	rm -f "$guest".*
}

# boot: with what start_guest has set.
boot() {
	trap 'kill "$qemu" 2>/dev/null; wait "$qemu"; exit 1' TERM INT
	# Without cmpxchg16b: emulated by several threads, it breaks the kernel's
	# allocator now and then. tsc: where time is taken from guests, a kernel
	# that gives up its clock falls over the code it patches.
	timeout -k 5 "$((limit + 60))" qemu-system-x86_64 -nodefaults \
		-accel tcg -cpu max,-cx16 -smp 2 "${arguments[@]}" \
		-display none -monitor none -no-reboot \
		-serial "file:$dir/console" -serial "file:$dir/tap" \
		-kernel "$cache/kernels/$kernel/vmlinuz" \
		-initrd "$guest.cpio" \
		-append "console=ttyS0 ignore_loglevel panic=-1 tsc=reliable $boot_with $parameters" \
		>"$dir/qemu.log" 2>&1 </dev/null &
	qemu=$!
	wait "$qemu"
	echo $? >"$dir/status"
}

# log_of DIR: the worst of the kernel's log.
log_of() {
	tr -d '\r' <"$1/console" | grep -aE "$bad_log"
}

# lines_of LANE TAP: the lines that tests/results.sh speaks of; what began and
# never ended, or ended badly without saying why, is an error.
lines_of() {
	tr -d '\r' <"$2" | awk -v lane="$1" '
	function out(result, what) {
		print lane "\t" result "\t" what
	}
	/^=== begin / { program = $3; failed = results = 0; plan = ""; next }
	/^=== end / {
		if ($3 != 0 && !failed)
			out("ERROR", program " - exited with status " $3)
		else if (plan != "" && plan != results)
			out("ERROR", program " - " results " results of " plan)
		else if (plan == "")
			out("ERROR", program " - no results")
		program = ""
		next
	}
	/^=== done/ { done = 1 }
	program == "" { next }
	/^1\.\.0 # SKIP/ {
		sub(/^1\.\.0 # SKIP */, "")
		out("SKIP", program " - " $0)
		plan = 0
		next
	}
	/^1\.\.[0-9]+/ { plan = substr($1, 4); next }
	# Criterion gives no numbers.
	/^(not )?ok [0-9-]/ {
		results++
		result = /^not/ ? "FAIL" : (/# SKIP/ ? "SKIP" : "PASS")
		failed += result == "FAIL"
		sub(/^(not )?ok [0-9]* *- */, "")
		out(result, program " " results " - " $0)
	}
	END {
		if (program != "")
			out("ERROR", program " - never ended")
		else if (!done)
			out("ERROR", "the guest did not come to its end")
	}'
}

# judged_lines_of LANE TAP: with an error for each skip that nobody expects.
judged_lines_of() {
	local mine conditions

	conditions=$(sed -n 's/^=== holds //p' "$2" | tr -d '\r')
	mine=$(lines_of "$1" "$2")
	echo "$mine"
	unexpected_skips <<<"$mine"
}

# finish_guest KERNEL|ROW: judges it, adds its results to $work/all.
finish_guest() {
	local kernel name lanes dir version mine bad
	local seconds passed failed skipped

	IFS='|' read -r kernel name _ _ _ _ _ lanes _ <<<"$1"
	dir=$results/$kernel/$name
	touch "$dir/tap" "$dir/console"
	version=$(cut -d- -f1 "$cache/kernels/$kernel/version")
	mine=$(judged_lines_of "vm $version $name" "$dir/tap")
	bad=$(log_of "$dir")
	if [ -n "$bad" ] && [[ $lanes != *raw* ]]; then
		mine+=$'\n'"vm $version $name"$'\tERROR\tkernel log: '
		mine+=$(head -n 1 <<<"$bad")
	fi
	sed '/^$/d' <<<"$mine" >>"$work/all"
	seconds=$(($(date +%s) - $(cat "$dir/started")))
	passed=$(grep -cE $'\tPASS\t' <<<"$mine")
	failed=$(grep -cE $'\t(FAIL|ERROR)\t' <<<"$mine")
	skipped=$(grep -cE $'\tSKIP\t' <<<"$mine")
	printf '%s|%s|%s|%s|%s|%s|%s|%s\n' "$version" "$name" "$passed" \
		"$failed" "$skipped" "$seconds" "$(date +%F)" \
		"$(cat "$cache/kernels/$kernel/suite")" >"$dir/verdict"
	clear_progress
	[ ! -e "$dir/console.1" ] || say "$kernel $name: booted again," \
		"see $dir/console.1"
	printf '%-9s %-10s %-7s %4d passed, %d failed, %d skipped, %d s\n' \
		"$version" "$name" "$([ "$failed" -eq 0 ] && echo ok ||
			echo FAILED)" "$passed" "$failed" "$skipped" "$seconds"
	[ "$failed" -eq 0 ] || explain_guest "$dir" "$mine" "$bad"
}

explain_guest() {
	grep -E $'\t(FAIL|ERROR)\t' <<<"$2" | cut -f3- | sed 's/^/  failed: /'
	! grep -qxE '124|137' "$1/status" 2>/dev/null ||
		echo "  ended, as its time was up"
	if [ -s "$1/qemu.log" ]; then
		echo "  --- QEMU, or what packed for it, says"
		tail -n 5 "$1/qemu.log" | sed 's/^/  /'
	fi
	if [ -n "$3" ]; then
		echo "  --- the kernel's log says"
		head -n 5 <<<"$3" | sed 's/^/  /'
	fi
	echo "  --- the end of what the guest said"
	tr -d '\r' <"$1/tap" | grep -avE '^(ok |\[(PASS|SKIP|RUN ))' |
		tail -n "${PMV_VM_LINES:-25}" | sed 's/^/  /'
	echo "  all of it: $1/{tap,console}"
}

# --- progress on a terminal ---------------------------------------------------

progress() { # GUESTS STARTED
	local pid kernel name tap text

	[ -t 2 ] || return 0
	text="$1/${#plan[@]}"
	for pid in "${!running[@]}"; do
		IFS='|' read -r kernel name _ <<<"${running[$pid]}"
		tap=$results/$kernel/$name/tap
		text+="  $kernel $name: $(grep -acE '^ok ' "$tap" \
			2>/dev/null || echo 0) ok"
		text+=" $(sed -n 's/^=== begin .*\///p' "$tap" 2>/dev/null |
			tail -n 1 | tr -d '\r')"
	done
	printf '\r\033[K%.*s' "$(($(tput cols 2>/dev/null || echo 80) - 1))" \
		"$text" >&2
}

clear_progress() {
	[ ! -t 2 ] || printf '\r\033[K' >&2
}
