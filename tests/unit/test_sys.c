/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sys.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "oracle.h"
#include "t.h"

static const struct pmv_sys *const sys = &pmv_sys_linux;

Test(sys, every_entry_is_there)
{
	void *entries[sizeof(*sys) / sizeof(void *)];

	memcpy(entries, sys, sizeof(entries));
	for (size_t i = 0; i < T_COUNT(entries); i++)
		cr_expect(entries[i] != NULL, "entry %zu", i);
}

Test(sys, errors_are_negative_errnos)
{
	unsigned char vec[1];
	char byte;

	cr_expect(sys->ioctl(-1, 0, NULL) == -EBADF);
	cr_expect(sys->open("/no/such/file", O_RDONLY) == -ENOENT);
	cr_expect(sys->close(-1) == -EBADF);
	cr_expect(sys->read(-1, &byte, 1) == -EBADF);
	cr_expect(sys->pread(-1, &byte, 1, 0) == -EBADF);
	cr_expect(sys->munmap(1, t_page()) == -EINVAL);
	cr_expect(sys->madvise(t_page(), t_page(), 9999) == -EINVAL);
	cr_expect(sys->mincore(1, t_page(), vec) == -EINVAL);
	cr_expect(sys->mremap(1, t_page(), t_page()) == -EINVAL);
	cr_expect(sys->msync(1, t_page(), MS_ASYNC) == -EINVAL);
	cr_expect(sys->userfaultfd(-1) < 0);
}

Test(sys, descriptors_are_closed_on_exec)
{
	int fd = sys->open("/dev/null", O_RDONLY);

	cr_assert(fd >= 0);
	cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_expect(sys->close(fd) == 0);
}

Test(sys, mappings_are_private_and_empty)
{
	uintptr_t at = 0;

	cr_assert(sys->mmap(&at, t_pages(2), PROT_READ | PROT_WRITE) == 0);
	cr_expect(t_check_absent((void *)at, 2) == NULL);
	memset((void *)at, 1, t_pages(2));
	cr_expect(sys->madvise(at, t_page(), MADV_DONTNEED) == 0);
	cr_expect(t_check_absent((void *)at, 1) == NULL);
	cr_expect(sys->munmap(at, t_pages(2)) == 0);
	cr_expect(sys->mmap(&at, 0, PROT_READ) == -EINVAL);
}

Test(sys, mremap_takes_pages_and_leaves_the_source_mapped)
{
	char *src = t_map(2), *dst = t_map(2);

	t_fill_range(src, 2, 1);
	cr_assert(sys->mremap((uintptr_t)src, t_pages(2), (uintptr_t)dst) == 0);
	cr_expect(t_check_range(dst, 2, 1) == NULL);
	cr_expect(t_check_absent(src, 2) == NULL);
	src[0] = 1; /* still mapped */
}

Test(sys, time_goes_on_while_it_sleeps)
{
	uint64_t begun = sys->now_ns();

	sys->sleep_ns(2000000);
	sys->yield();
	cr_expect(sys->now_ns() - begun >= 2000000);
}

Test(sys, uname_is_cut_to_the_room_there_is)
{
	char release[4] = "xxx";

	cr_expect(sys->uname(release, sizeof(release)) == 0);
	cr_expect(strlen(release) == 3);
	cr_expect(sys->getpid() == (int)getpid());
}
