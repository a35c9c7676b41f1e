// SPDX-License-Identifier: LGPL-2.1-or-later
/* Cancelling a fiber, and masks. How a wait ends by it is in park.c. */
#include <errno.h>

#include "ctx.h"

int kf_cancel(kf_fiber_t fiber)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);

	if (!d)
		return -ESRCH;
	if (kf_is_checked() && kf_block(d, fiber))
		kf_check_release(&kf_block(d, fiber)->word);
	return kf_tell(d, fiber, KFIBER_CANCELLED | KFIBER_INTERRUPT);
}

int kf_cancelled(void)
{
	struct kf_worker *w = kf_fiber_worker();

	return w && kf_is_cancelled(w->current,
				    atomic_load_explicit(kf_atomic64(&w->current->word),
							 memory_order_acquire));
}

int kf_cancel_disable(void)
{
	struct kf_worker *w = kf_fiber_worker();

	if (!w)
		return -EPERM;
	w->current->masked++;
	return 0;
}

int kf_cancel_enable(void)
{
	struct kf_worker *w = kf_fiber_worker();

	if (!w)
		return -EPERM;
	if (!w->current->masked)
		return -EINVAL;
	w->current->masked--;
	return 0;
}
