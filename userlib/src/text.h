/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is written for people: by signal handlers too, so without stdio and malloc(). */
#ifndef KF_TEXT_H
#define KF_TEXT_H

#include "fault.h"

#define KF_NS_PER_MS 1000000u

/**
 * struct kf_text - what is to be written
 * @fd: where to
 * @bytes: it
 * @length: how much; what does not fit is written before
 * @no_wait: rather fail than wait for who reads it
 * @failed: errno of a write, 0 if there was none: then nothing more is written
 * @symbols: where names come from
 *
 * Small: alternate stacks are.
 */
struct kf_text {
	int fd;
	char bytes[1024];
	size_t length;
	bool no_wait;
	int failed;
	struct kf_symbols symbols;
};

void kf_text_byte(struct kf_text *t, char c);
void kf_text_add(struct kf_text *t, const char *s);
void kf_text_number(struct kf_text *t, uint64_t n, unsigned int base);
void kf_text_hex(struct kf_text *t, uint64_t n);
void kf_text_kib(struct kf_text *t, uint64_t pages);
void kf_text_seconds(struct kf_text *t, uint64_t ns);
void kf_text_place(struct kf_text *t, uintptr_t address);
void kf_text_fiber(struct kf_text *t, struct kf_domain *d, struct kfiber_fiber_block *f);
void kf_text_object(struct kf_text *t, struct kf_domain *d, uint64_t object);
void kf_text_end(struct kf_text *t);

#endif /* KF_TEXT_H */
