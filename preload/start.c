// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The beginning and the end: settings are read and the program is looked at
 * when it is loaded, and nothing is served before.
 */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdlib.h>

#include "conf.h"
#include "exit_stats.h"
#include "family.h"
#include "serve.h"
#include "shim.h"

static PMV_CONST_AFTER_INIT struct pmv_conf conf;

/*
 * Whether calls of name come to own, or else where they go. A program that is
 * not position-independent and takes the function's address has a symbol for
 * that, which is not a function of its own.
 */
static bool comes_to(const char *name, const void *own, Dl_info *where)
{
	void *found = dlsym(RTLD_DEFAULT, name);
	const ElfW(Sym) *symbol = NULL;

	if (!found || found == own)
		return true;
	if (!dladdr1(found, where, (void **)&symbol, RTLD_DL_SYMENT))
		where->dli_fname = "unknown object";
	return symbol && symbol->st_shndx == SHN_UNDEF;
}

/*
 * Blocks may only be served to who also frees them by us. Where the program, or
 * a library before this one, has an allocator of its own, some of its functions
 * may still come here: they are passed on.
 */
static bool is_first(void)
{
	const struct {
		const char *name;
		const void *own;
	} family[] = {
		{ "malloc", (const void *)pmv_own_malloc },
		{ "free", (const void *)pmv_own_free },
		{ "calloc", (const void *)pmv_own_calloc },
		{ "realloc", (const void *)pmv_own_realloc },
	};
	Dl_info where;

	for (size_t i = 0; i < sizeof(family) / sizeof(family[0]); i++) {
		if (comes_to(family[i].name, family[i].own, &where))
			continue;
		pmv_say("not used: %s() is that of %s", family[i].name,
			where.dli_fname);
		return false;
	}
	return true;
}

__attribute__((constructor)) static void start(void)
{
	pmv_conf_default(&conf);
	/* Not in a program that runs with more rights than who calls it. */
	pmv_conf_parse(&conf, secure_getenv(PMV_CONF_VARIABLE));
	if (conf.serve != PMV_SERVE_NONE && is_first())
		pmv_serve_start(&conf);
}

__attribute__((destructor)) static void end(void)
{
	pmv_exit_stats(&conf);
}
