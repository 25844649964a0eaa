// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ASSUME(smaps-format): a mapping in /proc/self/smaps is a line
 *   "start-end perms offset major:minor inode path" and then lines
 *   "Name: value"; VmFlags is the last of them that matters here, and
 *   THPeligible and ProtectionKey stand before it. /proc/self/maps has the
 *   first lines alone. proc_pid_smaps(5), fs/proc/task_mmu.c
 * ASSUME(msync-locked): MS_INVALIDATE refuses locked mappings with EBUSY, and
 *   does nothing at all to other anonymous ones. msync(2), mm/msync.c
 */
#include "mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"
#include "uffd_uapi.h"

/* Reads lines through a small buffer; of longer lines, the beginning. */
struct line_reader {
	const struct pagemv *pv;
	int fd;
	size_t begin, end;
	char buf[1024];
	char line[256];
};

static int next_char(struct line_reader *r)
{
	if (r->begin == r->end) {
		ssize_t n = r->pv->sys->read(r->fd, r->buf, sizeof(r->buf));

		if (n <= 0)
			return n < 0 ? (int)n : -ENODATA;
		r->begin = 0;
		r->end = (size_t)n;
	}
	return (unsigned char)r->buf[r->begin++];
}

/* 1 and the line, 0 at the end, or -errno. */
static int next_line(struct line_reader *r)
{
	size_t n = 0;
	int c;

	while ((c = next_char(r)) >= 0 && c != '\n')
		if (n < sizeof(r->line) - 1)
			r->line[n++] = (char)c;
	r->line[n] = '\0';
	if (c == -ENODATA)
		return n > 0;
	return c < 0 ? c : 1;
}

static const char *skip_field(const char *p)
{
	while (*p && *p != ' ')
		p++;
	while (*p == ' ')
		p++;
	return p;
}

