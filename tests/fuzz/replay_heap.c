/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs the sequences of tests/fuzz/corpus/heap, or those named as arguments, on
 * heaps that move pages in each way that there is.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap_ops.h"
#include "t.h"
#include "tap.h"
#include "ways.h"

#define INPUT_MAX (64 << 10)

static const char *const variants[] = { "as it is here", "without UFFDIO_MOVE",
					"without userfaultfd" };

static const char *path_of(const char *name)
{
	static char path[4096];
	const char *top = getenv("top_srcdir");

	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/heap%s%s",
		 top ? top : ".", name ? "/" : "", name ? name : "");
	return path;
}

static void run_file(struct tap *tap, const char *path)
{
	static uint8_t input[INPUT_MAX];
	const char *name = strrchr(path, '/');
	FILE *f = fopen(path, "rb");
	size_t bytes;
	bool ok = true;

	if (!f)
		t_die("%s", path);
	bytes = fread(input, 1, sizeof(input), f);
	fclose(f);
	for (int v = 0; v < T_VARIANT_COUNT; v++) {
		struct pagemv *pv = t_open((enum t_variant_id)v);
		struct heap_ops_result r = heap_ops_run(pv, input, bytes);

		pagemv_close(pv);
		ok = ok && !r.wrong;
		if (r.wrong)
			tap_say(stdout, "%s, step %zu, byte %zu: %s",
				variants[v], r.step, r.off, r.wrong);
	}
	tap_ok(tap, ok, name ? name + 1 : path);
}

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	struct tap tap = { 0, 0 };
	struct dirent **files;
	int n;

	for (int i = 1; i < argc; i++)
		run_file(&tap, argv[i]);
	if (argc > 1)
		return tap_done(&tap);
	n = scandir(path_of(NULL), &files, is_input, alphasort);
	if (n <= 0)
		t_die("no files in %s", path_of(NULL));
	for (int i = 0; i < n; i++) {
		run_file(&tap, path_of(files[i]->d_name));
		free(files[i]);
	}
	free(files);
	return tap_done(&tap);
}
