// SPDX-License-Identifier: LGPL-2.1-or-later
#include "conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <pagemv/pagemv.h>
#include <pagemv/heap.h>

#include "nearest.h"
#include "shim.h"

enum kind { WORD, SIZE, MILLISECONDS, NODE, STATS };

struct key {
	const char *name;
	const char *const *words; /* of a WORD, in the order of its enum */
	size_t member;
	enum kind kind;
	size_t least; /* of a SIZE */
};

static const char *const serve_words[] = { "all", "realloc", "none", NULL };
static const char *const huge_words[] = { "auto", "system", "always", "never",
					  NULL };
static const char *const placement_words[] = { "auto", "keep", "bring", NULL };
static const char *const mechanism_words[] = { "auto", "move",	    "remap",
					       "copy", "companion", NULL };
static const char *const switch_words[] = { "off", "on", NULL };
static const char *const misuse_words[] = { "abort", "report", NULL };
static const char *const node_words[] = { "local", "interleave", NULL };
static const char *const stats_words[] = { "off", "exit", NULL };

_Static_assert(PAGEMV_HEAP_HUGE_COUNT == 4 && PAGEMV_HEAP_PLACE_COUNT == 3 &&
		       PAGEMV_MECH_COUNT == 5,
	       "the words have these values");

#define MEMBER(m) offsetof(struct pmv_conf, m)

static const struct key keys[] = {
	{ "threshold", NULL, MEMBER(threshold), SIZE, PMV_CONF_THRESHOLD_MIN },
	{ "serve", serve_words, MEMBER(serve), WORD, 0 },
	{ "huge", huge_words, MEMBER(huge), WORD, 0 },
	{ "decay", NULL, MEMBER(decay_ms), MILLISECONDS, 0 },
	{ "warm", NULL, MEMBER(warm_bytes), SIZE, 0 },
	{ "node", node_words, MEMBER(node), NODE, 0 },
	{ "placement", placement_words, MEMBER(placement), WORD, 0 },
	{ "uffd", switch_words, MEMBER(uffd), WORD, 0 },
	{ "mechanism", mechanism_words, MEMBER(mechanism), WORD, 0 },
	{ "background", switch_words, MEMBER(background), WORD, 0 },
	{ "tight", switch_words, MEMBER(tight), WORD, 0 },
	{ "stats", stats_words, MEMBER(stats), STATS, 0 },
	{ "top", switch_words, MEMBER(top), WORD, 0 },
	{ "misuse", misuse_words, MEMBER(misuse), WORD, 0 },
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))

/* A part of the text. */
struct span {
	const char *at;
	size_t len;
};

static uint32_t *word_of(struct pmv_conf *conf, const struct key *key)
{
	return (uint32_t *)((char *)conf + key->member);
}

static size_t *size_of(struct pmv_conf *conf, const struct key *key)
{
	return (size_t *)((char *)conf + key->member);
}

static bool is(struct span s, const char *word)
{
	return strlen(word) == s.len && memcmp(word, s.at, s.len) == 0;
}

/* ---- the values ---- */

static bool parse_word(struct span value, const char *const *words,
		       uint32_t *out)
{
	for (uint32_t i = 0; words[i]; i++)
		if (is(value, words[i])) {
			*out = i;
			return true;
		}
	return false;
}

/* Digits only; the rest of the value stays in *value. */
static bool parse_number(struct span *value, size_t *out)
{
	size_t n = 0, digits = 0;

	for (; digits < value->len; digits++) {
		char c = value->at[digits];

		if (c < '0' || c > '9')
			break;
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (size_t)(c - '0'), &n))
			return false;
	}
	value->at += digits;
	value->len -= digits;
	*out = n;
	return digits > 0;
}

static bool parse_size(struct span value, size_t *out)
{
	static const char units[] = "kmgt";
	size_t n;
	const char *unit;

	if (!parse_number(&value, &n))
		return false;
	if (value.len == 1 && *value.at) {
		unit = strchr(units, *value.at | 0x20);
		if (!unit ||
		    __builtin_mul_overflow(
			    n, (size_t)1 << 10 * (unit - units + 1), &n))
			return false;
	} else if (value.len) {
		return false;
	}
	*out = n;
	return true;
}

static bool parse_u32(struct span value, uint32_t *out)
{
	size_t n;

	if (!parse_number(&value, &n) || value.len || n > UINT32_MAX)
		return false;
	*out = (uint32_t)n;
	return true;
}

static bool parse_node(struct span value, struct pmv_conf *conf)
{
	if (is(value, "local")) {
		conf->policy = PAGEMV_HEAP_LOCAL;
	} else if (is(value, "interleave")) {
		conf->policy = PAGEMV_HEAP_INTERLEAVE;
	} else {
		if (!parse_u32(value, &conf->node))
			return false;
		conf->policy = PAGEMV_HEAP_NODE;
		return true;
	}
	conf->node = 0;
	return true;
}

/* "exit:FILE" */
static bool parse_stats(struct span value, struct pmv_conf *conf)
{
	static const char to[] = "exit:";
	size_t n = sizeof(to) - 1, len = value.len - n;

	if (parse_word(value, stats_words, &conf->stats)) {
		conf->stats_file[0] = '\0';
		return true;
	}
	if (value.len <= n || memcmp(value.at, to, n) != 0 ||
	    len >= sizeof(conf->stats_file))
		return false;
	memcpy(conf->stats_file, value.at + n, len);
	conf->stats_file[len] = '\0';
	conf->stats = PMV_STATS_EXIT;
	return true;
}

