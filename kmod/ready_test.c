// SPDX-License-Identifier: GPL-2.0
/* KUnit: what is waited for, and that a wake-up is sent once. */
#include <kunit/test.h>

#include "ready.h"

static void reading_and_writing(struct kunit *test)
{
	__poll_t in = kf_file_events(KFIBER_FILE_READ, 0, 0);
	__poll_t out = kf_file_events(KFIBER_FILE_WRITE, 0, 0);

	KUNIT_EXPECT_EQ(test, in, EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | EPOLLERR | EPOLLHUP);
	KUNIT_EXPECT_EQ(test, out, EPOLLOUT | EPOLLWRNORM | EPOLLERR | EPOLLHUP);
	KUNIT_EXPECT_EQ(test, kf_file_events(KFIBER_FILE_RECV, MSG_PEEK, 0), in);
	KUNIT_EXPECT_EQ(test, kf_file_events(KFIBER_FILE_SEND, MSG_OOB, 0), out);
}

/* Data in line does not end the wait for what is out of band: recv() would not take it. */
static void urgent_data(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, kf_file_events(KFIBER_FILE_RECV, MSG_OOB, 0),
			EPOLLPRI | EPOLLERR | EPOLLHUP);
}

static void polling(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, kf_file_events(KFIBER_FILE_POLL, 0, 0), EPOLLERR | EPOLLHUP);
	KUNIT_EXPECT_EQ(test, kf_file_events(KFIBER_FILE_POLL, 0, POLLPRI),
			EPOLLPRI | EPOLLERR | EPOLLHUP);
}

/* POLLFREE is the kernel's own: nobody waits for it by name. */
static void nobody_waits_for_pollfree(struct kunit *test)
{
	KUNIT_EXPECT_FALSE(test, kf_file_events(KFIBER_FILE_POLL, 0, U16_MAX) & POLLFREE);
}

static void what_never_waits(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, kf_file_never_waits(KFIBER_FILE_RECV, MSG_DONTWAIT));
	KUNIT_EXPECT_TRUE(test, kf_file_never_waits(KFIBER_FILE_RECV, MSG_ERRQUEUE));
	KUNIT_EXPECT_TRUE(test, kf_file_never_waits(KFIBER_FILE_SEND, MSG_DONTWAIT));
	KUNIT_EXPECT_FALSE(test, kf_file_never_waits(KFIBER_FILE_SEND, MSG_ERRQUEUE));
	KUNIT_EXPECT_FALSE(test, kf_file_never_waits(KFIBER_FILE_RECV, MSG_WAITALL));
	KUNIT_EXPECT_FALSE(test, kf_file_never_waits(KFIBER_FILE_READ, 0));
}

/* What the kernel keeps for itself must not come from user space. */
static void message_flags(struct kunit *test)
{
	KUNIT_EXPECT_FALSE(test, KF_FILE_MESSAGE_FLAGS & MSG_INTERNAL_SENDMSG_FLAGS);
	KUNIT_EXPECT_FALSE(test, KF_FILE_MESSAGE_FLAGS & MSG_CMSG_COMPAT);
}

static void a_wake_up_is_sent_once(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, kf_file_stirred(KF_FILE_QUIET, false), KF_FILE_STIRRED);
	KUNIT_EXPECT_EQ(test, kf_file_stirred(KF_FILE_STIRRED, false), KF_FILE_STIRRED);
	KUNIT_EXPECT_EQ(test, kf_file_stirred(KF_FILE_ARMED, false), KF_FILE_FIRED);
	KUNIT_EXPECT_EQ(test, kf_file_stirred(KF_FILE_FIRED, false), KF_FILE_FIRED);
	/* A queue that has gone stays so, whoever else comes; who parks begins anew in any case. */
	KUNIT_EXPECT_EQ(test, kf_file_stirred(KF_FILE_GONE, false), KF_FILE_GONE);
	KUNIT_EXPECT_EQ(test, kf_file_stirred(KF_FILE_QUIET, true), KF_FILE_GONE);
	KUNIT_EXPECT_EQ(test, kf_file_stirred(KF_FILE_STIRRED, true), KF_FILE_GONE);
	KUNIT_EXPECT_EQ(test, kf_file_stirred(KF_FILE_ARMED, true), KF_FILE_FIRED);
	KUNIT_EXPECT_EQ(test, kf_file_stirred(KF_FILE_FIRED, true), KF_FILE_FIRED);
}

static struct kunit_case ready_cases[] = {
	KUNIT_CASE(reading_and_writing),
	KUNIT_CASE(urgent_data),
	KUNIT_CASE(polling),
	KUNIT_CASE(nobody_waits_for_pollfree),
	KUNIT_CASE(what_never_waits),
	KUNIT_CASE(message_flags),
	KUNIT_CASE(a_wake_up_is_sent_once),
	{}
};

static struct kunit_suite ready_suite = {
	.name = "kfiber_ready",
	.test_cases = ready_cases,
};
kunit_test_suite(ready_suite);

MODULE_DESCRIPTION("KUnit tests of when a file is ready");
MODULE_LICENSE("GPL");
