// SPDX-License-Identifier: LGPL-2.1-or-later
#include "methods.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum registered { BARE, BY_LIBRARY, BY_RAW };

struct method {
	const char *name;
	int (*one)(const struct bench_target *target, void *dst, void *src,
		   size_t len_bytes);
	enum registered registered;
	enum pagemv_mechanism mechanism; /* of the library */
	const struct pagemv_move_opts *opts;
};

static const struct pagemv_move_opts auto_remap_opts = {
	.size = sizeof(struct pagemv_move_opts),
	.flags = PAGEMV_MOVE_MAY_REMAP | PAGEMV_MOVE_UNCHECKED,
};

static const struct pagemv_move_opts move_opts = {
	.size = sizeof(struct pagemv_move_opts),
	.mechanism = PAGEMV_MECH_MOVE,
};

static const struct pagemv_move_opts remap_opts = {
	.size = sizeof(struct pagemv_move_opts),
	.flags = PAGEMV_MOVE_MAY_REMAP | PAGEMV_MOVE_UNCHECKED,
	.mechanism = PAGEMV_MECH_REMAP,
};

static const struct pagemv_move_opts copy_opts = {
	.size = sizeof(struct pagemv_move_opts),
	.flags = PAGEMV_MOVE_QUIESCENT,
	.mechanism = PAGEMV_MECH_COPY,
};

static const struct pagemv_move_opts companion_opts = {
	.size = sizeof(struct pagemv_move_opts),
	.mechanism = PAGEMV_MECH_COMPANION,
};

static int one_library(const struct bench_target *target, void *dst, void *src,
		       size_t len_bytes)
{
	return pagemv_move(target->pv, dst, src, len_bytes, target->opts, NULL);
}

static int one_raw_move(const struct bench_target *target, void *dst, void *src,
			size_t len_bytes)
{
	return bench_rawuffd_move(target->uffd, dst, src, len_bytes);
}

static int one_raw_remap(const struct bench_target *target, void *dst,
			 void *src, size_t len_bytes)
{
	void *addr = mremap(src, len_bytes, len_bytes,
			    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
			    dst);

	(void)target;
	return addr == MAP_FAILED ? -errno : 0;
}

static int one_raw_copy(const struct bench_target *target, void *dst, void *src,
			size_t len_bytes)
{
	int rc = bench_rawuffd_copy(target->uffd, dst, src, len_bytes);

	if (rc)
		return rc;
	return madvise(src, len_bytes, MADV_DONTNEED) ? -errno : 0;
}

static int one_memcpy_fresh(const struct bench_target *target, void *dst,
			    void *src, size_t len_bytes)
{
	(void)target;
	memcpy(dst, src, len_bytes);
	return madvise(src, len_bytes, MADV_DONTNEED) ? -errno : 0;
}

static int one_memcpy_warm(const struct bench_target *target, void *dst,
			   void *src, size_t len_bytes)
{
	(void)target;
	memcpy(dst, src, len_bytes);
	return 0;
}

static const struct method methods[BENCH_METHODS] = {
	[BENCH_AUTO] = { "auto", one_library, BY_LIBRARY, PAGEMV_MECH_AUTO,
			 NULL },
	[BENCH_AUTO_REMAP] = { "auto-remap", one_library, BY_LIBRARY,
			       PAGEMV_MECH_AUTO, &auto_remap_opts },
	[BENCH_MOVE] = { "move", one_library, BY_LIBRARY, PAGEMV_MECH_MOVE,
			 &move_opts },
	[BENCH_RAW_MOVE] = { "raw-move", one_raw_move, BY_RAW, PAGEMV_MECH_AUTO,
			     NULL },
	[BENCH_REMAP] = { "remap", one_library, BY_LIBRARY, PAGEMV_MECH_REMAP,
			  &remap_opts },
	[BENCH_RAW_REMAP] = { "raw-remap", one_raw_remap, BARE,
			      PAGEMV_MECH_AUTO, NULL },
	[BENCH_COPY] = { "copy", one_library, BY_LIBRARY, PAGEMV_MECH_COPY,
			 &copy_opts },
	[BENCH_RAW_COPY] = { "raw-copy", one_raw_copy, BY_RAW, PAGEMV_MECH_AUTO,
			     NULL },
	[BENCH_COMPANION] = { "companion", one_library, BY_LIBRARY,
			      PAGEMV_MECH_COMPANION, &companion_opts },
	[BENCH_MEMCPY_FRESH] = { "memcpy-fresh", one_memcpy_fresh, BARE,
				 PAGEMV_MECH_AUTO, NULL },
	[BENCH_MEMCPY_WARM] = { "memcpy-warm", one_memcpy_warm, BARE,
				PAGEMV_MECH_AUTO, NULL },
};

