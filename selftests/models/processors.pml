/* SPDX-License-Identifier: GPL-2.0 */
/*
 * processors.pml - which processors are in use
 *
 * A model of
 *	kmod/processors.c	kf_processors_set, kf_processors_drain_locked
 *	kmod/sched.c		kf_assign_locked, kf_unassign_locked, kf_pair_all,
 *				kf_sched_find, kf_sched_release, kf_sched_sleep
 *	kmod/preempt.c		kf_preempt_self
 *	userlib/src/queue.c	kf_tell_critical
 *
 * There are two processors, of which one or both are in use: somebody changes that, while
 * workers run fibers, queue others, steal, block in the kernel, come back and sleep. Fibers
 * are numbers: a ring's length.
 *
 * Properties:
 *	- nobody is given a processor that is out of use or held
 *	- once nothing moves any more: who holds a processor out of use is told, and has left it;
 *	  nothing is left in its ring; no processor is idle while somebody waits for one, or
 *	  while a fiber is queued and a worker sleeps; the counts are right; no fiber is lost
 *
 * Abstracted:
 *	- The rings' own steps: ring.pml. With BUFFERS a store into one may stay in the CPU's
 *	  buffer, unless there is a fence after it, until its thread enters the kernel or a grace
 *	  period is over.
 *	- A look for work is one step: idle.pml is about those that are not.
 *	- Which waiter, spare or idle processor is taken: any.
 *	- A worker that runs a fiber may do so for ever, or block for ever.
 *
 * Wrong variants, one at a time:
 *	WRONG_OUT_IDLE		who gives up one that is out of use makes it idle
 *	WRONG_USE_HELD		one that comes into use again is idle, though it is held
 *	WRONG_LEAVING_STAYS	it is counted as leaving though it is in use again
 *	WRONG_NOT_TOLD		who holds it is not told
 *	WRONG_KEEPS		who was told in a critical section forgets it
 *	WRONG_NO_DRAIN		what is in its ring stays there
 *	WRONG_LOOKED_EARLY	it is not looked at any more from when it is out of use, held or not
 *	WRONG_LOOKED_FULL	or from when it was given up, empty or not
 *	WRONG_RELEASE_OWN	who blocks dispatches only if a processor is idle then
 *	WRONG_NO_KICK		nobody looks when there are more
 *	WRONG_NO_GRACE		or too early: what was queued without a fence is not there yet
 */

#define NP	2
#ifndef NW
#define NW	2
#endif
#ifndef FIBERS
#define FIBERS	3
#endif
#ifndef CHANGES
#define CHANGES	2
#endif
#ifndef BLOCKS
#define BLOCKS	1
#endif

/* In use at first. */
#ifndef USED
#define USED	2
#endif

#define NONE	NP
#define NOBODY	NW

byte holder[NP], processor[NW];
bool idle[NP];
bool spare[NW], waiter[NW], told[NW], runs[NW], searching[NW];
byte nr_idle, nr_spares, nr_waiters, nr_searching;
byte used = USED, looked = USED, leaving;
byte ring[NP], stored[NW];	/* @stored: not seen by others yet */
byte global = 1, created = 1, ended, blocks = BLOCKS;
bool irq_work;
byte began;

/* All that a thread has stored is seen: it enters the kernel, or has a fence. */
inline flush(w)
{
	if
	:: processor[w] != NONE -> ring[processor[w]] = ring[processor[w]] + stored[w]
	:: else -> assert(!stored[w])
	fi;
	stored[w] = 0
}

inline assign(p, w)
{
	assert(idle[p] && holder[p] == NOBODY && p < used);
	assert(processor[w] == NONE);
	idle[p] = false;
	nr_idle--;
	holder[p] = w;
	processor[w] = p
}

inline unassign(w)
{
	flush(w);
	holder[processor[w]] = NOBODY;
	if
#ifndef WRONG_OUT_IDLE
	:: processor[w] >= used -> leaving--
	:: else ->
#else
	:: true ->
#endif
		idle[processor[w]] = true;
		nr_idle++
	fi;
	processor[w] = NONE
}

inline choose(list0, list1, list2, x)
{
	if
	:: list0 -> x = 0
	:: list1 -> x = 1
#if NW > 2
	:: list2 -> x = 2
#endif
	fi
}

