// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv demo: fills a heap, moves it in every way that works here, verifies
 * every page, and tells what it cost.
 */
#include "demo.h"
#include "host.h"
#include "tool.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS		   4
#define DEFAULT_MIB	   256
#define DEFAULT_HUGE_BYTES (2u << 20)

static struct demo_way ways[] = {
	{ .name = "move", .mechanism = PAGEMV_MECH_MOVE, .by_library = true },
	{ .name = "remap",
	  .mechanism = PAGEMV_MECH_REMAP,
	  .flags = PAGEMV_MOVE_MAY_REMAP,
	  .by_library = true },
	{ .name = "copy",
	  .mechanism = PAGEMV_MECH_COPY,
	  .flags = PAGEMV_MOVE_QUIESCENT,
	  .by_library = true },
	{ .name = "auto", .mechanism = PAGEMV_MECH_AUTO, .by_library = true },
	{ .name = "memcpy + MADV_DONTNEED" },
	{ .name = "move, huge pages",
	  .mechanism = PAGEMV_MECH_MOVE,
	  .by_library = true,
	  .huge = true },
	{ .name = "remap, huge pages",
	  .mechanism = PAGEMV_MECH_REMAP,
	  .flags = PAGEMV_MOVE_MAY_REMAP,
	  .by_library = true,
	  .huge = true },
	{ .name = "memcpy + MADV_DONTNEED, huge", .huge = true },
	{ .name = "companion",
	  .mechanism = PAGEMV_MECH_COMPANION,
	  .by_library = true },
};

/* Positions in the table, for the sentence at the end. */
enum {
	WAY_MOVE = 0,
	WAY_REMAP = 1,
	WAY_MEMCPY = 4,
	WAY_MOVE_HUGE = 5,
	WAY_COMPANION = 8
};

#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

enum key { KEY_MIB = 256 };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	size_t *mib = state->input;
	char *end;

	if (key != KEY_MIB)
		return ARGP_ERR_UNKNOWN;
	*mib = strtoul(arg, &end, 10);
	if (end == arg || *end || arg[0] == '-' || *mib < 2 || *mib > 1u << 20)
		argp_error(state,
			   "--mib: '%s' is not a number from 2 to "
			   "1048576",
			   arg);
	return 0;
}

