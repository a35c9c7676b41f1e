/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Children that may be killed, and what they say of it. After the harness and its
 * assertions.
 */
#ifndef KF_SELFTESTS_DEATH_H
#define KF_SELFTESTS_DEATH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"

/* What the tests' functions are compiled with, where it matters. */
#define KEPT __attribute__((noipa))

/**
 * struct death - how a child ended and what it wrote to stderr
 * @status: as waitpid() gives it
 * @text: terminated; the begin, if there was more
 */
struct death {
	int status;
	char text[64 << 10];
};

static inline size_t read_all(int fd, char *to, size_t size)
{
	size_t done = 0;
	char rest[512] = "";
	ssize_t n;

	while ((n = read(fd, done < size ? to + done : rest,
			 done < size ? size - done : sizeof(rest))) > 0)
		done += done < size ? (size_t)n : 0;
	return done;
}

/* Runs @fn in a child; what it returns is the child's exit status. */
static inline void die(struct death *death, int (*fn)(void *), void *arg)
{
	struct rlimit no_core = { 0 };
	int pipe_fds[2];
	pid_t child;

	if (pipe(pipe_fds))
		exit(1);
	fflush(NULL);
	child = fork();
	if (!child) {
		setrlimit(RLIMIT_CORE, &no_core);
		dup2(pipe_fds[1], STDERR_FILENO);
		close(pipe_fds[1]);
		_exit(fn(arg));
	}
	close(pipe_fds[1]);
	death->text[read_all(pipe_fds[0], death->text, sizeof(death->text) - 1)] = '\0';
	close(pipe_fds[0]);
	death->status = wait_for(child);
}

#define ASSERT_SAID(death, what)							\
	ASSERT_NE(NULL, strstr((death)->text, what)) {					\
		TH_LOG("not said: \"%s\"; but:\n%s", what, (death)->text);		\
	}

#define ASSERT_SILENT(death)								\
	ASSERT_EQ(0, strlen((death)->text)) {						\
		TH_LOG("said:\n%s", (death)->text);					\
	}

#define ASSERT_KILLED(death, signal)							\
	do {										\
		ASSERT_TRUE(WIFSIGNALED((death)->status)) {				\
			TH_LOG("status %x:\n%s", (death)->status, (death)->text);	\
		}									\
		ASSERT_EQ(signal, WTERMSIG((death)->status));				\
	} while (0)

#define ASSERT_EXITED(death)								\
	ASSERT_EQ(0, (death)->status) {							\
		TH_LOG("status %x:\n%s", (death)->status, (death)->text);		\
	}

#endif /* KF_SELFTESTS_DEATH_H */
