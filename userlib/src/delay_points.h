/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All delay points, by the file they are in, and where they hold who comes.
 * The number of a point is its bit in kf_delay_state.points; the order means nothing else.
 * Included, more than once, with KF_DELAY_POINT() defined.
 */

/* park.c */
KF_DELAY_POINT(LOOKED)			/* not cancelled, time not up; not PARKING */
KF_DELAY_POINT(BEGIN_WAIT)		/* word read; not PARKING */
KF_DELAY_POINT(PARKING)			/* PARKING; on its stack */
KF_DELAY_POINT(DEADLINE)		/* deadline stored; armed not read */
KF_DELAY_POINT(PUBLISH)			/* word read; not PARKED */
KF_DELAY_POINT(PUBLISHED)		/* PARKED, or ACTIVE and not queued */
KF_DELAY_POINT(END_WAIT)		/* it goes on; its deadline still stands */
KF_DELAY_POINT(WAKE)			/* word read; not moved */
KF_DELAY_POINT(WOKEN)			/* word moved; fiber not queued */

/* queue.c */
KF_DELAY_POINT(POP)			/* slot read; head not moved */
KF_DELAY_POINT(POP_NEXT)		/* saw "next"; has not taken it */
KF_DELAY_POINT(PUSH)			/* slot written; tail not moved */
KF_DELAY_POINT(OVERFLOW)		/* half of the ring is in nobody's hands */
KF_DELAY_POINT(QUEUED)			/* queued; idle and searching not read */
KF_DELAY_POINT(KICK)			/* they were read; module not called */

/* switch.c */
KF_DELAY_POINT(PICKED)			/* has the next fiber; on its old stack */
KF_DELAY_POINT(ARM)			/* its timer is not set; on its old stack */
KF_DELAY_POINT(ARRIVE)			/* on the new stack; the old one not published */

/* worker.c, internal.h */
KF_DELAY_POINT(ENTER)			/* critical; processor not read */
KF_DELAY_POINT(LEAVE)			/* no longer critical */
KF_DELAY_POINT(MAKE_UP)			/* its slice was over; module not called */
KF_DELAY_POINT(ACQUIRE)			/* no processor; module not called */
KF_DELAY_POINT(NEXT)			/* nothing to run; module not called */
KF_DELAY_POINT(RESUME)			/* has a fiber; on the worker's stack */
KF_DELAY_POINT(SPARE)			/* has a fiber; not critical */
KF_DELAY_POINT(ENDED)			/* was told to end; still a worker */

/* fiber.c */
KF_DELAY_POINT(SPAWN)			/* ACTIVE; not queued */
KF_DELAY_POINT(DEAD)			/* DEAD; joiner not told */
KF_DELAY_POINT(CLAIM)			/* joiner read; not moved */
KF_DELAY_POINT(RECYCLE)			/* DEAD and joined; not FREE */
KF_DELAY_POINT(POOL_CLAIM)		/* POOLED was read; not cleared */

/* wait.c */
KF_DELAY_POINT(AWAIT_OVER)		/* its wait was given up; still WAITS */
KF_DELAY_POINT(AWAIT_GAVE_UP)		/* GAVE_UP; its places are still queued */
KF_DELAY_POINT(AWAIT_CLAIMED)		/* claimed after all; WAKE is not taken */
KF_DELAY_POINT(AWAIT_FUTEX)		/* woken is 1; FUTEX_WAKE is not called */
KF_DELAY_POINT(GRANT)			/* CLAIMED; not told what for, latch held */
KF_DELAY_POINT(LATCH_FULL)		/* latch read; not in its list */
KF_DELAY_POINT(LATCH_LISTED)		/* in the latch's list; not parked */
KF_DELAY_POINT(UNLATCH)			/* has done what it latched for; not released */
KF_DELAY_POINT(UNLATCHED)		/* released; those in its list are not woken */