static size_t parse_options(int argc, char **argv)
{
	static const struct argp_option argp_options[] = {
		{ "mib", KEY_MIB, "N", 0,
		  "Size of the heap (256, or an eighth "
		  "of the available memory)",
		  0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = argp_options,
		.parser = parse,
		.doc = "Fills a heap, moves it in every way that works here, "
		       "and verifies each page.\v"
		       "Exit status: 0 every page was found exactly once and "
		       "unchanged, 1 not so, 2 wrong usage, 3 the library "
		       "does not work here.",
	};
	size_t mib = 0;

	argp_parse(&argp, argc, argv, 0, NULL, &mib);
	return mib;
}

static size_t default_mib(void)
{
	uint64_t eighth_mib = host_memory_available_bytes() >> 23;

	if (!eighth_mib || eighth_mib > DEFAULT_MIB)
		return DEFAULT_MIB;
	return eighth_mib < 2 ? 2 : (size_t)eighth_mib;
}

static const char *lacking(const struct demo_way *way,
			   const struct pagemv_caps *caps)
{
	const struct pagemv_mech_caps *mech = &caps->mech[way->mechanism];

	if (way->huge && !caps->huge_page_bytes)
		return "this kernel has no huge pages";
	if (!way->by_library || way->mechanism == PAGEMV_MECH_AUTO)
		return NULL;
	return mech->available ? NULL : pagemv_reason_string(mech->reason);
}

static void run_rounds(struct demo_heap *heap, struct demo_way *way)
{
	way->mappings_before = host_mapping_count();
	for (uint32_t round = 1; round <= ROUNDS; round++)
		if (!demo_heap_round(heap, way, round))
			break;
	way->mappings_after = host_mapping_count();
	way->page_ns = bench_samples_median(&heap->samples);
}

static size_t huge_bytes_of(const struct pagemv_caps *caps)
{
	return caps->huge_page_bytes ? caps->huge_page_bytes
				     : DEFAULT_HUGE_BYTES;
}

static void run_way(struct demo_way *way, struct pagemv *pv,
		    const struct pagemv_caps *caps, size_t len_bytes)
{
	struct demo_heap heap;
	int rc;

	way->lacking = lacking(way, caps);
	if (way->lacking)
		return;
	rc = demo_heap_open(&heap, pv, len_bytes, huge_bytes_of(caps),
			    way->huge);
	if (rc)
		way->lacking = pagemv_strerror(rc);
	else if (way->huge &&
		 bench_pair_huge_bytes(&heap.pair, 0) != heap.pair.len_bytes)
		way->lacking = "the kernel gave no huge pages";
	else
		run_rounds(&heap, way);
	demo_heap_close(&heap);
}

static void print_way(const struct demo_way *way, size_t page_bytes)
{
	char mappings[48];

	printf("%-29s", way->name);
	if (way->lacking) {
		printf(" not shown: %s\n", way->lacking);
		return;
	}
	if (way->page_ns)
		printf(" %8.*f %8.1f", way->page_ns < 10 ? 2 : 1, way->page_ns,
		       (double)page_bytes / way->page_ns);
	else
		printf(" %8s %8s", "-", "-");
	snprintf(mappings, sizeof(mappings), "%zu -> %zu", way->mappings_before,
		 way->mappings_after);
	printf(" %9zu %9zu %6zu  %s\n", way->moved_pages, way->copied_pages,
	       way->left_pages, mappings);
	if (way->left_pages)
		printf("%29s left: %s\n", "",
		       pagemv_reason_string(way->left_reason));
	if (way->wrong_pages)
		printf("%29s WRONG: %zu pages lost, doubled or changed\n", "",
		       way->wrong_pages);
}

/* One sentence on what this kernel can do. */
static void print_verdict(void)
{
	const struct demo_way *move = &ways[WAY_MOVE];
	const struct demo_way *remap = &ways[WAY_REMAP];
	const struct demo_way *huge = &ways[WAY_MOVE_HUGE];
	const struct demo_way *companion = &ways[WAY_COMPANION];
	double memcpy_ns = ways[WAY_MEMCPY].page_ns;

	if (move->page_ns) {
		printf("This kernel moves a page in %.0f ns by UFFDIO_MOVE, "
		       "%.0f times as fast as copying it into new memory",
		       move->page_ns, memcpy_ns / move->page_ns);
		if (huge->page_ns)
			printf(", and %.0f times as fast in huge pages",
			       memcpy_ns / huge->page_ns);
		printf(".\n");
	} else if (companion->page_ns) {
		printf("Without UFFDIO_MOVE (%s), the companion module moves a "
		       "page here in %.0f ns, %.0f times as fast as copying it "
		       "into new memory.\n",
		       move->lacking, companion->page_ns,
		       memcpy_ns / companion->page_ns);
	} else if (remap->page_ns) {
		printf("Without UFFDIO_MOVE (%s), a page moves here in %.0f "
		       "ns by mremap where the mapping layout may change, "
		       "%.0f times as fast as copying it into new memory; "
		       "elsewhere it is copied.\n",
		       move->lacking, remap->page_ns,
		       memcpy_ns / remap->page_ns);
	} else {
		printf("This kernel cannot move pages (see pagemv doctor); "
		       "they are copied safely.\n");
	}
}

/* True when each page was where it should be, and none was left. */
static bool print_outcome(void)
{
	size_t wrong = 0, left = 0, shown = 0;

	for (size_t i = 0; i < N_WAYS; i++) {
		wrong += ways[i].wrong_pages;
		left += ways[i].left_pages;
		shown += !ways[i].lacking;
	}
	if (!wrong && !left && shown) {
		printf("Verified after each of %d rounds: every page is there "
		       "exactly once, with its number and version.\n",
		       ROUNDS);
		return true;
	}
	printf("VERIFICATION FAILED: %zu pages wrong, %zu left.\n", wrong,
	       left);
	return false;
}

static void print_head(const struct pagemv_caps *caps, size_t len_bytes,
		       size_t run_bytes)
{
	printf("A heap of %zu MiB, moved in runs of %zu MiB in random order to "
	       "random places, %d times over (Linux %s)\n\n",
	       len_bytes >> 20, run_bytes >> 20, ROUNDS, caps->kernel_release);
	printf("%-29s %8s %8s %9s %9s %6s  %s\n", "mechanism", "ns/page",
	       "GB/s", "moved", "copied", "left", "mappings");
}

static int open_library(struct pagemv **pv, struct pagemv_caps *caps)
{
	int rc = pagemv_open(pv, NULL);

	if (rc) {
		fprintf(stderr, "pagemv: the library cannot be opened: %s\n",
			pagemv_strerror(rc));
		return rc;
	}
	caps->size = sizeof(*caps);
	rc = pagemv_caps(*pv, caps);
	if (rc)
		pagemv_close(*pv);
	return rc;
}

int tool_demo(int argc, char **argv)
{
	size_t mib = parse_options(argc, argv);
	struct pagemv_caps caps = { 0 };
	size_t len_bytes, run_bytes;
	struct pagemv *pv;
	bool ok;

	if (open_library(&pv, &caps))
		return TOOL_NOTHING;
	run_bytes = demo_run_bytes(huge_bytes_of(&caps));
	len_bytes = (mib ? mib : default_mib()) << 20;
	len_bytes = len_bytes < run_bytes ? run_bytes
					  : len_bytes / run_bytes * run_bytes;
	print_head(&caps, len_bytes, run_bytes);
	for (size_t i = 0; i < N_WAYS; i++) {
		/* It is for those who have loaded it. */
		if (i == WAY_COMPANION &&
		    !caps.mech[PAGEMV_MECH_COMPANION].available) {
			ways[i].lacking = "not loaded";
			continue;
		}
		run_way(&ways[i], pv, &caps, len_bytes);
		print_way(&ways[i], caps.page_bytes);
		fflush(stdout);
	}
	putchar('\n');
	ok = print_outcome();
	if (ok)
		print_verdict();
	pagemv_close(pv);
	return ok ? TOOL_OK : TOOL_FAILED;
}
