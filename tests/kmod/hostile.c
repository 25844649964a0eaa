/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Arguments that nobody means well with: sizes, pointers, bits, vectors that
 * are huge or change while they are read, requests that there are not. No page
 * may be lost, and the kernel's log stays clean.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kmod.h"

#define PAGES 16
#define COUNT 64

static int call(unsigned long request, void *argument)
{
	return ioctl(kmod_fd, request, argument) == 0 ? 0 : -errno;
}

/* ---- sizes ---- */

/* A structure with its size first, in a page of its own before a wall. */
static void *before_wall(const void *structure, size_t size)
{
	char *p = t_map(1);

	return memcpy(p + t_page() - size, structure, size);
}

static const char *info_sizes(void)
{
	/* What came with the first version; counters may be left out. */
	const size_t least = offsetof(struct pagemvio_info, remap_calls);
	struct pagemvio_info info = { .size = sizeof(info) };
	char big[512], *longest;
	size_t size;
	int r;

	for (size = 0; size < sizeof(info); size++) {
		info.size = (uint32_t)size;
		r = call(PAGEMVIO_INFO, &info);
		MUST(r == (size < least ? -EINVAL : 0), "size %zu: %d", size,
		     r);
		info = (struct pagemvio_info){ .size = 0 };
	}
	memset(big, 0, sizeof(big));
	size = sizeof(info) + 64;
	memcpy(big, &(uint32_t){ (uint32_t)size }, 4);
	r = call(PAGEMVIO_INFO, big);
	MUST(r == 0, "a longer one, its tail zero: %d", r);
	memcpy(big, &(uint32_t){ (uint32_t)size }, 4);
	big[size - 1] = 1;
	r = call(PAGEMVIO_INFO, big);
	MUST(r == -E2BIG, "a longer one, its tail not zero: %d", r);
	memset(big, 0xff, sizeof(big));
	r = call(PAGEMVIO_INFO, big);
	MUST(r == -E2BIG || r == -EINVAL, "a size of 4 GiB: %d", r);
	/* Nobody looks for ones in as many zeros. */
	longest = t_map(3);
	*(uint32_t *)(void *)longest = (uint32_t)t_pages(2);
	r = call(PAGEMVIO_INFO, longest);
	MUST(r == -E2BIG, "longer than a page, zeros: %d", r);
	return NULL;
}

static const char *vector_sizes(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1);
	struct pagemvio_range range = { (uintptr_t)dst, (uintptr_t)src,
					t_page(), 0 };
	struct pagemvio_remapv v = { .ranges = (uintptr_t)&range, .count = 1 };
	const uint32_t sizes[] = { 0, 4, 8, 16, 24, 39, 1u << 31, ~0u };
	size_t i;
	int r;

	for (i = 0; i < T_COUNT(sizes); i++) {
		v.size = sizes[i];
		r = call(PAGEMVIO_REMAPV, before_wall(&v, sizeof(v)));
		MUST(r == (v.size < sizeof(v) ? -EINVAL : -E2BIG),
		     "size %u: %d", sizes[i], r);
	}
	return t_check_range(src, 1, 1);
}

static const char *exchange_sizes(void)
{
	char *a = kmod_map_src(1, 1), *b = kmod_map_src(1, 2);
	struct pagemvio_exchange x = { .a = (uintptr_t)a,
				       .b = (uintptr_t)b,
				       .len = t_page() };
	const uint32_t sizes[] = { 0, 8, 16, 31, 1u << 31, ~0u };
	size_t i;
	int r;

	for (i = 0; i < T_COUNT(sizes); i++) {
		x.size = sizes[i];
		r = call(PAGEMVIO_EXCHANGE, before_wall(&x, sizeof(x)));
		MUST(r == (x.size < sizeof(x) ? -EINVAL : -E2BIG),
		     "size %u: %d", sizes[i], r);
	}
	RIGHT("b", t_check_range(b, 1, 2));
	return t_check_range(a, 1, 1);
}

/* ---- bits ---- */

/* A vector of one range that is all right but for what is changed of it. */
static struct pagemvio_remapv vector_of(struct pagemvio_range *range)
{
	*range = (struct pagemvio_range){ (uintptr_t)kmod_map_dst(1),
					  (uintptr_t)kmod_map_src(1, 1),
					  t_page(), 0 };
	return (struct pagemvio_remapv){ .size = sizeof(struct pagemvio_remapv),
					 .ranges = (uintptr_t)range,
					 .count = 1 };
}

