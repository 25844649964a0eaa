/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pin.h"

#include "t.h"

#ifdef HAVE_LIBURING

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

struct t_pin {
	struct io_uring ring;
	char *base;
};

struct t_pin *t_pin(void *addr, size_t bytes, const char **why)
{
	struct iovec iov = { addr, bytes };
	struct t_pin *pin = calloc(1, sizeof(*pin));
	int r;

	if (pin == NULL)
		t_die("memory for a pin");
	pin->base = addr;
	r = io_uring_queue_init(4, &pin->ring, 0);
	if (r != 0) {
		*why = r == -EPERM    ? "io_uring is not permitted here"
		       : r == -ENOSYS ? "io_uring is not in this kernel"
				      : "io_uring cannot be set up here";
		free(pin);
		return NULL;
	}
	r = io_uring_register_buffers(&pin->ring, &iov, 1);
	if (r != 0) {
		*why = r == -ENOMEM
			       ? "RLIMIT_MEMLOCK is too low for a fixed buffer"
			       : "io_uring registers no buffers here";
		io_uring_queue_exit(&pin->ring);
		free(pin);
		return NULL;
	}
	return pin;
}

static int run_read(struct t_pin *pin, int fd, size_t off, size_t bytes)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&pin->ring);
	struct io_uring_cqe *cqe;
	int r;

	if (sqe == NULL)
		return -EAGAIN;
	io_uring_prep_read_fixed(sqe, fd, pin->base + off, (unsigned int)bytes,
				 0, 0);
	r = io_uring_submit(&pin->ring);
	if (r < 0)
		return r;
	r = io_uring_wait_cqe(&pin->ring, &cqe);
	if (r < 0)
		return r;
	r = cqe->res;
	io_uring_cqe_seen(&pin->ring, cqe);
	return r == (int)bytes ? 0 : r < 0 ? r : -EIO;
}

int t_pin_write(struct t_pin *pin, size_t off, const void *text, size_t bytes)
{
	int fd = memfd_create("pin-source", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	if (write(fd, text, bytes) != (ssize_t)bytes)
		r = -EIO;
	else
		r = run_read(pin, fd, off, bytes);
	close(fd);
	return r;
}

void t_unpin(struct t_pin *pin)
{
	/* Unregistering waits until the nodes are put; exit alone does not. */
	io_uring_unregister_buffers(&pin->ring);
	io_uring_queue_exit(&pin->ring);
	free(pin);
}

#else /* !HAVE_LIBURING */

#include <errno.h>

struct t_pin *t_pin(void *addr, size_t bytes, const char **why)
{
	(void)addr;
	(void)bytes;
	*why = "built without liburing, which the tests pin pages with";
	return NULL;
}

int t_pin_write(struct t_pin *pin, size_t off, const void *text, size_t bytes)
{
	(void)pin;
	(void)off;
	(void)text;
	(void)bytes;
	return -ENOSYS;
}

void t_unpin(struct t_pin *pin)
{
	(void)pin;
}

#endif /* HAVE_LIBURING */
