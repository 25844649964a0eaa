/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The settings: PAGEMV_CONF="key=value,...". What is wrong in it is told in one
 * line and passed over. pagemv-malloc(7) lists the keys.
 */
#ifndef PRELOAD_CONF_H
#define PRELOAD_CONF_H

#include "base.h"

#define PMV_CONF_VARIABLE "PAGEMV_CONF"

/* Measured: see WHICH BLOCKS in pagemv-malloc(7). */
#define PMV_CONF_THRESHOLD (256u << 10)
/* Blocks are whole pages. */
#define PMV_CONF_THRESHOLD_MIN 4096

/* Files of processes' statistics have names of this length at most. */
#define PMV_CONF_FILE_MAX 256

enum pmv_serve { PMV_SERVE_ALL, PMV_SERVE_REALLOC, PMV_SERVE_NONE };
enum pmv_stats_when { PMV_STATS_OFF, PMV_STATS_EXIT };
enum pmv_misuse { PMV_MISUSE_ABORT, PMV_MISUSE_REPORT };

/* Members of words have the values of the enums named, in uint32_t. */
struct pmv_conf {
	size_t threshold;
	size_t warm_bytes;
	uint32_t serve;	 /* enum pmv_serve */
	uint32_t huge;	 /* enum pagemv_heap_huge */
	uint32_t policy; /* enum pagemv_heap_policy */
	uint32_t node;
	uint32_t placement; /* enum pagemv_heap_placement */
	uint32_t mechanism; /* enum pagemv_mechanism */
	uint32_t decay_ms;
	uint32_t uffd; /* these: 0 or 1 */
	uint32_t background;
	uint32_t tight;
	uint32_t top;
	uint32_t stats;			    /* enum pmv_stats_when */
	uint32_t misuse;		    /* enum pmv_misuse */
	char stats_file[PMV_CONF_FILE_MAX]; /* "": stderr */
};

void pmv_conf_default(struct pmv_conf *conf);

/* text: NULL is as "". Wrong settings are told by pmv_say(). */
void pmv_conf_parse(struct pmv_conf *conf, const char *text);

/* The settings in force, in the same form. */
void pmv_conf_print(const struct pmv_conf *conf, char *out, size_t bytes);

#endif /* PRELOAD_CONF_H */