static const char *parse_number(const char *p, unsigned int base, uint64_t *out)
{
	uint64_t n = 0;

	for (;; p++) {
		unsigned int digit;

		if (*p >= '0' && *p <= '9')
			digit = (unsigned int)(*p - '0');
		else if (base == 16 && *p >= 'a' && *p <= 'f')
			digit = (unsigned int)(*p - 'a') + 10;
		else
			break;
		n = n * base + digit;
	}
	*out = n;
	return p;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static uint32_t path_flags(const char *path)
{
	if (begins(path, "/memfd:"))
		return PMV_MAP_MEMFD;
	if (begins(path, "/dev/zero"))
		return PMV_MAP_ZERODEV;
	if (begins(path, "/SYSV") || begins(path, "/dev/shm/"))
		return PMV_MAP_SHMEM;
	if (begins(path, "[v"))
		return PMV_MAP_SPECIAL; /* vdso, vvar, vsyscall */
	return 0;
}

/* Whether the line is the first one of a mapping, and what it says. */
static bool parse_head(const char *line, struct pmv_mapping *m)
{
	uint64_t start, end, inode;
	const char *p = parse_number(line, 16, &start);

	if (p == line || *p != '-')
		return false;
	p = parse_number(p + 1, 16, &end);
	if (*p != ' ' || strlen(p) < 5)
		return false;
	*m = (struct pmv_mapping){ .start = start, .end = end };
	m->flags |= p[1] == 'r' ? PMV_MAP_READ : 0;
	m->flags |= p[2] == 'w' ? PMV_MAP_WRITE : 0;
	m->flags |= p[3] == 'x' ? PMV_MAP_EXEC : 0;
	m->flags |= p[4] == 's' ? PMV_MAP_SHARED : 0;
	p = skip_field(skip_field(skip_field(p + 1))); /* perms offset dev */
	p = skip_field(parse_number(p, 10, &inode));
	m->flags |= inode ? PMV_MAP_FILE : 0;
	m->flags |= path_flags(p);
	return true;
}

/* The two-letter flags of VmFlags that matter. */
static uint32_t vm_flags(const char *p)
{
	static const struct {
		char name[3];
		uint32_t flag;
	} known[] = {
		{ "lo", PMV_MAP_LOCKED },  { "ht", PMV_MAP_HUGETLB },
		{ "io", PMV_MAP_SPECIAL }, { "pf", PMV_MAP_SPECIAL },
		{ "mm", PMV_MAP_SPECIAL }, { "ss", PMV_MAP_SPECIAL },
		{ "dp", PMV_MAP_SPECIAL }, { "um", PMV_MAP_UFFD },
		{ "uw", PMV_MAP_UFFD },	   { "ui", PMV_MAP_UFFD },
	};
	uint32_t flags = 0;

	for (p = skip_field(p); *p; p = skip_field(p))
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (begins(p, known[i].name))
				flags |= known[i].flag;
	return flags;
}

/* Reads on until the mapping after the present one has begun. */
static int each_line(struct line_reader *r, uintptr_t from,
		     bool (*visit)(void *arg, const struct pmv_mapping *m),
		     void *arg)
{
	struct pmv_mapping m = { 0 }, next;
	uint64_t number;
	int rc;

	while ((rc = next_line(r)) > 0) {
		if (parse_head(r->line, &next)) {
			if (m.end > from && !visit(arg, &m))
				return 0;
			m = next;
		} else if (begins(r->line, "VmFlags:")) {
			m.flags |= vm_flags(r->line);
		} else if (begins(r->line, "ProtectionKey:")) {
			parse_number(skip_field(r->line), 10, &number);
			m.pkey = (int)number;
		} else if (begins(r->line, "THPeligible:")) {
			parse_number(skip_field(r->line), 10, &number);
			m.flags |= number ? PMV_MAP_HUGE : 0;
		}
	}
	if (rc == 0 && m.end > from)
		visit(arg, &m);
	return rc;
}

static int each_in(const struct pagemv *pv, const char *path, uintptr_t from,
		   bool (*visit)(void *arg, const struct pmv_mapping *m),
		   void *arg)
{
	struct line_reader r = { .pv = pv };
	int rc;

	r.fd = pv->sys->open(path, O_RDONLY);
	if (r.fd < 0)
		return r.fd;
	rc = each_line(&r, from, visit, arg);
	pv->sys->close(r.fd);
	return rc;
}

int pmv_mapping_each(const struct pagemv *pv, uintptr_t from,
		     bool (*visit)(void *arg, const struct pmv_mapping *m),
		     void *arg)
{
	return each_in(pv, "/proc/self/smaps", from, visit, arg);
}

static bool take_first(void *arg, const struct pmv_mapping *m)
{
	*(struct pmv_mapping *)arg = *m;
	return false;
}

static int find_by_reading(const struct pagemv *pv, const char *path,
			   uintptr_t addr, struct pmv_mapping *out)
{
	int rc;

	*out = (struct pmv_mapping){ 0 };
	rc = each_in(pv, path, addr, take_first, out);
	if (rc < 0)
		return rc;
	return out->end != 0;
}

static int find_by_query(const struct pagemv *pv, uintptr_t addr,
			 struct pmv_mapping *out)
{
	struct pmv_procmap_query q = {
		.size = sizeof(q),
		.query_flags = PMV_PROCMAP_OR_NEXT,
		.query_addr = addr,
	};
	int rc = pv->sys->ioctl(pv->maps_fd, PMV_PROCMAP_QUERY, &q);

	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	*out = (struct pmv_mapping){ .start = q.vma_start, .end = q.vma_end };
	out->flags |= q.vma_flags & PMV_PROCMAP_READABLE ? PMV_MAP_READ : 0;
	out->flags |= q.vma_flags & PMV_PROCMAP_WRITABLE ? PMV_MAP_WRITE : 0;
	out->flags |= q.vma_flags & PMV_PROCMAP_EXECUTABLE ? PMV_MAP_EXEC : 0;
	out->flags |= q.vma_flags & PMV_PROCMAP_SHARED ? PMV_MAP_SHARED : 0;
	out->flags |= q.inode ? PMV_MAP_FILE : 0;
	return 1;
}

int pmv_mapping_find(const struct pagemv *pv, uintptr_t addr,
		     struct pmv_mapping *out)
{
	int rc = -ENOTTY;

	if (pmv_has(pv, PAGEMV_HAS_PROCMAP_QUERY))
		rc = find_by_query(pv, addr, out);
	if (rc < 0)
		rc = find_by_reading(pv, "/proc/self/maps", addr, out);
	return rc;
}

int pmv_mapping_find_deep(const struct pagemv *pv, uintptr_t addr,
			  struct pmv_mapping *out)
{
	return find_by_reading(pv, "/proc/self/smaps", addr, out);
}

int pmv_mapping_prot(const struct pmv_mapping *m)
{
	return (m->flags & PMV_MAP_READ ? PROT_READ : 0) |
	       (m->flags & PMV_MAP_WRITE ? PROT_WRITE : 0) |
	       (m->flags & PMV_MAP_EXEC ? PROT_EXEC : 0);
}

int pmv_page_locked(const struct pmv_sys *sys, uintptr_t addr,
		    size_t page_bytes)
{
	/* ASSUME(msync-locked) */
	int rc = sys->msync(addr, page_bytes, MS_INVALIDATE);

	return rc == -EBUSY ? 1 : rc;
}

int pmv_mapping_locked(const struct pagemv *pv, uintptr_t addr)
{
	return pmv_page_locked(pv->sys, addr, pv->page_bytes);
}

int pmv_mapping_open(struct pagemv *pv)
{
	struct pmv_mapping m;
	uintptr_t here = (uintptr_t)&m;

	pv->maps_fd = pv->sys->open("/proc/self/maps", O_RDONLY);
	if (pv->maps_fd == -EMFILE || pv->maps_fd == -ENFILE)
		return pv->maps_fd;
	if (pv->maps_fd < 0)
		return 0;
	if (find_by_query(pv, here, &m) == 1 && m.start <= here &&
	    here < m.end) {
		pv->facilities |= PAGEMV_HAS_PROCMAP_QUERY;
		return 0;
	}
	pv->sys->close(pv->maps_fd);
	pv->maps_fd = -1;
	return 0;
}
