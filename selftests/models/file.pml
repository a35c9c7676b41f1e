/* SPDX-License-Identifier: GPL-2.0 */
/*
 * file.pml - a fiber waits for a file, whoever ends that
 *
 * A model of
 *	kmod/file.c		all but what poll and the tries do; its [F] and [G]
 *	userlib/src/file.c	kf_file_park, kf_file_await
 *
 * One fiber reads some times; its deadline may come at any time, except for the last
 * read. A writer puts something in for each read, and then wakes the file's queue. With
 *	RIVAL	another reader takes one piece, without waiting
 *	ENDS	the domain ends at any time
 *	CLOSES	another fiber closes the descriptor, whose number another file gets
 *	GOES	the queue goes before the file (POLLFREE), and is freed after a grace
 *		period; poll names another queue from then on
 *
 * Properties:
 *	- no wake-up is lost (no invalid end state)
 *	- none is left over when a wait is over: it would end another one
 *	- nobody touches a wait that is freed, or a queue; none is freed in a queue
 *	- a read that waited reads the file that it began with
 *	- nothing is left when the fiber and the domain have ended
 *
 * Abstracted: park.pml has how a fiber parks; here it has one flag, which ends the wait.
 * That poll, called after the queue was entered, sees what was there before the queue was
 * woken is the file's own promise. A file has one queue at a time.
 *
 * Wrong variants, one at a time:
 *	WRONG_POLL_FIRST	polls, and then enters the queue
 *	WRONG_BLIND_ARM		arms whatever came while poll looked
 *	WRONG_QUIET_LATE	no barrier between QUIET and poll ([F])
 *	WRONG_NOT_ARMED		a wake-up is sent while the call has the wait still
 *	WRONG_SENT_AGAIN	who has fired stays in the queue, and is sent another
 *	WRONG_FLAG_FIRST	who forgets takes the flag, and then leaves the queue
 *	WRONG_NOT_TAKEN		or does not take it
 *	WRONG_UNLOCKED		leaves the queue without its lock, if it has fired
 *	WRONG_READ_WAIT		who ends a wait looks at the pointer, and then clears it
 *	WRONG_LOOKS_FIRST	the call looks whether the domain has ended, and then stores
 *				the wait ([G])
 *	WRONG_LATE_COUNT	counts the wait when it has stored it
 *	WRONG_ANY_FILE		does not compare what the descriptor stands for
 *	WRONG_NO_REF		a wait does not hold the file
 *	WRONG_STAYS_LINKED	POLLFREE's function does not leave the queue
 *	WRONG_HEAD_FIRST	it says first that there is no queue any more
 *	WRONG_HEAD_STAYS	who leaves the queue because it has fired does not say so
 *	WRONG_SILENT		POLLFREE's function does not wake the fiber
 *	WRONG_SAME_WAIT		the call looks again with a wait whose queue has gone
 *	WRONG_NO_RCU		who leaves a queue has no part in the grace period
 */

#ifndef READS
#define READS	2
#endif
#define WAITS	2		/* the one that a call follows, and its own */
#define QUEUES	2
#define NONE	9

mtype = { QUIET, STIRRED, GONE, ARMED, FIRED };

/* The waits. */
mtype state[WAITS];
bool alive[WAITS];
bool linked[WAITS];
byte head[WAITS] = NONE;	/* which queue; NONE: it has gone */
byte waits_for[WAITS];		/* which file */

/* The queues of file 0. */
bool locked[QUEUES];
bool freed[QUEUES];
byte current = 0;		/* what poll names */
bool reading[2];		/* RCU: the fiber, the domain's end */

byte data = 0;
byte fd = 0;			/* which file the descriptor stands for: 0, or another */
byte refs = 1;			/* of file 0 */
byte file_wait = NONE;
byte nr_file_waits = 0;
bool wake = false;
bool shutdown = false;
bool fiber_ended = false;
bool domain_ended = true;

inline lock(q)
{
	atomic { !locked[q] -> locked[q] = true; assert(!freed[q]) }
}

inline unlock(q)
{
	locked[q] = false
}

inline fput(file)
{
	d_step {
		if
		:: file == 0 ->
			refs--;
			if
			:: refs == 0 ->
				assert(!linked[0] && !linked[1]);
				freed[0] = true;
				freed[1] = true
			:: else
			fi
		:: else
		fi
	}
}

