/* SPDX-License-Identifier: 0BSD */
/*
 * An incremental snapshot: after a first copy of everything, only the pages
 * that the program has written to are copied again.
 *
 * cc dirty-pages.c $(pkg-config --cflags --libs libpagemv)
 */
#include <errno.h>
#include <pagemv/pagemv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LEN    ((size_t)16 << 20)
#define PAGE   4096
#define ROUNDS 4

static char *heap, *snapshot;

/* What a program does between two snapshots. */
static void work(unsigned int round)
{
	for (size_t i = 0; i < 100; i++)
		heap[(i * i * round * 7 % (LEN / PAGE)) * PAGE + i]++;
}

/* Copies what has changed since the last time; how many bytes, or an error. */
static ssize_t update(struct pagemv *pv)
{
	struct pagemv_range changed[32];
	size_t copied = 0;
	void *next = heap;

	while ((char *)next < heap + LEN) {
		ssize_t n = pagemv_dirty(pv, next, heap + LEN - (char *)next,
					 PAGEMV_DIRTY_PROTECT, changed, 32,
					 &next);

		if (n < 0)
			return n;
		for (ssize_t i = 0; i < n; i++) {
			size_t off = (char *)changed[i].addr - heap;

			memcpy(snapshot + off, heap + off,
			       changed[i].len_bytes);
			copied += changed[i].len_bytes;
		}
	}
	return (ssize_t)copied;
}

static int run(struct pagemv *pv)
{
	ssize_t bytes = 0;

	memset(heap, 'x', LEN);
	/* Nothing has been protected yet, so the first update copies all. */
	for (unsigned int round = 0; round < ROUNDS && bytes >= 0; round++) {
		if (round)
			work(round);
		bytes = update(pv);
		if (bytes >= 0)
			printf("snapshot %u: %zd of %zu pages copied\n", round,
			       bytes / PAGE, LEN / PAGE);
	}
	if (bytes < 0)
		fprintf(stderr, "%s\n", pagemv_strerror((int)bytes));
	else if (memcmp(snapshot, heap, LEN))
		fputs("the snapshot is not what the heap is\n", stderr);
	else
		return puts("the snapshot is complete") < 0;
	return 1;
}

int main(void)
{
	const struct pagemv_region_opts opts = {
		.size = sizeof(opts),
		.flags = PAGEMV_REGION_TRACKED,
		.delivery = PAGEMV_DELIVERY_SIGNAL,
	};
	enum pagemv_reason why = PAGEMV_REASON_NONE;
	struct pagemv_region *region;
	struct pagemv *pv;
	int err;

	heap = mmap(NULL, LEN, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	snapshot = malloc(LEN);
	/* Where the kernel does not track stores by itself (before Linux 6.7),
	 * the first store to a page comes as SIGBUS. */
	if (heap == MAP_FAILED || !snapshot || pagemv_sigbus_install() ||
	    pagemv_open(&pv, NULL))
		return 1;
	err = pagemv_region_register(pv, heap, LEN, &opts, &region, &why);
	if (err == 0)
		err = run(pv);
	else if (err == -EOPNOTSUPP)
		err = printf("no tracking here: %s\n",
			     pagemv_reason_string(why)) < 0;
	pagemv_close(pv);
	pagemv_sigbus_uninstall();
	munmap(heap, LEN);
	free(snapshot);
	return err != 0;
}
