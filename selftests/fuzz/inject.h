/* SPDX-License-Identifier: GPL-2.0 */
/* Making the kernel fail, where it has fault injection; else nothing happens. */
#ifndef FUZZ_INJECT_H
#define FUZZ_INJECT_H

/* Lets all kinds of allocations and copies fail, without a word in the log. */
void inject_init(void);

/* From here on the @n-th failure point of the calling thread fails; 0: none. */
void inject_nth(unsigned int n);

#endif /* FUZZ_INJECT_H */
