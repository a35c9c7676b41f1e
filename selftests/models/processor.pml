/* SPDX-License-Identifier: GPL-2.0 */
/*
 * processor.pml - who holds a processor
 *
 * A model of
 *	kmod/handover.c		kf_switched_out, kf_switched_in, kf_task_work,
 *				kf_dispatch_work, kf_reap_work
 *	kmod/sched.c		kf_sched_sleep, kf_sched_dispatch, kf_sched_wake_up,
 *				kf_sched_take_idle, kf_sched_release, kf_sched_detach
 *	kmod/worker.c		kf_worker_sleep, kf_worker_wait, kf_worker_next,
 *				kf_worker_acquire
 *	kmod/preempt.c		kf_preempt_self
 *	userlib/src		kf_enter, kf_leave, kf_acquire, kf_make_up_for_slice
 *
 * Workers come from NEXT with a fiber. In user mode each sleeps (a system call or
 * a page fault), is switched out and in, is told that its slice is over, enters a
 * critical section where all of this happens too, asks NEXT for more, or dies. Signals come at any moment and end a sleep in the
 * module. What the notifier does is put between any two steps of user mode.
 *
 * Properties:
 *	- in a critical section that has begun, the worker holds its processor, and
 *	  nobody else is in one with the same
 *	- user code outside of the library runs with a processor, or a signal has
 *	  let it through
 *	- once nothing moves any more: no waiter is left, every processor is idle
 *	  or held by a worker that lives, and is not idle with work and a spare
 *
 * Abstracted:
 *	- Work is a number, seen by all at once: idle.pml is about that.
 *	- Which of several idle processors, spares or waiters is taken: any.
 *	- Each worker does at most STEPS things, then it dies, or it sleeps for ever
 *	  outside of the module, so that every waiter has somebody to wait for.
 *
 * Wrong variants, one at a time:
 *	WRONG_CRITICAL_LATE	kf_enter looks at its processor before "critical"
 *	WRONG_CRITICAL_IGNORED	sched_out takes the processor all the same
 *	WRONG_ACQUIRE_ONCE	kf_acquire believes the call: it may be lost again, or
 *				a signal came
 *	WRONG_NO_TASK_WORK	sched_in finds no idle processor, and that is all
 *	WRONG_STAYS_LISTED	a signal ends the wait, the worker stays in the list
 *	WRONG_SIGNAL_FAILS	it is given a processor and returns as if it had none
 *	WRONG_NO_IDLE_CHECK	a waiter neither looks for an idle one nor dispatches
 *	WRONG_RELEASE_SILENT	no irq_work after a release
 *	WRONG_DEATH_KEEPS	who dies gives nothing back
 *	WRONG_PREEMPT_CRITICAL	a slice ends in a critical section
 *	WRONG_PREEMPT_REMOTE	the tick takes the processor itself, having seen that its
 *				worker is in no critical section
 *	WRONG_PREEMPT_SILENT	who is preempted does not dispatch
 *	WRONG_PREEMPT_STAYS	a signal ends the wait, the worker stays in the list
 */

#ifndef NP
#define NP	1
#endif
#ifndef NW
#define NW	3
#endif
#ifndef STEPS
#define STEPS	2
#endif
#ifndef WORK
#define WORK	2
#endif
#ifndef SIGNALS
#define SIGNALS	1
#endif

/* Slices that end. */
#ifndef SLICES
#define SLICES	0
#endif

#define NONE	NP
#define NOBODY	NW

byte holder[NP];
byte processor[NW];
bool spare[NW], waiter[NW], preempted[NW], mark[NW];
bool critical[NW], lost[NW], task_work[NW], excused[NW], dead[NW];
bool inside[NP];		/* somebody uses its block */
byte nr_idle, nr_spares, nr_waiters, nr_preempted;
bool waiters_turn, irq_work;
byte work = WORK, signals = SIGNALS, slices = SLICES;
byte began;

inline assign(w, p)
{
	assert(holder[p] == NOBODY);
	assert(processor[w] == NONE);
	assert(!dead[w]);
	holder[p] = w;
	processor[w] = p;
	nr_idle--
}

inline unassign(w)
{
	assert(holder[processor[w]] == w);
	holder[processor[w]] = NOBODY;
	processor[w] = NONE;
	nr_idle++
}

inline unlist(w)
{
	if
	:: spare[w] -> spare[w] = false; nr_spares--
	:: waiter[w] -> waiter[w] = false; nr_waiters--
	:: preempted[w] -> preempted[w] = false; nr_preempted--
	:: else
	fi
}

