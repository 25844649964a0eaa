// SPDX-License-Identifier: LGPL-2.1-or-later
#include "malloc_program.h"
#include "interrupt.h"
#include "program.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S   60
#define REDIS_TESTS  "set,get,incr,lpush,rpop,sadd,hset,mset"
#define REDIS_TEST_N 8
#define PYTHON	     "/usr/bin/python3"

/* Lists, dictionaries, strings and buffers of many sizes; the last line is
 * about the process. */
static const char script[] =
	"import sys\n"
	"n = int(sys.argv[1])\n"
	"keep = {}\n"
	"for i in range(n):\n"
	"    keep[i % 997] = [str(i) * (i % 7), bytearray(i * 37 % 3000),\n"
	"                     list(range(i % 300)), {j: i for j in range(9)}]\n"
	"b = bytearray()\n"
	"for i in range(n):\n"
	"    b += b'0123456789abcdef'\n"
	"s = ''.join(str(i) for i in range(n))\n"
	"hwm = [l.split()[1] for l in open('/proc/self/status')\n"
	"       if l.startswith('VmHWM')][0]\n"
	"print(hwm, len(open('/proc/self/maps').readlines()))\n";

bool malloc_program_available(const struct malloc_pattern *pattern,
			      char why[160])
{
	bool redis = pattern->kind == MALLOC_REDIS;
	bool found = redis ? bench_program_available("redis-server") &&
				     bench_program_available("redis-benchmark")
			   : !access(PYTHON, X_OK);

	if (!found)
		snprintf(why, 160, "not installed (Debian: apt install %s)",
			 redis ? "redis-server" : "python3");
	return found;
}

static int run_python(const struct malloc_pattern *pattern,
		      enum bench_allocator allocator, struct bench_work *work,
		      char why[160])
{
	char n[32];
	struct bench_program program = {
		.allocator = allocator,
		.argv = { PYTHON, "-S", "-c", script, n },
		.patience_s = PATIENCE_S,
	};
	struct bench_program_end end;
	unsigned long kib;
	int rc;

	snprintf(n, sizeof(n), "%lu", pattern->ops);
	rc = bench_program_run(&program, &end);
	if (rc) {
		snprintf(why, 160, "%.159s", end.why);
		return rc;
	}
	if (sscanf(end.text, "%lu %ld", &kib, &work->mappings) != 2) {
		snprintf(why, 160, "python3 told nothing");
		return -ECHILD;
	}
	work->ops = pattern->ops;
	work->seconds = (double)end.wall_ns / 1e9;
	work->cpu_seconds = (double)end.cpu_ns / 1e9;
	work->peak_rss_mib = (double)kib / 1024;
	return 0;
}

/* A server with a directory of its own. */
struct redis {
	struct bench_program program;
	char dir[64];
	char socket[80];
	pid_t pid;
};

static bool redis_answers(const struct redis *redis)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	memcpy(addr.sun_path, redis->socket, sizeof(redis->socket));
	ok = fd >= 0 && !connect(fd, (struct sockaddr *)&addr, sizeof(addr));
	if (fd >= 0)
		close(fd);
	return ok;
}

static int redis_start(struct redis *redis, enum bench_allocator allocator,
		       char why[160])
{
	int rc;

	snprintf(redis->dir, sizeof(redis->dir), "/tmp/pagemv-bench-XXXXXX");
	if (!mkdtemp(redis->dir))
		return -errno;
	snprintf(redis->socket, sizeof(redis->socket), "%s/socket", redis->dir);
	redis->program = (struct bench_program){
		.allocator = allocator,
		.argv = { "redis-server", "--port", "0", "--unixsocket",
			  redis->socket, "--save", "", "--dir", redis->dir },
		.patience_s = PATIENCE_S,
	};
	rc = bench_program_start(&redis->program, &redis->pid, why);
	for (int i = 0; !rc && !redis_answers(redis); i++) {
		if (bench_interrupted() || i == PATIENCE_S * 100) {
			bench_program_kill(redis->pid);
			snprintf(why, 160, "redis-server does not answer");
			return bench_interrupted() ? -EINTR : -ETIMEDOUT;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	return rc;
}

/* Of a process that is not ours: its most memory, its mappings. */
static void read_proc(pid_t pid, struct bench_work *work)
{
	char path[64], line[512];
	unsigned long kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "VmHWM: %lu", &kib);
	if (file)
		fclose(file);
	work->peak_rss_mib = (double)kib / 1024;
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		work->mappings += strchr(line, '\n') != NULL;
	if (file)
		fclose(file);
}

static int redis_load(const struct redis *redis,
		      const struct malloc_pattern *pattern,
		      struct bench_work *work, char why[160])
{
	char n[32];
	struct bench_program program = {
		.allocator = BENCH_GLIBC,
		.argv = { "redis-benchmark", "-s", redis->socket, "-q", "-n", n,
			  "-c", "20", "-P", "16", "-d", "200", "-r", "100000",
			  "-t", REDIS_TESTS },
		.patience_s = PATIENCE_S,
	};
	struct bench_program_end end;
	int rc;

	snprintf(n, sizeof(n), "%lu", pattern->ops);
	rc = bench_program_run(&program, &end);
	if (rc)
		snprintf(why, 160, "redis-benchmark: %.140s", end.why);
	work->ops = pattern->ops * REDIS_TEST_N;
	work->seconds = (double)end.wall_ns / 1e9;
	return rc;
}

/* It is told to end, and has nothing to save. */
static int redis_stop(struct redis *redis, struct bench_work *work,
		      char why[160])
{
	struct bench_program_end end;
	int rc;

	kill(redis->pid, SIGTERM);
	rc = bench_program_finish(&redis->program, redis->pid, &end);
	work->cpu_seconds = (double)end.cpu_ns / 1e9;
	if (rc)
		snprintf(why, 160, "redis-server: %.140s", end.why);
	return rc;
}

static int run_redis(const struct malloc_pattern *pattern,
		     enum bench_allocator allocator, struct bench_work *work,
		     char why[160])
{
	struct redis redis = { .pid = 0 };
	char also[160];
	int rc = redis_start(&redis, allocator, why);

	if (!rc) {
		rc = redis_load(&redis, pattern, work, why);
		read_proc(redis.pid, work);
		if (rc)
			(void)redis_stop(&redis, work, also);
		else
			rc = redis_stop(&redis, work, why);
	}
	unlink(redis.socket);
	rmdir(redis.dir);
	return rc;
}

int malloc_program_run(const struct malloc_pattern *pattern,
		       enum bench_allocator allocator, struct bench_work *work,
		       char why[160])
{
	why[0] = '\0';
	return pattern->kind == MALLOC_REDIS
		       ? run_redis(pattern, allocator, work, why)
		       : run_python(pattern, allocator, work, why);
}
