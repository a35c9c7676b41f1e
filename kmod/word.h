/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A fiber's name and its state word: pure arithmetic.
 *
 * The word lies in memory that user space writes. Every loop over it is bounded
 * (KF_TRIES): a fair race ends after a few rounds, and a thread that writes the
 * word all the time only loses its own wake-up.
 */
#ifndef KF_WORD_H
#define KF_WORD_H

#include <linux/atomic.h>
#include <linux/kfiber.h>
#include <linux/types.h>

#define KF_TRIES 64

static inline u32 kf_name_index(u64 name)
{
	return name & KFIBER_INDEX_MASK;
}

static inline u32 kf_name_generation(u64 name)
{
	return name >> KFIBER_GENERATION_SHIFT;
}

static inline u64 kf_name(u32 generation, u32 index)
{
	return (u64)generation << KFIBER_GENERATION_SHIFT | index;
}

/* Never 0: that is no fiber's. */
static inline u32 kf_next_generation(u32 generation)
{
	return generation + 1 ?: 1;
}

static inline u64 kf_word_state(u64 word)
{
	return word & KFIBER_STATE_MASK;
}

/* The same generation with another state and no flags. */
static inline u64 kf_word_with_state(u64 word, u64 state)
{
	return kf_name(kf_name_generation(word), 0) | state;
}

/* Is this the word of the fiber of that name, in that state? */
static inline bool kf_word_is(u64 word, u64 name, u64 state)
{
	return kf_name_generation(word) == kf_name_generation(name) &&
	       kf_word_state(word) == state;
}

/**
 * kf_word_woken() - what a word becomes when something comes for its fiber
 * @old: the word
 * @flag: KFIBER_PERMIT, KFIBER_WAKE or KFIBER_TIMEDOUT: what came
 *
 * Return: the new word; the old one when nothing changes.
 */
static inline u64 kf_word_woken(u64 old, u64 flag)
{
	u64 awaited = old & KFIBER_WAITS_WAKE ? KFIBER_WAKE : KFIBER_PERMIT;

	switch (kf_word_state(old)) {
	case KFIBER_PARKED:
		if (flag == awaited)
			flag = 0;
		else if (flag != KFIBER_TIMEDOUT)
			return old | flag;
		return (old & ~(KFIBER_STATE_MASK | KFIBER_WAITS_WAKE)) | KFIBER_ACTIVE | flag;
	case KFIBER_PARKING:
		return old | flag;
	case KFIBER_ACTIVE:
		/* It waits for no time: this is a timer of an earlier wait. */
		return flag == KFIBER_TIMEDOUT ? old : old | flag;
	}
	return old;
}

/**
 * kf_word_wake() - tell a fiber that something came for it
 * @word: the shared state word
 * @name: the fiber's name to insist on, or 0 for whoever has the block
 * @flag: KFIBER_PERMIT, KFIBER_WAKE or KFIBER_TIMEDOUT: what came
 *
 * Return: the generation of the fiber when it was parked and now has to be put
 * in a queue, by the caller; else 0.
 */
static inline u32 kf_word_wake(u64 *word, u64 name, u64 flag)
{
	u64 old = READ_ONCE(*word);
	int tries;

	for (tries = 0; tries < KF_TRIES; tries++) {
		u64 new = kf_word_woken(old, flag);
		u64 seen;

		if (name && kf_name_generation(old) != kf_name_generation(name))
			return 0;
		if (new == old)
			return 0;
		seen = cmpxchg(word, old, new);
		if (seen == old)
			return kf_word_state(old) == KFIBER_PARKED &&
			       kf_word_state(new) == KFIBER_ACTIVE ? kf_name_generation(old) : 0;
		old = seen;
	}
	return 0;
}

/* Does a fiber in this state die with its thread? */
static inline bool kf_word_is_bound(u64 word)
{
	switch (kf_word_state(word)) {
	case KFIBER_ACTIVE:
	case KFIBER_PARKING:
		return true;
	case KFIBER_PARKED:
		return word & KFIBER_PINNED;
	}
	return false;
}

/* Moves a fiber whose thread has died to DEAD. Return: false: it did not run. */
static inline bool kf_word_kill(u64 *word, u64 name)
{
	u64 old = READ_ONCE(*word);
	int tries;

	for (tries = 0; tries < KF_TRIES; tries++) {
		u64 seen;

		if (kf_name_generation(old) != kf_name_generation(name) || !kf_word_is_bound(old))
			return false;
		seen = cmpxchg(word, old, kf_word_with_state(old, KFIBER_DEAD) | KFIBER_KILLED);
		if (seen == old)
			return true;
		old = seen;
	}
	return false;
}

/**
 * kf_word_hold() - take a parked fiber's stack for a while
 * @word: the shared state word
 *
 * The fiber is made one that has not left its stack yet. Who wakes it meanwhile
 * leaves a note, as for any fiber in PARKING, for the one who publishes PARKED:
 * that is kf_word_publish(), which must follow soon. selftests/models/park.pml
 * has it (the trimmer).
 *
 * Return: true if it was parked.
 */
static inline bool kf_word_hold(u64 *word)
{
	u64 old = READ_ONCE(*word);

	return kf_word_state(old) == KFIBER_PARKED &&
	       cmpxchg(word, old, (old & ~KFIBER_STATE_MASK) | KFIBER_PARKING) == old;
}

/* What a word in PARKING becomes when its fiber's stack is nobody's any more. */
static inline u64 kf_word_published(u64 old)
{
	u64 awaited = old & KFIBER_WAITS_WAKE ? KFIBER_WAKE : KFIBER_PERMIT;
	u64 rest = old & ~KFIBER_STATE_MASK;

	if (old & (awaited | KFIBER_TIMEDOUT))
		return (rest & ~KFIBER_WAITS_WAKE) | KFIBER_ACTIVE;
	return rest | KFIBER_PARKED;
}

/**
 * kf_word_publish() - end what kf_word_hold() began
 * @word: the shared state word
 *
 * Return: the generation of the fiber if it was woken meanwhile and now has to
 * be put in a queue, by the caller; else 0.
 */
static inline u32 kf_word_publish(u64 *word)
{
	u64 old = READ_ONCE(*word);
	int tries;

	for (tries = 0; tries < KF_TRIES; tries++) {
		u64 new = kf_word_published(old);
		u64 seen;

		if (kf_word_state(old) != KFIBER_PARKING)
			return 0;
		seen = cmpxchg(word, old, new);
		if (seen == old)
			return kf_word_state(new) == KFIBER_ACTIVE ? kf_name_generation(old) : 0;
		old = seen;
	}
	return 0;
}

/* Is this the word of a block that user space keeps for later, and has not taken? */
static inline bool kf_word_is_pooled(u64 word)
{
	return kf_word_state(word) == KFIBER_FREE && word & KFIBER_POOLED;
}

/**
 * kf_word_take() - take the stack of a block that user space keeps for later
 * @word: the shared state word
 *
 * Return: true if it was nobody's; then kf_word_give() must follow soon.
 */
static inline bool kf_word_take(u64 *word)
{
	u64 old = READ_ONCE(*word);

	return kf_word_is_pooled(old) && cmpxchg(word, old, old & ~KFIBER_POOLED) == old;
}

/* Ends what kf_word_take() began. Nobody but us writes the word meanwhile. */
static inline void kf_word_give(u64 *word)
{
	u64 old = READ_ONCE(*word);

	if (kf_word_state(old) == KFIBER_FREE)
		cmpxchg(word, old, old | KFIBER_POOLED);
}

#endif /* KF_WORD_H */
