/* SPDX-License-Identifier: GPL-2.0 */
/*
 * idle.pml - work is not left while a processor is idle and a worker sleeps
 *
 * A model of
 *	userlib/src/queue.c	kf_tell_critical, kf_push_*_critical, kf_pick_critical
 *	kmod/sched.c		kf_sched_sleep, kf_sched_dispatch, kf_pair_locked,
 *				kf_visible_locked, kf_sched_find, kf_sched_search,
 *				kf_sched_found, kf_sched_release, kf_sched_take_idle,
 *				kf_place_locked
 *	kmod/worker.c		kf_worker_find_work, kf_worker_spin, kf_worker_next
 *	kmod/handover.c		kf_switched_out, kf_switched_in, kf_task_work,
 *				kf_dispatch_work
 *
 * Workers run fibers, each of which may queue another, block in the kernel,
 * end, or compute for ever. A worker with nothing to run looks around, counted
 * among those who search or not, and goes to sleep. The kernel makes fibers
 * runnable too (a timer). A signal may send a worker out of NEXT, into a handler
 * that never returns.
 *
 * Property: once nothing moves any more, there is no fiber in a queue with both a
 * processor idle and a spare asleep, no idle processor with a waiter, and nobody
 * is counted as searching.
 *
 * Memory: what a worker queues lies in a store buffer of one entry until a fence,
 * an atomic instruction or the lock empties it, or until it goes by itself. What
 * the kernel tells user space is seen late in the same way, with
 * WRONG_KERNEL_FENCE, until somebody else takes the lock. The scan of the queues
 * is a step for each, under the lock, which user space does not take.
 *
 * Abstracted:
 *	- Queues are numbers of fibers. "next", local ring and inbox are one.
 *	- Which of several idle processors, spares or waiters is taken: any.
 *	- Spinning is one round of looking.
 *	- Workers are not made; all are there from the beginning.
 *
 * Wrong variants, one at a time:
 *	WRONG_USER_FENCE	no [D] between queueing and the look at "idle"
 *	WRONG_KERNEL_FENCE	no [D] before the scan
 *	WRONG_NO_RESCAN		who goes to sleep does not look again
 *	WRONG_LAST_SEARCHER	the last to search finds something and tells nobody
 *	WRONG_RELEASE_SILENT	a blocked worker's processor without irq_work
 *	WRONG_RELEASE_OWN	the same, unless its own queue has something: others'
 *				holders may be queueing at that moment
 *	WRONG_UNCOUNTED_THIEF	only who was counted as searching calls another at
 *				the end: but a thief's loot is in no queue between
 *				the exchange and the store of the tail, and the thief
 *				may not have been counted (with STEALING)
 *	WRONG_EINTR_SEARCHES	a signal takes a worker that was woken to search out
 *				of NEXT, still counted
 */

#ifdef STEALING
#define NP	3
#define NW	3
#else
#define NP	2
#define NW	3
#endif
#ifndef PUSHES
#define PUSHES	1
#endif
#ifndef BLOCKS
#define BLOCKS	1
#endif
#ifndef SIGNALS
#define SIGNALS	1
#endif
#ifndef TIMERS
#define TIMERS	1
#endif

#define NOBODY	255
#define NONE	NP		/* no processor */

byte q[NP];			/* as memory has it */
byte global;
bool stored[NW];		/* in the worker's store buffer: one more in its queue */
bool held[NP];
byte processor[NW];
bool spare[NW], waiter[NW], searching[NW];
byte nr_idle, nr_spares, nr_waiters, nr_searching;
bool waiters_turn;

/* What user space sees of that, and whose stores are still to be seen. */
byte seen_idle, seen_spares, seen_searching;
byte late = NOBODY;

bool locked;
bool irq_work;
byte pushes = PUSHES, blocks = BLOCKS, signals = SIGNALS;

inline flush(w)
{
	if
	:: stored[w] -> q[processor[w]]++; stored[w] = false
	:: else
	fi
}

inline tell_user()
{
	seen_idle = nr_idle;
	seen_searching = nr_searching;
	seen_spares = nr_spares
}

/* kf_publish_locked(), at the end of what is done under the lock. */
inline publish(w)
{
#ifdef WRONG_KERNEL_FENCE
	late = w
#else
	tell_user()
#endif
}

/* To be used at the beginning of an atomic sequence. */
inline lock(w)
{
	!locked;
	if
	:: late != NOBODY && late != w -> tell_user(); late = NOBODY
	:: else
	fi
}

