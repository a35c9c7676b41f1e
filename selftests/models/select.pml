/* SPDX-License-Identifier: GPL-2.0 */
/*
 * select.pml - selects that meet senders, a deadline, and each other
 *
 * A model of
 *	userlib/src/select.c	kf_select, kf_latch_cases, kf_cases_try_latched,
 *				kf_cases_queue_latched, kf_cases_leave
 *	userlib/src/chan.c	kf_chan_try_latched, of channels without room
 *	userlib/src/wait.c	kf_await, kf_claim_latched
 *
 * Two channels. By default one fiber receives from either, until it has what two
 * others send, one on each; now and then it loses patience and begins again. With
 * MEET two select what the other has: the one sends on the first or receives from
 * the second, the other the reverse.
 *
 * Properties:
 *	- a send and a receive go together, as often as they should
 *	- all come to their end (no invalid end state): no wake-up is lost, and latches
 *	  are not waited for in a circle
 *	- no wake-up is left over, none comes twice, and each ends its own wait
 *	- a waiter is not touched after its call has returned
 *
 * Abstracted:
 *	- What wait.pml shows: a latch is a lock, and kf_wait() takes WAKE or times out.
 *	- Which of those who wait in a queue is the first.
 *
 * Wrong variants, one at a time:
 *	WRONG_ONE_BY_ONE	a select looks and queues channel by channel
 *	WRONG_NO_ORDER		the latches are not taken in the same order by all
 *	WRONG_STAYS		the places in other channels are not taken out
 *	WRONG_NO_CLAIM		a waker does not look whether it is the first
 *	WRONG_GIVE_UP		who times out does not look whether it was claimed
 *	WRONG_LEFT_OVER		who was claimed when it timed out does not take WAKE
 */

#ifdef MEET
#define FIBERS	2
#define ROUNDS	2
#define PAIRS	ROUNDS
#define TIMEOUTS 0
#else
#define FIBERS	3
#define ROUNDS	1
#define PAIRS	(2 * ROUNDS)
#define TIMEOUTS 2
#endif

#define NO	0
#define SEND	1
#define RECV	2

/* A waiter's state. */
#define GONE	0		/* its call has returned */
#define WAITS	1
#define CLAIMED	2
#define GAVE_UP	3

#define NOBODY	255

bool latch[2];
byte waits[6];			/* by channel and operation: a bit for each fiber */
byte state[FIBERS];
bool wake[FIBERS];
byte went = 0;			/* pairs of a send and a receive */

#define AT(ch, op)	((ch) * 3 + (op))
#define OTHER(op)	(3 - (op))
#define MY(ch)		((ch) == 0 -> op0 : op1)

inline take_latch(ch)
{
	atomic { !latch[ch] -> latch[ch] = true }
}

inline take_latches()
{
	if
	:: op0 == NO -> take_latch(1)
	:: op1 == NO -> take_latch(0)
#ifdef WRONG_NO_ORDER
	:: op0 == RECV && op1 != NO -> take_latch(1); take_latch(0)
	:: op0 == SEND && op1 != NO -> take_latch(0); take_latch(1)
#else
	:: op0 != NO && op1 != NO -> take_latch(0); take_latch(1)
#endif
	fi
}

inline release_latches()
{
	if
	:: op0 != NO -> latch[0] = false
	:: else
	fi;
	if
	:: op1 != NO -> latch[1] = false
	:: else
	fi
}

inline await_wake()
{
	atomic { wake[me] -> wake[me] = false }
}

/* kf_chan_try_latched(): peer tells whom it met. */
inline try(ch)
{
	do
	:: peer != NOBODY || waits[AT(ch, OTHER(MY(ch)))] == 0 -> break
	:: else ->
		/* Any of them. */
		if
		:: waits[AT(ch, OTHER(MY(ch)))] & 1 -> peer = 0
		:: waits[AT(ch, OTHER(MY(ch)))] & 2 -> peer = 1
		:: waits[AT(ch, OTHER(MY(ch)))] & 4 -> peer = 2
		fi;
		waits[AT(ch, OTHER(MY(ch)))] = waits[AT(ch, OTHER(MY(ch)))] & ~(1 << peer);
		d_step {
			assert(peer != me);
			assert(state[peer] != GONE);
			claimed = (state[peer] == WAITS);
#ifdef WRONG_NO_CLAIM
			claimed = true;
#endif
			if
			:: claimed ->
				state[peer] = CLAIMED;
				went++
			:: else -> peer = NOBODY
			fi
		}
	od
}

inline try_all()
{
	if
	:: op0 != NO -> try(0);
		if
		:: peer == NOBODY && op1 != NO -> try(1)
		:: else
		fi
	:: op1 != NO -> try(1);
		if
		:: peer == NOBODY && op0 != NO -> try(0)
		:: else
		fi
	fi
}

inline queue(ch)
{
	if
	:: MY(ch) != NO -> waits[AT(ch, MY(ch))] = waits[AT(ch, MY(ch))] | (1 << me)
	:: else
	fi
}

inline wake_peer()
{
	if
	:: peer != NOBODY ->
		d_step {
			assert(!wake[peer]);
			wake[peer] = true
		}
	:: else
	fi
}

inline leave_one(ch)
{
	if
	:: MY(ch) != NO ->
		take_latch(ch);
		waits[AT(ch, MY(ch))] = waits[AT(ch, MY(ch))] & ~(1 << me);
		latch[ch] = false
	:: else
	fi
}

/* Of the one that went nothing is left: to take that out is nothing. */
inline leave()
{
#ifndef WRONG_STAYS
	leave_one(0);
	leave_one(1)
#else
	skip
#endif
}

inline look_and_queue()
{
#ifdef WRONG_ONE_BY_ONE
	state[me] = WAITS;
	if
	:: op0 != NO -> take_latch(0); try(0);
		if
		:: peer == NOBODY -> queue(0)
		:: else
		fi;
		latch[0] = false
	:: else
	fi;
	if
	:: op1 != NO && peer == NOBODY -> take_latch(1); try(1);
		if
		:: peer == NOBODY -> queue(1)
		:: else
		fi;
		latch[1] = false
	:: else
	fi;
	if
	:: peer != NOBODY -> leave()
	:: else
	fi
#else
	take_latches();
	try_all();
	if
	:: peer == NOBODY ->
		state[me] = WAITS;
		queue(0);
		queue(1)
	:: else
	fi;
	release_latches()
#endif
}

/* kf_await() */
inline await()
{
	if
	:: await_wake();
		assert(state[me] == CLAIMED)
	:: timeouts > 0 ->
		timeouts--;
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

proctype fiber(byte me; byte op0; byte op1; byte left; byte timeouts)
{
	byte peer = NOBODY;
	bool gave_up, claimed;

	do
	:: left == 0 -> break
	:: else ->
		look_and_queue();
		wake_peer();
		if
		:: peer != NOBODY -> left--
		:: else ->
			await();
			leave();
			left = (gave_up -> left : left - 1)
		fi;
		state[me] = GONE;
		peer = NOBODY;
		gave_up = false
	od;
	assert(!wake[me])
}

init {
	atomic {
#ifdef MEET
		run fiber(0, SEND, RECV, ROUNDS, TIMEOUTS);
		run fiber(1, RECV, SEND, ROUNDS, TIMEOUTS)
#else
		run fiber(0, RECV, RECV, 2 * ROUNDS, TIMEOUTS);
		run fiber(1, SEND, NO, ROUNDS, 0);
		run fiber(2, NO, SEND, ROUNDS, 0)
#endif
	}
	(_nr_pr == 1);
	/* A pair each. */
	assert(went == PAIRS)
}