#define VISIBLE (global || (looked > 0 && ring[0]) || (looked > 1 && ring[1]))

/* One step of kf_pair_all(): drains, and joins a worker and an idle processor. */
inline dispatch(x, p)
{
	do
	:: atomic {
			/* Only processor 1 is ever out of use. */
			if
			:: looked > used && holder[1] == NOBODY ->
#ifndef WRONG_NO_DRAIN
				global = global + ring[1];
				ring[1] = 0;
#endif
				if
				:: !ring[1] -> looked = used
				:: else
				fi
			:: else
			fi;
			if
			:: nr_idle && nr_waiters ->
				choose(waiter[0], waiter[1], waiter[2], x);
				waiter[x] = false;
				nr_waiters--
			:: nr_idle && nr_spares && !nr_searching && VISIBLE ->
				choose(spare[0], spare[1], spare[2], x);
				spare[x] = false;
				nr_spares--;
				searching[x] = true;
				nr_searching++
			:: else -> break
			fi;
			if
			:: idle[0] -> p = 0
			:: idle[1] -> p = 1
			fi;
			assign(p, x);
			p = 0;
			x = 0
		}
	od
}

/* Takes a fiber: from the global queue, its own ring, another's. */
inline find(w, p)
{
	atomic {
		flush(w);
		if
		:: global -> global--; runs[w] = true
		:: !global && ring[processor[w]] -> ring[processor[w]]--; runs[w] = true
		:: !global && !ring[processor[w]] ->
			p = 1 - processor[w];
			if
			:: p < looked && ring[p] -> ring[p]--; runs[w] = true
			:: else
			fi;
			p = 0
		fi;
		if
		:: searching[w] -> searching[w] = false; nr_searching--
		:: else
		fi
	}
}

/* kf_worker_wait(WAITER), without a processor */
inline wait_as_waiter(w, x, p)
{
	atomic {
		if
		:: nr_idle && !nr_waiters ->
			if
			:: idle[0] -> p = 0
			:: idle[1] -> p = 1
			fi;
			assign(p, w);
			p = 0
		:: else -> waiter[w] = true; nr_waiters++
		fi
	}
	dispatch(x, p);
end_waiter:
	processor[w] != NONE
}

/* The work of a leaver, in user mode or when a critical section ends. */
inline leave_if_told(w, x, p)
{
	atomic {
		if
		:: told[w] && processor[w] != NONE && processor[w] >= used ->
			told[w] = false;
			unassign(w)
		:: else -> told[w] = false
		fi
	}
	if
	:: processor[w] == NONE -> wait_as_waiter(w, x, p)
	:: else
	fi
}

/* Queues a fiber in its processor's ring: kf_push_last_critical() */
inline queue(w, x, p, many)
{
#ifdef BUFFERS
	atomic { stored[w]++; many = (used > 1) }
#else
	atomic { ring[processor[w]]++; many = (used > 1) }
#endif
	if
	:: many ->
#ifdef BUFFERS
		atomic { flush(w) }		/* [D] */
#endif
		if
		:: nr_idle && nr_spares && !nr_searching -> dispatch(x, p)
		:: else
		fi
	:: else
	fi;
	many = false
}

/* Sleeps elsewhere, and comes back, or not. */
inline block(w, x, p)
{
	atomic {			/* kf_sched_release() */
		p = processor[w];
		unassign(w);
		if
#ifdef WRONG_RELEASE_OWN
		:: nr_idle && (nr_waiters || global || ring[p]) ->
#else
		:: nr_waiters || global || ring[p] || nr_idle < used + leaving ->
#endif
			irq_work = true
		:: else
		fi;
		p = 0
	}
	if
	:: true -> goto stopped
	:: wait_as_waiter(w, x, p)
	fi
}

