/* SPDX-License-Identifier: GPL-2.0 */
/*
 * quiet.pml - who sleeps is told when nothing can happen any more, and time jumps
 *
 * A model of
 *	kmod/balance.h		kf_is_quiet_locked, kf_quiet_is_told_locked
 *	kmod/sched.c		kf_tell_quiet_locked, kf_pair_locked, kf_sched_sleep,
 *				kf_sched_ready, kf_sched_set_held, kf_sched_detach
 *	kmod/file.c		kf_file_give, kf_file_take, kf_file_uncount
 *	userlib/src/clock.c	kf_clock_jump_critical
 *
 * A domain with one processor and two workers. Its fibers do, each once,
 *	0	sleep until 1, then until 2
 *	1	block in a system call, which ends at any time, then sleep until 2; with DIES
 *		its thread dies in the call
 *	2	wait for a file, and then wake fiber 0 from whatever it waits for; with DROPS
 *		it is killed while it waits, by somebody who is no fiber
 * With TRIMS a stack is in hand while others go on; with THREAD a plain thread wakes
 * fiber 0 at any time.
 *
 * Properties:
 *	- time jumps only when no fiber runs, blocks, waits for a file, is queued, or is about
 *	  to be queued by who is none
 *	- it does jump: no sleeper is left (no invalid end state)
 *	- nobody is told twice of the same quiet; no fiber is queued twice
 *
 * Abstracted: idle.pml has who is woken for what is queued; here each queues with the lock
 * held, and looks at once. The heap is what sleepers have in "until".
 *
 * Wrong variants, one at a time:
 *	WRONG_NOT_LISTED	who goes to sleep decides before it is in the list
 *	WRONG_ONLY_IDLE		an idle processor is taken for quiet
 *	WRONG_FILES		files that are waited for do not count
 *	WRONG_FIRED		they count until somebody stirs
 *	WRONG_HELD		nor do stacks that are in hand
 *	WRONG_HELD_SILENT	who puts them away does not look
 *	WRONG_DEATH_SILENT	nor does who dies
 *	WRONG_DROP_SILENT	nor who ends the last wait for a file
 *	WRONG_TOLD_AGAIN	it is told without a fiber having run
 *	WRONG_BLIND_JUMP	a fiber whose time has come is queued, whatever has woken it
 *	WRONG_PASSED_OVER	one whose stack is in hand since it was told is not
 */

#define NF	3
#define NW	2
#define NONE	9

mtype = { ACTIVE, PARKED, HELD, WOKEN, DEAD };
mtype = { HOLDS, SPARE, WAITER, ELSEWHERE, GONE };

mtype word[NF];			/* HELD: PARKING, by a trimmer; WOKEN: likewise, and flagged */
bool queued[NF];
byte step[NF];
byte until[NF];			/* 0: it does not wait for a time */
bool wakes[NF];			/* ACTIVE, and about to be queued by who is no fiber */
mtype worker[NW];
bool told[NW];			/* worker.quiet */
bool idle = true;
bool held = false;
byte nr_file_waits = 0;
bool has_wait = false;		/* fiber 2's file_wait */
bool ran = true;		/* switches != quiet_switches */
byte now = 0;
bool fiber_gone[NF];

#define QUEUED	(queued[0] || queued[1] || queued[2])
#define SLEEPS(w) (worker[w] == SPARE || worker[w] == GONE)

/* kf_all_sleep_locked() */
#ifdef WRONG_ONLY_IDLE
#define ALL_SLEEP	(idle && !QUEUED)
#else
#define ALL_SLEEP	(idle && SLEEPS(0) && SLEEPS(1) && !QUEUED)
#endif

/* What else could wake a fiber. */
#ifdef WRONG_FILES
#define FILES		false
#else
#define FILES		(nr_file_waits > 0)
#endif
#ifdef WRONG_HELD
#define IN_HAND		false
#else
#define IN_HAND		held
#endif
#ifdef WRONG_TOLD_AGAIN
#define TOLD		false
#else
#define TOLD		(!ran)
#endif