const char *bench_method_name(enum bench_method_id id)
{
	return methods[id].name;
}

enum bench_method_id bench_method_find(const char *name)
{
	enum bench_method_id id = 0;

	while (id < BENCH_METHODS && strcmp(name, methods[id].name))
		id++;
	return id;
}

/* Finds out by doing it once; only kernels before 5.7 lack it. */
static const char *remap_lacking(void)
{
	size_t len = 4096 * 16;
	void *src = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *dst = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc = one_raw_remap(NULL, dst, src, len);

	munmap(src, len);
	munmap(dst, len);
	return rc ? strerror(-rc) : NULL;
}

static const char *raw_lacking(enum bench_method_id id,
			       const struct bench_rawuffd *raw)
{
	if (raw->fd < 0)
		return strerror(-raw->error);
	if (id == BENCH_RAW_MOVE && !raw->has_move)
		return pagemv_reason_string(PAGEMV_REASON_NOT_IN_KERNEL);
	return NULL;
}

const char *bench_method_lacking(enum bench_method_id id,
				 const struct bench_backend *backend)
{
	const struct method *method = &methods[id];
	const struct pagemv_mech_caps *caps =
		&backend->caps.mech[method->mechanism];

	if (method->registered == BY_RAW)
		return raw_lacking(id, &backend->raw);
	if (id == BENCH_RAW_REMAP)
		return remap_lacking();
	if (method->mechanism != PAGEMV_MECH_AUTO && !caps->available)
		return pagemv_reason_string(caps->reason);
	return NULL;
}

bool bench_method_keeps_source(enum bench_method_id id)
{
	return id == BENCH_MEMCPY_WARM;
}

void bench_target_init(struct bench_target *target, enum bench_method_id id,
		       struct bench_backend *backend)
{
	*target = (struct bench_target){
		.one = methods[id].one,
		.pv = backend->pv,
		.opts = methods[id].opts,
		.uffd = backend->raw.fd,
		.id = id,
		.backend = backend,
	};
}

static int attach_side(struct bench_target *target, unsigned int side)
{
	struct bench_pair *pair = &target->pair;

	switch (methods[target->id].registered) {
	case BY_LIBRARY:
		return pagemv_region_register(target->pv, pair->side[side],
					      pair->len_bytes, NULL,
					      &target->region[side], NULL);
	case BY_RAW:
		return bench_rawuffd_register(&target->backend->raw,
					      pair->side[side], pair->len_bytes,
					      false);
	case BARE:
		break;
	}
	return 0;
}

int bench_target_attach(struct bench_target *target)
{
	int rc = attach_side(target, 0);

	return rc ? rc : attach_side(target, 1);
}

void bench_target_detach(struct bench_target *target)
{
	/* A raw registration ends with its mapping, which goes next. */
	for (int i = 0; i < 2; i++) {
		if (target->region[i])
			pagemv_region_unregister(target->region[i]);
		target->region[i] = NULL;
	}
}

int bench_backend_open(struct bench_backend *backend)
{
	int rc;

	*backend = (struct bench_backend){ .raw.fd = -1 };
	rc = pagemv_open(&backend->pv, NULL);
	if (rc)
		return rc;
	backend->caps.size = sizeof(backend->caps);
	rc = pagemv_caps(backend->pv, &backend->caps);
	if (rc) {
		pagemv_close(backend->pv);
		return rc;
	}
	bench_rawuffd_open(&backend->raw, 0);
	return 0;
}

void bench_backend_close(struct bench_backend *backend)
{
	bench_rawuffd_close(&backend->raw);
	pagemv_close(backend->pv);
}