/* One at a time: each has to be refused by itself. */
static const char *unknown_bits(void)
{
	struct pagemvio_range range;
	const struct pagemvio_remapv right = vector_of(&range);
	struct pagemvio_exchange x = { .size = sizeof(x),
				       .a = range.dst,
				       .b = range.src,
				       .len = t_page() };
	struct pagemvio_remapv v;
	int bit;

	for (bit = 2; bit < 64; bit++) {
		v = right;
		v.mode = UINT64_C(1) << bit;
		MUST(call(PAGEMVIO_REMAPV, &v) == -EINVAL, "mode, bit %d", bit);
	}
	for (bit = 1; bit < 32; bit++) {
		v = right;
		v.flags = 1u << bit;
		MUST(call(PAGEMVIO_REMAPV, &v) == -EINVAL, "flags, bit %d",
		     bit);
	}
	for (bit = 0; bit < 32; bit++) {
		x.flags = 1u << bit;
		MUST(call(PAGEMVIO_EXCHANGE, &x) == -EINVAL, "exchange, bit %d",
		     bit);
	}
	v = right;
	MUST(call(PAGEMVIO_REMAPV, &v) == 0, "none of them is refused as well");
	return NULL;
}

static const char *padding(void)
{
	struct pagemvio_range range;
	struct pagemvio_remapv v = vector_of(&range);

	for (v.pad = 1; v.pad != 0; v.pad <<= 1)
		MUST(call(PAGEMVIO_REMAPV, &v) == -EINVAL, "%#x", v.pad);
	MUST(call(PAGEMVIO_REMAPV, &v) == 0, "zero is refused as well");
	return NULL;
}

/* ---- pointers ---- */

static const char *bad_pointers(void)
{
	char *src = kmod_map_src(1, 1);
	char *ro = t_map(1), *gone = t_map(1);
	struct pagemvio_remapv v = { .size = sizeof(v), .count = 4 };
	const uint64_t places[] = {
		0,
		1,
		8,
		(uintptr_t)gone,
		(uintptr_t)gone - 40,
		UINT64_C(0xffff888000000000),
		UINT64_C(0xffffffff81000000),
		UINT64_C(0x0000800000000000),
		UINT64_C(0xfffffffffffffff8),
		(UINT64_C(1) << 47) - 32,
	};
	size_t i;
	int r;

	mprotect(gone, t_page(), PROT_NONE);
	for (i = 0; i < T_COUNT(places); i++) {
		v.ranges = places[i];
		r = call(PAGEMVIO_REMAPV, &v);
		MUST(r == -EFAULT || r == -EINVAL, "vector at %" PRIx64 ": %d",
		     places[i], r);
	}
	for (i = 0; i < T_COUNT(places); i++) {
		void *p = (void *)(uintptr_t)places[i];

		MUST(call(PAGEMVIO_INFO, p) == -EFAULT &&
			     call(PAGEMVIO_REMAPV, p) == -EFAULT &&
			     call(PAGEMVIO_EXCHANGE, p) == -EFAULT &&
			     call(PAGEMVIO_REMAP, p) == -EFAULT,
		     "structure at %" PRIx64, places[i]);
	}
	mprotect(ro, t_page(), PROT_READ);
	r = call(PAGEMVIO_INFO, ro);
	MUST(r == -EFAULT || r == -EINVAL, "read-only: %d", r);
	return t_check_range(src, 1, 1);
}

/* Results cannot be written: nothing moves. */
static const char *results_not_writable(void)
{
	char *src = kmod_map_src(COUNT, 1), *dst = kmod_map_dst(COUNT);
	struct pagemvio_range *range = t_map(1);
	size_t i;
	int r;

	for (i = 0; i < COUNT; i++)
		range[i] = (struct pagemvio_range){
			(uintptr_t)dst + t_pages(COUNT - 1 - i),
			(uintptr_t)src + t_pages(i), t_page(), 0
		};
	mprotect(range, t_page(), PROT_READ);
	r = kmod_remapv(range, COUNT, 0, 0, NULL, NULL);
	MUST(r == -EFAULT, "%d", r);
	RIGHT("dst", t_check_absent(dst, COUNT));
	return t_check_range(src, COUNT, 1);
}

