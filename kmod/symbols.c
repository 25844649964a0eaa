// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finding by name, once, what symbols.h lists. kallsyms_lookup_name() is itself
 * one of the functions that modules are not given; a kprobe that is set on it
 * and taken off again tells where it is.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/stringify.h>

#include "symbols.h"

#define PMV_DEFINE_KEY(key, name) DEFINE_STATIC_CALL_NULL(key, name);
#define PMV_DEFINE(name) PMV_DEFINE_KEY(PMV_KEY(name), name)
PMV_FUNCTIONS(PMV_DEFINE)

DEFINE_STATIC_CALL_NULL(pmv_fn_kallsyms, kallsyms_lookup_name);

struct address_space **pmv_swapper_spaces;
unsigned long *pmv_huge_zero_pfn;

static int __init find_lookup(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	int ret;

	ret = register_kprobe(&probe);
	if (ret) {
		pr_err("no kprobe on kallsyms_lookup_name: %d\n", ret);
		return ret;
	}
	/* Where the function begins with a landing pad this is behind it. */
	static_call_update(pmv_fn_kallsyms,
			   (typeof(&kallsyms_lookup_name))probe.addr);
	unregister_kprobe(&probe);
	return 0;
}

static void *__init find(const char *name, int *missing)
{
	void *addr = (void *)static_call(pmv_fn_kallsyms)(name);

	if (!addr) {
		pr_err("this kernel has no %s\n", name);
		++*missing;
	}
	return addr;
}

#define PMV_UPDATE_KEY(key, name, addr) \
	static_call_update(key, (typeof(&name))(addr))

#define PMV_FIND_ONE(name) do {						\
	void *addr = find(__stringify(name), &missing);			\
									\
	if (addr)							\
		PMV_UPDATE_KEY(PMV_KEY(name), name, addr);		\
} while (0)

#define PMV_FIND(name) PMV_FIND_ONE(name);

/**
 * pmv_symbols_resolve() - find all functions and variables of symbols.h
 *
 * Context: once, before anything else of the module runs.
 * Return: 0, -ENOENT where at least one is missing (each is named in the log),
 * or the errno of the kprobe.
 */
int __init pmv_symbols_resolve(void)
{
	int missing = 0;
	int ret = find_lookup();

	if (ret)
		return ret;
	PMV_FUNCTIONS(PMV_FIND)
	pmv_swapper_spaces = find("swapper_spaces", &missing);
	pmv_huge_zero_pfn = find("huge_zero_pfn", &missing);
	return missing ? -ENOENT : 0;
}
