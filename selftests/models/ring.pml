/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ring.pml - a processor's queue: one producer, many consumers, thieves
 *
 * A model of
 *	kmod/ring.h		kf_ring_push, kf_ring_pop, kf_ring_steal
 *	userlib/src/queue.c	kf_push_local, kf_ring_pop
 *
 * The owner of ring 0 puts fibers in and takes some out. A thief, who is the
 * owner of ring 1, takes half of ring 0 at a time, keeps one, and takes from its
 * own. A third takes one from either. Indexes are bytes and begin just
 * below their wrap; a ring has SLOTS places, each access of a shared location is
 * a step of its own.
 *
 * Properties: no fiber is taken twice, and when all are done each was taken or
 * is in a ring.
 *
 * Abstracted:
 *	- Retries are not bounded (KF_TRIES); a consumer gives up when it likes.
 *	- Memory order: stores become visible in the order of the program, which is
 *	  what the two releases and x86 give. [B] and [A] have wrong variants that
 *	  swap what they keep apart. That a store is seen late is no different from
 *	  its being done late here: each store-to-load pair has a
 *	  compare-and-exchange between, or does not care.
 *	- An index does not come round completely within one attempt: 2^32 there,
 *	  256 here, with fewer fibers than that.
 *
 * Wrong variants, one at a time:
 *	WRONG_PLAIN_HEAD	consumers store the head: no compare-and-exchange
 *	WRONG_TAIL_FIRST	the producer shows a slot before it is written [B]
 *	WRONG_READ_LATE		consumers read the slot after they took it [A]
 *	WRONG_STEAL_SHOWS	the thief shows its loot before the exchange
 *	WRONG_NO_ROOM		the thief does not look for room in its own ring
 *	WRONG_FULL		the producer fills one more than there is
 */

#define SLOTS	4
#define FIRST	254
#ifndef ITEMS
#define ITEMS	5
#endif
#ifndef STEALS
#define STEALS	1
#endif
/* Of these, how many are in ring 0 from the beginning. */
#ifndef BEGUN
#define BEGUN	3
#endif
/* What the thief has to begin with, so that room matters. */
#ifndef LOADED
#define LOADED	4
#endif
#define ALL	(ITEMS + LOADED)

/* Ring r's place of an index. */
#define AT(r, i)	slot[(r) * SLOTS + ((i) & (SLOTS - 1))]

byte head[2];
byte tail[2];
byte slot[8];
byte taken[ALL + 1];
byte done = 0;

inline take(item)
{
	assert(item != 0);
	assert(taken[item] == 0);
	taken[item]++
}

/* kf_ring_pop(): @item, 0 if there is nothing. */
inline pop(r, item, h, t)
{
	do
	:: h = head[r];
		t = tail[r];
		t = t - h;
		if
		:: t == 0 || t > SLOTS -> item = 0; break
		:: else
		fi;
#ifdef WRONG_READ_LATE
		if
		:: atomic { head[r] == h -> head[r] = h + 1 }; item = AT(r, h); break
		:: head[r] != h
		fi
#else
		item = AT(r, h);
#ifdef WRONG_PLAIN_HEAD
		head[r] = h + 1;
		break
#else
		if
		:: atomic { head[r] == h -> head[r] = h + 1 }; break
		:: head[r] != h -> item = 0
		fi
#endif
#endif
	od;
	skip;
	d_step {
		h = 0;
		t = 0;
		if
		:: item != 0 -> take(item)
		:: else
		fi
	}
}

/* kf_ring_push(); waits while the ring is full. */
inline push(r, item, h, t)
{
	do
	:: h = head[r];
		t = tail[r];
		h = t - h;
		if
#ifdef WRONG_FULL
		:: h > SLOTS
#else
		:: h >= SLOTS
#endif
		:: else -> break
		fi
	od;
#ifdef WRONG_TAIL_FIRST
	tail[r] = t + 1;
	AT(r, t) = item;
#else
	AT(r, t) = item;
	tail[r] = t + 1;
#endif
	d_step {
		h = 0;
		t = 0
	}
}

proctype owner()
{
	byte i = BEGUN + 1, item, h, t;

	do
	:: i <= ITEMS -> push(0, i, h, t); i++
	:: pop(0, item, h, t); item = 0
	:: i > ITEMS -> break
	od;
	done++
}

proctype thief()
{
	byte n, h, t, to, i, item, steals = STEALS;

	do
	:: pop(1, item, h, t); item = 0
	:: steals > 0 ->	/* kf_ring_steal() */
		steals--;
		h = head[0];
		t = tail[0];
		to = tail[1];
		n = head[1];
		d_step {
			n = to - n;
			n = (n < SLOTS -> SLOTS - n : 0);	/* room */
			t = t - h;
			t = (t > SLOTS -> 0 : t);
			t = t - t / 2;
#ifdef WRONG_NO_ROOM
			n = t;
#else
			n = (t < n + 1 -> t : n + 1);
#endif
			t = 0
		}
		if
		:: n == 0
		:: else ->
			item = AT(0, h);
			i = 1;
			do
			:: i < n ->
				t = AT(0, h + i);
				AT(1, to + i - 1) = t;
				i++
			:: else -> break
			od;
			t = 0;
			i = 0;
#ifdef WRONG_STEAL_SHOWS
			tail[1] = to + n - 1;
			if
			:: atomic { head[0] == h -> head[0] = h + n }; take(item)
			:: head[0] != h
			fi;
#else
#ifdef WRONG_PLAIN_HEAD
			head[0] = h + n;
			tail[1] = to + n - 1;
			take(item);
#else
			if
			:: atomic { head[0] == h -> head[0] = h + n };
				tail[1] = to + n - 1;
				take(item)
			:: head[0] != h
			fi;
#endif
#endif
		fi;
		d_step {
			n = 0;
			h = 0;
			to = 0;
			item = 0
		}
	:: steals == 0 -> break
	od;
	done++
}

proctype third()
{
	byte item, h, t;

	if
	:: pop(0, item, h, t)
	:: pop(1, item, h, t)
	fi;
	done++
}

init {
	byte i, r;

	d_step {
		head[0] = FIRST;
		tail[0] = FIRST + BEGUN;
		head[1] = FIRST;
		tail[1] = FIRST + LOADED;
		i = 0;
		do
		:: i < LOADED -> AT(1, FIRST + i) = ITEMS + 1 + i; i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < BEGUN -> AT(0, FIRST + i) = 1 + i; i++
		:: else -> break
		od;
		i = 0
	}
	atomic {
		run owner();
		run thief();
		run third()
	}
	done == 3;
	d_step {
		r = 0;
		do
		:: r < 2 ->
			i = tail[r] - head[r];
			assert(i <= SLOTS);
			do
			:: head[r] != tail[r] ->
				i = AT(r, head[r]);
				take(i);
				head[r] = head[r] + 1
			:: else -> break
			od;
			r++
		:: else -> break
		od;
		i = 1;
		do
		:: i <= ALL -> assert(taken[i] == 1); i++
		:: else -> break
		od
	}
}
