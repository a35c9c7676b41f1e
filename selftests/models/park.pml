/* SPDX-License-Identifier: GPL-2.0 */
/*
 * park.pml - one fiber's state word, its deadline and its timer
 *
 * A model of
 *	userlib/src/park.c	kf_wait, kf_wait_once, kf_begin_wait, kf_set_deadline,
 *				kf_end_wait, kf_publish_parked_critical, kf_wake, kf_tell
 *	userlib/src/switch.[ch]	kf_switch_critical, kf_do_after_critical: when the stack is left
 *	kmod/word.h		kf_word_woken
 *	kmod/timer.c		kf_timer_arm, kf_timer_fired, kf_timer_look_locked
 *
 * One fiber waits for permits, for wake-ups and for time, in any order, with a
 * deadline that comes, with one that never does (FAR), or with none. Two
 * unparkers send it one kind each. Two workers resume it, so that what one
 * worker still does for a wait that has ended (the ARM of its NEXT) meets the
 * next wait. The clock counts on at any moment. With CANCELS somebody cancels the
 * fiber, that often; each of its waits is masked or not, and when it has had all that
 * comes it waits for what does not, until it is cancelled. Then nothing has a deadline:
 * what a timer says is TIMEDOUT too.
 *
 * Properties:
 *	- the fiber comes to its end (no invalid end state): no wake-up and no
 *	  time-out is lost. A time-out that waits for FAR is lost.
 *	- it is in a queue once at most
 *	- it is not resumed while something is on its stack
 *	- "time is up" is not said early
 *	- a cancel ends a wait that is not masked, and takes nothing from one that was
 *	  given what it waits for
 *
 * Abstracted:
 *	- A loop around a compare-and-exchange is one step: its new value depends
 *	  on nothing but the old one.
 *	- Which queue a fiber is in (ring.pml), and that somebody looks there
 *	  (idle.pml).
 *	- Generations, death, the timer's slack, the growing distance of re-arming.
 *	- Store buffers: the two places where a store comes before a load of
 *	  something else ([C]) have both orders when there is no fence; every other
 *	  store is followed by an atomic instruction before the next load.
 *
 * Wrong variants, one at a time:
 *	WRONG_PUBLISH_EARLY	PARKED before the stack is left
 *	WRONG_PUBLISH_BLIND	PARKED whatever came while PARKING
 *	WRONG_UNPARK_STORE	unpark loads and stores: no compare-and-exchange
 *	WRONG_FIBER_FENCE	no [C] in kf_set_deadline
 *	WRONG_TIMER_FENCE	no [C] in kf_timer_look_locked
 *	WRONG_DEADLINE_FIRST	the deadline before PARKING
 *	WRONG_NO_REARM		the timer does not set itself for a later deadline
 *	WRONG_NO_CLOCK		the fiber believes a timer without a look at the clock
 *	WRONG_FIRED_SKIPS	a timer that was set again while it fired does not
 *				look: an ARM that read an earlier wait's deadline wins
 *	WRONG_CANCEL_TIMEDOUT	a cancel tells an ACTIVE fiber as it tells one that waits
 *	WRONG_CANCEL_SILENT	it does not tell an ACTIVE fiber: it will look by itself
 *	WRONG_CANCEL_LATE	it tells, then says what
 */

#ifndef MAX_NOW
#define MAX_NOW	2		/* the clock's last value */
#endif
#define FAR	100		/* a deadline that does not come */
#define NEVER	101

#ifndef PERMITS
#define PERMITS	1
#endif
#ifndef WAKES
#define WAKES	1
#endif
#ifndef CANCELS
#define CANCELS	0
#endif
#ifndef NAPS
#define NAPS	1
#endif

/* The state word. */
#define ACTIVE		0
#define PARKING		1
#define PARKED		2
#define STATE		3
#define PERMIT		4
#define WAKE		8
#define TIMEDOUT	16
#define WAITS_WAKE	32
#define CANCELLED	64
#define LOOK		128

byte word = ACTIVE;
byte deadline = NEVER;
byte armed = NEVER;
byte now = 0;

byte queued = 1;		/* times the fiber is in a queue */
bool on_stack = false;
bool ended = false;

/* The timer. */
bool timer_lock = false;
bool timer_queued = false;
byte timer_when = NEVER;

/* The fiber's own: it may go on with any worker. */
bool f_waits = false;		/* it is resumed within kf_wait_once() */
byte f_awaited;
byte f_deadline;
byte f_naps = NAPS;
bool f_masked = false;
bool f_cancelled = false;	/* it has seen it */
byte f_taken[2];		/* of each kind: what it has seen */
byte sent[2];			/* what the unparkers did before they called */

#define AWAITED(w)	(((w) & WAITS_WAKE) -> WAKE : PERMIT)
#define TOTAL(k)	((k) == 0 -> PERMITS : WAKES)

