// SPDX-License-Identifier: GPL-2.0-only
/*
 * Linux 6.1 to 6.7: folio_lock_anon_vma_read() reads folio->mapping, locks the
 * root of the anon_vma that it names, sees that the folio is still mapped, and
 * concludes that this anon_vma is alive. Up to 6.7 no folio that is mapped ever
 * changes to another root, so that is right. Here one may have changed in
 * between, and then the mapping that it left may be gone, and its anon_vma with
 * it. (6.8 looks at folio->mapping once more, under the lock.)
 *
 * The walker reads and locks within one RCU read-side section. So every anon_vma
 * that a folio leaves is kept until a grace period after: whoever read it has
 * locked it by then or given up, and freeing an anon_vma waits for who has it
 * locked. The walk itself is harmless: it finds no entry of the folio where it
 * looks.
 *
 * A process moves out of the same few mappings over and over. A descriptor
 * keeps the last ones, and only what is displaced goes through RCU.
 */
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "core.h"

#if PMV_RMAP_IS_BLIND

#define KEPT_MAX 8

/*
 * struct pmv_keep - the anon_vmas that a descriptor keeps
 * @work: puts them, a grace period after it was queued
 * @next: which is displaced by the next one
 * @kept: with a reference each
 */
struct pmv_keep {
	struct rcu_work work;
	spinlock_t lock;	/* of next and kept */
	unsigned int next;
	struct anon_vma *kept[KEPT_MAX];
};

static struct workqueue_struct *queue;

static void put(struct anon_vma *anon_vma)
{
	if (anon_vma && atomic_dec_and_test(&anon_vma->refcount))
		pmv_call(__put_anon_vma)(anon_vma);
}

static void put_all(struct work_struct *work)
{
	struct pmv_keep *keep = container_of(to_rcu_work(work),
					     struct pmv_keep, work);
	unsigned int i;

	for (i = 0; i < KEPT_MAX; i++)
		put(keep->kept[i]);
	kfree(keep);
}

int pmv_keep_open(struct pmv_keep **out)
{
	struct pmv_keep *keep = kzalloc(sizeof(*keep), GFP_KERNEL);

	if (!keep)
		return -ENOMEM;
	INIT_RCU_WORK(&keep->work, put_all);
	spin_lock_init(&keep->lock);
	*out = keep;
	return 0;
}

void pmv_keep_close(struct pmv_keep *keep)
{
	queue_rcu_work(queue, &keep->work);
}

static void put_later(struct anon_vma *anon_vma)
{
	struct pmv_keep *keep;

	if (pmv_keep_open(&keep)) {
		synchronize_rcu();
		put(anon_vma);
		return;
	}
	keep->kept[0] = anon_vma;
	pmv_keep_close(keep);
}

/**
 * pmv_leave() - a folio is to leave its anon_vma
 * @c: the call
 * @folio: locked and mapped
 * @vma: where it goes
 *
 * Context: under the lock of the folio's entry.
 * Return: false where no more can be kept before pmv_hand_over().
 */
bool pmv_leave(struct pmv_call *c, struct folio *folio,
	       const struct vm_area_struct *vma)
{
	struct anon_vma *from = (void *)folio->mapping - PAGE_MAPPING_ANON;
	unsigned int i = c->nr_left;

	if (from == vma->anon_vma)
		return true;
	while (i--)
		if (c->left[i] == from)
			return true;
	if (c->nr_left == PMV_LEFT_MAX)
		return false;
	get_anon_vma(from);
	c->left[c->nr_left++] = from;
	return true;
}

/* Gives the reference to the descriptor; what it displaces. */
static struct anon_vma *keep_one(struct pmv_keep *keep, struct anon_vma *one)
{
	struct anon_vma *displaced;
	unsigned int i;

	spin_lock(&keep->lock);
	for (i = 0; i < KEPT_MAX && keep->kept[i] != one; i++)
		;
	if (i < KEPT_MAX) {
		/* The descriptor has one: this is not the last. */
		atomic_dec(&one->refcount);
		displaced = NULL;
	} else {
		displaced = keep->kept[keep->next];
		keep->kept[keep->next] = one;
		keep->next = (keep->next + 1) % KEPT_MAX;
	}
	spin_unlock(&keep->lock);
	return displaced;
}

/**
 * pmv_hand_over() - leave what a call has kept to its descriptor
 * @c: the call
 *
 * Context: may sleep.
 */
void pmv_hand_over(struct pmv_call *c)
{
	while (c->nr_left) {
		struct anon_vma *displaced;

		displaced = keep_one(c->keep, c->left[--c->nr_left]);
		if (displaced)
			put_later(displaced);
	}
}

int pmv_keep_init(void)
{
	queue = alloc_workqueue("pagemv", 0, 0);
	return queue ? 0 : -ENOMEM;
}

void pmv_keep_exit(void)
{
	rcu_barrier();
	destroy_workqueue(queue);
}

#endif /* PMV_RMAP_IS_BLIND */
