/* SPDX-License-Identifier: 0BSD */
/*
 * Shows a file as memory. Its pages are read when they are touched: one where
 * the next access may be anywhere, more and more at once where they are
 * touched in order. Unlike a mapping of the file the memory is private
 * anonymous: it can be written to, and its pages can be moved.
 *
 * cc lazy-file.c $(pkg-config --cflags --libs libpagemv)
 *
 * usage: lazy-file [FILE]   (without one it makes a file of 8 MiB)
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pagemv/pagemv.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_BYTES ((size_t)8 << 20)
#define TOUCHES	  50

static int temporary_file(void)
{
	FILE *file = tmpfile();
	int fd = file ? dup(fileno(file)) : -1;

	for (size_t i = 0; fd >= 0 && i < OWN_BYTES; i++)
		putc((int)(i * i >> 7) & 0xff, file);
	if (file)
		fclose(file);
	return fd;
}

/* What has been done for the region so far, and since the last time. */
static void tell(const struct pagemv *pv, const char *what, uint64_t sum)
{
	static struct pagemv_stats last;
	struct pagemv_stats now = { .size = sizeof(now) };

	pagemv_stats(pv, &now);
	printf("%-10s sum %11" PRIu64 ": %5" PRIu64 " faults read %6" PRIu64
	       " KiB\n",
	       what, sum, now.faults - last.faults,
	       (now.filled_bytes - last.filled_bytes) >> 10);
	last = now;
}

static uint64_t sum_of(const unsigned char *at, size_t bytes)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < bytes; i++)
		sum += at[i];
	return sum;
}

/* A byte here, a byte there. */
static uint64_t sum_random(const unsigned char *at, size_t bytes)
{
	uint64_t sum = 0, random = 1;

	for (int i = 0; i < TOUCHES; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		sum += at[(random >> 20) % bytes];
	}
	return sum;
}

/* Whether memory and file are equal. */
static int check(const unsigned char *at, size_t bytes, int fd)
{
	static unsigned char buf[1 << 16];
	size_t off = 0;
	ssize_t n = 1;

	while (off < bytes && n > 0) {
		n = pread(fd, buf, sizeof(buf), (off_t)off);
		if (n > 0 && memcmp(at + off, buf, (size_t)n) != 0)
			return -1;
		off += n > 0 ? (size_t)n : 0;
	}
	return off == bytes ? 0 : -1;
}

/* Makes [at, at + len) the file, by pagemv where that is possible. */
static int show(struct pagemv *pv, void *at, size_t len, int fd)
{
	const struct pagemv_region_opts opts = {
		.size = sizeof(opts),
		.flags = PAGEMV_REGION_FAULTING,
		.delivery = PAGEMV_DELIVERY_SIGNAL,
		.source = PAGEMV_SOURCE_FILE,
		.around_pages = PAGEMV_AROUND_MAX,
		.fd = fd,
	};
	enum pagemv_reason why = PAGEMV_REASON_NONE;
	struct pagemv_region *region;
	int err = pagemv_region_register(pv, at, len, &opts, &region, &why);

	if (err == 0)
		return 0;
	printf("pages cannot be filled on demand here (%s: %s)\n",
	       pagemv_strerror(err), pagemv_reason_string(why));
	if (err != -EOPNOTSUPP)
		return -1;
	puts("so the file is mapped");
	return mmap(at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
		    fd, 0) == at
		       ? 0
		       : -1;
}

int main(int argc, char **argv)
{
	int fd = argc > 1 ? open(argv[1], O_RDONLY | O_CLOEXEC)
			  : temporary_file();
	size_t bytes, len, page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char *at;
	struct pagemv *pv;
	struct stat st;
	int err;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size == 0) {
		fprintf(stderr, "no file, or an empty one\n");
		return 1;
	}
	bytes = (size_t)st.st_size;
	len = (bytes + page - 1) / page * page;
	at = mmap(NULL, len, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED || pagemv_sigbus_install() != 0 ||
	    pagemv_open(&pv, NULL) != 0)
		return 1;
	err = show(pv, at, len, fd);
	if (err == 0) {
		tell(pv, "random", sum_random(at, bytes));
		tell(pv, "in order", sum_of(at, bytes));
		tell(pv, "once more", sum_of(at, bytes));
		err = check(at, bytes, fd);
		puts(err ? "memory and file differ" : "memory and file agree");
	}
	pagemv_close(pv);
	munmap(at, len);
	close(fd);
	return err != 0;
}