#define SPARES		(worker[0] == SPARE || worker[1] == SPARE)
#define IS_QUIET	(SPARES && ALL_SLEEP && !IN_HAND && !FILES && !TOLD)

inline push(f)
{
	assert(!queued[f]);
	queued[f] = true
}

/* kf_pair_locked(): within d_step or atomic. */
inline pair()
{
	if
	:: idle && worker[0] == WAITER -> worker[0] = HOLDS; idle = false
	:: idle && worker[0] != WAITER && worker[1] == WAITER -> worker[1] = HOLDS; idle = false
	:: idle && worker[0] != WAITER && worker[1] != WAITER && QUEUED && worker[0] == SPARE ->
		worker[0] = HOLDS; idle = false
	:: idle && worker[0] != WAITER && worker[1] != WAITER && QUEUED && worker[0] != SPARE &&
	   worker[1] == SPARE ->
		worker[1] = HOLDS; idle = false
	:: else -> tell()
	fi
}

/* kf_tell_quiet_locked(), kf_is_quiet_locked() */
inline tell()
{
	if
	:: IS_QUIET ->
		assert(ran);
		ran = false;
		idle = false;
		if
		:: worker[0] == SPARE -> worker[0] = HOLDS; told[0] = true
		:: else -> worker[1] = HOLDS; told[1] = true
		fi
	:: else
	fi
}

/* kf_word_wake() by who is no fiber; kf_sched_ready() follows. */
inline wake(f)
{
	d_step {
		if
		:: word[f] == PARKED -> word[f] = ACTIVE; wakes[f] = true
		:: word[f] == HELD -> word[f] = WOKEN
		:: else
		fi
	}
}

inline ready(f)
{
	d_step {
		if
		:: wakes[f] -> wakes[f] = false; push(f); pair()
		:: else
		fi
	}
}

/* kf_clock_jump_critical(): the caller has the only processor. */
inline jump()
{
	atomic {
		/* What a plain thread does, or who wakes for one, is not waited for. */
		assert(word[1] != ACTIVE && word[2] != ACTIVE && !wakes[1] && !wakes[2]);
		assert(!has_wait);
#ifndef THREAD
		assert(word[0] != ACTIVE && word[0] != WOKEN);
#endif
		t = NONE;
		f = 0;
		do
		:: f < NF ->
			if
			:: until[f] && until[f] < t -> t = until[f]
			:: else
			fi;
			f++
		:: else -> break
		od;
		if
		:: t != NONE -> now = t
		:: else
		fi;
		f = 0;
		do
		:: f < NF ->
			if
			:: until[f] && until[f] == t ->
				until[f] = 0;
#ifdef WRONG_BLIND_JUMP
				word[f] = ACTIVE;
				push(f)
#else
				if
				:: word[f] == PARKED -> word[f] = ACTIVE; push(f)
#ifndef WRONG_PASSED_OVER
				:: word[f] == HELD -> word[f] = WOKEN
#endif
				:: else
				fi
#endif
			:: else
			fi;
			f++
		:: else -> break
		od;
		f = 0
	}
}

/* The fiber parks; who comes next on the thread publishes it. */
#define PARK(f)	word[f] = PARKED