proctype worker(byte w)
{
	byte x, p;
	bool many;

	began++;
next:
	if
	:: processor[w] != NONE && processor[w] < used -> find(w, p)
	:: else
	fi;
	if
	:: runs[w] ->
		/* Others relied on its search: kf_leave_next_locked() */
		if
		:: nr_idle && !nr_searching && (nr_spares || nr_waiters) -> dispatch(x, p)
		:: else
		fi;
		goto user
	:: else
	fi;
	atomic {			/* kf_sched_sleep() */
		if
		:: searching[w] -> searching[w] = false; nr_searching--
		:: else
		fi;
		if
		:: processor[w] != NONE -> unassign(w)
		:: else
		fi;
		spare[w] = true;
		nr_spares++
	}
	dispatch(x, p);
end_spare:
	processor[w] != NONE;
	goto next;

user:
	do
	:: told[w] -> leave_if_told(w, x, p)
	:: atomic { created < FIBERS -> created++ };
		queue(w, x, p, many);
#ifdef WRONG_KEEPS
		told[w] = false
#endif
	:: atomic { blocks > 0 -> blocks-- }; block(w, x, p)
	/* It ends, and the next one is taken from its ring, or NEXT is called. */
	:: atomic { runs[w] = false; ended++; flush(w) };
		atomic {
			if
			:: ring[processor[w]] -> ring[processor[w]]--; runs[w] = true
			:: else -> goto next
			fi
		}
	:: goto computing
	od;
computing:
end_computing:
	told[w] -> leave_if_told(w, x, p);
	goto computing;
stopped:
	skip
}

#ifdef BUFFERS
/* Stores leave the buffers at any time. */
proctype buffers()
{
end_empty:
	do
	:: atomic { stored[0] -> flush(0) }
	:: atomic { stored[1] -> flush(1) }
#if NW > 2
	:: atomic { stored[2] -> flush(2) }
#endif
	od
}
#endif

proctype interrupts()
{
	byte x, p;

end_quiet:
	do
	:: irq_work -> irq_work = false; dispatch(x, p)
	od
}

/* kf_processors_set(), again and again */
proctype setter()
{
	byte x, p, n;
	bool more;

	do
	:: n < CHANGES ->
		n++;
		atomic {
			more = (used == 1);
			if
			:: more ->
#ifdef WRONG_USE_HELD
				idle[1] = true;
				nr_idle++;
#else
				if
				:: holder[1] == NOBODY -> idle[1] = true; nr_idle++
#ifdef WRONG_LEAVING_STAYS
				:: else
#else
				:: else -> leaving--
#endif
				fi;
#endif
				used = 2;
				looked = 2
			:: else ->
				used = 1;
				if
				:: holder[1] == NOBODY -> idle[1] = false; nr_idle--
				:: else -> leaving++
				fi
#ifdef WRONG_LOOKED_EARLY
				;
				looked = 1
#endif
#ifdef WRONG_LOOKED_FULL
				;
				if
				:: holder[1] == NOBODY -> looked = 1
				:: else
				fi
#endif
			fi
		}
		if
		:: !more ->
#ifndef WRONG_NOT_TOLD
			atomic {
				if
				:: holder[1] != NOBODY && used == 1 -> told[holder[1]] = true
				:: else
				fi
			}
#else
			skip
#endif
		:: else ->
#if defined(BUFFERS) && !defined(WRONG_NO_GRACE)
			atomic {
				flush(0);
				flush(1);
#if NW > 2
				flush(2)
#endif
			}
#else
			skip
#endif
		fi;
#ifdef WRONG_NO_KICK
		if
		:: !more -> dispatch(x, p)
		:: else
		fi
#else
		dispatch(x, p)
#endif
	:: n > 0 -> break
	od
}

#define HELD(p) (holder[p] != NOBODY)

/* Nothing moves any more. */
proctype judge()
{
	byte w, running;

	timeout;
	atomic {
		assert(began == NW);
		assert(leaving == 0);
		assert(used == 2 || !HELD(1));
		assert(used == 2 || !ring[1]);
		assert(nr_idle == used - HELD(0) - HELD(1));
		assert(!(nr_idle && nr_waiters));
		assert(!(nr_idle && nr_spares && (global || ring[0] || ring[1])));
		do
		:: w < NW -> running = running + runs[w]; w++
		:: else -> break
		od;
		assert(created == ended + running + global + ring[0] + ring[1])
	}
}

init {
	atomic {
		holder[0] = NOBODY;
		holder[1] = NOBODY;
		idle[0] = true;
		idle[1] = (USED > 1);
		nr_idle = USED;
		processor[0] = NONE;
		processor[1] = NONE;
#if NW > 2
		processor[2] = NONE;
#endif
		run worker(0);
		run worker(1);
#if NW > 2
		run worker(2);
#endif
#ifdef BUFFERS
		run buffers();
#endif
		run interrupts();
		run setter();
		run judge()
	}
}
