// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv run: starts a program under the shim.
 */
#include "run.h"
#include "tool.h"

#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As env(1) has them, so that they are told apart from those of the program. */
enum { RUN_FAILED = 125, RUN_CANNOT = 126, RUN_NOT_FOUND = 127 };

enum key {
	KEY_THRESHOLD = 256,
	KEY_SERVE,
	KEY_HUGE,
	KEY_NODE,
	KEY_NO_UFFD,
	KEY_STATS,
	KEY_ALLOCATOR,
	KEY_SET,
	KEY_PRINT = 'n'
};

struct options {
	struct run_settings settings;
	const char *allocator; /* NULL: as the program would have it */
	char **program;	       /* with its arguments */
	bool print;
};

static void add(struct argp_state *state, const char *key, const char *value)
{
	struct options *options = state->input;
	int rc = run_settings_add(&options->settings, key, value);

	if (rc == -ENOMEM)
		argp_failure(state, RUN_FAILED, ENOMEM, "%s", key);
	else if (rc)
		argp_error(state, "%s=%s does not fit into " RUN_CONF, key,
			   value);
}

/* Is value one of choices, which a '|' separates? */
static bool is_one_of(const char *value, const char *choices)
{
	size_t len;

	for (; *choices; choices += len + (choices[len] == '|')) {
		len = strcspn(choices, "|");
		if (len == strlen(value) && !strncmp(choices, value, len))
			return true;
	}
	return false;
}

static void add_choice(struct argp_state *state, const char *key,
		       const char *value, const char *choices)
{
	if (!is_one_of(value, choices))
		argp_error(state, "--%s=%s: it is one of %s", key, value,
			   choices);
	add(state, key, value);
}

static void add_size(struct argp_state *state, const char *value)
{
	size_t digits = strspn(value, "0123456789");

	if (!digits || digits > 18 ||
	    !is_one_of(value + digits, "|k|K|m|M|g|G"))
		argp_error(state,
			   "--threshold=%s: it is a number of bytes, or of "
			   "KiB, MiB or GiB with k, m or g behind it",
			   value);
	add(state, "threshold", value);
}

static void add_node(struct argp_state *state, const char *value)
{
	size_t digits = strspn(value, "0123456789");

	if ((!digits || digits > 4 || value[digits]) &&
	    !is_one_of(value, "interleave|local"))
		argp_error(state,
			   "--node=%s: it is the number of a node, "
			   "interleave or local",
			   value);
	add(state, "node", value);
}

/* The program may change its directory before it comes to write. */
static void add_stats(struct argp_state *state, const char *file)
{
	char dir[PATH_MAX], value[2 * PATH_MAX];

	if (!file) {
		add(state, "stats", "exit");
		return;
	}
	if (!*file)
		argp_error(state, "--stats=: no file is named");
	dir[0] = '\0';
	if (*file != '/' && !getcwd(dir, sizeof(dir)))
		argp_failure(state, RUN_FAILED, errno, "--stats=%s", file);
	snprintf(value, sizeof(value), "exit:%s%s%s", dir, *dir ? "/" : "",
		 file);
	add(state, "stats", value);
}

static void add_any(struct argp_state *state, const char *setting)
{
	size_t len = strcspn(setting, "=");
	char key[32];

	if (!len || len >= sizeof(key) || !setting[len])
		argp_error(state, "--set=%s: it is a KEY=VALUE", setting);
	snprintf(key, sizeof(key), "%.*s", (int)len, setting);
	add(state, key, setting + len + 1);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case KEY_THRESHOLD:
		add_size(state, arg);
		return 0;
	case KEY_SERVE:
		add_choice(state, "serve", arg, "all|realloc|none");
		return 0;
	case KEY_HUGE:
		add_choice(state, "huge", arg, "auto|system|always|never");
		return 0;
	case KEY_NODE:
		add_node(state, arg);
		return 0;
	case KEY_NO_UFFD:
		add(state, "uffd", "off");
		return 0;
	case KEY_STATS:
		add_stats(state, arg);
		return 0;
	case KEY_ALLOCATOR:
		options->allocator = arg;
		return 0;
	case KEY_SET:
		add_any(state, arg);
		return 0;
	case KEY_PRINT:
		options->print = true;
		return 0;
	case ARGP_KEY_ARGS:
		options->program = state->argv + state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "no program given");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct argp_option argp_options[] = {
		{ "threshold", KEY_THRESHOLD, "SIZE", 0,
		  "Serve blocks of SIZE (128k, 1m) and more", 0 },
		{ "serve", KEY_SERVE, "WHAT", 0,
		  "Serve all such blocks, only their realloc, or none "
		  "(all, realloc, none)",
		  0 },
		{ "huge", KEY_HUGE, "WHEN", 0,
		  "Ask for huge pages: auto, system, always, never", 0 },
		{ "node", KEY_NODE, "N", 0,
		  "Place blocks on NUMA node N; or interleave, local", 0 },
		{ "no-uffd", KEY_NO_UFFD, NULL, 0, "Do without userfaultfd",
		  0 },
		{ "stats", KEY_STATS, "FILE", OPTION_ARG_OPTIONAL,
		  "Tell at the exit what was done, on standard error or in "
		  "FILE",
		  0 },
		{ "allocator", KEY_ALLOCATOR, "NAME", 0,
		  "Put this one behind the shim: " RUN_ALLOCATORS
		  ", or the path of a library",
		  0 },
		{ "set", KEY_SET, "KEY=VALUE", 0,
		  "Any other setting of " RUN_CONF, 0 },
		{ "print", KEY_PRINT, NULL, 0,
		  "Show what would be executed, and do not", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = argp_options,
		.parser = parse,
		.args_doc = "PROG [ARG...]",
		.doc = "Runs a program with libpagemv's allocator for its "
		       "large blocks, which grow without being copied.\v"
		       "The settings are added to those in " RUN_CONF ", see "
		       "pagemv-malloc(7). 'pagemv top' shows what it does.\n\n"
		       "Exit status: the program's; 125 when pagemv run itself "
		       "fails, 126 when PROG cannot be executed, 127 when it "
		       "is not found.",
	};

	argp_err_exit_status = RUN_FAILED;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, options);
}

