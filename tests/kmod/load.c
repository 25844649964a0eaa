/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loading and unloading: a thousand times over, also while others open the
 * device and call it; refused while somebody has it open; and what the module
 * does where the kernel lacks a symbol: nothing is left, and the log has the
 * name.
 *
 * The module is the one of the lab: $PMV_KMOD/pagemv.ko. PMV_LOADS: how often.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kmod.h"
#include "vm/scenarios/lab.h"

struct image {
	char *data;
	size_t size;
};

static struct image image;

static struct image read_image(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct image im = { NULL, 0 };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return im;
	im.size = (size_t)st.st_size;
	im.data = malloc(im.size);
	if (im.data == NULL || read(fd, im.data, im.size) != (ssize_t)im.size)
		t_die("%s", path);
	close(fd);
	return im;
}

static int load(const struct image *im)
{
	return syscall(SYS_init_module, im->data, im->size, "") == 0 ? 0
								     : -errno;
}

/* O_NONBLOCK: the answer is at once, however many have it open. */
static int unload(void)
{
	return syscall(SYS_delete_module, "pagemv", O_NONBLOCK) == 0 ? 0
								     : -errno;
}

static bool is_loaded(void)
{
	return access("/sys/module/pagemv", F_OK) == 0;
}

static bool has_device(void)
{
	return access("/dev/pagemv", F_OK) == 0;
}

/* ---- the log ---- */

static int kernel_log = -1;

/* Does it have text, since the last time? */
static bool log_has(const char *text)
{
	static char record[2048];
	bool found = false;
	ssize_t n;

	while ((n = read(kernel_log, record, sizeof(record) - 1)) > 0 ||
	       (n < 0 && errno == EPIPE)) {
		record[n > 0 ? n : 0] = '\0';
		found |= strstr(record, text) != NULL;
	}
	return found;
}

/* ---- missing symbols ---- */

/* A copy of the module that looks for a symbol which there is not. */
static struct image spoilt(const char *symbol)
{
	struct image im = { malloc(image.size), image.size };
	size_t len = strlen(symbol), i, n = 0;

	memcpy(im.data, image.data, image.size);
	for (i = 1; i + len < im.size; i++)
		if (im.data[i - 1] == '\0' &&
		    memcmp(im.data + i, symbol, len + 1) == 0) {
			im.data[i + len - 1] = '_';
			n++;
		}
	if (n == 0)
		im.size = 0;
	return im;
}

static void missing_symbol(struct tap *tap, const char *symbol)
{
	struct image im = spoilt(symbol);
	char name[80], want[80];
	int r;

	snprintf(want, sizeof(want), "%.*s", (int)strlen(symbol) - 1, symbol);
	snprintf(name, sizeof(name), "no %s: not loaded, the log has its name",
		 symbol);
	if (im.size == 0) {
		tap_ok(tap, false, name);
		tap_say(stdout, "the module does not look for it");
		free(im.data);
		return;
	}
	log_has("");
	r = load(&im);
	if (!tap_ok(tap,
		    r == -ENOENT && log_has(want) && !is_loaded() &&
			    !has_device(),
		    name))
		tap_say(stdout, "returned %d, %s, %s", r,
			is_loaded() ? "it is loaded" : "it is not loaded",
			has_device() ? "there is a device" : "no device");
	free(im.data);
}

/* ---- in use ---- */

struct user {
	char *a;
	char *b;
	volatile bool over;
	uint64_t calls;
	uint64_t opened;
	const char *wrong;
};

/* Moves there and back through a descriptor of its own, again and again. */
static void *use(void *arg)
{
	struct user *u = arg;
	int64_t moved;
	int fd, r;

	while (!u->over && u->wrong == NULL) {
		fd = open("/dev/pagemv", O_RDWR | O_CLOEXEC);
		if (fd < 0) {
			if (errno != ENOENT && errno != ENODEV &&
			    errno != ENXIO)
				u->wrong = strerror(errno);
			continue;
		}
		u->opened++;
		r = kmod_remap_by(fd, u->calls % 2 ? u->a : u->b,
				  u->calls % 2 ? u->b : u->a, t_pages(16), 0,
				  &moved);
		if (r == 0)
			u->calls++;
		else if (r != -EAGAIN)
			u->wrong = "a move failed";
		close(fd);
	}
	return NULL;
}

