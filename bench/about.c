// SPDX-License-Identifier: LGPL-2.1-or-later
#include "about.h"
#include "host.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>

void bench_about_init(struct bench_about *about, int argc, char **argv)
{
	time_t now = time(NULL);
	struct utsname uts;
	size_t used = 0;
	struct tm utc;

	*about = (struct bench_about){ 0 };
	gmtime_r(&now, &utc);
	strftime(about->date, sizeof(about->date), "%Y-%m-%dT%H:%M:%SZ", &utc);
	if (!uname(&uts))
		snprintf(about->kernel, sizeof(about->kernel), "%.71s",
			 uts.release);
	host_cpu_model(about->cpu, sizeof(about->cpu));
	for (int i = 0; i < argc && used < sizeof(about->command); i++)
		used += (size_t)snprintf(about->command + used,
					 sizeof(about->command) - used, "%s%s",
					 i ? " " : "", argv[i]);
}

void bench_about_free(struct bench_about *about)
{
	free(about->note);
	*about = (struct bench_about){ 0 };
}

void bench_about_note(struct bench_about *about, const char *format, ...)
{
	char(*note)[200];
	va_list args;

	note = reallocarray(about->note, about->notes + 1, sizeof(*note));
	if (!note)
		return;
	about->note = note;
	va_start(args, format);
	vsnprintf(note[about->notes++], sizeof(*note), format, args);
	va_end(args);
}

void bench_about_print(const struct bench_about *about, FILE *out)
{
	fprintf(out, "Linux %s, %s, %s, %.0f s\n", about->kernel, about->cpu,
		about->date, about->seconds);
	for (size_t i = 0; i < about->notes; i++)
		fprintf(out, "Note: %s.\n", about->note[i]);
}