inline assign(w, p)
{
	assert(!held[p] && processor[w] == NONE);
	held[p] = true;
	processor[w] = p;
	nr_idle--
}

inline unassign(w)
{
	assert(held[processor[w]]);
	held[processor[w]] = false;
	processor[w] = NONE;
	nr_idle++
}

inline set_searching(w, on)
{
	nr_searching = nr_searching - searching[w] + on;
	searching[w] = on
}

inline choose_idle(p)
{
	if
	:: !held[0] -> p = 0
	:: !held[1] -> p = 1
#if NP > 2
	:: !held[2] -> p = 2
#endif
	fi
}

inline choose_spare(x)
{
	if
	:: spare[0] -> x = 0
	:: spare[1] -> x = 1
	:: spare[2] -> x = 2
	fi;
	spare[x] = false;
	nr_spares--
}

inline choose_waiter(x)
{
	if
	:: waiter[0] -> x = 0
	:: waiter[1] -> x = 1
	:: waiter[2] -> x = 2
	fi;
	waiter[x] = false;
	nr_waiters--
}

/* kf_sched_dispatch() by @w: any number of rounds. @x, @p, @visible: scratch. */
inline dispatch(w, x, p, visible)
{
	do
	:: atomic {
			lock(w);
			if
			:: !nr_idle || !(nr_waiters || nr_spares) -> break
			:: else
			fi;
			locked = true;
			visible = (global > 0);
			p = 0
		};
		/* kf_visible_locked() */
		do
		:: nr_spares && !nr_searching && !visible && p < NP ->
			atomic { visible = (q[p] > 0); p++ }
		:: else -> break
		od;
		atomic {
			locked = false;
			visible = (visible && nr_spares && !nr_searching);
			p = 0;
			if
			:: nr_waiters && (waiters_turn || !visible) ->
				choose_idle(p);
				choose_waiter(x);
				assign(x, p);
				waiters_turn = false
			:: visible && !(nr_waiters && waiters_turn) ->
				choose_idle(p);
				choose_spare(x);
				assign(x, p);
				set_searching(x, true);
				waiters_turn = true
			:: else -> p = 0; x = 0; visible = false; break
			fi;
			publish(w);
			p = 0;
			x = 0;
			visible = false
		}
	od
}

