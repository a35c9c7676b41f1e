/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SIGNALS_H
#define SIGNALS_H

/**
 * signals_block() - let SIGINT and SIGTERM be read by signals_start()'s fiber alone
 *
 * Every thread made after this inherits the mask, workers included: the signals come by a
 * file, and no call is interrupted. SIGPIPE is left as it is.
 *
 * Return: 0 or a negative errno.
 */
int signals_block(void);

/* When nobody reads them any more: they end the process, as ever. */
void signals_unblock(void);

/**
 * signals_start() - have a fiber wait for them
 * @stop: called by that fiber for the first one
 * @arg: passed to @stop
 * @status: the exit status with which the second one ends the process at once
 *
 * Context: a fiber. Return: 0 or a negative errno.
 */
int signals_start(void (*stop)(void *arg), void *arg, int status);

/* Context: a fiber, and once for each signals_start() that did not fail. */
void signals_stop(void);

#endif
