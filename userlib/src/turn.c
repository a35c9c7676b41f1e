// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Several threads may fault at once. Who has the turn may write a report, and nobody else does
 * meanwhile: what is on stderr is one whole report after the other. Who is about to end the
 * process does not give the turn away, so that one is the last.
 *
 *   free --take--> taken --give--> free, wakes one
 *                    | another wants it
 *                  taken, awaited: that one sleeps
 *
 * It is a word with the process's id, for a forked child inherits the turn of a thread that
 * it does not have: what another process took is free.
 *
 * All signals are blocked here. If the one who writes faults again, the kernel ends the process.
 */
#include <linux/futex.h>
#include <stdatomic.h>
#include <unistd.h>

#include "fault.h"
#include "wait.h"

#define KF_TURN_AWAITED 1u

/* 0, or a process's id, shifted, and KF_TURN_AWAITED. */
static atomic_uint kf_turn;

static bool kf_turn_is_ours(unsigned int turn)
{
	return turn && turn >> 1 == (unsigned int)getpid();
}

/*
 * Sleeps while it is @turn. In a critical section a worker would keep its processor, and who
 * writes may need it. It may have another one then. A fault in there is not contained, but if
 * the program's own handler mends it, what faulted goes on: so where the library writes to the
 * program's memory in a critical section, it knows no processor from before.
 */
static void kf_turn_sleep(struct kf_worker *w, unsigned int turn)
{
	uint32_t critical = w ? kf_read32(&w->block->critical) : 0;

	if (critical)
		atomic_store_explicit(kf_atomic32(&w->block->critical), 0, memory_order_relaxed);
	kf_futex(&kf_turn, FUTEX_WAIT_BITSET, turn, NULL);
	if (critical)
		atomic_store_explicit(kf_atomic32(&w->block->critical), critical,
				      memory_order_relaxed);
}

/**
 * kf_turn_take() - wait until nobody else writes a report
 * @w: the caller's worker, or NULL
 *
 * Context: a signal handler, all signals blocked.
 */
void kf_turn_take(struct kf_worker *w)
{
	unsigned int mine = (unsigned int)getpid() << 1, turn = atomic_load(&kf_turn);

	for (;;) {
		if (!kf_turn_is_ours(turn)) {
			if (atomic_compare_exchange_weak(&kf_turn, &turn, mine))
				return;
			continue;
		}
		/* From here on others may wait behind us, for all that we know. */
		mine |= KF_TURN_AWAITED;
		if (!(turn & KF_TURN_AWAITED) &&
		    !atomic_compare_exchange_weak(&kf_turn, &turn, mine))
			continue;
		kf_turn_sleep(w, mine);
		turn = atomic_load(&kf_turn);
	}
}

/* Context: who has it. */
void kf_turn_give(void)
{
	if (atomic_exchange(&kf_turn, 0) & KF_TURN_AWAITED)
		kf_futex(&kf_turn, FUTEX_WAKE, 1, NULL);
}