proctype work(byte w)
{
	byte f = 0, t = 0;

	do
	:: worker[w] == HOLDS ->
		if
		:: told[w] -> told[w] = false; jump()
		:: else
		fi;
		/* A dispatch. */
		atomic {
			if
			:: queued[0] -> f = 0
			:: !queued[0] && queued[1] -> f = 1
			:: !queued[0] && !queued[1] && queued[2] -> f = 2
			:: else -> goto sleep
			fi;
			queued[f] = false;
			assert(word[f] == ACTIVE);
			until[f] = 0;
			ran = true
		};
		if
		:: f == 0 && step[0] < 2 ->
			step[0]++;
			if
			:: now < step[0] -> atomic { until[0] = step[0]; PARK(0) }
			:: else -> atomic { push(0) }
			fi
		:: f == 1 && step[1] == 0 ->
			step[1] = 1;
			/* sched_out; the irq_work. */
			d_step { worker[w] = ELSEWHERE; idle = true; pair() };
#ifdef DIES
			d_step {
				worker[w] = GONE;
				word[1] = DEAD;
				fiber_gone[1] = true;
#ifndef WRONG_DEATH_SILENT
				pair()
#endif
			};
			goto ended;
#else
			/* kf_sched_sleep(), as a waiter */
			d_step { worker[w] = WAITER; pair() };
			worker[w] == HOLDS;
			if
			:: now < 2 -> atomic { until[1] = 2; PARK(1) }
			:: else -> word[1] = DEAD; fiber_gone[1] = true
			fi
#endif
		:: f == 2 && step[2] == 0 ->
			step[2] = 1;
			/* kf_file_give() */
			nr_file_waits++;
			has_wait = true;
			PARK(2)
		:: f == 2 && step[2] == 1 ->
			step[2] = 2;
			/* It calls again: kf_file_take(). */
			d_step {
				if
				:: has_wait -> has_wait = false; nr_file_waits--
				:: else
				fi
			};
			/* A wake-up of its own: the caller is the one to dispatch. */
			d_step {
				if
				:: word[0] == PARKED -> word[0] = ACTIVE; push(0)
				:: word[0] == HELD -> word[0] = WOKEN
				:: else
				fi
			};
			word[2] = DEAD;
			fiber_gone[2] = true
		:: else -> word[f] = DEAD; fiber_gone[f] = true
		fi;
		goto again;
sleep:		skip;
		/* kf_sched_sleep(), as a spare, and kf_sched_dispatch() */
#ifdef WRONG_NOT_LISTED
		d_step { idle = true; pair() };
		d_step {
			if
			:: worker[w] == HOLDS && !told[w] -> worker[w] = SPARE
			:: else
			fi
		};
#else
		d_step { worker[w] = SPARE; idle = true };
		d_step { pair() };
#endif
again:		skip
	:: fiber_gone[0] && fiber_gone[1] && fiber_gone[2] && worker[w] != HOLDS -> break
	od;
ended:	skip
}

proctype file()
{
	if
	:: has_wait && word[2] == PARKED ->
		wake(2);
#ifdef WRONG_FIRED
		d_step { has_wait = false; nr_file_waits-- };
#endif
		ready(2)
#ifdef DROPS
	:: has_wait && word[2] == PARKED ->
		/* kf_fiber_kill(): it never runs again. */
		word[2] = DEAD;
		fiber_gone[2] = true;
		has_wait = false;
		nr_file_waits--;
#ifndef WRONG_DROP_SILENT
		d_step { pair() }
#endif
#endif
	fi
}

#ifdef TRIMS
/* kf_trim_parked(), with kf_sched_set_held() around it. */
proctype trimmer()
{
	held = true;
	if
	:: atomic { word[0] == PARKED -> word[0] = HELD };
		atomic {
			if
			:: word[0] == WOKEN -> word[0] = ACTIVE; wakes[0] = true
			:: else -> word[0] = PARKED
			fi
		};
		ready(0)
	:: true
	fi;
	held = false;
#ifndef WRONG_HELD_SILENT
	d_step { pair() }
#endif
}
#endif

#ifdef THREAD
proctype thread()
{
	wake(0);
	ready(0)
}
#endif

init
{
	atomic {
		word[0] = ACTIVE;
		word[1] = ACTIVE;
		word[2] = ACTIVE;
		queued[0] = true;
		queued[1] = true;
		queued[2] = true;
		worker[0] = HOLDS;
		worker[1] = SPARE;
		idle = false;
		run work(0);
		run work(1);
		run file();
#ifdef TRIMS
		run trimmer();
#endif
#ifdef THREAD
		run thread();
#endif
	}
}
