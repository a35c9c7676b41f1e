/* SPDX-License-Identifier: GPL-2.0 */
/*
 * watch.pml - a fiber in "next" behind one that computes is taken by somebody
 *
 * A model of
 *	userlib/src/queue.c	kf_push_next_critical, kf_tell_critical
 *	kmod/queue.h		kf_watch_stands_still
 *	kmod/balance.h		kf_visible_locked
 *	kmod/sched.c		kf_sched_steal_next, kf_sched_look_again, kf_sched_sleep,
 *				kf_sched_wake_up, kf_sched_ready, kf_sched_found,
 *				kf_sched_interrupted, kf_sched_dispatch
 *	kmod/worker.c		kf_worker_find_work, kf_worker_spin, kf_worker_wait
 *
 * One worker runs fibers that put others in "next", dispatch them, block, end, or
 * compute for ever. The others have nothing to run: they look, watch, are woken
 * for something else by a timer, or leave NEXT for a signal into a handler that
 * never returns. A watcher's time may be over at any moment.
 *
 * Properties:
 *	- once nothing moves any more, no "next" and no queue has a fiber while a
 *	  processor is idle and a spare asleep; nobody is counted as searching or
 *	  watching. (A watcher is no end: its time will be over.)
 *	- a fiber is taken out of the "next" of a processor that somebody holds
 *	  only if that has dispatched nothing since it was looked at
 *	- with MOVING: a fiber that is stuck in one "next" is taken after a bounded
 *	  number of looks, whatever others dispatch
 *
 * Memory: as in idle.pml: what user space stores in "next" lies in a store buffer
 * until a fence, an atomic instruction or the lock empties it, or until it goes
 * by itself; with WRONG_KERNEL_FENCE what the kernel tells is seen late.
 *
 * Abstracted:
 *	- Whoever was in "next" before goes to the ring, as idle.pml has it: here
 *	  "next" is written only when it is empty.
 *	- Spinning is one look.
 *	- Fibers end ENDS times; whoever gets more computes.
 *	- A waiter for a processor: idle.pml has that too.
 *	- KICK looks itself before it wakes anybody.
 *
 * Not needed for any of this, so not here: that kf_sched_ready() calls another to
 * watch at once (the worker that it wakes will do it, in kf_sched_found or
 * kf_sched_interrupted); and, with UNFENCED_LOOK, the fence of
 * kf_sched_look_again (the scan of kf_sched_sleep comes later and has one).
 *
 * Wrong variants, one at a time:
 *	WRONG_USER_FENCE	no [E] between "next" and the look at "watching"
 *	WRONG_KERNEL_FENCE	no fence between counting a watcher down and the last
 *				look at all "next"
 *	WRONG_NO_RESCAN		who looked in vain sleeps without another look: what
 *				was put in "next" meanwhile was left to it
 *	WRONG_STAYS_COUNTED	who leaves the list stays counted as watching
 *	WRONG_SLEEPS_COUNTED	a watcher that finds no idle processor sleeps on
 *				without a time, still counted
 *	WRONG_EINTR_SILENT	a signal takes the watcher away, and nobody watches
 *	WRONG_FOUND_SILENT	a watcher is given something else, and nobody watches
 *	WRONG_AT_SIGHT		"next" is taken at the first look
 *	WRONG_FIRST_ONLY	each look begins with the same processor, and ends with
 *				one that has something in "next" (with MOVING)
 */

#ifndef NP
#define NP	3
#endif
#define NW	3
#ifndef ENDS
#define ENDS	1
#endif
#ifndef PUSHES
#define PUSHES	1
#endif
#ifndef TIMERS
#define TIMERS	1
#endif
#ifndef SIGNALS
#define SIGNALS	1
#endif
#ifndef BLOCKS
#define BLOCKS	1
#endif

#define NOBODY	255
#define NONE	NP

bool next[NP];			/* as memory has it */
byte tick[NP];
bool moved[NP];			/* it has dispatched since somebody looked */
byte q[NP];			/* ring and inbox */
byte global;
bool stored[NW];		/* in the worker's store buffer: its "next" */
bool held[NP];
byte processor[NW];
bool spare[NW], watching[NW], searching[NW];
byte nr_idle, nr_spares, nr_watching, nr_searching;

/* What user space sees of that, and whose stores are still to be seen. */
byte seen_idle, seen_spares, seen_watching, seen_searching;
byte late = NOBODY;

bool locked, irq_work;
byte pushes = PUSHES, ends = ENDS, signals = SIGNALS, blocks = BLOCKS;
byte looks;			/* with MOVING: since a fiber is stuck */

inline flush(w)
{
	if
	:: stored[w] -> next[processor[w]] = true; stored[w] = false
	:: else
	fi
}