proctype worker(byte w; bool holds)
{
	byte x, p, n;
	bool visible, last;

	if
	:: holds -> goto running
	:: else -> goto asleep
	fi;

running:
	atomic {
		if
		:: true -> goto computes
		:: true -> flush(w); goto ends
		:: blocks > 0 -> blocks--; flush(w); goto sleeps_elsewhere
		:: pushes > 0 -> pushes--; flush(w); stored[w] = true
		fi
	}
	/* kf_tell_critical() */
#ifndef WRONG_USER_FENCE
	atomic { flush(w) };
#endif
	if
	:: seen_idle == 0 -> goto running
	:: else
	fi;
	if
	:: seen_searching > 0 -> goto running
	:: else
	fi;
	if
	:: seen_spares == 0 -> goto running
	:: else
	fi;
	atomic { flush(w) };		/* KICK */
	dispatch(w, x, p, visible);
	goto running;

computes:
	goto stop;

sleeps_elsewhere:
	atomic {			/* kf_sched_release() */
		lock(w);
		p = processor[w];
		set_searching(w, false);
		unassign(w);
#ifdef WRONG_RELEASE_OWN
		last = (nr_waiters || global || q[p]);
#else
		last = (nr_waiters || global || nr_idle < NP || q[p]);
#endif
		p = 0;
		publish(w);
#ifndef WRONG_RELEASE_SILENT
		irq_work = (irq_work || last);
#endif
		last = false
	}
	if
	:: goto stop
	:: skip
	fi;
	atomic {			/* kf_sched_take_idle() */
		lock(w);
		if
		:: nr_idle > 0 ->
			choose_idle(p);
			assign(w, p);
			p = 0;
			publish(w);
			goto running
		:: else
		fi
	}
	atomic {			/* kf_sched_sleep(WAITER) */
		lock(w);
		if
		:: nr_idle > 0 -> choose_idle(p); assign(w, p); p = 0
		:: else -> waiter[w] = true; nr_waiters++
		fi;
		publish(w)
	}
	dispatch(w, x, p, visible);
end_waiter:
	processor[w] != NONE;
	goto running;

ends:	/* The fiber has ended: kf_pick_critical(), then NEXT. */
	atomic {
		if
		:: q[processor[w]] > 0 -> q[processor[w]]--; goto running
		:: else
		fi
	}

find:	/* kf_sched_find() */
	atomic {
		if
		:: q[processor[w]] > 0 -> q[processor[w]]--; goto found
		:: else
		fi
	}
	atomic {
		lock(w);
		if
		:: global > 0 -> global--; publish(w); goto found
		:: else
		fi
	}
	n = 1;
	do
	:: n < NP ->
		atomic {		/* the exchange of kf_ring_steal() */
			p = (processor[w] + n) % NP;
			if
			:: q[p] > 0 ->
				n = q[p] - q[p] / 2;
				q[p] = q[p] - n;
				n--;
				p = 0;
				break
			:: else -> n++; p = 0
			fi
		}
	:: else -> n = 0; goto nothing
	od;
	/* The loot is in no queue now. */
	atomic { q[processor[w]] = q[processor[w]] + n; n = 0 };
	goto found;

nothing:
	atomic {			/* kf_worker_spin(), kf_sched_search() */
		lock(w);
		if
		:: !searching[w] && nr_searching < NP / 2 ->
			set_searching(w, true);
			publish(w);
			goto find
		:: else			/* too many, or it has looked now */
		fi
	}
	atomic {			/* kf_sched_sleep(SPARE) */
		lock(w);
		set_searching(w, false);
		waiters_turn = true;
		unassign(w);
		spare[w] = true;
		nr_spares++;
		publish(w)
	}
#ifndef WRONG_NO_RESCAN
	dispatch(w, x, p, visible);
#endif
asleep:
end_spare:
	processor[w] != NONE;
	atomic {
		if
		:: signals > 0 -> signals--
		:: goto find
		fi
	}
	/* -EINTR, into the handler. */
#ifndef WRONG_EINTR_SEARCHES
	atomic {
		lock(w);
		set_searching(w, false);
		last = (nr_searching == 0 && nr_idle > 0);
		publish(w)
	}
	if
	:: last -> last = false; dispatch(w, x, p, visible)
	:: else
	fi;
#endif
	if
	:: goto stop
	:: goto find
	fi;

found:	/* kf_sched_found() */
	atomic {
		lock(w);
#ifdef WRONG_UNCOUNTED_THIEF
		last = searching[w];
#else
		last = true;
#endif
		set_searching(w, false);
		last = (last && nr_searching == 0 && nr_idle > 0);
		publish(w)
	}
#ifndef WRONG_LAST_SEARCHER
	if
	:: last -> last = false; dispatch(w, x, p, visible)
	:: else
	fi;
#endif
	last = false;
	goto running;

stop:	skip
}

/* Store buffers empty themselves, sooner or later. */
proctype memory()
{
end:
	do
	:: atomic { stored[0] -> flush(0) }
	:: atomic { stored[1] -> flush(1) }
	:: atomic { stored[2] -> flush(2) }
#ifdef WRONG_KERNEL_FENCE
	:: atomic { late != NOBODY && !locked -> tell_user(); late = NOBODY }
#endif
	od
}

proctype irq()
{
	byte x, p;
	bool visible;
end:
	do
	:: irq_work -> irq_work = false; dispatch(NW, x, p, visible)
	od
}

/* kf_sched_ready() */
proctype timer()
{
	byte x, p, n = TIMERS;

	do
	:: n > 0 ->
		atomic {
			lock(NW + 1);
			n--;
			if
			:: nr_idle && nr_spares ->
				choose_idle(p);
				choose_spare(x);
				assign(x, p);
				q[p]++
			:: else ->
				if	/* the one it ran on */
				:: p = 0
				:: p = 1
				fi;
				if
				:: held[p] -> q[p]++
				:: else -> global++
				fi
			fi;
			publish(NW + 1);
			p = 0;
			x = 0
		}
	:: else -> break
	od
}

init {
	byte p;

	atomic {
		processor[0] = 0;
		held[0] = true;
		processor[1] = 1;
		held[1] = true;
#ifdef STEALING
		processor[2] = 2;
		held[2] = true;
		q[0] = 3;
#else
		processor[2] = NONE;
		spare[2] = true;
		nr_spares = 1;
#endif
		tell_user();
		run worker(0, true);
		run worker(1, true);
		run worker(2, NW == NP);
		run memory();
		run irq();
		run timer()
	}
	timeout;
	d_step {
		assert(!locked && late == NOBODY && !irq_work);
		assert(nr_searching == 0);
		assert(!(nr_idle && nr_waiters));
		do
		:: p < NP -> assert(!((q[p] || global) && nr_idle && nr_spares)); p++
		:: else -> break
		od
	}
}