inline choose_idle(p)
{
	if
	:: holder[0] == NOBODY -> p = 0
#if NP > 1
	:: holder[1] == NOBODY -> p = 1
#endif
	fi
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

/* kf_sched_dispatch() */
inline dispatch(x, p)
{
	do
	:: atomic {
			if
			:: nr_idle && nr_waiters && (waiters_turn || !nr_spares || !work) ->
				choose(waiter[0], waiter[1], waiter[2], x);
				waiters_turn = false
			:: nr_idle && nr_spares && work && !(nr_waiters && waiters_turn) ->
				choose(spare[0], spare[1], spare[2], x);
				waiters_turn = true
			:: nr_idle && nr_preempted && !nr_waiters && !(nr_spares && work) ->
				choose(preempted[0], preempted[1], preempted[2], x)
			:: else -> break
			fi;
			choose_idle(p);
			unlist(x);
			assign(x, p);
			p = 0;
			x = 0
		}
	od
}

/* The thread sleeps in the kernel, outside of the module, and comes back. */
inline sleep_elsewhere(w, p)
{
	atomic {			/* kf_switched_out() */
		if
#ifdef WRONG_CRITICAL_IGNORED
		:: processor[w] != NONE ->
#else
		:: processor[w] != NONE && !critical[w] ->
#endif
			lost[w] = true;
			unassign(w);
#ifndef WRONG_RELEASE_SILENT
			irq_work = true
#endif
		:: else
		fi
	}
	if
	:: !critical[w] -> goto stop	/* for ever */
	:: skip
	fi;
	switched_in(w, p)
}

inline switched_in(w, p)
{
	atomic {
		if
		:: lost[w] && nr_idle -> choose_idle(p); assign(w, p); lost[w] = false; p = 0
#ifndef WRONG_NO_TASK_WORK
		:: lost[w] && !nr_idle -> task_work[w] = true
#endif
		:: !lost[w]
#ifdef WRONG_NO_TASK_WORK
		:: lost[w] && !nr_idle
#endif
		fi
	}
}

/* kf_worker_wait(WAITER): @ok tells. */
inline wait_as_waiter(w, x, p, ok)
{
	atomic {
#ifndef WRONG_NO_IDLE_CHECK
		if
		:: nr_idle -> choose_idle(p); assign(w, p); p = 0
		:: else -> waiter[w] = true; nr_waiters++
		fi
#else
		waiter[w] = true;
		nr_waiters++
#endif
	}
#ifndef WRONG_NO_IDLE_CHECK
	dispatch(x, p);
#endif
	if
	:: processor[w] != NONE -> ok = true
	:: atomic { processor[w] == NONE && signals > 0 -> signals-- };
		/* kf_sched_wake_up() */
		atomic {
#ifndef WRONG_STAYS_LISTED
			unlist(w);
#endif
#ifdef WRONG_SIGNAL_FAILS
			ok = false;
#else
			ok = (processor[w] != NONE);
#endif
			excused[w] = (excused[w] || !ok)
		}
	fi
}

/* The task work of a slice that is over. Others run, if there are any. */
inline slice_over(w, x, p, ok)
{
	if
#ifndef WRONG_PREEMPT_CRITICAL
	:: critical[w] -> mark[w] = true
#endif
#ifdef WRONG_PREEMPT_CRITICAL
	:: processor[w] != NONE ->
#else
	:: !critical[w] && processor[w] != NONE ->
#endif
		atomic { unassign(w); preempted[w] = true; nr_preempted++ };
#ifndef WRONG_PREEMPT_SILENT
		dispatch(x, p);
#endif
		if
		:: processor[w] != NONE
		:: atomic { processor[w] == NONE && signals > 0 -> signals-- };
			atomic {
#ifndef WRONG_PREEMPT_STAYS
				unlist(w);
#endif
				lost[w] = (processor[w] == NONE);
				excused[w] = (excused[w] || lost[w])
			}
		fi
	:: else
	fi
}

/* kf_leave() */
inline leave(w, x, p, ok)
{
	critical[w] = false;
	if
	:: mark[w] -> mark[w] = false; slice_over(w, x, p, ok)
	:: else
	fi
}

/* On the way back to user mode. */
inline return_to_user(w, x, p, ok)
{
	if
	:: task_work[w] ->
		task_work[w] = false;
		if
		:: lost[w] && processor[w] == NONE ->
			wait_as_waiter(w, x, p, ok);
			atomic { lost[w] = !ok; ok = false }
		:: else
		fi
	:: else
	fi
}

/* At any point of user mode: a page fault, or an interrupt that preempts. */
inline maybe_switched(w, x, p, ok)
{
	if
	:: skip
	:: atomic { faults > 0 -> faults-- };
		if
		:: sleep_elsewhere(w, p)
		:: switched_in(w, p)
		fi;
		return_to_user(w, x, p, ok)
#if SLICES > 0
	:: atomic { slices > 0 -> slices-- }; slice_over(w, x, p, ok)
#endif
	fi
}

/* The library uses the processor's block; it may fault there. */
inline use_processor(w, x, p, ok)
{
	atomic {
		assert(processor[w] != NONE);
		assert(!inside[processor[w]]);
		inside[processor[w]] = true;
		n = processor[w]
	};
	maybe_switched(w, x, p, ok);
	atomic {
		assert(processor[w] == n && holder[n] == w);
		inside[n] = false;
		n = 0
	}
}

/* kf_enter(), with kf_acquire() */
inline enter(w, x, p, ok)
{
#ifdef WRONG_CRITICAL_LATE
	n = processor[w];
	maybe_switched(w, x, p, ok);
	critical[w] = true;
#else
	critical[w] = true;
	maybe_switched(w, x, p, ok);
	n = processor[w];
#endif
	do
	:: n != NONE -> break
	:: else ->
		maybe_switched(w, x, p, ok);
		if
		:: processor[w] == NONE ->
			wait_as_waiter(w, x, p, ok);
			atomic { lost[w] = !ok; ok = false }
		:: else
		fi;
		maybe_switched(w, x, p, ok);
#ifdef WRONG_ACQUIRE_ONCE
		break
#else
		n = processor[w]
#endif
	od;
	n = 0;
	excused[w] = false
}

proctype worker(byte w)
{
	byte x, p, n, steps = STEPS, faults = 1;
	bool ok;

	/* Workers are alike: which comes first does not matter. */
	atomic { began == w -> critical[w] = true };

next:	/* kf_worker_next(), in a critical section */
	do
	:: atomic {
			lost[w] = false;
			if
			:: processor[w] != NONE && work -> work--; break
			:: else
			fi;
			if		/* kf_sched_sleep(SPARE) */
			:: processor[w] != NONE -> waiters_turn = true; unassign(w)
			:: else
			fi;
			spare[w] = true;
			nr_spares++;
			began = (began == w -> w + 1 : began)
		};
		dispatch(x, p);
end_spare:
		if
		:: processor[w] != NONE
		:: atomic { processor[w] == NONE && signals > 0 -> signals-- };
			atomic { unlist(w) }	/* and in the handler; NEXT again */
		fi
	od;

	use_processor(w, x, p, ok);		/* the switch to the fiber */
	leave(w, x, p, ok);

user:
#if SLICES > 0
	if
	:: atomic { slices > 0 -> slices-- }; slice_over(w, x, p, ok)
	:: skip
	fi;
#endif
	assert(processor[w] != NONE || excused[w]);
	if
	:: steps == 0 -> goto dies
	:: goto dies
	:: steps > 0 -> steps--; sleep_elsewhere(w, p); return_to_user(w, x, p, ok); goto user
	:: steps > 0 ->
		steps--;
		enter(w, x, p, ok);
		use_processor(w, x, p, ok);
		if
		:: goto next
		:: leave(w, x, p, ok); goto user
		fi
	fi;

dies:
	atomic {			/* exiting: kf_switched_out() */
		faults = 0;
		if
		:: processor[w] != NONE ->
			lost[w] = true;
#ifndef WRONG_DEATH_KEEPS
			unassign(w);
			irq_work = true
#endif
		:: else
		fi
	}
	atomic {			/* kf_sched_detach() */
		unlist(w);
		critical[w] = false;
		lost[w] = false;
		task_work[w] = false;
		excused[w] = false;
		mark[w] = false;
		dead[w] = true
	}
	dispatch(x, p);
stop:	skip
}

proctype irq()
{
	byte x, p;
end:
	do
	:: irq_work -> irq_work = false; dispatch(x, p)
	od
}

#ifdef WRONG_PREEMPT_REMOTE
proctype remote()
{
	byte x, p;

	atomic { processor[0] != NONE && !critical[0] -> skip };
	atomic {
		if
		:: processor[0] != NONE && !spare[0] ->
			unassign(0);
			preempted[0] = true;
			nr_preempted++
		:: else
		fi
	}
	dispatch(x, p)
}
#endif

init {
	byte p;

	atomic {
		do
		:: p < NP -> holder[p] = NOBODY; p++
		:: else -> break
		od;
		nr_idle = NP;
		p = 0;
		do
		:: p < NW -> processor[p] = NONE; run worker(p); p++
		:: else -> break
		od;
		p = 0;
		run irq();
#ifdef WRONG_PREEMPT_REMOTE
		run remote()
#endif
	}
	timeout;
	d_step {
		assert(nr_waiters == 0);
		assert(nr_preempted == 0);
		assert(!(nr_idle && nr_spares && work));
		do
		:: p < NP ->
			if
			:: holder[p] == NOBODY
			:: else -> assert(!dead[holder[p]])
			fi;
			nr_idle = nr_idle - (holder[p] == NOBODY);
			p++
		:: else -> break
		od;
		assert(nr_idle == 0)
	}
}