static bool parse_value(struct pmv_conf *conf, const struct key *key,
			struct span value)
{
	size_t size;

	switch (key->kind) {
	case WORD:
		return parse_word(value, key->words, word_of(conf, key));
	case SIZE:
		if (!parse_size(value, &size) || size < key->least)
			return false;
		*size_of(conf, key) = size;
		return true;
	case MILLISECONDS:
		return parse_u32(value, word_of(conf, key));
	case NODE:
		return parse_node(value, conf);
	case STATS:
		return parse_stats(value, conf);
	default:
		return false;
	}
}

/* ---- what is wrong ---- */

/* One line for all of it. */
struct complaint {
	char text[400];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void
complain(struct complaint *c, const char *format, ...)
{
	size_t room = sizeof(c->text) - c->len;
	va_list ap;
	int n;

	if (c->len)
		n = snprintf(c->text + c->len, room, "; ");
	else
		n = 0;
	c->len += pmv_min((size_t)n, room - 1);
	room = sizeof(c->text) - c->len;
	va_start(ap, format);
	n = vsnprintf(c->text + c->len, room, format, ap);
	va_end(ap);
	if (n > 0)
		c->len += pmv_min((size_t)n, room - 1);
}

#define SHOWN(s) (int)pmv_min((s).len, 40), (s).at

static void unknown_key(struct complaint *c, struct span name)
{
	const char *names[KEYS + 1];
	const char *near;

	for (size_t i = 0; i < KEYS; i++)
		names[i] = keys[i].name;
	names[KEYS] = NULL;
	near = pmv_nearest(name.at, name.len, names);
	if (near)
		complain(c, "no setting \"%.*s\", did you mean \"%s\"?",
			 SHOWN(name), near);
	else
		complain(c, "no setting \"%.*s\"", SHOWN(name));
}

static void bad_value(struct complaint *c, const struct key *key,
		      struct span value)
{
	const char *near =
		key->words ? pmv_nearest(value.at, value.len, key->words)
			   : NULL;

	if (near)
		complain(c, "%s: not \"%.*s\", did you mean \"%s\"?", key->name,
			 SHOWN(value), near);
	else if (key->least)
		complain(c, "%s: not \"%.*s\", at least %zu", key->name,
			 SHOWN(value), key->least);
	else
		complain(c, "%s: not \"%.*s\"", key->name, SHOWN(value));
}

/* ---- all of it ---- */

static const struct key *key_of(struct span name)
{
	for (size_t i = 0; i < KEYS; i++)
		if (is(name, keys[i].name))
			return &keys[i];
	return NULL;
}

static void parse_one(struct pmv_conf *conf, struct span setting,
		      struct complaint *c)
{
	const char *equals = memchr(setting.at, '=', setting.len);
	struct span name = setting, value = { "", 0 };
	const struct key *key;

	if (equals) {
		name.len = (size_t)(equals - setting.at);
		value.at = equals + 1;
		value.len = setting.len - name.len - 1;
	}
	key = key_of(name);
	if (!key)
		unknown_key(c, name);
	else if (!equals)
		complain(c, "%s: no value", key->name);
	else if (!parse_value(conf, key, value))
		bad_value(c, key, value);
}

void pmv_conf_parse(struct pmv_conf *conf, const char *text)
{
	struct complaint c = { .len = 0 };

	while (text && *text) {
		struct span setting = { text, strcspn(text, ",") };

		if (setting.len)
			parse_one(conf, setting, &c);
		text += setting.len;
		text += *text == ',';
	}
	if (c.len)
		pmv_say("%s: %s", PMV_CONF_VARIABLE, c.text);
}

void pmv_conf_default(struct pmv_conf *conf)
{
	*conf = (struct pmv_conf){
		.threshold = PMV_CONF_THRESHOLD,
		.warm_bytes = 64u << 20,
		.decay_ms = 1000,
		.uffd = 1,
		.top = 1,
	};
}

static const char *node_text(const struct pmv_conf *conf, char *room,
			     size_t bytes)
{
	if (conf->policy != PAGEMV_HEAP_NODE)
		return conf->policy == PAGEMV_HEAP_LOCAL ? "local"
							 : "interleave";
	snprintf(room, bytes, "%u", conf->node);
	return room;
}

void pmv_conf_print(const struct pmv_conf *c, char *out, size_t bytes)
{
	char node[16];

	snprintf(out, bytes,
		 "threshold=%zu,serve=%s,huge=%s,decay=%u,warm=%zu,node=%s,"
		 "placement=%s,uffd=%s,mechanism=%s,background=%s,tight=%s,"
		 "stats=%s%s%s,top=%s,misuse=%s",
		 c->threshold, serve_words[c->serve], huge_words[c->huge],
		 c->decay_ms, c->warm_bytes, node_text(c, node, sizeof(node)),
		 placement_words[c->placement], switch_words[c->uffd],
		 mechanism_words[c->mechanism], switch_words[c->background],
		 switch_words[c->tight], stats_words[c->stats],
		 *c->stats_file ? ":" : "", c->stats_file, switch_words[c->top],
		 misuse_words[c->misuse]);
}
