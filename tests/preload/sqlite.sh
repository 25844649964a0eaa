#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# SQLite with large blobs and strings, sorts in memory, and VACUUM.

# shellcheck disable=SC2317 # called through in_each_mode
# shellcheck source=tests/preload/programs.sh
. "${top_srcdir:?}/tests/preload/programs.sh"
need sqlite3 sqlite3

rows=$(larger 20000 400000)
blobs=$(larger 12 100)

script() {
	cat <<END
PRAGMA journal_mode=MEMORY;
PRAGMA synchronous=OFF;
PRAGMA cache_size=-64000;
PRAGMA temp_store=MEMORY;
CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $rows)
INSERT INTO t SELECT i, printf('%08d-%s', i * 7919 % 1000003,
	substr('abcdefghijklmnopqrstuvwxyz', i % 20, 6)), i * 0.5 FROM n;
CREATE INDEX t_b ON t (b);
CREATE TABLE blobs (i INTEGER PRIMARY KEY, data BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $blobs)
INSERT INTO blobs SELECT i, CAST(replace(hex(zeroblob(i * 30000)), '00',
	printf('%x', i * 65537)) AS BLOB) FROM n;
UPDATE blobs SET data = CAST(data || data AS BLOB) WHERE i % 3 = 0;
SELECT count(*), sum(length(data)) FROM blobs;
SELECT length(group_concat(b)), substr(group_concat(b), 99990, 20) FROM t;
SELECT length(group_concat(hex(data))) FROM blobs;
SELECT b FROM (SELECT b, c FROM t ORDER BY b || c DESC) LIMIT 5 OFFSET 1000;
SELECT count(DISTINCT b), max(b), min(b) FROM t;
DELETE FROM t WHERE a % 3 = 0;
DELETE FROM blobs WHERE i % 4 = 1;
VACUUM;
PRAGMA integrity_check;
END
}

# As a file, and with all of it in memory.
work() {
	script | with sqlite3 -batch db >same
	with sqlite3 -batch db .dump >dump
	(script; echo .dump) | with sqlite3 -batch :memory: >memory
	cksum db dump memory >>same
}

in_each_mode work