/* kf_file_leave(), kf_file_wait_free(). @who: its RCU */
inline wait_free(w, q, who)
{
#ifndef WRONG_NO_RCU
	reading[who] = true;
#endif
	q = head[w];
	if
	:: q == NONE
#ifdef WRONG_UNLOCKED
	:: q != NONE && state[w] == FIRED
#endif
	:: else ->
		lock(q);
		linked[w] = false;
		unlock(q)
	fi;
	reading[who] = false;
	d_step {
		assert(alive[w] && !linked[w]);
		alive[w] = false;
		head[w] = NONE
	};
#ifndef WRONG_NO_REF
	fput(waits_for[w]);
#endif
	q = 0
}

/* kf_file_take(); the delay point after it. */
inline take(w)
{
#ifdef WRONG_READ_WAIT
	w = file_wait;
	if
	:: w != NONE -> file_wait = NONE; nr_file_waits--
	:: else
	fi
#else
	d_step { w = file_wait; file_wait = NONE };
	if
	:: w != NONE -> nr_file_waits--
	:: else
	fi
#endif
}

/* kf_file_stir() */
inline stir(w, gone, old)
{
	d_step {
		assert(alive[w]);
		old = state[w];
		if
		:: old == ARMED || old == FIRED -> state[w] = FIRED
		:: old == GONE || (gone && old != ARMED && old != FIRED) -> state[w] = GONE
		:: else -> state[w] = STIRRED
		fi
	};
	if
#if defined(WRONG_SENT_AGAIN)
	:: old == ARMED || old == FIRED -> wake = true
#elif defined(WRONG_NOT_ARMED)
	:: old != FIRED -> wake = true
#else
	:: old == ARMED -> wake = true
#endif
	:: else
	fi
}

/* kf_file_woken() for each wait that is in a queue. */
inline wake_queue(q, i, old)
{
	i = 0;
	do
	:: i < WAITS ->
		if
		:: linked[i] && head[i] == q ->
			stir(i, false, old);
			assert(alive[i]);
			if
#ifndef WRONG_SENT_AGAIN
			:: state[i] == FIRED ->
				linked[i] = false;
#ifndef WRONG_HEAD_STAYS
				head[i] = NONE
#endif
#endif
			:: else
			fi
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0;
	old = 0
}

/* A wait of the fiber's, in the queue that poll names just now. */
inline enter(w, file)
{
	atomic {
		w = (alive[0] -> 1 : 0);
		assert(!alive[w]);
		alive[w] = true;
		state[w] = QUIET;
		waits_for[w] = file;
		head[w] = current;
		linked[w] = true;
#ifndef WRONG_NO_REF
		refs++
#endif
	}
}