static void held_open(struct tap *tap)
{
	int fd = open("/dev/pagemv", O_RDWR | O_CLOEXEC), r;

	r = unload();
	tap_ok(tap, fd >= 0 && r == -EWOULDBLOCK && is_loaded(),
	       "not unloaded while a descriptor is open");
	close(fd);
	r = unload();
	tap_ok(tap, r == 0 && !is_loaded() && !has_device(),
	       "unloaded when it is closed");
}

static void in_flight(struct tap *tap)
{
	struct user u = { .a = kmod_map_src(16, 1), .b = t_map(16) };
	unsigned int refused = 0, unloaded = 0, i;
	pthread_t thread;
	int r;

	if (load(&image) != 0 || pthread_create(&thread, NULL, use, &u) != 0)
		t_die("loading");
	for (i = 0; i < 100; i++) {
		r = unload();
		refused += r == -EWOULDBLOCK;
		unloaded += r == 0;
		if (r == 0 && load(&image) != 0)
			break;
		usleep(1000);
	}
	u.over = true;
	pthread_join(thread, NULL);
	tap_ok(tap,
	       i == 100 && refused > 0 && u.wrong == NULL &&
		       t_check_range(u.calls % 2 ? u.b : u.a, 16, 1) == NULL,
	       "calls in flight are waited for, or refuse the unloading");
	tap_say(stdout, "%u times refused, %u times unloaded, %d calls, %s",
		refused, unloaded, (int)u.calls,
		u.wrong != NULL ? u.wrong : "all right");
}

/* ---- again and again ---- */

static uint64_t memory_kb(const char *name)
{
	return counter_in("/proc/meminfo", name);
}

static void thousand_times(struct tap *tap)
{
	uint64_t n = t_env("PMV_LOADS", 1000), i, slab = 0, begin = t_now_ns();
	char name[80];
	int r = 0;

	for (i = 0; i < n && r == 0; i++) {
		if (i == 20) /* what is kept once is there by now */
			slab = memory_kb("SUnreclaim:") +
			       memory_kb("VmallocUsed:");
		r = load(&image);
		if (r == 0 && !has_device())
			r = -ENODEV;
		if (r == 0)
			r = unload();
	}
	snprintf(name, sizeof(name), "loaded and unloaded %d times", (int)n);
	if (!tap_ok(tap, r == 0 && !is_loaded() && !has_device(), name))
		tap_say(stdout, "%d at the time %d", r, (int)i);
	if (n > 20) {
		i = memory_kb("SUnreclaim:") + memory_kb("VmallocUsed:");
		if (!tap_ok(tap, i < slab + 8192, "no memory is lost in that"))
			tap_say(stdout, "%d kB more", (int)(i - slab));
	}
	tap_say(stdout, "%d ms for each",
		(int)((t_now_ns() - begin) / 1000000 / n));
}

int main(void)
{
	const char *dir = getenv("PMV_KMOD");
	struct tap tap = { 0, 0 };
	char path[200];

	lab_only();
	snprintf(path, sizeof(path), "%s/pagemv.ko", dir != NULL ? dir : "");
	image = read_image(path);
	if (kmod_way() != KMOD_MODULE || image.data == NULL) {
		tap_skip(&tap, "load", "there is no module to load");
		return tap_done(&tap);
	}
	kernel_log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	lseek(kernel_log, 0, SEEK_END);
	if (!is_loaded() && load(&image) != 0)
		t_die("the module is not loaded, and cannot be");
	tap_ok(&tap, load(&image) == -EEXIST, "not loaded twice");
	held_open(&tap);
	missing_symbol(&tap, "kallsyms_lookup_name");
	missing_symbol(&tap, "__split_huge_pmd");
	missing_symbol(&tap, "swapper_spaces");
	in_flight(&tap);
	while (unload() == -EWOULDBLOCK)
		t_sleep_ms(10);
	thousand_times(&tap);
	tap_ok(&tap, load(&image) == 0 && has_device(), "and loaded again");
	tap_ok(&tap, !log_has("BUG:"), "the log is clean");
	return tap_done(&tap);
}
