/* SPDX-License-Identifier: GPL-2.0 */
/*
 * When the system call is interrupted in which a fiber blocks (interrupt.c): pure
 * arithmetic.
 */
#ifndef KF_INTERRUPT_H
#define KF_INTERRUPT_H

#include <linux/kfiber.h>
#include <linux/minmax.h>
#include <linux/types.h>
#include <vdso/time64.h>

#include "deadline.h"
#include "word.h"

/*
 * How long a fiber sleeps at least before it is interrupted again. Code that begins a call
 * again after EINTR, as locks of the C library must, would not sleep any more without that;
 * it doubles with each time, so what never gives up is disturbed 16 times a second.
 */
#define KF_INTERRUPT_NS		(1ull * NSEC_PER_MSEC)
#define KF_INTERRUPT_DOUBLINGS	6

/**
 * kf_interrupt_at() - from when on a fiber's sleep is to be interrupted
 * @word: in its block
 * @name: whose sleep it is
 * @masked: in its block
 * @deadline: in its block
 *
 * Return: 0 for at once, KFIBER_NEVER.
 */
static inline u64 kf_interrupt_at(u64 word, u64 name, u32 masked, u64 deadline)
{
	if (masked || !kf_word_is(word, name, KFIBER_ACTIVE))
		return KFIBER_NEVER;
	if (word & KFIBER_INTERRUPT)
		return 0;
	return deadline < KF_TIME_MAX ? deadline : KFIBER_NEVER;
}

/* @before: how often it has been interrupted in a row */
static inline u64 kf_interrupt_pause(u32 before)
{
	return before ? KF_INTERRUPT_NS << min_t(u32, before - 1, KF_INTERRUPT_DOUBLINGS) : 0;
}

#endif /* KF_INTERRUPT_H */
