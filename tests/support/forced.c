/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PMV_MECH=companion in the environment: the library finds a kernel without
 * UFFDIO_MOVE, as Linux before 6.8, and moves pages by the companion wherever
 * it would have moved them by that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"
#include "uffd_uapi.h"
#include "ways.h"

const struct pmv_sys *__wrap_pmv_sys_default(void);

static int ioctl_without_move(int fd, unsigned long request, void *arg)
{
	int rc;

	if (request == PMV_UFFDIO_MOVE)
		return -EINVAL;
	rc = pmv_sys_linux.ioctl(fd, request, arg);
	if (rc == 0 && request == UFFDIO_REGISTER)
		((struct uffdio_register *)arg)->ioctls &=
			~(1ull << PMV_UFFDIO_MOVE_NR);
	return rc;
}

bool t_hides_move(void)
{
	const char *mechanism = getenv("PMV_MECH");

	return mechanism && strcmp(mechanism, "companion") == 0;
}

const struct pmv_sys *__wrap_pmv_sys_default(void)
{
	static struct pmv_sys without_move;

	if (!t_hides_move())
		return &pmv_sys_linux;
	without_move = pmv_sys_linux;
	without_move.ioctl = ioctl_without_move;
	return &without_move;
}
