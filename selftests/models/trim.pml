/* SPDX-License-Identifier: GPL-2.0 */
/*
 * trim.pml - a parked fiber's stack is trimmed while somebody wakes it, or forks
 *
 * A model of
 *	kmod/trim.c		kf_trim_parked, kf_trim_slot, kf_trim_unmap
 *	kmod/word.h		kf_word_hold, kf_word_publish, kf_word_woken
 *	kmod/arena.c		kf_arena_open, kf_arena_close
 *
 * One fiber runs, goes deep or stays shallow, and parks, a few times. An unparker
 * gives it permits, a timer ends a wait once. Two trimmers (a request and the
 * ageing) work on it at any moment. A child is forked and ends; its copy of the
 * stack lies at the same offset of the same file.
 *
 * Properties:
 *	- what the fiber has written below its last parking place is there as long
 *	  as it runs; so is what lies above the stack pointer it parked with
 *	- a child's stack is not unmapped
 *	- no wake-up is lost (no invalid end state), and none queues twice
 *
 * Abstracted: park.pml has how a fiber parks, its deadline and the other flag;
 * the stack is two pages, of which the lower is needed in a deep place only.
 *
 * Wrong variants, one at a time:
 *	WRONG_NO_HOLD		looks whether it is parked, and unmaps
 *	WRONG_PUBLISH_BLIND	ends with PARKED whatever came meanwhile
 *	WRONG_SP_EARLY		unmaps below a stack pointer that it read before it
 *				held the stack
 *	WRONG_FORK_UNLOCKED	looks for children before it takes zap_lock
 */

#define ACTIVE	0
#define PARKING	1
#define PARKED	2
#define STATE	3
#define PERMIT	4
#define TIMEDOUT 8

#ifndef PERMITS
#define PERMITS	2
#endif

byte word = ACTIVE;
byte queued = 1;
byte given = 0;			/* permits */
byte taken = 0;

bool deep = false;		/* where its stack pointer is, saved when it parks */
bool low_page = false;		/* the lower page is there, with what was written */
bool child_page = false;
byte nr_forked = 0;
bool zap_write = false;		/* zap_lock */
byte zap_read = 0;

inline push()
{
	assert(queued == 0);
	queued++;
}

/* kf_word_wake() */
inline wake(flag, old)
{
	d_step {
		old = word & STATE;
		if
		:: old == PARKED && flag == PERMIT -> word = ACTIVE
		:: old == PARKED && flag == TIMEDOUT -> word = ACTIVE | TIMEDOUT
		:: old == ACTIVE && flag == TIMEDOUT
		:: else -> word = word | flag
		fi
	}
	if
	:: old == PARKED -> push()
	:: else
	fi;
	old = 0
}

/* Whoever publishes PARKED: the worker, after the switch, and the trimmer. */
inline publish(old)
{
	d_step {
		old = word & (PERMIT | TIMEDOUT);
		if
		:: old != 0 -> word = (word & ~STATE) | ACTIVE
		:: else -> word = PARKED
		fi
	}
	if
	:: old != 0 -> push()
	:: else
	fi;
	old = 0
}

proctype fiber()
{
	byte old;
	bool first = true;

	do
	:: taken == PERMITS -> break
	:: else ->
		atomic { queued > 0 -> queued--; assert((word & STATE) == ACTIVE) };
		/* What was kept while it was parked. */
		assert(!deep || low_page);
		d_step {
			if
			:: first -> first = false
			:: else ->
				if
				:: (word & TIMEDOUT) && !(word & PERMIT)
				:: else -> taken++
				fi;
				word = word & ~(PERMIT | TIMEDOUT)
			fi
		}
		/* It calls and returns: grows, writes, reads. */
		if
		:: low_page = true; assert(low_page)
		:: skip
		fi;
		/* It parks in a deep place, or in a shallow one. */
		if
		:: low_page = true; deep = true
		:: deep = false
		fi;
		assert(!deep || low_page);
		if
		:: taken == PERMITS -> break
		:: else
		fi;
		d_step {
			old = word & PERMIT;
			if
			:: old == 0 -> word = (word & ~STATE) | PARKING
			:: else
			fi
		}
		if
		:: old != 0 -> old = 0; push()	/* it goes on: as if it were resumed */
		:: else -> publish(old)
		fi
	od
}

/* One at a time: permits merge. */
proctype unparker()
{
	byte old;

	do
	:: given < PERMITS && given == taken -> given++; wake(PERMIT, old)
	:: given == PERMITS -> break
	od
}

/* At any moment, for a wait that waits for no time: the fiber waits again. */
proctype timer()
{
	byte old;

	wake(TIMEDOUT, old)
}

inline unmap()
{
	low_page = false;
	if
	:: nr_forked > 0 -> assert(!child_page)
	:: else
	fi
}

proctype trimmer()
{
	byte old, tries;
	bool was_deep, alone;

	do
	:: tries < 2 ->
		tries++;
		was_deep = deep;
#ifdef WRONG_NO_HOLD
		old = ((word & STATE) == PARKED);
#else
		d_step {
			old = ((word & STATE) == PARKED);
			if
			:: old -> word = (word & ~STATE) | PARKING
			:: else
			fi
		}
#endif
		if
		:: !old -> goto again
		:: else
		fi;
#ifndef WRONG_SP_EARLY
		was_deep = deep;
#endif
		if
		:: was_deep -> goto end
		:: else
		fi;
#ifdef WRONG_FORK_UNLOCKED
		alone = (nr_forked == 0);
#endif
		atomic { !zap_write -> zap_read++ };
#ifndef WRONG_FORK_UNLOCKED
		alone = (nr_forked == 0);
#endif
		if
		:: alone -> unmap()
		:: else
		fi;
		zap_read--;
end:
#ifdef WRONG_NO_HOLD
		skip;
#else
#ifdef WRONG_PUBLISH_BLIND
		word = PARKED;
#else
		publish(old);
#endif
#endif
again:		old = 0
	:: else -> break
	od
}

/* fork(), and the child's end. */
proctype child()
{
	atomic { !zap_write && zap_read == 0 -> zap_write = true };
	nr_forked++;
	zap_write = false;
	child_page = true;
	child_page = false;
	atomic { !zap_write && zap_read == 0 -> zap_write = true };
	nr_forked--;
	zap_write = false
}

init {
	atomic {
		run fiber();
		run unparker();
		run timer();
		run trimmer();
		run trimmer();
		run child()
	}
}
