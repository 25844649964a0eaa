/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of the companion module have in common: its calls, bare, and
 * bodies that each run in a process of their own, after which the kernel's log
 * is looked at. When a process ends, the kernel counts its pages, and says so
 * if there is one too many or too few.
 *
 * The same bodies go through UFFDIO_MOVE where PMV_KMOD_WAY=move says so: that
 * is how the tests themselves are tried, and what the module is compared with.
 */
#ifndef TESTS_KMOD_KMOD_H
#define TESTS_KMOD_KMOD_H

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../kmod/uapi/linux/pagemv.h"
#include "oracle.h"
#include "proc.h"
#include "t.h"
#include "tap.h"

enum kmod_way {
	KMOD_MODULE,  /* /dev/pagemv, of the module or built in */
	KMOD_MOVE,    /* UFFDIO_MOVE of this kernel */
	KMOD_BUILTIN, /* UFFDIO_REMAP, of a kernel with the patches */
};

#define KMOD_HUGE     ((size_t)2 << 20)
#define KMOD_HOLES    PAGEMVIO_MODE_ALLOW_SRC_HOLES
#define KMOD_UNTOLD   INT64_C(0x5a5a5a5a5a5a5a5a) /* moved was not written */
#define KMOD_PATIENCE 60			  /* seconds, for a body */

/* ---- the calls; each returns 0 or -errno ---- */

enum kmod_way kmod_way(void);

/* A descriptor of this process, which the bodies have already as kmod_fd; or
 * -errno. */
int kmod_open(void);
extern int kmod_fd;

/* Of a userfaultfd: UFFDIO_REMAP if that is the way, else UFFDIO_MOVE. */
unsigned long kmod_uffd_request(void);

/*
 * One call, from whatever descriptor. *moved is what the kernel wrote, or
 * KMOD_UNTOLD.
 */
int kmod_remap_by(int fd, void *dst, const void *src, size_t bytes,
		  uint64_t mode, int64_t *moved);
int kmod_remap(void *dst, const void *src, size_t pages, uint64_t mode,
	       int64_t *moved);
/* flushes may be NULL. */
int kmod_remapv(struct pagemvio_range *ranges, size_t count, uint32_t flags,
		uint64_t mode, int64_t *moved, uint64_t *flushes);
int kmod_exchange(void *a, void *b, size_t pages, int64_t *moved);
struct pagemvio_info kmod_info(void);

/* For a destination: UFFDIO_MOVE wants it registered. Returns it. */
void *kmod_dst(void *dst, size_t pages);
/* t_map() of such, and of a source that is filled from first_id on. */
char *kmod_map_dst(size_t pages);
char *kmod_map_src(size_t pages, uint64_t first_id);

/* A userfaultfd to protect pages with: kmod_fd, where that is one; or -errno.
 */
int kmod_wp_open(void);
int kmod_protect(int uffd, void *addr, size_t pages);
/* All of this process; false where there is no such thing. */
bool kmod_clear_soft_dirty(const void *written);

/* ---- bodies ---- */

struct kmod_test {
	const char *name;
	const char *(*body)(void); /* NULL, or what is wrong */
};

__attribute__((format(printf, 1, 2))) const char *wrong(const char *format,
							...);
/* NULL when what is NULL. */
const char *wrong_at(const char *where, const char *what);
/* For a body that cannot be tried here; why: a static text. */
const char *skip(const char *why);
/* True where only the module can: the body ends, with NULL. */
bool skip_unless_module(void);

/* Ends a body, where condition does not hold, with what is wrong. */
#define MUST(condition, ...)                       \
	do {                                       \
		if (!(condition))                  \
			return wrong(__VA_ARGS__); \
	} while (0)
#define RIGHT(where, check)                                      \
	do {                                                     \
		const char *right_what = wrong_at(where, check); \
		if (right_what != NULL)                          \
			return right_what;                       \
	} while (0)

/* NULL if a call ended so; moved in pages, or a negative errno. */
const char *ended(int r, int64_t moved, int want, int64_t want_moved);
/* Moves all pages, filled from first_id on, and finds them at dst only. */
const char *moves(void *dst, void *src, size_t pages, uint64_t first_id);
/* Moves nothing, for this reason; both sides are as before: src filled. */
const char *refuses(void *dst, void *src, size_t pages, uint64_t first_id,
		    int error);

void kmod_run(struct tap *tap, const struct kmod_test *tests, size_t count);
/* A whole program of them. */
int kmod_main(const struct kmod_test *tests, size_t count);

/* Into a memory cgroup, below KMOD_CGROUPS, which is made if there is none;
 * false where there are no such cgroups. */
#define KMOD_CGROUPS "/sys/fs/cgroup"
bool kmod_into_cgroup(const char *name);

/* ---- what the kernel says ---- */

/* Bits of /proc/self/pagemap. */
#define PM_SOFT_DIRTY (UINT64_C(1) << 55)
#define PM_EXCLUSIVE  (UINT64_C(1) << 56)
#define PM_WP	      (UINT64_C(1) << 57)
#define PM_SWAP	      (UINT64_C(1) << 62)
#define PM_PRESENT    (UINT64_C(1) << 63)
#define PM_FRAME      ((UINT64_C(1) << 55) - 1)
uint64_t pagemap_of(const void *addr);
/* How many pages of the range have all of these bits. */
size_t count_bits(const void *addr, size_t pages, uint64_t bits);
/* A bit of /proc/kpageflags, for a page that is present. */
bool page_flag(const void *addr, unsigned int flag);
/* kB behind a name ("RssAnon:") in /proc/self/status, or in another file. */
uint64_t status_kb(const char *name);
uint64_t counter_in(const char *path, const char *name);

#endif /* TESTS_KMOD_KMOD_H */
