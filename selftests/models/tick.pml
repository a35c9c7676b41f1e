/* SPDX-License-Identifier: GPL-2.0 */
/*
 * tick.pml - the tick runs while somebody waits for a processor, and stops
 *
 * A model of
 *	kmod/preempt.c		kf_tick, kf_tick_again, kf_tick_start_locked
 *	kmod/sched.c		kf_assign_locked, kf_sched_sleep (PREEMPTED)
 *	userlib/src/queue.c	kf_tell_critical, without the fence
 *
 * Whoever has the one processor queues a fiber, a few times, parks, or computes.
 * It may be told that its slice is over, and then others have the processor. The
 * queue's store stays in a store buffer for less than a period of the tick.
 *
 * Property: while somebody has the processor and somebody waits, and nobody is just
 * about to do something for it, the tick is set.
 *
 * Abstracted: a slice is over whenever somebody waits; LOOKS quiet looks, not eight,
 * end it; fibers never end.
 *
 * Wrong variants, one at a time:
 *	WRONG_STOP_AT_ONCE	no look after "ticking" says that it has stopped
 *	WRONG_NO_PERIOD		that look does not wait for store buffers
 *	WRONG_KICK_FORGOTTEN	a KICK during the last look is not seen
 *	WRONG_ASSIGN_SILENT	whoever is given the processor does not start it
 */

#ifndef PUSHES
#define PUSHES	3
#endif
#ifndef TELLS
#define TELLS	3
#endif
#define LOOKS	2

bool ticking = false;		/* in the header */
bool armed = false;		/* the timer is set */
byte quiet = 0;

bool held = true;		/* somebody has the processor */
byte queued = 0;		/* in the ring, as others see it */
byte buffered = 0;		/* in the ring, as the holder alone sees it */
byte preempted = 0;
bool told = false;		/* the holder's slice is over */
byte tells = TELLS;

bool pushing = false;		/* has queued, and has not looked at "ticking" */
bool handing = false;		/* between two holders */

#define WAITS	(queued > 0 || preempted > 0)

/* kf_tick_start_locked() */
inline start()
{
	if
	:: !ticking -> ticking = true; quiet = 0; armed = true
	:: else
	fi
}

/* Whoever has the processor, in user space. */
proctype holder()
{
	byte left = PUSHES;
	bool seen;

	do
	:: left > 0 ->
		left--;
		atomic { held && !told -> pushing = true; buffered++ };
		seen = ticking;
		if
		:: !seen ->
			/* KICK: a call is a fence. */
			d_step {
				queued = queued + buffered;
				buffered = 0;
				start()
			}
		:: else
		fi;
		d_step { seen = false; pushing = false }
	/* It parks, and the next one runs: the first of the ring, or who was preempted. */
	:: atomic {
		held && !told && left > 0 && queued + buffered + preempted > 0 ->
		if
		:: queued > 0 -> queued--
		:: queued == 0 && buffered > 0 -> buffered--
		:: queued + buffered == 0 && preempted > 0 -> preempted--
		fi
	   }
	:: left == 0 -> break
	od
}

proctype store_buffer()
{
end:	do
	:: atomic { buffered > 0 -> buffered--; queued++ }
	od
}

proctype tick()
{
	bool busy, again;

end:	do
	:: armed ->
		/* Nobody's processor is not looked at. */
		d_step {
			busy = held && WAITS;
			if
			:: busy && tells > 0 && !told -> told = true; tells--
			:: else
			fi
		}
		d_step {
#ifdef WRONG_KICK_FORGOTTEN
			again = (quiet < LOOKS);
#endif
			if
			:: busy -> quiet = 0
			:: else -> quiet++
			fi;
#ifdef WRONG_STOP_AT_ONCE
			again = (quiet < LOOKS);
#else
#ifndef WRONG_KICK_FORGOTTEN
			again = (quiet < LOOKS || ticking);
#endif
#endif
			ticking = (quiet < LOOKS);
			if
			:: quiet > LOOKS -> quiet = LOOKS
			:: else
			fi;
			armed = again;
			busy = false
		}
#ifndef WRONG_NO_PERIOD
		/* A period passes. What was in store buffers when it began is not now. */
		if
		:: again -> buffered == 0
		:: else
		fi;
#endif
		again = false
	od
}

/* The task work: the processor is given up, and then given on. */
proctype hand_over()
{
end:	do
	:: told ->
		atomic {
			!pushing ->
			handing = true;
			/* The way into the kernel is a fence. */
			queued = queued + buffered;
			buffered = 0;
			told = false;
			held = false;
			preempted++;
			start()
		}
		atomic {
			if
			:: queued > 0 -> queued--
			:: else -> preempted--
			fi;
			held = true;
#ifndef WRONG_ASSIGN_SILENT
			if
			:: WAITS -> start()
			:: else
			fi;
#endif
			handing = false
		}
	od
}

/* May be scheduled at any moment. */
proctype observer()
{
end:	atomic {
		held && !pushing && !handing && !told && (WAITS || buffered > 0) ->
		assert(armed)
	}
}

init
{
	atomic {
		run holder();
		run store_buffer();
		run tick();
		run hand_over();
		run observer()
	}
}
