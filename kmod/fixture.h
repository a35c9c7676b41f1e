/* SPDX-License-Identifier: GPL-2.0 */
/* For unit tests: a domain that is nothing but memory, with all processors idle. */
#ifndef KF_FIXTURE_H
#define KF_FIXTURE_H

#include <kunit/test.h>

#include "internal.h"

static inline struct kf_domain *kf_fixture_domain(struct kunit *test, u32 nr_processors)
{
	struct kf_domain *d = kunit_kzalloc(test, sizeof(*d), GFP_KERNEL);
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, d);
	INIT_LIST_HEAD(&d->idle);
	d->nr_processors = nr_processors;
	d->nr_used = nr_processors;
	d->nr_looked = nr_processors;
	d->nr_idle = nr_processors;
	d->processors = kunit_kcalloc(test, nr_processors, sizeof(*d->processors), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, d->processors);
	for (i = 0; i < nr_processors; i++) {
		struct kf_processor *p = &d->processors[i];

		p->index = i;
		p->block = kunit_kzalloc(test, sizeof(*p->block), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p->block);
		list_add_tail(&p->idle_link, &d->idle);
	}
	return d;
}

static inline void kf_fixture_hold(struct kf_domain *d, struct kf_processor *p, struct kf_worker *w)
{
	list_del_init(&p->idle_link);
	d->nr_idle--;
	p->worker = w;
}

#endif /* KF_FIXTURE_H */
