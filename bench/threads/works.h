/* SPDX-License-Identifier: GPL-2.0 */
/* Works of the peer "threads" that are not in threads.c. */
#ifndef BENCH_THREADS_WORKS_H
#define BENCH_THREADS_WORKS_H

/* All threads of the process that are created from now on, and the caller. */
void bench_one_cpu(void);

void bench_blocking(void);
void bench_reads_blocking(void);
void bench_httpd(void);
void bench_yield(void);
void bench_unpark(void);
void bench_floor(void);
void bench_handover(void);
void bench_channel(void);
void bench_spawn(void);
void bench_mutex(void);

#endif /* BENCH_THREADS_WORKS_H */