static const char *exchange_result_not_writable(void)
{
	char *a = kmod_map_src(1, 1), *b = kmod_map_src(1, 2), *p = t_map(2);
	struct pagemvio_exchange *x =
		(void *)(p + t_page() -
			 offsetof(struct pagemvio_exchange, moved));
	int r;

	*x = (struct pagemvio_exchange){ .size = sizeof(*x),
					 .a = (uintptr_t)a,
					 .b = (uintptr_t)b,
					 .len = t_page() };
	mprotect(p + t_page(), t_page(), PROT_READ);
	r = call(PAGEMVIO_EXCHANGE, x);
	MUST(r == -EFAULT, "%d", r);
	RIGHT("b", t_check_range(b, 1, 2));
	return t_check_range(a, 1, 1);
}

/* Its ranges do not begin at a multiple of what they consist of. */
static const char *unaligned_vector(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1), *p = t_map(1);
	struct pagemvio_range range = { (uintptr_t)dst, (uintptr_t)src,
					t_page(), 0 };
	size_t off;
	int r;

	for (off = 1; off < 8; off++) {
		memcpy(p + off, &range, sizeof(range));
		r = kmod_remapv((void *)(p + off), 1, 0, 0, NULL, NULL);
		MUST(r == -EINVAL, "%zu bytes behind: %d", off, r);
	}
	RIGHT("dst", t_check_absent(dst, 1));
	return t_check_range(src, 1, 1);
}

static const char *counts(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1);
	struct pagemvio_range range = { (uintptr_t)dst, (uintptr_t)src,
					t_page(), 0 };
	const uint32_t many[] = { PAGEMVIO_REMAPV_MAX + 1, 1u << 20, 1u << 27,
				  1u << 31, ~0u };
	size_t i;
	int r;

	for (i = 0; i < T_COUNT(many); i++) {
		r = kmod_remapv(&range, many[i], 0, 0, NULL, NULL);
		MUST(r == -EINVAL || r == -E2BIG, "count %u: %d", many[i], r);
	}
	return t_check_range(src, 1, 1);
}

/* ---- requests ---- */

static const char *unknown_requests(void)
{
	char *argument = t_map(4);
	unsigned int n, dir, size;
	int r;

	for (n = 0; n < 256; n++)
		for (dir = 0; dir < 4; dir++)
			for (size = 0; size <= 96; size += 24) {
				if (n < 4 && dir == 3)
					continue;
				r = call(_IOC(dir, PAGEMVIO, n, size),
					 argument);
				MUST(r == -ENOTTY || r == -EINVAL,
				     "number %u, direction %u, size %u: %d", n,
				     dir, size, r);
			}
	MUST(call(0x5401, argument) == -ENOTTY, "TCGETS");
	return NULL;
}

static const char *other_file_calls(void)
{
	char byte = 0;

	MUST(read(kmod_fd, &byte, 1) < 0, "can be read");
	MUST(write(kmod_fd, &byte, 1) < 0, "can be written");
	MUST(mmap(NULL, t_page(), PROT_READ, MAP_SHARED, kmod_fd, 0) ==
		     MAP_FAILED,
	     "can be mapped");
	MUST(ftruncate(kmod_fd, 1) != 0, "can be truncated");
	lseek(kmod_fd, 1, SEEK_SET);
	return moves(kmod_map_dst(1), kmod_map_src(1, 1), 1, 1);
}

/* ---- a vector that changes while it is read ---- */

struct flipper {
	struct pagemvio_range *range;
	uint64_t src;
	uint64_t dst;
	volatile bool over;
};

static const uint64_t nasty[] = {
	0,
	1,
	4095,
	~UINT64_C(0),
	UINT64_C(1) << 63,
	UINT64_C(0xffff888000000000),
	UINT64_C(1) << 47,
	1 << 12,
	1 << 21,
};

static void *flip(void *arg)
{
	struct flipper *f = arg;
	struct t_random random = t_random_make(7);
	volatile struct pagemvio_range *r;

	while (!f->over) {
		r = &f->range[t_random_below(&random, COUNT)];
		switch (t_random_below(&random, 6)) {
		case 0:
			r->src = nasty[t_random_below(&random, T_COUNT(nasty))];
			break;
		case 1:
			r->dst = nasty[t_random_below(&random, T_COUNT(nasty))];
			break;
		case 2:
			r->len = nasty[t_random_below(&random, T_COUNT(nasty))];
			break;
		default:
			r->src = f->src +
				 t_pages(t_random_below(&random, COUNT));
			r->dst = f->dst +
				 t_pages(t_random_below(&random, COUNT));
			r->len = t_pages(1 + t_random_below(&random, 4));
		}
	}
	return NULL;
}

