/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All delay points, by the file they are in, and where they hold who comes.
 * The number of a point is its bit in the mask "points" and its line in
 * "hits" (delay.c); the order means nothing else.
 * Included, more than once, with KF_DELAY_POINT() defined.
 */

/* sched.c */
KF_DELAY_POINT(PAIR_LOCK)		/* told to look; has not looked */
KF_DELAY_POINT(PAIR_WAKE)		/* has given a processor; has not woken */
KF_DELAY_POINT(READY_LOCK)		/* the word says ACTIVE; nothing is queued */
KF_DELAY_POINT(READY_WAKE)		/* queued; its worker is not woken */
KF_DELAY_POINT(GLOBAL_LOCK)		/* saw fibers in the global queue */
KF_DELAY_POINT(FIND_NEXT)		/* saw its own "next" */
KF_DELAY_POINT(STEAL_NEXT)		/* saw another's "next" */
KF_DELAY_POINT(SEARCH)			/* counted as searching */
KF_DELAY_POINT(FOUND)			/* has work; still counted */
KF_DELAY_POINT(INTERRUPTED)		/* a signal came; still counted */
KF_DELAY_POINT(SLEEP_LOOK)		/* idle is published; queues not looked at */
KF_DELAY_POINT(TAKEN_OFF)		/* woken early; still in its list */
KF_DELAY_POINT(TAKE_IDLE)		/* switched in; has not looked for one */
KF_DELAY_POINT(LOOK_AGAIN)		/* watching is counted down; has not looked */
KF_DELAY_POINT(RELEASE)			/* sleeps; still has its processor */
KF_DELAY_POINT(RELEASED)		/* has given it up; nobody told */
KF_DELAY_POINT(DETACH)			/* never comes back; still counted */
KF_DELAY_POINT(SHUTDOWN_FLAG)		/* shut down; the lists are not emptied */
KF_DELAY_POINT(SHUTDOWN_WAKE)		/* taken off; not woken */

/* ring.h */
KF_DELAY_POINT(RING_POP)		/* slot read; head not moved */
KF_DELAY_POINT(RING_PUSH)		/* slot written; tail not moved */
KF_DELAY_POINT(RING_STEAL)		/* slots copied; head not moved */
KF_DELAY_POINT(RING_STOLEN)		/* head moved; the copies are not shown */

/* worker.c */
KF_DELAY_POINT(ATTACH)			/* can be found; has no notifier */
KF_DELAY_POINT(WAIT)			/* in its list; not asleep */
KF_DELAY_POINT(WAIT_STATE)		/* state set; has not looked */
KF_DELAY_POINT(WAIT_SCHEDULE)		/* has looked; not asleep */
KF_DELAY_POINT(NEXT_ENTER)		/* called; not yet the module's own */
KF_DELAY_POINT(NEXT_LEAVE)		/* has a fiber; no longer the module's own */
KF_DELAY_POINT(ACQUIRE)			/* has no processor; in no list */
KF_DELAY_POINT(GONE)			/* counted out; can still be found */

/* handover.c */
KF_DELAY_POINT(SWITCHED_OUT)		/* released; the irq_work is not queued */
KF_DELAY_POINT(SWITCHED_DEAD)		/* last switch; not in the list of the dead */
KF_DELAY_POINT(TASK_WORK)		/* on the way to user mode */
KF_DELAY_POINT(DISPATCH_WORK)		/* the irq_work runs; has not looked */
KF_DELAY_POINT(REAP)			/* out of the list; its fiber is not dead */
KF_DELAY_POINT(LEAVE)			/* has no notifier; is still there */

/* preempt.c */
KF_DELAY_POINT(PREEMPT_QUEUE)		/* decided; the task work is not queued */
KF_DELAY_POINT(PREEMPT)			/* told; has not looked whether it is so */

/* processors.c */
KF_DELAY_POINT(NUMBER)			/* more or fewer are in use; nobody is told */

/* surplus.c */
KF_DELAY_POINT(SURPLUS)			/* told to end; not woken */

/* pin.c */
KF_DELAY_POINT(PIN_ENTERED)		/* it waits for its fiber; nobody else was told */
KF_DELAY_POINT(PIN_LEAVE)		/* awake; its fiber is still claimed */

/* timer.c */
KF_DELAY_POINT(TIMER_FIRED)		/* fired; has not the lock */
KF_DELAY_POINT(TIMER_ARMED)		/* armed says NEVER; deadline not read */
KF_DELAY_POINT(TIMER_LOOKED)		/* deadline read; not set again */
KF_DELAY_POINT(TIMER_DUE)		/* time is up; the word is not moved */
KF_DELAY_POINT(ARM)			/* deadline read; has not the lock */

/* file.c */
KF_DELAY_POINT(FILE_TRIED)		/* it would block; its queues are not entered, or looked at */
KF_DELAY_POINT(FILE_ARMED)		/* a wake-up would be sent; the fiber does not have the wait */
KF_DELAY_POINT(FILE_HAS)		/* it has it; shutdown is not looked at */
KF_DELAY_POINT(FILE_TAKEN)		/* nobody's; still in its queues */
KF_DELAY_POINT(FILE_FIRED)		/* FIRED; the wake-up is not sent */

/* interrupt.c */
KF_DELAY_POINT(INTERRUPT_ASLEEP)	/* goes to sleep; cannot be found by its fiber */
KF_DELAY_POINT(INTERRUPT_LOOK)		/* it can; has not looked at the word */
KF_DELAY_POINT(INTERRUPT_AWAKE)		/* awake; still said to be asleep */
KF_DELAY_POINT(INTERRUPT_IRQ)		/* to be interrupted; the timer is not set */
KF_DELAY_POINT(INTERRUPT_FIRED)		/* the timer fired; has not the lock */
KF_DELAY_POINT(INTERRUPT_FOUND)		/* who sleeps is known; has not the lock */

/* fiber.c */
KF_DELAY_POINT(FREE)			/* the block is FREE; not in the pool */
KF_DELAY_POINT(KILL)			/* DEAD; the joiner is not told */
KF_DELAY_POINT(RECYCLE)			/* FREE; user space still has it */

/* trim.c, trim_pool.c */
KF_DELAY_POINT(KEPT_TAKEN)		/* user space cannot have it; not unmapped */
KF_DELAY_POINT(HAND_TAKEN)		/* out of the pool; not unmapped */
KF_DELAY_POINT(HAND_EMPTY)		/* unmapped; not in the pool again */

/* arena.c, fork.c */
KF_DELAY_POINT(GROW)			/* pages are there; not put in */
KF_DELAY_POINT(FORK)			/* pages are held; not copied */

/* device.c, domain.c */
KF_DELAY_POINT(FLUSH)			/* close(); not shut down */
KF_DELAY_POINT(DOMAIN_RELEASE)		/* shut down; not marked as released */
KF_DELAY_POINT(DOMAIN_FREE)		/* the last reference is gone */