inline tell_user()
{
	seen_idle = nr_idle;
	seen_searching = nr_searching;
	seen_spares = nr_spares;
	seen_watching = nr_watching
}

inline publish(w)
{
#if defined(WRONG_KERNEL_FENCE) || defined(UNFENCED_LOOK)
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
	held[processor[w]] = false;
	processor[w] = NONE;
	nr_idle++
}

inline set_searching(w, on)
{
	nr_searching = nr_searching - searching[w] + on;
	searching[w] = on
}

inline unlist(w)
{
	spare[w] = false;
	nr_spares--;
#ifndef WRONG_STAYS_COUNTED
	nr_watching = nr_watching - watching[w];
#endif
	watching[w] = false
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
	fi
}

/* kf_sched_dispatch() by @w: any number of rounds. @x, @p, @visible: scratch. */
inline dispatch(w, x, p, visible)
{
	do
	:: atomic {
			lock(w);
#ifdef UNFENCED_LOOK
			if
			:: late != NOBODY -> tell_user(); late = NOBODY
			:: else
			fi;
#endif
			if
			:: !nr_idle || !nr_spares || nr_searching -> break
			:: else
			fi;
			locked = true;
			visible = (global > 0);
			p = 0
		};
		do
		:: !visible && p < NP ->	/* kf_visible_locked() */
			atomic {
				visible = (q[p] || (next[p] && !(held[p] && nr_watching)));
				p++
			}
		:: else -> break
		od;
		atomic {
			locked = false;
			p = 0;
			if
			:: visible ->
				choose_idle(p);
				choose_spare(x);
				unlist(x);
				assign(x, p);
				set_searching(x, true);
				publish(w);
				p = 0;
				x = 0;
				visible = false
			:: else -> break
			fi
		}
	od
}

/* kf_leave_next_locked(), at the end of an atomic sequence. */
inline leave_next(w, last)
{
	set_searching(w, false);
	last = (nr_idle && !nr_searching && nr_spares);
	publish(w)
}

/*
 * The exchange: with what was there at the look, so as one step with it. In an
 * atomic sequence.
 */
inline take_watched()
{
#ifdef MOVING
	if
	:: watched == 1 -> looks = 0
	:: else
	fi;
#else
	assert(!held[watched] || !moved[watched]);
#endif
	next[watched] = false
}

