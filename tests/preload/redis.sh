#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Redis: strings, lists and tables that grow, a benchmark beside, and snapshots
# by a forked child while the parent goes on; a server without the shim has to
# read the snapshot and find the same in it.

# shellcheck disable=SC2317 # called through in_each_mode
# shellcheck source=tests/preload/programs.sh
. "${top_srcdir:?}/tests/preload/programs.sh"
need redis-server redis-server
need redis-cli redis-tools

strings=$(larger 8 64)
elements=$(larger 8000 1000000)
requests=$(larger 300 100000)

# server SOCKET COMMAND...: in the background; sets $server.
server() {
	socket=$1
	shift
	"$@" --port 0 --unixsocket "$socket" --save '' --appendonly no \
		--enable-debug-command yes --dbfilename dump.rdb \
		--dir "$dir" --logfile "$dir/$socket.log" &
	server=$!
	tries=0
	until [ "$(redis-cli -s "$socket" ping 2>/dev/null)" = PONG ]; do
		tries=$((tries + 1))
		if [ "$tries" -ge 300 ] || ! kill -0 "$server"; then
			cat "$dir/$socket.log"
			return 1
		fi
		sleep 0.05
	done
}

# ask ARGUMENT...: an error is an answer, too; but not one that is expected.
ask() {
	redis-cli -s "$socket" --no-raw "$@" >answer
	! grep -q '^(error)' answer || {
		echo "$*:"
		cat answer
		return 1
	}
	cat answer
}

# The same keys each time; strings and tables that become large step by step.
filling="
for i = 1, $strings do
	for k = 1, 40 do
		redis.call('append', 'string' .. i, string.rep(k .. ':', i * 3000))
	end
	redis.call('setrange', 'range' .. i, i * 200000, 'end')
	redis.call('setbit', 'bits' .. i, i * 900001, 1)
end
for i = 1, $elements do
	redis.call('set', 'key' .. i, i * i)
	redis.call('hset', 'hash', 'field' .. i, i)
	redis.call('rpush', 'list', 'element' .. i)
	redis.call('zadd', 'sorted', i * 7919 % 10007, i)
end"

# After the fork: what the child has to save is changed.
changing="
for i = 1, $strings do
	redis.call('append', 'string' .. i, string.rep('behind', i * 10000))
	redis.call('setrange', 'range' .. i, 5000, string.rep('changed', 999))
end
for i = 1, $elements, 2 do
	redis.call('del', 'key' .. i)
end"

benchmark() {
	redis-benchmark -s "$socket" --dbnum 1 -q -n "$requests" -c 8 -r 500 \
		-d 30000 -t set,get,lpush,rpush,lpop,sadd,hset,zadd,mset
}

saved() {
	tries=0
	until ask info persistence | grep -q rdb_bgsave_in_progress:0; do
		tries=$((tries + 1))
		[ "$tries" -lt 600 ] || return
		sleep 0.05
	done
	ask info persistence | grep -q rdb_last_bgsave_status:ok
}

# Digests are of all databases: the benchmark's is emptied for them.
digest() {
	ask -n 1 flushdb
	ask debug digest | tail -n 1
}

work() {
	# Of the subshell that this runs in.
	trap '[ -z "${server-}" ] || kill -9 "$server" 2>/dev/null' EXIT
	server tried with redis-server
	ask eval "$filling" 0
	digest >>same
	benchmark &
	benchmark=$!
	sleep 0.2
	ask bgsave
	ask eval "$changing" 0
	wait "$benchmark"
	saved
	digest | tee -a same
	ask shutdown nosave
	wait "$server"
	server=
	server stock redis-server
	digest | tee -a same
	ask shutdown nosave
	wait "$server"
	server=
	# What the child saved was as it was before.
	[ "$(sed -n 1p same)" = "$(sed -n 3p same)" ]
}

in_each_mode work