static const char *census_of(char *a, char *b, size_t pages)
{
	struct t_census census;
	const char *what;

	t_census_open(&census, pages);
	t_census_take(&census, a, pages);
	t_census_take(&census, b, pages);
	what = wrong_at("census", t_census_verdict(&census));
	t_census_close(&census);
	return what;
}

/* Ranges may go anywhere within both; each page is somewhere, once. */
static const char *changing_vector(void)
{
	char *src = kmod_map_src(COUNT + 4, 1), *dst = kmod_map_dst(COUNT + 4);
	struct flipper f = { t_map(1), (uintptr_t)src, (uintptr_t)dst, false };
	uint64_t until = t_now_ns() + 500000000ull * (1 + t_slow() / 4);
	pthread_t thread;
	uint64_t n = 0;
	int r = 0;

	if (pthread_create(&thread, NULL, flip, &f) != 0)
		t_die("pthread_create");
	while (t_now_ns() < until) {
		r = kmod_remapv(f.range, COUNT, n % 3 == 0, KMOD_HOLES, NULL,
				NULL);
		n++;
		if (r == -EFAULT)
			break;
		if (n % 2 == 0) {
			f.src = (uintptr_t)dst;
			f.dst = (uintptr_t)src;
		} else {
			f.src = (uintptr_t)src;
			f.dst = (uintptr_t)dst;
		}
	}
	f.over = true;
	pthread_join(thread, NULL);
	MUST(r != -EFAULT, "EFAULT from a vector that is there");
	tap_say(stdout, "%" PRIu64 " calls", n);
	return census_of(src, dst, COUNT + 4);
}

/* ---- anything ---- */

static uint64_t some(struct t_random *random, char *src, char *dst)
{
	switch (t_random_below(random, 8)) {
	case 0:
		return t_random_next(random);
	case 1:
		return nasty[t_random_below(random, T_COUNT(nasty))];
	case 2:
		return t_random_next(random) & 0xffffffffff000;
	case 3:
	case 4:
		return (uintptr_t)src + t_pages(t_random_below(random, PAGES));
	case 5:
	case 6:
		return (uintptr_t)dst + t_pages(t_random_below(random, PAGES));
	default:
		return t_pages(t_random_below(random, 6));
	}
}

/*
 * Words at random, in structures at random. What they hit besides src and dst
 * is this program itself: then it would crash, and be seen.
 */
static const char *random_words(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	struct t_random random = t_random_make(t_env("PMV_SEED", 20261121));
	uint64_t words[32];
	size_t i, k;

	for (i = 0; i < 20000; i++) {
		for (k = 0; k < T_COUNT(words); k++)
			words[k] = some(&random, src, dst);
		switch (t_random_below(&random, 4)) {
		case 0:
			words[3] &= 3;
			call(PAGEMVIO_REMAP, words);
			break;
		case 1:
			words[0] = sizeof(struct pagemvio_remapv);
			words[1] &= 3;
			words[2] = (uintptr_t)(words + 8);
			words[3] = t_random_below(&random, 7);
			call(PAGEMVIO_REMAPV, words);
			break;
		case 2:
			words[0] = sizeof(struct pagemvio_exchange);
			call(PAGEMVIO_EXCHANGE, words);
			break;
		default:
			call((unsigned long)words[5], words);
		}
	}
	return census_of(src, dst, PAGES);
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "INFO of any size", info_sizes },
		{ "REMAPV of a wrong size", vector_sizes },
		{ "EXCHANGE of a wrong size", exchange_sizes },
		{ "EINVAL: each unknown bit", unknown_bits },
		{ "EINVAL: padding that is not zero", padding },
		{ "EFAULT: pointers", bad_pointers },
		{ "EFAULT: results cannot be written", results_not_writable },
		{ "EFAULT: the result of an exchange cannot be written",
		  exchange_result_not_writable },
		{ "EINVAL: a vector that is not aligned", unaligned_vector },
		{ "vectors that are too long", counts },
		{ "ENOTTY: requests that there are not", unknown_requests },
		{ "read, write, mmap, truncate", other_file_calls },
		{ "a vector that changes while it is read", changing_vector },
		{ "random words", random_words },
	};
	struct tap tap = { 0, 0 };

	if (kmod_way() != KMOD_MODULE) {
		tap_skip(&tap, "hostile", "only the module can");
		return tap_done(&tap);
	}
	kmod_run(&tap, tests, T_COUNT(tests));
	return tap_done(&tap);
}
