/* SPDX-License-Identifier: 0BSD */
/*
 * Marking, while threads are stopped: all that can be reached from the roots,
 * with a stack of objects whose references are still to be looked at.
 */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

static int push(struct mark_stack *stack, struct gc_object *o)
{
	if (stack->n == stack->room) {
		size_t room = stack->room ? 2 * stack->room : 4096;
		struct gc_object **of =
			realloc(stack->of, room * sizeof(stack->of[0]));

		if (!of)
			return -ENOMEM;
		stack->of = of;
		stack->room = room;
	}
	stack->of[stack->n++] = o;
	return 0;
}

static int visit(struct gc *gc, struct gc_object *o)
{
	bool first;

	if (!o)
		return 0;
	first = gc_in(&gc->small.space, o) ? gc_small_mark(&gc->small, o)
					   : gc_large_mark(&gc->large, o);
	return first && o->refs ? push(&gc->stack, o) : 0;
}

static int drain(struct gc *gc)
{
	int rc = 0;

	while (gc->stack.n && rc == 0) {
		struct gc_object *o = gc->stack.of[--gc->stack.n];

		for (uint32_t i = 0; i < o->refs && rc == 0; i++)
			rc = visit(gc, o->ref[i]);
	}
	return rc;
}

int gc_mark(struct gc *gc)
{
	int rc = 0;

	gc_small_clear(&gc->small);
	gc_large_clear(&gc->large);
	gc->stack.n = 0;
	for (struct gc_thread *t = gc->threads; t; t = t->next)
		for (size_t i = 0; i < t->n_roots && rc == 0; i++) {
			rc = visit(gc, t->roots[i]);
			if (rc == 0)
				rc = drain(gc);
		}
	return rc;
}
