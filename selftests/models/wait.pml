/* SPDX-License-Identifier: GPL-2.0 */
/*
 * wait.pml - a mutex that is waited for, handed over, and given up
 *
 * A model of
 *	userlib/src/wait.c	kf_latch, kf_latch_wait, kf_unlatch_only, kf_await,
 *				kf_claim_latched
 *	userlib/src/mutex.c	kf_mutex_lock_slowly, kf_mutex_take_latched,
 *				kf_mutex_pass_latched, kf_mutex_unlock
 *
 * FIBERS fibers take the mutex and give it back, ROUNDS times each. Some have a
 * deadline, which comes at any moment of a wait, as a cancel does. Whether the first in the queue has
 * waited for long enough to be handed the mutex is anybody's guess. Who was the last
 * to need the mutex frees it.
 *
 * Properties:
 *	- one at a time
 *	- all come to their end (no invalid end state): no wake-up is lost
 *	- no wake-up is left over, none comes twice, and each ends its own wait
 *	- a waiter is not touched after its call has returned
 *	- the mutex is not touched after it was freed
 *
 * Abstracted:
 *	- What park.pml shows: kf_wait() returns when WAKE came, and takes it, or when
 *	  the deadline did, and then leaves WAKE alone.
 *	- A loop around a compare-and-exchange is one step.
 *	- What is done to queue and waiters with the latch held is one step, but for the
 *	  claim and the word, which others change without it.
 *	- Store buffers: every store that others look for is a locked instruction.
 *
 * Wrong variants, one at a time:
 *	WRONG_GIVE_UP		who times out does not look whether it was claimed
 *	WRONG_LEFT_OVER		who was claimed when it timed out does not take WAKE
 *	WRONG_BLIND_CLAIM	a waker takes who has given up
 *	WRONG_WOKEN_STAYS	who was woken and came too late leaves WOKEN
 *	WRONG_NO_WAITERS	who queues itself does not look at the word again
 *	WRONG_LATCH_LOST	who waits for the latch does not look at it again
 *	WRONG_LATCH_CANCELLED	who waits for the latch is cancelled there
 *	WRONG_WAKES_ONE		a released latch wakes the last only
 *	WRONG_WAKE_FIRST	who was claimed is woken before the latch is released
 *	WRONG_UNLOCK_LATCHED	LOCKED goes away with the latch when nobody waits
 */

#ifndef FIBERS
#define FIBERS	3
#endif
#ifndef ROUNDS
#define ROUNDS	2
#endif
#ifndef PATIENT
#define PATIENT	1		/* so many, the first ones, have no deadline */
#endif

/* The word. */
#define LOCKED	1
#define WAITERS	2
#define WOKEN	4

/* A waiter's state. */
#define GONE	0		/* its call has returned */
#define WAITS	1
#define CLAIMED	2
#define GAVE_UP	3

#define NOBODY	255

byte word = 0;
bool latch = false;
byte latch_list = 0;		/* who waits for it: a bit each */
byte latch_last = NOBODY;
bool wake[FIBERS];		/* the fibers' WAKE */
byte state[FIBERS];
bool handed[FIBERS];
bool queued[FIBERS];

/* The queue, the first first. */
byte queue[FIBERS];
byte length = 0;

byte inside = 0;
byte users = FIBERS;
bool freed = false;

#define touch()	assert(!freed)

inline send_wake(to)
{
	d_step {
		assert(!wake[to]);
		wake[to] = true
	}
}

/* Also what kf_await() does when nothing else can end the wait. */
inline await_wake()
{
	atomic { wake[me] -> wake[me] = false }
}

/* kf_latch() */
inline take_latch()
{
	do
	:: atomic { !latch -> touch(); latch = true }; break
	:: latch ->
		d_step {
			touch();
			pushed = latch;
#ifdef WRONG_LATCH_LOST
			pushed = true;
#endif
			if
			:: pushed -> latch_list = latch_list | (1 << me); latch_last = me
			:: else
			fi
		}
		if
		:: pushed -> await_wake()
#ifdef WRONG_LATCH_CANCELLED
		:: pushed
#endif
		:: else
		fi
	od;
	skip
}

/* kf_unlatch_and_wake(); @who was claimed. */
inline release_latch()
{
#ifdef WRONG_WAKE_FIRST
	if
	:: who != NOBODY -> send_wake(who); who = NOBODY
	:: else
	fi;
#endif
	d_step {
		touch();
		latch = false;
		list = latch_list;
		latch_list = 0
#ifdef WRONG_WAKES_ONE
		;
		if
		:: list != 0 -> list = 1 << latch_last
		:: else
		fi
#endif
	}
	if
	:: who != NOBODY -> send_wake(who); who = NOBODY
	:: else
	fi;
	i = 0;
	do
	:: i < FIBERS ->
		if
		:: list & (1 << i) -> send_wake(i)
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0;
	list = 0
}

inline queue_first()
{
	d_step {
		i = length;
		do
		:: i > 0 -> queue[i] = queue[i - 1]; i--
		:: else -> break
		od;
		queue[0] = me;
		length++;
		queued[me] = true
	}
}

