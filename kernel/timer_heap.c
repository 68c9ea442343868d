/*
 * A pairing heap of timers, linked through them: adding is one comparison, taking the first is
 * logarithmic on average, and nothing is allocated.
 *
 * State: none. Lock: the caller's. Source: Fredman, Sedgewick, Sleator and Tarjan, "The pairing
 * heap: a new form of self-adjusting heap".
 */
#include "kernel/timer.h"

/* Makes the later of two roots the first child of the other. */
static struct timer *join(struct timer *a, struct timer *b)
{
	if (!a)
		return b;
	if (!b)
		return a;
	if (b->deadline < a->deadline) {
		struct timer *earlier = b;

		b = a;
		a = earlier;
	}
	b->next = a->child;
	if (a->child)
		a->child->back = b;
	b->back = a;
	a->child = b;
	a->next = a->back = NULL;
	return a;
}

/* The children of a root that goes: joined in pairs from the left, then from the right into one. */
static struct timer *join_siblings(struct timer *first)
{
	struct timer *pairs = NULL, *root = NULL;

	while (first) {
		struct timer *a = first, *b = a->next;

		first = b ? b->next : NULL;
		a->next = a->back = NULL;
		if (b)
			b->next = b->back = NULL;
		a = join(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct timer *next = pairs->next;

		pairs->next = NULL;
		root = join(root, pairs);
		pairs = next;
	}
	return root;
}

/* Returns the new root. t is in no heap. */
struct timer *timer_heap_add(struct timer *root, struct timer *t)
{
	t->child = t->next = t->back = NULL;
	return join(root, t);
}

/* Takes t, which is in it, out of the heap. Returns the new root. */
struct timer *timer_heap_remove(struct timer *root, struct timer *t)
{
	struct timer *rest = join_siblings(t->child);

	t->child = NULL;
	if (t == root)
		return rest;
	if (t->back->child == t)
		t->back->child = t->next;
	else
		t->back->next = t->next;
	if (t->next)
		t->next->back = t->back;
	t->next = t->back = NULL;
	return join(root, rest);
}
