/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pin.pml - a pinned fiber goes on when it is woken, on its thread, and nowhere else
 *
 * A model of
 *	userlib/src/pin.c	kf_pin, kf_unpin, kf_pin_stay_critical, kf_pin_pick_critical
 *	userlib/src/park.c	kf_publish_parked_critical, kf_wake
 *	kmod/pin.c		all
 *	kmod/sched.c		kf_place_locked, kf_pair_locked (waiters)
 *	kmod/worker.c		kf_worker_sleep, for its one worker
 *
 * One fiber parks a few times. It is pinned at first, may unpin itself while it runs,
 * and pin itself again. Somebody wakes it a few times: a fiber, a plain thread or a
 * timer. There is one processor, and others who have it for a while. A signal may end a
 * sleep of the thread, whatever it has been given at that moment.
 *
 * Property: the fiber never runs on two threads; pinned, it runs on its own one only;
 * once nothing moves any more it does not lie there woken with the processor idle.
 *
 * Abstracted: what it does while it is not pinned and parks is park.pml's; here it is
 * pinned whenever it parks, or was woken by the name in a queue, which any thread takes.
 *
 * Wrong variants, one at a time:
 *	WRONG_QUEUED		who wakes it does not look at PINNED and queues it
 *	WRONG_STALE_FLAG	looks at PINNED before the exchange, not in what it
 *				exchanged
 *	WRONG_NO_TOKEN		READY wakes the thread if it sleeps, and leaves no note
 *	WRONG_EINTR_FORGETS	a signal that ends the thread's wait for a processor ends
 *				that the fiber is runnable
 *	WRONG_PUBLISHED_ASKS	the thread asks the module for a fiber that it found woken
 *				when it published PARKED
 */

#ifndef PARKS
#define PARKS	3
#endif
#ifndef WAKES
#define WAKES	3
#endif
#ifndef SIGNALS
#define SIGNALS	2
#endif

mtype = { ACTIVE, PARKING, PARKED, ENDED };
mtype = { AWAKE, PINNED, WAITER };

/* The state word. */
mtype state = ACTIVE;
bool permit = false;
bool flag = false;		/* PINNED */

bool held = true;		/* the processor, by this thread */
bool taken = false;		/* by others */
bool queued = false;		/* its name is in a queue */
bool running = true;		/* on its own thread */
bool elsewhere = false;		/* on another */
bool home = true;		/* its own thread is where it was pinned */

/* The module's, under the lock. */
mtype sleeps = AWAKE;
bool note = false;		/* pinned_ready */
bool claimed = false;		/* pinned_to */
byte wakes = WAKES;
bool waking = false;		/* between the exchange and what comes of it */

inline give()
{
	if
	:: !taken && !held -> held = true; sleeps = AWAKE
	:: else -> sleeps = WAITER
	fi
}

inline ready()
{
#ifndef WRONG_NO_TOKEN
	note = true;
#endif
	if
	:: claimed && sleeps == PINNED -> give()
	:: else
	fi
}

proctype thread()
{
	byte parks = PARKS, signals = SIGNALS;
	bool found;

	do
	:: parks > 0 ->
		parks--;
		/* The fiber. */
		if
		:: flag = true
		:: atomic { flag = false; flag = true }
		fi;
		assert(running && held);
		if
		:: atomic { permit -> permit = false; goto went_on }
		:: atomic { !permit -> state = PARKING }
		fi;
		running = false;
		/* The worker's own stack. */
		atomic {
			found = permit;
			if
			:: permit -> permit = false; state = ACTIVE
			:: else -> state = PARKED
			fi
		};
#ifndef WRONG_PUBLISHED_ASKS
		if
		:: found -> goto go_on
		:: else
		fi;
#endif
next:		atomic {
			if
			:: note && held -> note = false; goto go_on
			:: else ->
				claimed = true;
				held = false;
				if
				:: note -> give()
				:: else -> sleeps = PINNED
				fi
			fi
		};
		if
		:: held
		:: atomic { !held && signals > 0 -> signals-- }
		fi;
		/* kf_pin_leave() */
		atomic {
#ifdef WRONG_EINTR_FORGETS
			if
			:: sleeps == WAITER -> note = false
			:: else
			fi;
#endif
			sleeps = AWAKE;
			claimed = false;
			if
			:: held -> note = false
			:: else -> goto next
			fi
		};
go_on:		assert(!elsewhere && state == ACTIVE);
		running = true;
went_on:	skip
	:: parks == 0 -> break
	od;
	atomic {
		assert(!elsewhere);
		state = ENDED; held = false; running = false
	}
}

/* kf_wake(): the exchange, then where it goes. */
proctype waker()
{
	bool pinned, queue;

end:	do
	:: wakes > 0 ->
#ifdef WRONG_STALE_FLAG
		pinned = flag;
#endif
		atomic {
			wakes--;
			if
			:: state == PARKED ->
				state = ACTIVE; queue = true; waking = true
			:: state == ENDED -> queue = false
			:: else -> permit = true; queue = false
			fi;
#ifndef WRONG_STALE_FLAG
			pinned = flag
#endif
		};
#ifdef WRONG_QUEUED
		pinned = false;
#endif
		if
		:: queue && pinned -> atomic { ready(); waking = false }
		:: queue && !pinned -> atomic { queued = true; waking = false }
		:: else
		fi;
		queue = false
	od
}

/* Others: have the processor for a while, and run what is in queues. */
proctype others()
{
end:	do
	:: atomic { !held && !taken -> taken = true };
		if
		:: atomic { queued -> queued = false; elsewhere = true };
			assert(!running && !flag);
			elsewhere = false
		:: skip
		fi;
		atomic {
			taken = false;
			if
			:: sleeps == WAITER -> held = true; sleeps = AWAKE
			:: else
			fi
		}
	od
}

/* May be scheduled when nothing else moves, and at any other moment. */
proctype observer()
{
end:	atomic {
		claimed && state == ACTIVE && !waking && !held && !taken && sleeps != AWAKE ->
		assert(false)
	}
}

init
{
	atomic {
		run thread();
		run waker();
		run others();
		run observer()
	}
}