inline queue_last()
{
	d_step {
		queue[length] = me;
		length++;
		queued[me] = true
	}
}

/* kf_queue_leave_latched() of the one at queue[i] */
inline take_out()
{
	queued[queue[i]] = false;
	length--;
	do
	:: i < length -> queue[i] = queue[i + 1]; i++
	:: else -> queue[i] = 0; break
	od;
	i = 0
}

inline leave_queue()
{
	d_step {
		touch();
		if
		:: queued[me] ->
			i = 0;
			do
			:: queue[i] == me -> break
			:: else -> i++
			od;
			take_out()
		:: else
		fi;
		if
		:: length == 0 -> word = word & ~WAITERS
		:: else
		fi
	}
}

/* kf_claim_first_latched() */
inline claim_first()
{
	do
	:: length == 0 -> break
	:: else ->
		d_step {
			touch();
			who = queue[0];
			i = 0;
			take_out();
			assert(state[who] != GONE);
			if
			:: state[who] == WAITS -> state[who] = CLAIMED
#ifdef WRONG_BLIND_CLAIM
			:: state[who] == GAVE_UP -> state[who] = CLAIMED
#endif
			:: else -> who = NOBODY
			fi
		}
		if
		:: who != NOBODY -> break
		:: else
		fi
	od;
	skip
}

/* kf_await(): gave_up tells how it ended. */
inline await(may_give_up)
{
	if
	:: await_wake();
		assert(state[me] == CLAIMED)
	:: may_give_up ->
		d_step {
			gave_up = (state[me] == WAITS);
#ifdef WRONG_GIVE_UP
			gave_up = true;
#endif
			if
			:: gave_up -> state[me] = GAVE_UP
			:: else
			fi
		}
		if
		:: gave_up
#ifdef WRONG_LEFT_OVER
		:: !gave_up
#else
		:: !gave_up -> await_wake()
#endif
		fi
	fi
}

/* kf_mutex_lock_until(): mine tells how it ended. */
inline lock(may_give_up)
{
	d_step {
		touch();
		mine = !(word & LOCKED);
		if
		:: mine -> word = word | LOCKED
		:: else
		fi;
		woken = false
	}
	do
	:: mine || gave_up -> break
	:: else ->
		take_latch();
		d_step {
			touch();
			mine = !(word & LOCKED);
#ifdef WRONG_NO_WAITERS
			mine = false;
#endif
			word = word | (mine -> LOCKED : WAITERS);
#ifndef WRONG_WOKEN_STAYS
			word = (woken -> word & ~WOKEN : word);
#endif
			if
			:: !mine -> state[me] = WAITS
			:: else
			fi
		}
		if
		:: !mine && woken -> queue_first()
		:: !mine && !woken -> queue_last()
		:: else
		fi;
		release_latch();
		if
		:: mine
		:: else ->
			await(may_give_up);
			if
			:: gave_up ->
				take_latch();
				leave_queue();
				release_latch()
			:: else -> woken = true; mine = handed[me]
			fi;
			state[me] = GONE;
			handed[me] = false
		fi
	od
}

/* kf_mutex_pass_latched(): done tells whether somebody has it, or may try. */
inline pass()
{
	if
	:: starves = true
	:: starves = false
	fi;
	if
	:: length > 0 && !starves && (word & WOKEN) ->
		d_step { touch(); word = word & ~LOCKED; done = true }
	:: else ->
		claim_first();
		d_step {
			touch();
			word = (length == 0 -> word & ~WAITERS : word);
			done = (who != NOBODY);
			if
			:: done && starves -> handed[who] = true
			:: done && !starves ->
				assert((word & LOCKED) && !(word & WOKEN));
				word = word + WOKEN - LOCKED
			:: else
			fi
#ifdef WRONG_UNLOCK_LATCHED
			;
			if
			:: !done -> word = word & ~LOCKED; done = true
			:: else
			fi
#endif
		}
	fi;
	release_latch()
}

inline unlock()
{
	done = false;
	do
	:: done -> break
	:: else ->
		d_step {
			touch();
			assert(word & LOCKED);
			done = !(word & WAITERS);
			word = (done -> word & ~LOCKED : word)
		}
		if
		:: done
		:: else -> take_latch(); pass()
		fi
	od
}

proctype fiber(byte me)
{
	byte left = ROUNDS, who = NOBODY, list, i;
	bool mine, woken, gave_up, pushed, done, starves, last;

	do
	:: left > 0 ->
		left--;
		/* In the last round it must have it. */
		lock((left > 0 && me >= PATIENT));
		if
		:: mine ->
			d_step {
				inside++;
				assert(inside == 1)
			}
			d_step {
				inside--;
				users = (left == 0 -> users - 1 : users);
				last = (users == 0)
			}
			unlock()
		:: else
		fi;
		mine = false;
		gave_up = false
	:: else -> break
	od;
	assert(!wake[me]);
	if
	:: last ->
		d_step {
			assert(word == 0 && length == 0 && latch_list == 0);
			freed = true
		}
	:: else
	fi
}

init {
	byte n = 0;

	atomic {
		do
		:: n < FIBERS -> run fiber(n); n++
		:: else -> break
		od
	}
}
