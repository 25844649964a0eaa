// SPDX-License-Identifier: LGPL-2.1-or-later
#include "output.h"
#include "plot.h"
#include "tool.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool bench_output_ready(const struct bench_output *output)
{
	const char *path[] = { output->json_path, output->plot_path };

	for (int i = 0; i < 2; i++) {
		bool existed = path[i] && !access(path[i], F_OK);
		FILE *file = path[i] ? fopen(path[i], "ae") : NULL;

		if (path[i] && !file) {
			fprintf(stderr, "pagemv: %s: %s\n", path[i],
				strerror(errno));
			return false;
		}
		if (file)
			fclose(file);
		if (file && !existed)
			unlink(path[i]);
	}
	if (output->plot_path && !bench_plot_available())
		fprintf(stderr, "pagemv: gnuplot is not installed, there will "
				"be no picture\n");
	return true;
}

static int write_json(const struct bench_output *output,
		      const struct bench_telling *how, const void *results)
{
	FILE *file = stdout;
	int rc;

	if (output->json_path)
		file = fopen(output->json_path, "we");
	rc = file ? how->json(results, file) : -errno;
	if (output->json_path && file && fclose(file) && !rc)
		rc = -errno;
	if (rc)
		fprintf(stderr, "pagemv: writing %s: %s\n",
			output->json_path ? output->json_path : "JSON",
			strerror(-rc));
	return rc;
}

static int draw(const struct bench_output *output,
		const struct bench_telling *how, const void *results)
{
	int rc;

	if (!bench_plot_available()) {
		fprintf(stderr,
			"pagemv: cannot draw %s: gnuplot is not "
			"installed (Debian: apt install gnuplot-nox)\n",
			output->plot_path);
		return -ENOENT;
	}
	rc = how->plot(results, output->plot_path);
	if (rc)
		fprintf(stderr, "pagemv: drawing %s: %s\n", output->plot_path,
			rc == -EPROTO ? "gnuplot failed" : strerror(-rc));
	return rc;
}

bool bench_output_tell(const struct bench_output *output,
		       const struct bench_telling *how, const void *results)
{
	bool ok = true;

	if (!output->json || output->json_path)
		how->print(results, stdout);
	if (output->json && write_json(output, how, results))
		ok = false;
	if (output->plot_path && draw(output, how, results))
		ok = false;
	return ok;
}

int bench_output_report(const struct bench_output *output,
			const struct bench_telling *how, const void *results,
			const struct bench_end *end)
{
	int status = TOOL_OK;

	if (!bench_output_tell(output, how, results))
		status = TOOL_FAILED;
	if (end->corrupt) {
		fprintf(stderr, "pagemv: %s, see above\n", end->corrupt);
		status = TOOL_FAILED;
	}
	if (end->interrupted)
		return TOOL_INTERRUPTED;
	return end->measured ? status : TOOL_NOTHING;
}