inline push()
{
	assert(queued == 0);
	queued++;
}

/* kf_wake() and kf_word_wake(): @flag comes, with the queueing. */
inline wake(flag, old)
{
#ifdef WRONG_UNPARK_STORE
	old = word;
	if
	:: (old & STATE) == PARKED && flag == AWAITED(old) ->
		word = (old & ~(STATE | WAITS_WAKE)) | ACTIVE;
		push()
	:: else -> word = old | flag
	fi
#else
	d_step {
		old = word;
		if
		:: (old & STATE) == PARKED && flag == AWAITED(old) ->
			word = (old & ~(STATE | WAITS_WAKE)) | ACTIVE
		:: else ->
			word = old | flag;
			old = ACTIVE
		fi
	}
	if
	:: (old & STATE) == PARKED -> push()
	:: else
	fi;
	old = 0
#endif
}

inline wake_timedout(old)
{
	d_step {
		old = word & STATE;
		if
		:: old == PARKED -> word = (word & ~(STATE | WAITS_WAKE)) | ACTIVE | TIMEDOUT
		:: old == PARKING -> word = word | TIMEDOUT
		:: else
		fi
	}
	if
	:: old == PARKED -> push()
	:: else
	fi;
	old = 0
}

/* kf_tell() */
inline cancel(old)
{
	d_step {
		old = word & STATE;
#ifdef WRONG_CANCEL_LATE
		skip;
#else
		word = word | CANCELLED;
#endif
		if
		:: old == PARKED -> word = (word & ~(STATE | WAITS_WAKE)) | ACTIVE | TIMEDOUT
		:: old == PARKING -> word = word | TIMEDOUT
		:: else ->
#ifdef WRONG_CANCEL_TIMEDOUT
			word = word | TIMEDOUT
#else
#ifndef WRONG_CANCEL_SILENT
			word = word | LOOK
#else
			skip
#endif
#endif
		fi
	}
	if
	:: old == PARKED -> push()
	:: else
	fi;
#ifdef WRONG_CANCEL_LATE
	word = word | CANCELLED;
#endif
	old = 0
}

inline lock_timer()
{
	atomic { !timer_lock -> timer_lock = true }
}

/* kf_timer_arm() */
inline arm(when)
{
	when = deadline;
	if
	:: when == NEVER
	:: else ->
		lock_timer();
		if
		:: !timer_queued || when < timer_when ->
			armed = when;
			d_step {
				timer_when = when;
				timer_queued = true
			}
		:: else
		fi;
		timer_lock = false
	fi;
	when = 0
}

/* kf_publish_parked_critical() */
inline publish(old)
{
	d_step {
		old = word;
#ifdef WRONG_PUBLISH_BLIND
		old = 0;
#else
		old = old & (AWAITED(old) | TIMEDOUT);
#endif
		if
		:: old != 0 -> word = (word & ~(STATE | WAITS_WAKE)) | ACTIVE
		:: else -> word = (word & ~STATE) | PARKED
		fi
	}
	if
	:: old != 0 -> push()
	:: else
	fi;
	old = 0
}

inline store_deadline()
{
	deadline = f_deadline
}

inline load_armed(want)
{
	want = (armed > f_deadline)
}

