/* SPDX-License-Identifier: GPL-2.0 */
/*
 * When a file is ready for what a fiber wants of it, and what becomes of a wait
 * when its queues are woken (file.c): pure arithmetic.
 */
#ifndef KF_READY_H
#define KF_READY_H

#include <linux/kfiber.h>
#include <linux/poll.h>
#include <linux/socket.h>
#include <linux/types.h>

/*
 * A wait's state; file.c draws it. While the fiber's own call has it, a wake-up
 * only says that what poll has said is old.
 */
enum kf_file_state {
	KF_FILE_QUIET,		/* nobody came since the call began to look */
	KF_FILE_STIRRED,	/* somebody came: look again */
	KF_FILE_GONE,		/* a queue of it has gone: look again, with another wait */
	KF_FILE_ARMED,		/* the fiber parks: the next wake-up is to be sent to it */
	KF_FILE_FIRED,		/* it was sent, once */
};

/*
 * What a wake-up makes of a wait. FIRED out of ARMED: it is the caller's to send.
 * @gone: there is no such queue from now on
 */
static inline enum kf_file_state kf_file_stirred(enum kf_file_state old, bool gone)
{
	if (old == KF_FILE_ARMED || old == KF_FILE_FIRED)
		return KF_FILE_FIRED;
	return gone || old == KF_FILE_GONE ? KF_FILE_GONE : KF_FILE_STIRRED;
}

/* All that user space may ask of a socket. What is missing is the kernel's own, or waits anew. */
#define KF_FILE_MESSAGE_FLAGS							\
	(MSG_OOB | MSG_PEEK | MSG_DONTROUTE | MSG_TRUNC | MSG_DONTWAIT | MSG_EOR |	\
	 MSG_WAITALL | MSG_CONFIRM | MSG_ERRQUEUE | MSG_NOSIGNAL | MSG_MORE | MSG_FASTOPEN)

static inline bool kf_file_writes(u32 operation)
{
	return operation == KFIBER_FILE_WRITE || operation == KFIBER_FILE_SEND;
}

/* Is nothing to be waited for, whatever comes of it? The queue of errors is never waited for. */
static inline bool kf_file_never_waits(u32 operation, u32 message_flags)
{
	if (operation == KFIBER_FILE_RECV)
		return message_flags & (MSG_DONTWAIT | MSG_ERRQUEUE);
	return operation == KFIBER_FILE_SEND && message_flags & MSG_DONTWAIT;
}

/**
 * kf_file_events() - what makes a file ready
 * @operation: KFIBER_FILE_*
 * @message_flags: of RECV
 * @events: of POLL, as poll() takes them
 *
 * Return: with what poll() always tells.
 */
static inline __poll_t kf_file_events(u32 operation, u32 message_flags, u16 events)
{
	__poll_t always = EPOLLERR | EPOLLHUP;

	if (operation == KFIBER_FILE_POLL)
		return demangle_poll(events) | always;
	if (kf_file_writes(operation))
		return EPOLLOUT | EPOLLWRNORM | always;
	if (operation == KFIBER_FILE_RECV && message_flags & MSG_OOB)
		return EPOLLPRI | always;
	return EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | always;
}

#endif /* KF_READY_H */
