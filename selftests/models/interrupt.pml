/* SPDX-License-Identifier: GPL-2.0 */
/*
 * interrupt.pml - a cancelled fiber's system calls end, and nobody else's
 *
 * A model of
 *	kmod/interrupt.c	all but the result of the call
 *	userlib/src/park.c	kf_tell, of a fiber that is ACTIVE
 *	userlib/src/cancel.c	kf_cancel_disable, kf_cancel_enable
 *
 * One thread runs two fibers in turn, each of which makes a system call that blocks. One,
 * the victim, is cancelled at some time, and is masked in its first call. What a call waits
 * for comes at any time; for the victim's last one it never does. A signal may have a call
 * begun again.
 *
 * Property: a thread is woken only for the victim and in a call that is not masked; it does
 * not sleep for ever.
 *
 * Abstracted: the pauses; the timer may fire at any time anyway. A store without a barrier
 * behind it ([H]) is seen by others after the load that follows.
 *
 * Wrong variants, one at a time:
 *	WRONG_SLEEP_FENCE	no barrier in sched_out
 *	WRONG_CANCEL_FENCE	no barrier in the ioctl
 *	WRONG_BLIND		sched_out does not look at the word
 *	WRONG_UNLOCKED		who sends looks whether it sleeps, and sends without the lock
 *	WRONG_NO_NAME		who sends does not look in whose name it sleeps
 *	WRONG_STAYS_ASLEEP	sched_in does not say that the sleep is over
 *	WRONG_MASK_ONCE		only sched_out looks at the mask
 */

#ifndef SIGNALS
#define SIGNALS	2
#endif

mtype = { NOBODY, OTHER, VICTIM };

bool flag = false;		/* INTERRUPT in the victim's word */
bool masked = false;		/* in its block */

mtype runs = NOBODY;		/* which fiber the thread is in a call of */
mtype asleep = NOBODY;
bool sleeper = false;		/* victim.sleeper */
bool pending = false;		/* the task work is queued */
bool timer = false;
bool locked = false;
byte signals = SIGNALS;

inline lock()
{
	atomic { !locked -> locked = true }
}

inline unlock()
{
	locked = false
}

/* kf_interrupt_send_locked() */
inline send()
{
	if
#if defined(WRONG_NO_NAME)
	:: asleep != NOBODY && flag && !masked ->
#elif defined(WRONG_MASK_ONCE)
	:: asleep == VICTIM && flag ->
#else
	:: asleep == VICTIM && flag && !masked ->
#endif
#ifdef WRONG_UNLOCKED
		unlock();
#endif
		atomic {
			pending = true;
			assert(runs == VICTIM && !masked)
		}
	:: else
	fi
}

proctype thread()
{
	byte calls = 0;
	bool again;

	do
	:: calls < 6 ->
		runs = (calls % 2 -> VICTIM : OTHER);
		masked = (calls == 1);
begin:		again = false;
		/* kf_interrupt_sleeps() */
		asleep = runs;
#ifndef WRONG_SLEEP_FENCE
		sleeper = (runs == VICTIM);			/* [H] */
#endif
#ifndef WRONG_BLIND
		if
		:: runs == VICTIM && flag && !masked -> timer = true
		:: else
		fi;
#endif
		sleeper = (runs == VICTIM);
		/* Asleep. */
		if
		:: pending
		:: calls < 5
		:: signals > 0 -> signals--; again = true
		fi;
		/* kf_interrupt_wakes() */
		lock();
#ifndef WRONG_STAYS_ASLEEP
		asleep = NOBODY;
#endif
		unlock();
		sleeper = false;
		/* On the way to user mode. */
		atomic {
			if
			:: pending -> pending = false; again = false
			:: else
			fi
		};
		if
		:: again -> goto begin
		:: else -> runs = NOBODY; calls++
		fi
	:: calls == 6 -> break
	od
}

/* kf_cancel(), KFIBER_IOC_INTERRUPT */
proctype canceller()
{
	bool found;

#ifndef WRONG_CANCEL_FENCE
	flag = true;						/* [H] */
#endif
	found = sleeper;
	flag = true;
	if
	:: found ->
		lock();
		send();
		unlock()
	:: else
	fi
}

proctype interrupter()
{
end:	do
	:: atomic { timer -> timer = false };
		lock();
		send();
		unlock()
	od
}

init
{
	atomic {
		run thread();
		run canceller();
		run interrupter()
	}
}
