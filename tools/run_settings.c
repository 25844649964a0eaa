// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv run: the two variables of the environment.
 */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t key_length(const char *setting)
{
	return strcspn(setting, "=,");
}

static bool same_key(const char *a, const char *b)
{
	size_t len = key_length(a);

	return len == key_length(b) && !memcmp(a, b, len);
}

int run_settings_add(struct run_settings *settings, const char *key,
		     const char *value)
{
	char *text;
	size_t i;

	if (strchr(value, ','))
		return -EINVAL;
	if (asprintf(&text, "%s=%s", key, value) < 0)
		return -ENOMEM;
	for (i = 0; i < settings->count; i++)
		if (same_key(settings->text[i], text))
			break;
	if (i == RUN_SETTINGS) {
		free(text);
		return -EINVAL;
	}
	if (i == settings->count)
		settings->count++;
	else
		free(settings->text[i]);
	settings->text[i] = text;
	return 0;
}

void run_settings_free(struct run_settings *settings)
{
	while (settings->count)
		free(settings->text[--settings->count]);
}

static bool is_replaced(const struct run_settings *settings, const char *item)
{
	for (size_t i = 0; i < settings->count; i++)
		if (same_key(settings->text[i], item))
			return true;
	return false;
}

static void put(FILE *out, const char *separator, const char *text, size_t len)
{
	if (len)
		fprintf(out, "%s%.*s", ftell(out) > 0 ? separator : "",
			(int)len, text);
}

static char *finish(FILE *out, char **text)
{
	bool failed = ferror(out);

	if (fclose(out) || failed) {
		free(*text);
		return NULL;
	}
	return *text;
}

char *run_settings_merge(const struct run_settings *settings,
			 const char *before)
{
	char *text = NULL;
	size_t size, len;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (; before && *before; before += len + (before[len] == ',')) {
		len = strcspn(before, ",");
		if (!is_replaced(settings, before))
			put(out, ",", before, len);
	}
	for (size_t i = 0; i < settings->count; i++)
		put(out, ",", settings->text[i], strlen(settings->text[i]));
	return finish(out, &text);
}

/* Both separate entries of LD_PRELOAD, and nothing quotes them. */
#define SEPARATORS " :"

static bool is_shim(const char *entry, size_t len)
{
	static const char name[] = RUN_SHIM;
	size_t name_len = sizeof(name) - 1;

	return len >= name_len &&
	       !memcmp(entry + len - name_len, name, name_len) &&
	       (len == name_len || entry[len - name_len - 1] == '/');
}

char *run_preload(const char *shim, const char *allocator, const char *before)
{
	char *text = NULL;
	size_t size, len;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	put(out, ":", shim, strlen(shim));
	if (allocator)
		put(out, ":", allocator, strlen(allocator));
	for (; before && *before; before += len) {
		before += strspn(before, SEPARATORS);
		len = strcspn(before, SEPARATORS);
		if (!is_shim(before, len) &&
		    !(allocator && len == strlen(allocator) &&
		      !memcmp(before, allocator, len)))
			put(out, ":", before, len);
	}
	return finish(out, &text);
}

void run_print_word(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-+=./:,@%";

	if (*word && word[strspn(word, plain)] == '\0') {
		fputs(word, stdout);
		return;
	}
	putchar('\'');
	for (; *word; word++)
		fputs(*word == '\'' ? "'\\''" : (char[]){ *word, '\0' },
		      stdout);
	putchar('\'');
}