__attribute__((format(printf, 1, 2), noreturn)) static void
fail(const char *format, ...)
{
	va_list ap;

	fputs("pagemv run: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(RUN_FAILED);
}

/* Nothing quotes in LD_PRELOAD. */
static void check_path(const char *path)
{
	if (strpbrk(path, " :"))
		fail("%s: the path has a space or a colon in it, which "
		     "LD_PRELOAD cannot hold",
		     path);
}

static void find_shim(char *path, size_t cap, struct elf_file *elf)
{
	if (run_find_shim(path, cap))
		fail("the shim is not where it was installed: %s", path);
	if (elf_file_read(path, elf))
		fail("%s is not a library", path);
	check_path(path);
}

static const char *allocator_path(const char *name, const struct elf_file *shim,
				  char *path, size_t cap)
{
	const char *package;

	if (!name || !strcmp(name, "glibc"))
		return NULL;
	if (!run_find_allocator(name, shim, path, cap)) {
		check_path(path);
		return path;
	}
	if (strchr(name, '/'))
		fail("%s: no library for this machine there", name);
	package = run_allocator_package(name);
	if (package)
		fail("the library of %s is not installed; on Debian: "
		     "apt install %s",
		     name, package);
	fail("no library lib%s.so is installed (known by name "
	     "are " RUN_ALLOCATORS "; the path of any other is taken too)",
	     name);
}

static void set(const char *name, char *value)
{
	if (!value || setenv(name, value, 1))
		fail("%s: %s", name, strerror(ENOMEM));
	free(value);
}

static void prepare(const struct options *options,
		    const struct run_program *program, const char *shim,
		    const char *allocator)
{
	set(RUN_CONF, run_settings_merge(&options->settings, getenv(RUN_CONF)));
	if (!program->leave_out)
		set("LD_PRELOAD",
		    run_preload(shim, allocator, getenv("LD_PRELOAD")));
	if (program->why[0])
		fprintf(stderr, "pagemv run: warning: no effect: %s%s\n",
			program->why,
			program->leave_out ? "; it runs without the shim" : "");
}

static void print_variable(const char *name)
{
	const char *value = getenv(name);
	char *text;

	if (!value || !*value || asprintf(&text, "%s=%s", name, value) < 0)
		return;
	run_print_word(text);
	putchar(' ');
	free(text);
}

static void print(char **program)
{
	fputs("env ", stdout);
	print_variable("LD_PRELOAD");
	print_variable(RUN_CONF);
	for (; *program; program++) {
		run_print_word(*program);
		putchar(program[1] ? ' ' : '\n');
	}
}

static int cannot(const char *program, int error)
{
	fprintf(stderr, "pagemv run: %s: %s\n", program, strerror(error));
	return error == ENOENT ? RUN_NOT_FOUND : RUN_CANNOT;
}

int tool_run(int argc, char **argv)
{
	char shim_path[PATH_MAX], other_path[PATH_MAX];
	struct options options = { 0 };
	struct run_program program;
	const char *allocator;
	struct elf_file shim;
	int rc;

	parse_options(argc, argv, &options);
	find_shim(shim_path, sizeof(shim_path), &shim);
	allocator = allocator_path(options.allocator, &shim, other_path,
				   sizeof(other_path));
	rc = run_examine(options.program[0], &shim, &program);
	if (rc) {
		run_settings_free(&options.settings);
		return cannot(options.program[0], -rc);
	}
	prepare(&options, &program, shim_path, allocator);
	run_settings_free(&options.settings);
	if (options.print) {
		print(options.program);
		return TOOL_OK;
	}
	execvp(options.program[0], options.program);
	if (errno == ENOENT) {
		fprintf(stderr,
			"pagemv run: %s is there, but not the loader "
			"or interpreter that it names\n",
			program.path);
		return RUN_NOT_FOUND;
	}
	return cannot(options.program[0], errno);
}
