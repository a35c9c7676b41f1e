// SPDX-License-Identifier: GPL-2.0
/*
 * A bounded number of fibers, and the work that they share.
 *
 * The last piece that was found is done first: depth before breadth, so that what waits is
 * a path's directories and not a tree's. Done is when nothing waits and nobody does anything that
 * may find more.
 */
#include <errno.h>
#include <kfiber/kfiber.h>

#include "crawl.h"

/**
 * struct pool - the pool
 * @lock: protects the rest
 * @changed: there is more to do, or nothing will ever be again
 * @waiting: what nobody does yet
 * @unfinished: what is in there, and what is being done
 */
static struct pool {
	kf_mutex_t lock;
	kf_cond_t changed;
	struct work_list waiting;
	size_t unfinished;
} pool = {
	.lock = KF_MUTEX_INIT,
	.changed = KF_COND_INIT,
};

/*
 * Takes what is in @list, all of it or, when the caller is cancelled, nothing.
 * Return: 0, -ECANCELED.
 */
int pool_add(struct work_list *list)
{
	int err = kf_mutex_lock(&pool.lock);

	if (err)
		return err;
	while (!SLIST_EMPTY(list)) {
		struct work *work = SLIST_FIRST(list);

		SLIST_REMOVE_HEAD(list, link);
		SLIST_INSERT_HEAD(&pool.waiting, work, link);
		pool.unfinished++;
		kf_cond_signal(&pool.changed);
	}
	kf_mutex_unlock(&pool.lock);
	return 0;
}

/* Returns NULL when all is done, or the caller is cancelled. */
static struct work *take(void)
{
	struct work *work = NULL;
	int err = kf_mutex_lock(&pool.lock);

	if (err)
		return NULL;
	while (!err && SLIST_EMPTY(&pool.waiting) && pool.unfinished)
		err = kf_cond_wait(&pool.changed, &pool.lock);
	if (!err && !kf_cancelled())
		work = SLIST_FIRST(&pool.waiting);
	if (work)
		SLIST_REMOVE_HEAD(&pool.waiting, link);
	kf_mutex_unlock(&pool.lock);
	return work;
}

/* A cancelled one has no need to say it: so are the others. */
static void finished(void)
{
	if (kf_mutex_lock(&pool.lock))
		return;
	if (!--pool.unfinished)
		kf_cond_broadcast(&pool.changed);
	kf_mutex_unlock(&pool.lock);
}

static int work_on(void *arg)
{
	struct work *work;

	(void)arg;
	while ((work = take())) {
		work_do(work);
		finished();
	}
	return 0;
}

/* Nobody is there who could do it. */
static void drop_waiting(void)
{
	while (!SLIST_EMPTY(&pool.waiting)) {
		struct work *work = SLIST_FIRST(&pool.waiting);

		SLIST_REMOVE_HEAD(&pool.waiting, link);
		work_drop(work);
	}
}

/**
 * pool_run() - do a piece of work, and all that it leads to
 * @first: the piece; it is the pool's
 *
 * Fewer fibers than asked for do it as well.
 *
 * Return: 0, -ECANCELED (the caller was), an error of kf_spawn() when there is no fiber.
 */
int pool_run(struct work *first)
{
	const struct kf_attr attr = { .size = sizeof(attr), .name = "crawler" };
	kf_scope_t scope;
	unsigned int i;
	int err, ret;

	SLIST_INSERT_HEAD(&pool.waiting, first, link);
	pool.unfinished = 1;
	err = kf_scope_init(&scope);
	if (!err) {
		for (i = 0; i < options.fibers && !err; i++)
			err = kf_scope_spawn(&scope, &attr, work_on, NULL);
		if (i > 1)
			err = 0;
		ret = kf_scope_wait(&scope);
		if (ret)
			err = ret;
	}
	drop_waiting();
	return err;
}
