/* SPDX-License-Identifier: 0BSD */
/*
 * Moves 8 MiB from one mapping to another and says what happened.
 *
 * cc hello-move.c $(pkg-config --cflags --libs libpagemv)
 */
#include <pagemv/pagemv.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define LEN ((size_t)8 << 20)

int main(void)
{
	char *src = mmap(NULL, 2 * LEN, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *dst;
	enum pagemv_reason why = PAGEMV_REASON_NONE;
	struct pagemv_region *region;
	struct pagemv_result res;
	struct pagemv *pv;
	int err;

	if (src == MAP_FAILED || pagemv_open(&pv, NULL) != 0)
		return 1;
	dst = src + LEN;
	err = pagemv_region_register(pv, dst, LEN, NULL, &region, &why);
	if (err == 0) {
		memset(src, 'p', LEN);
		err = pagemv_move(pv, dst, src, LEN, NULL, &res);
		why = (enum pagemv_reason)res.reason;
		printf("moved %zu bytes, copied %zu, left %zu\n",
		       res.moved_bytes, res.copied_bytes, res.left_bytes);
	}
	if (err)
		fprintf(stderr, "%s: %s\n", pagemv_strerror(err),
			pagemv_reason_string(why));
	else if (dst[0] != 'p' || memcmp(dst, dst + 1, LEN - 1) || src[0] != 0)
		err = fprintf(stderr, "the bytes are not where they belong\n");
	else
		puts("every byte is at its new address, the old one is empty");
	pagemv_close(pv);
	munmap(src, 2 * LEN);
	return err != 0;
}