/* The fiber begins on the first, which is as good as the other. */
proctype worker(bool first)
{
	byte old, when;
	bool want_arm, early, taken;

next:
	do
	:: ended -> goto out
	:: atomic { queued > 0 && (f_waits || first) ->
			queued--;
			assert(!on_stack);
			on_stack = true;
			assert((word & STATE) == ACTIVE)
		};
		break
	od;

	if
	:: !f_waits -> goto choose
	:: else
	fi;

	/* kf_wait_once() goes on. */
	if
	:: f_deadline != NEVER -> deadline = NEVER
	:: else
	fi;
	d_step {		/* kf_end_wait() */
		early = (word & TIMEDOUT) && !(word & f_awaited);
		word = word & ~(f_awaited | TIMEDOUT)
	}
	if
	:: early -> skip
#ifdef WRONG_NO_CLOCK
		;
		if
		:: f_deadline != NEVER -> assert(now >= f_deadline); goto choose
		:: else
		fi
#endif
	:: else -> goto choose
	fi;

wait:	/* The loop of kf_wait(). */
	atomic {
		f_waits = true;
		early = false;
		if
		:: !(word & f_awaited) && (word & CANCELLED) && !f_masked ->
			f_cancelled = true;
			goto choose
		:: !(word & f_awaited) && f_deadline != NEVER && now >= f_deadline -> goto choose
		:: else
		fi
	}

	/* kf_begin_wait() */
#ifdef WRONG_DEADLINE_FIRST
	if
	:: f_deadline != NEVER -> store_deadline(); load_armed(want_arm)
	:: else
	fi;
#endif
	d_step {
		taken = ((word & f_awaited) != 0);
		early = (!taken && (word & LOOK));
		if
		:: taken -> word = word & ~f_awaited
		:: early -> word = word & ~LOOK
		:: else ->
			word = (word & ~STATE) | PARKING | (f_awaited == WAKE -> WAITS_WAKE : 0)
		fi
	}
	if
	:: taken ->
		taken = false;
#ifdef WRONG_DEADLINE_FIRST
		want_arm = false;
		deadline = NEVER;
#endif
		goto choose
	:: early -> goto wait
	:: else
	fi;

#ifndef WRONG_DEADLINE_FIRST
	if
	:: f_deadline != NEVER ->
		if
		:: store_deadline(); load_armed(want_arm)
#ifdef WRONG_FIBER_FENCE
		:: load_armed(want_arm); store_deadline()
#endif
		fi
	:: else
	fi;
#endif

	/* kf_switch_critical(): something else to run, or to the worker's loop. */
	if
	:: want_arm -> want_arm = false; arm(when)
	:: skip
	fi;
#ifdef WRONG_PUBLISH_EARLY
	publish(old);
	on_stack = false;
#else
	on_stack = false;
	publish(old);
#endif
	if
	:: want_arm -> want_arm = false; arm(when)	/* NEXT */
	:: else
	fi;
	goto next;

choose:	/* The fiber's own program. */
	skip;
	atomic {
		f_waits = false;
		early = false;
		f_awaited = 0;
		f_deadline = 0;
		if
		:: CANCELS > 0 -> f_masked = true
		:: f_masked = false
		fi;
		if
		:: f_naps > 0 ->	/* kf_sleep(): only time ends it */
			f_naps--;
			if
			:: now < MAX_NOW -> f_awaited = WAKE; f_deadline = now + 1; goto wait
			:: else -> goto choose
			fi
		:: f_taken[0] < sent[0] -> f_taken[0] = sent[0]; goto choose
		:: f_taken[1] < sent[1] -> f_taken[1] = sent[1]; goto choose
		:: f_taken[0] < PERMITS && f_taken[0] == sent[0] -> f_awaited = PERMIT
		:: f_taken[1] < WAKES && f_taken[1] == sent[1] -> f_awaited = WAKE
		:: f_naps == 0 && f_taken[0] == PERMITS && f_taken[1] == WAKES && CANCELS > 0 &&
		   !f_cancelled ->
			f_masked = false;
			f_awaited = PERMIT
		:: f_naps == 0 && f_taken[0] == PERMITS && f_taken[1] == WAKES &&
		   (CANCELS == 0 || f_cancelled) ->
			on_stack = false;
			ended = true;
			goto out
		fi;
		if
		:: f_deadline = NEVER
		:: CANCELS == 0 -> f_deadline = FAR
		:: f_awaited == PERMIT && now < MAX_NOW -> f_deadline = now + 1
		fi
	}
	goto wait;

out:	skip
}

proctype unparker(byte kind; byte flag)
{
	byte old;

	do
	:: sent[kind] < TOTAL(kind) ->
		sent[kind]++;
		wake(flag, old)
	:: else -> break
	od
}

proctype canceller()
{
	byte old, left = CANCELS;

	do
	:: left > 0 -> left--; cancel(old)
	:: else -> break
	od
}

proctype clock()
{
	do
	:: now < MAX_NOW -> now++
	:: else -> break
	od
}

proctype timer()
{
	byte old, seen;
	bool due;

	do
	:: ended -> break
	:: atomic { timer_queued && now >= timer_when -> timer_queued = false };
		/* kf_timer_fired() */
		lock_timer();
		due = false;
#ifdef WRONG_FIRED_SKIPS
		if
		:: timer_queued -> goto unlock
		:: else
		fi;
#endif
		/* kf_timer_look_locked() */
		if
		:: armed = NEVER; seen = deadline
#ifdef WRONG_TIMER_FENCE
		:: seen = deadline; armed = NEVER
#endif
		fi;
		if
		:: seen == NEVER
		:: seen != NEVER && seen <= now -> due = true
		:: else ->
#ifdef WRONG_NO_REARM
			skip
#else
			armed = seen;
			d_step {
				timer_when = seen;
				timer_queued = true
			}
#endif
		fi;
#ifdef WRONG_FIRED_SKIPS
unlock:
#endif
		seen = 0;
		timer_lock = false;
		if
		:: due -> due = false; wake_timedout(old)
		:: else
		fi
	od
}

init {
	atomic {
		run worker(true);
		run worker(false);
		run unparker(0, PERMIT);
		run unparker(1, WAKE);
		run clock();
		run timer();
		run canceller()
	}
}
