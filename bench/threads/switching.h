/* SPDX-License-Identifier: GPL-2.0 */
/* Works in switching.c. */
#ifndef BENCH_THREADS_SWITCHING_H
#define BENCH_THREADS_SWITCHING_H

void bench_yield(void);
void bench_unpark(void);
void bench_channel(void);
void bench_spawn(void);
void bench_mutex(void);

#endif /* BENCH_THREADS_SWITCHING_H */
