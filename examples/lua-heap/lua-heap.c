/* SPDX-License-Identifier: 0BSD */
/*
 * lua-heap: Lua 5.4 on a heap of the library's. What Lua allocates goes through
 * one function; large blocks are taken from the heap, where tables and strings
 * of hundreds of MB grow without being copied.
 *
 *   lua-heap [--stats] SCRIPT [ARG...]   runs it as lua(1) does
 *   lua-heap                             grows a table, and tells what it took
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

#include <pagemv/heap.h>
#include <pagemv/pagemv.h>

/* Smaller blocks are malloc()'s. */
#define LARGE ((size_t)64 << 10)

static bool is_ours(struct pagemv_heap *heap, const void *ptr)
{
	const struct pagemv_heap_bounds *b = pagemv_heap_bounds(heap);

	return (uintptr_t)ptr >= b->low && (uintptr_t)ptr < b->high;
}

static void release(struct pagemv_heap *heap, void *ptr)
{
	if (is_ours(heap, ptr))
		pagemv_heap_free(heap, ptr);
	else
		free(ptr);
}

static void *allocate(struct pagemv_heap *heap, size_t bytes)
{
	void *ptr;

	if (bytes < LARGE || pagemv_heap_alloc(heap, bytes, 0, &ptr) < 0)
		return malloc(bytes);
	return ptr;
}

/* From malloc() to the heap, or the other way. */
static void *change_side(struct pagemv_heap *heap, void *ptr, size_t old,
			 size_t bytes)
{
	void *other = allocate(heap, bytes);

	if (!other)
		return NULL;
	memcpy(other, ptr, old < bytes ? old : bytes);
	release(heap, ptr);
	return other;
}

/* A lua_Alloc. */
static void *change(void *arg, void *ptr, size_t old, size_t bytes)
{
	struct pagemv_heap *heap = arg;

	if (bytes == 0) {
		release(heap, ptr);
		return NULL;
	}
	if (!ptr)
		return allocate(heap, bytes);
	if (is_ours(heap, ptr) != (bytes >= LARGE))
		return change_side(heap, ptr, old, bytes);
	if (bytes < LARGE)
		return realloc(ptr, bytes);
	return pagemv_heap_realloc(heap, ptr, bytes, 0, &ptr, NULL) == 0 ? ptr
									 : NULL;
}

/* ---- scripts ---- */

static int trace(lua_State *lua)
{
	luaL_traceback(lua, lua, lua_tostring(lua, 1), 1);
	return 1;
}

static void set_args(lua_State *lua, int argc, char **argv)
{
	lua_createtable(lua, argc, 1);
	for (int i = 0; i < argc; i++) {
		lua_pushstring(lua, argv[i]);
		lua_rawseti(lua, -2, i);
	}
	lua_setglobal(lua, "arg");
}

/* The function on top of the stack, with the arguments behind argv[0]. */
static int call(lua_State *lua, int argc, char **argv)
{
	int base = lua_gettop(lua);

	lua_pushcfunction(lua, trace);
	lua_insert(lua, base);
	luaL_checkstack(lua, argc, "too many arguments");
	for (int i = 1; i < argc; i++)
		lua_pushstring(lua, argv[i]);
	return lua_pcall(lua, argc - 1, 0, base);
}

static int run_script(lua_State *lua, int argc, char **argv)
{
	int rc;

	luaL_openlibs(lua);
	set_args(lua, argc, argv);
	rc = luaL_loadfile(lua, argv[0]);
	if (rc == LUA_OK)
		rc = call(lua, argc, argv);
	if (rc != LUA_OK)
		fprintf(stderr, "lua-heap: %s\n", lua_tostring(lua, -1));
	return rc == LUA_OK ? 0 : 1;
}

static const char demo[] =
	"local t = {}\n"
	"for i = 1, 1 << 23 do t[i] = i end\n"
	"local sum = 0\n"
	"for _, v in ipairs(t) do sum = sum + v end\n"
	"assert(sum == (1 << 22) * ((1 << 23) + 1))\n"
	"local s = ('x'):rep(1 << 20):rep(64, ',')\n"
	"assert(#s == (1 << 26) + 63 and s:byte(1 << 20) == 120)\n"
	"print(('a table of %d numbers, a string of %d bytes'):format(#t, "
	"#s))\n";

static int run_demo(lua_State *lua)
{
	char *argv[] = { "demo", NULL };
	int rc;

	luaL_openlibs(lua);
	rc = luaL_loadstring(lua, demo);
	if (rc == LUA_OK)
		rc = call(lua, 1, argv);
	if (rc != LUA_OK)
		fprintf(stderr, "lua-heap: %s\n", lua_tostring(lua, -1));
	return rc == LUA_OK ? 0 : 1;
}

/* ---- the heap ---- */

static void tell(struct pagemv_heap *heap)
{
	struct pagemv_heap_stats s = { .size = sizeof(s) };

	if (pagemv_heap_stats(heap, &s) < 0)
		return;
	fprintf(stderr,
		"lua-heap: %" PRIu64 " blocks, %" PRIu64 " grew or shrank: "
		"%" PRIu64 " in place, %" PRIu64 " moved (%.1f MiB moved, "
		"%.1f MiB copied)\n",
		s.sum.allocs, s.sum.reallocs, s.sum.in_place, s.sum.moves,
		(double)s.sum.moved_bytes / 1048576,
		(double)s.sum.copied_bytes / 1048576);
}

static int run(struct pagemv_heap *heap, int argc, char **argv)
{
	lua_State *lua = lua_newstate(change, heap);
	int status;

	if (!lua) {
		fputs("lua-heap: not enough memory\n", stderr);
		return 1;
	}
	status = argc > 0 ? run_script(lua, argc, argv) : run_demo(lua);
	lua_close(lua);
	return status;
}

int main(int argc, char **argv)
{
	bool stats = argc > 1 && !strcmp(argv[1], "--stats");
	int skip = stats ? 2 : 1, status, rc;
	struct pagemv_heap *heap;

	rc = pagemv_heap_create(NULL, NULL, &heap);
	if (rc < 0) {
		fprintf(stderr, "lua-heap: %s\n", pagemv_strerror(rc));
		return 1;
	}
	status = run(heap, argc - skip, argv + skip);
	if (stats || argc == 1)
		tell(heap);
	pagemv_heap_destroy(heap);
	return status;
}
