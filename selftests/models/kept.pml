/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kept.pml - stacks are trimmed in the pools while somebody spawns
 *
 * A model of
 *	kmod/word.h		kf_word_take, kf_word_give
 *	kmod/trim.c		kf_trim_kept_locked
 *	kmod/trim_pool.c	kf_hand_take_locked, kf_hand_trim
 *	kmod/fiber.c		kf_fibers_alloc, kf_fibers_free
 *	userlib/src/fiber.c	kf_pool_get, kf_pool_put, kf_pool_claim, kf_pool_refill
 *
 * Two processors spawn fibers that use their stacks and end, from pools of their own; what
 * is in those they may give to the module, and take others from it. There are no more
 * stacks than two. Two trimmers look at each of them.
 *
 * Properties:
 *	- what a fiber has written to its stack is there until it has left it
 *	- ALLOC is refused only if no stack is free, in somebody's hand or not
 *	- who waits for one in hand is woken (no invalid end state)
 *	- what is in a processor's pool can be had in the end: POOLED is set again
 *
 * Abstracted: of a stack there is one page; a pool is a set. That a fiber does not touch a
 * stack that it does not run on is for the fault handler to see.
 *
 * Wrong variants, one at a time:
 *	WRONG_NO_TAKE		sees POOLED, and unmaps
 *	WRONG_NO_CLAIM		whoever spawns takes what is in its pool
 *	WRONG_CLAIM_BLIND	clears POOLED without having seen it
 *	WRONG_PUT_EARLY		sets POOLED before the fiber has left its stack
 *	WRONG_UNLOCKED		lets go of fiber_mutex before it unmaps one of a processor's
 *	WRONG_FREE_KEEPS	FREE leaves POOLED in the word
 *	WRONG_GIVE_FORGOTTEN	does not set POOLED again
 *	WRONG_HAND_IN_POOL	leaves in the module's pool what it unmaps without the mutex
 *	WRONG_NO_WAIT		refuses when all that there are are in hand
 *	WRONG_PUTS_LATE		reads hand_puts when it has let go of the mutex
 */

#define NB	2		/* stacks */
#define NS	2		/* processors */
#define FREE	0
#define POOLED	1
#define ACTIVE	2

#ifndef ROUNDS
#define ROUNDS	2
#endif

byte word[NB] = FREE;
bool page[NB];
bool allocated[NB];
bool in_hand[NB];
bool mine[NB * NS];		/* in that processor's pool */
byte puts;			/* hand_puts */
bool mutex;

inline lock()
{
	atomic { !mutex -> mutex = true }
}

inline unlock()
{
	mutex = false
}

/* Takes one from the module; @b stays NB at the limit. */
inline alloc()
{
	do
	:: true ->
		lock();
		b = NB;
		if
		:: !allocated[0] && !in_hand[0] -> b = 0
		:: !allocated[1] && !in_hand[1] -> b = 1
		:: else
		fi;
		if
		:: b < NB -> allocated[b] = true
		:: else
		fi;
#ifndef WRONG_PUTS_LATE
		seen = puts;
#endif
		if
		:: b == NB && (in_hand[0] || in_hand[1]) ->
#ifdef WRONG_NO_WAIT
			assert(false);
#endif
			unlock();
#ifdef WRONG_PUTS_LATE
			seen = puts;
#endif
			puts != seen
		:: else ->
			unlock();
			break
		fi
	od
}

/* @b is out of the pool. */
inline free()
{
	lock();
	allocated[b] = false;
#ifndef WRONG_FREE_KEEPS
	word[b] = FREE;
#endif
	unlock()
}

/* Takes one from its own pool, with @ok if it could be had. */
inline claim()
{
#ifdef WRONG_NO_CLAIM
	ok = true;
#else
#ifdef WRONG_CLAIM_BLIND
	ok = (word[b] == POOLED);
	ok = true;
	word[b] = FREE;
#else
	d_step {
		ok = (word[b] == POOLED);
		if
		:: ok -> word[b] = FREE
		:: else
		fi
	}
#endif
#endif
}

inline use()
{
	word[b] = ACTIVE;
	page[b] = true;
	assert(page[b]);
#ifdef WRONG_PUT_EARLY
	word[b] = POOLED;
#endif
	assert(page[b]);
	/* It has left its stack. */
	word[b] = FREE;
	word[b] = POOLED;
	mine[me * NB + b] = true
}

proctype spawner(byte me)
{
	byte b, seen, rounds;
	bool ok;

	do
	:: rounds == ROUNDS -> break
	:: rounds < ROUNDS ->
		rounds++;
		b = NB;
		ok = false;
		if
		:: mine[me * NB] -> b = 0
		:: mine[me * NB + 1] -> b = 1
		:: else
		fi;
		if
		:: b < NB ->
			mine[me * NB + b] = false;
			if
			:: claim();
				if
				:: ok -> use()
				:: else -> mine[me * NB + b] = true
				fi
			:: free()
			fi
		:: else ->
			alloc();
			if
			:: b < NB -> use()
			:: else
			fi
		fi
	od
}

/* One of a processor's pool, with the mutex. */
inline trim_kept()
{
#ifdef WRONG_NO_TAKE
	taken = (word[b] == POOLED);
#else
	d_step {
		taken = (word[b] == POOLED);
		if
		:: taken -> word[b] = FREE
		:: else
		fi
	}
#endif
#ifdef WRONG_UNLOCKED
	unlock();
#endif
	if
	:: taken ->
		page[b] = false;
#if !defined(WRONG_NO_TAKE) && !defined(WRONG_GIVE_FORGOTTEN)
		d_step {
			if
			:: word[b] == FREE -> word[b] = POOLED
			:: else
			fi
		}
#endif
	:: else
	fi
#ifndef WRONG_UNLOCKED
	;
	unlock()
#endif
}

/* One of the module's. */
inline trim_hand()
{
#ifndef WRONG_HAND_IN_POOL
	in_hand[b] = true;
#endif
	unlock();
	page[b] = false;
	lock();
	in_hand[b] = false;
	puts++;
	unlock()
}

proctype trimmer()
{
	byte b;
	bool taken;

	do
	:: b == NB -> break
	:: b < NB ->
		lock();
		if
		:: allocated[b] -> trim_kept()
		:: !allocated[b] && !in_hand[b] -> trim_hand()
		:: else -> unlock()
		fi;
		b++
	od
}

init {
	byte b;

	atomic {
		run spawner(0);
		run spawner(1);
		run trimmer();
		run trimmer()
	}
	_nr_pr == 1;
	do
	:: b == NB * NS -> break
	:: b < NB * NS ->
		assert(!mine[b] || word[b % NB] == POOLED);
		b++
	od
}