proctype worker(byte w; bool holds)
{
	byte x, p, n;
	byte watched = NONE, ticks;
	bool visible, last, signalled;

	if
	:: holds -> goto running
	:: else -> goto asleep
	fi;

running:
	atomic {
		if
		:: true -> goto stop			/* computes */
		:: ends > 0 -> ends--; flush(w); goto find	/* NEXT */
		:: blocks > 0 -> blocks--; flush(w); goto blocked
		:: pushes > 0 && !next[processor[w]] && !stored[w] ->
			pushes--;
			stored[w] = true
		:: next[processor[w]] ->	/* dispatches */
			next[processor[w]] = false;
			tick[processor[w]]++;
			moved[processor[w]] = true;
			goto running
		fi
	}
	/* kf_tell_critical(), next only */
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
	if
	:: seen_watching > 0 -> goto running
	:: else
	fi;
	atomic { flush(w) };			/* KICK */
	dispatch(w, x, p, visible);
	goto running;

blocked:	/* kf_sched_release(); it does not come back */
	atomic {
		lock(w);
		p = processor[w];
		unassign(w);
		irq_work = (irq_work || global || nr_idle < NP || q[p] || next[p]);
		p = 0;
		publish(w)
	}
	goto stop;

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
	atomic {
		if
		:: next[processor[w]] -> next[processor[w]] = false; goto found
		:: else
		fi
	}
	n = 1;
	do
	:: n < NP ->
		atomic {
			p = (processor[w] + n) % NP;
			if
			:: q[p] > 0 -> q[p]--; p = 0; goto found
			:: else -> n++; p = 0
			fi
		}
	:: else -> n = 0; break
	od;
	atomic {				/* kf_worker_spin(), kf_sched_search() */
		lock(w);
		if
		:: searching[w]
		:: !searching[w] && nr_searching < NP / 2 -> set_searching(w, true); publish(w)
		:: else -> goto sleeps
		fi
	}

look:	/* kf_sched_steal_next() */
	atomic {
#ifdef MOVING
		if
		:: next[1] -> looks++
		:: else
		fi;
		assert(looks <= 2 * NP);
#endif
#ifdef WRONG_AT_SIGHT
		skip
#else
		if
		:: watched != NONE && watched != processor[w] && next[watched] &&
		   tick[watched] == ticks ->
			take_watched();
			goto found
		:: else
		fi
#endif
	}
	n = 1;
#ifdef WRONG_FIRST_ONLY
	x = processor[w];
#else
	x = (watched == NONE -> processor[w] : watched);
#endif
	do
	:: n <= NP ->
		atomic {
			p = (x + n) % NP;
			if
			:: p != processor[w] && next[p] ->
#ifdef WRONG_FIRST_ONLY
				if
				:: p == watched && tick[p] == ticks ->
					take_watched();
					goto found
				:: else
				fi;
#endif
				watched = p;
				ticks = tick[p];
				n = 0;
				x = 0;
				p = 0;
#ifdef WRONG_AT_SIGHT
				take_watched();
				goto found;
#else
				moved[watched] = false;
#endif
				break
			:: else -> n++; p = 0
			fi
		}
	:: else -> n = 0; x = 0; watched = NONE; ticks = 0; break
	od;

sleeps:	/* kf_sched_sleep(SPARE) */
	atomic {
		lock(w);
		set_searching(w, false);
		if
		:: processor[w] != NONE -> unassign(w)
		:: else
		fi;
		spare[w] = true;
		nr_spares++;
		watching[w] = (watched != NONE);
		nr_watching = nr_watching + watching[w];
#ifdef WRONG_SLEEPS_COUNTED
		nr_watching = nr_watching + visible;
		watching[w] = (watching[w] || visible);
		last = visible;
		visible = false;
#endif
		publish(w)
	}
#ifndef WRONG_NO_RESCAN
	dispatch(w, x, p, visible);
#endif
asleep:
end_spare:
	if
	:: processor[w] != NONE -> last = false
	:: watching[w] && !last			/* its time is over */
	:: atomic { signals > 0 -> signals--; signalled = true }
	fi;
	atomic {				/* kf_sched_wake_up() */
		lock(w);
		if
		:: spare[w] -> unlist(w); publish(w)
		:: else
		fi;
		if
		:: signalled -> signalled = false; goto interrupted
		:: !signalled && processor[w] != NONE -> goto find
		:: else
		fi
	}
	/* kf_sched_look_again() */
	atomic {
		lock(w);
		if
		:: nr_idle > 0 ->
			choose_idle(p);
			assign(w, p);
			p = 0;
			set_searching(w, true);
			publish(w);
			goto find
		:: else ->
			watched = NONE;
			ticks = 0;
#ifdef WRONG_SLEEPS_COUNTED
			visible = true;
#endif
			goto sleeps
		fi
	}

interrupted:	/* kf_sched_interrupted() */
	watched = NONE;
	ticks = 0;
	atomic { lock(w); leave_next(w, last) };
#ifndef WRONG_EINTR_SILENT
	if
	:: last -> last = false; dispatch(w, x, p, visible)
	:: else
	fi;
#endif
	last = false;
	if
	:: goto stop
	:: processor[w] == NONE -> goto sleeps
	:: processor[w] != NONE -> goto find
	fi;

found:	/* kf_sched_found() */
	atomic {
		watched = NONE;
		ticks = 0;
		n = 0;
		p = 0;
		x = 0;
		lock(w);
		leave_next(w, last)
	}
#ifndef WRONG_FOUND_SILENT
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
#if defined(WRONG_KERNEL_FENCE) || defined(UNFENCED_LOOK)
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
				unlist(x);
				assign(x, p);
				q[p]++
			:: else ->
				if
				:: held[0] -> q[0]++
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

#ifdef MOVING
/* Two fibers that wake each other; one is always in "next". */
proctype mover()
{
end:
	do
	:: d_step { next[0] = true; tick[0] = (tick[0] + 1) % 4; moved[0] = true }
	od
}
#endif

init {
	byte p;

	atomic {
#ifdef MOVING
		processor[0] = 0;
		processor[1] = 1;
		processor[2] = 2;
		held[0] = true;
		held[1] = true;
		held[2] = true;
		next[1] = true;
		run mover();
		run worker(2, true)
#else
		do
		:: p < NP -> moved[p] = true; p++
		:: else -> p = 0; break
		od;
		processor[0] = 0;
		held[0] = true;
		processor[1] = NONE;
		processor[2] = NONE;
		spare[1] = true;
		spare[2] = true;
		nr_spares = 2;
		nr_idle = NP - 1;
		tell_user();
		run worker(0, true);
		run worker(1, false);
		run worker(2, false);
		run memory();
		run irq();
		run timer()
#endif
	}
	timeout;
	d_step {
		assert(!locked && late == NOBODY && !irq_work);
		assert(nr_searching == 0);
		do
		:: p < NP ->
			assert(!((q[p] || next[p] || global) && nr_idle && nr_spares));
			p++
		:: else -> break
		od;
		assert(nr_watching == 0)
	}
}
