/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of `pagemv top`: processes and their statistics pages, figures, the
 * ways to show them, the terminal.
 */
#ifndef TOOLS_TOP_H
#define TOOLS_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <pagemv/heap.h>

/* --- top_proc.c: what /proc tells ------------------------------------------
 */

enum top_mapping { TOP_NO_MAPPING = 0, TOP_SHIM_ONLY, TOP_PAGE };

/* Where a process has its statistics page; TOP_SHIM_ONLY: it has the shim, and
 * no page. Or a negative errno. */
int top_find_page(pid_t pid, uint64_t *addr);

/* Was it started with top=off in PAGEMV_CONF? */
bool top_is_switched_off(pid_t pid);

/* The name of its program, of printable characters; "?" if there is none. */
void top_command(pid_t pid, char *text, size_t cap);

/* Its number as it knows it itself, or 0. */
pid_t top_inner_pid(pid_t pid);

/* False as well for a zombie. */
bool top_is_alive(pid_t pid);

/* Why error came of looking into it, and what to do, as a sentence. */
void top_explain(pid_t pid, int error, char *text, size_t cap);

/* Replaces what a terminal might take for a command. */
void top_make_printable(char *text);

/* --- top_page.c: one process -----------------------------------------------
 */

struct top_sample {
	uint64_t at_ns; /* CLOCK_BOOTTIME; 0: there is none */
	struct pagemv_heap_counters sum;
};

struct top_process {
	pid_t pid;
	int mem; /* file descriptor of its memory, while it has this program */
	uint64_t page; /* 0: it has asked for no large block yet */
	uint32_t counters_off;
	uint32_t counters;
	uint32_t counter_bytes;
	uint32_t page_pid;
	uint64_t start_ns;
	char command[64];
	char library[24];
	char settings[512];
	struct pagemv_heap_counters inherited;
	struct top_sample now;
	struct top_sample before;
};

/*
 * Looks at process pid and takes a first sample. 0, or
 *   -ESRCH   there is no such process
 *   -ENOENT  it does not run under the shim
 *   -ENODATA it does, and was told to have no statistics page
 *   -EPROTO  the page is of a version that is not known here
 *   -EACCES, -EPERM and others: it cannot be looked into
 */
int top_attach(pid_t pid, struct top_process *process);

/* The next sample. 0; -ESRCH: this program has ended, by an exec perhaps. */
int top_sample(struct top_process *process);

void top_detach(struct top_process *process);

/* --- top_list.c: all processes ---------------------------------------------
 */

struct top_list {
	struct top_process *process;
	size_t count;
	size_t cap;
	size_t hidden;	      /* that may not be looked into */
	uint64_t searched_ns; /* when processes were looked for last */
};

/* Samples all, looks for new ones now and then, and sorts: most memory first.
 * 0 or -errno. */
int top_list_update(struct top_list *list);
void top_list_free(struct top_list *list);

/* --- top_figures.c ---------------------------------------------------------
 */

/* What is shown of a process, or of an interval. */
struct top_figures {
	double seconds;
	uint64_t blocks;
	uint64_t live_bytes;
	uint64_t calls;
	uint64_t reallocs;
	uint64_t in_place;
	uint64_t moves;
	uint64_t moved_bytes;
	uint64_t copied_bytes;
	uint64_t saved; /* mappings */
	uint64_t given_back_bytes;
	uint64_t misuses;
	uint64_t failures;
};

uint64_t top_now_ns(void);

/* Since it began. */
struct top_figures top_total(const struct top_process *process);

/* Between the last two samples; seconds is 0 where there is one only. */
struct top_figures top_interval(const struct top_process *process);

/* MiB that went to another place, a second. */
double top_speed(const struct top_figures *figures);

/* --- top_table.c, top_json.c ------------------------------------------------
 */

/* Two lines of headings, and a row of figures below them; first and last are
 * columns of the caller's, first being as wide in all of them. */
void top_print_heading(FILE *out, const char *first, const char *last);
void top_print_row(FILE *out, const char *first,
		   const struct top_figures *figures, double speed,
		   const char *last);

/* "3.21G" */
void top_format_bytes(uint64_t bytes, char *text, size_t cap);
/* "1:02:03" */
void top_format_span(double seconds, char *text, size_t cap);

/* A JSON object and a newline. 0 or -EIO. */
int top_json_process(const struct top_process *process, bool once, FILE *out);
int top_json_list(const struct top_list *list, bool once, FILE *out);
int top_json_ended(pid_t pid, FILE *out);

/* --- top_screen.c -----------------------------------------------------------
 */

enum top_event {
	TOP_TIME = 0, /* the time is over */
	TOP_RESIZED,
	TOP_ENDED,  /* watched has become readable */
	TOP_QUIT,   /* by key */
	TOP_SIGNAL, /* one that ends programs; only with a screen */
};

/* Makes standard output a screen until the end, if it is a terminal, and has
 * signals reported by top_wait() then. */
void top_screen_begin(void);
void top_screen_end(void);
bool top_screen_is_on(void);
unsigned int top_screen_lines(void);

/* Shows text instead of what was there; what does not fit is cut. */
void top_screen_show(const char *text);

/* Waits until CLOCK_BOOTTIME has come to until_ns, or something else happens.
 * watched: a pidfd, or -1. */
enum top_event top_wait(uint64_t until_ns, int watched);

/* The signal of TOP_SIGNAL. */
int top_ended_by(void);

#endif /* TOOLS_TOP_H */