proctype fiber()
{
	byte reads = 0, began, file, q;
	byte before = NONE, mine = NONE;
	bool ready, given;

	do
	:: reads < READS ->
		began = NONE;
again:		/* kf_file() */
		take(before);
		atomic { file = fd; refs = refs + (file == 0 -> 1 : 0) };
		if
#ifndef WRONG_ANY_FILE
		:: before != NONE && file != 0 ->
			fput(file);
			wait_free(before, q, 0);
			before = NONE;
			goto ended		/* -EBADF */
#endif
		:: else
		fi;
		if
		:: began == NONE -> began = file
		:: else
		fi;
		given = false;
		do
		:: file != 0 ->			/* the other one is always ready */
			assert(began == file);
			reads++;
			break
		:: else ->
			atomic {
				if
				:: data > 0 -> data--; reads++; break
				:: else
				fi
			};
			/* kf_file_look() */
			if
			:: mine != NONE ->
				d_step {
					ready = state[mine] == GONE;
#ifndef WRONG_QUIET_LATE
					state[mine] = QUIET
#endif
				};
#ifndef WRONG_SAME_WAIT
				if
				:: ready -> wait_free(mine, q, 0); mine = NONE
				:: else
				fi
#endif
			:: else
			fi;
#ifdef WRONG_POLL_FIRST
			ready = data > 0;
#endif
			if
			:: mine == NONE -> enter(mine, file)
			:: else
			fi;
#ifndef WRONG_POLL_FIRST
			ready = data > 0;
#endif
#ifdef WRONG_QUIET_LATE
			state[mine] = QUIET;
#endif
			if
			:: !ready ->
				/* kf_file_arm() */
				atomic {
#ifdef WRONG_BLIND_ARM
					state[mine] = ARMED;
					given = true
#else
					if
					:: state[mine] == QUIET -> state[mine] = ARMED; given = true
					:: else
					fi
#endif
				}
			:: else
			fi;
			if
			:: given ->
				/* kf_file_give() */
#ifdef WRONG_LOOKS_FIRST
				ready = shutdown;
#endif
#ifndef WRONG_LATE_COUNT
				nr_file_waits++;
#endif
				file_wait = mine;			/* [G] */
#ifndef WRONG_LOOKS_FIRST
				ready = shutdown;
#endif
				if
				:: ready ->
					d_step {
						given = (file_wait != mine);
						file_wait = (given -> file_wait : NONE)
					};
					if
					:: !given -> nr_file_waits--
					:: else -> mine = NONE
					fi
				:: else -> mine = NONE
				fi;
#ifdef WRONG_LATE_COUNT
				nr_file_waits++;
#endif
				break
			:: else
			fi
		od;
		ready = false;
		fput(file);
		if
		:: before != NONE -> wait_free(before, q, 0); before = NONE
		:: else
		fi;
		if
		:: mine != NONE -> wait_free(mine, q, 0); mine = NONE
		:: else
		fi;
		if
		:: shutdown -> goto ended
		:: given ->
			/* kf_file_park() */
			if
			:: wake -> wake = false; goto again
			:: shutdown -> goto ended
			:: reads < READS - 1 ->		/* its deadline came */
#ifdef WRONG_FLAG_FIRST
				wake = false;
#endif
				take(before);
				if
				:: before != NONE -> wait_free(before, q, 0); before = NONE
				:: else
				fi;
#if !defined(WRONG_FLAG_FIRST) && !defined(WRONG_NOT_TAKEN)
				wake = false;
#endif
				reads++
			fi
		:: else
		fi;
		/* Whatever it waits for next, this would end it. */
		assert(!wake || shutdown)
	:: else -> break
	od;
ended:	assert(!wake || shutdown);
	fiber_ended = true
}

proctype writer()
{
	byte written = 0, q, i;
	mtype old;

	do
	:: written < READS + 1 ->
		data++;
		written++;
		/* Who wakes a queue knows that it is there. */
		atomic {
			!locked[current] ->
			q = current;
			if
			:: freed[q] -> q = NONE
			:: else -> locked[q] = true
			fi
		};
		if
		:: q != NONE -> wake_queue(q, i, old); unlock(q)
		:: else
		fi
	:: else -> break
	od
}

#ifdef RIVAL
proctype rival()
{
	atomic { data > 0 -> data-- }
}
#endif

#ifdef ENDS
proctype ender()
{
	byte w = NONE, q;

	shutdown = true;					/* [G] */
	/* kf_file_drop_all() */
	if
	:: nr_file_waits == 0
	:: else ->
		take(w);
		if
		:: w != NONE -> wait_free(w, q, 1)
		:: else
		fi
	fi;
	domain_ended = true
}
#endif

#ifdef CLOSES
proctype closer()
{
	fd = 1;
	fput(0)
}
#endif

#ifdef GOES
proctype goer()
{
	byte i = 0;
	mtype old;

	/* Who polls later finds another queue. */
	lock(0);
	current = 1;
	do
	:: i < WAITS ->
		if
		:: linked[i] && head[i] == 0 ->
#ifdef WRONG_HEAD_FIRST
			head[i] = NONE;
#endif
#ifndef WRONG_SILENT
			stir(i, true, old);
#endif
			assert(alive[i]);
#ifndef WRONG_STAYS_LINKED
			linked[i] = false;
#endif
#ifndef WRONG_HEAD_FIRST
			head[i] = NONE
#endif
		:: else
		fi;
		i++
	:: else -> break
	od;
	unlock(0);
	!reading[0];
	!reading[1];
	freed[0] = true
}
#endif

/* When all is over. */
proctype books()
{
	fiber_ended && domain_ended;
	assert(file_wait == NONE && !alive[0] && !alive[1] && nr_file_waits == 0)
}

init
{
	atomic {
#ifdef ENDS
		domain_ended = false;
		run ender();
#endif
		run fiber();
		run writer();
#ifdef RIVAL
		run rival();
#endif
#ifdef CLOSES
		run closer();
#endif
#ifdef GOES
		run goer();
#endif
		run books()
	}
}
