// SPDX-License-Identifier: LGPL-2.1-or-later
/* Text for people, piece by piece: see text.h. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "text.h"

/*
 * Does a write not wait? A pipe that can be written to takes PIPE_BUF bytes, which is more
 * than ever is written at once.
 */
static bool kf_text_may_write(const struct kf_text *t)
{
	struct pollfd p = { .fd = t->fd, .events = POLLOUT };

	return !t->no_wait || (poll(&p, 1, 0) == 1 && p.revents & POLLOUT);
}

static void kf_text_flush(struct kf_text *t)
{
	size_t done = 0;

	while (done < t->length && !t->failed) {
		ssize_t n;

		if (!kf_text_may_write(t)) {
			t->failed = EAGAIN;
			break;
		}
		n = write(t->fd, t->bytes + done, t->length - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			t->failed = n ? errno : EIO;
			break;
		}
		done += (size_t)n;
	}
	t->length = 0;
}

void kf_text_end(struct kf_text *t)
{
	kf_text_flush(t);
	kf_symbols_close(&t->symbols);
}

void kf_text_byte(struct kf_text *t, char c)
{
	if (t->length == sizeof(t->bytes))
		kf_text_flush(t);
	t->bytes[t->length++] = c;
}

void kf_text_add(struct kf_text *t, const char *s)
{
	while (*s)
		kf_text_byte(t, *s++);
}

void kf_text_number(struct kf_text *t, uint64_t n, unsigned int base)
{
	char digits[20];
	unsigned int i = 0;

	do {
		digits[i++] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	while (i)
		kf_text_byte(t, digits[--i]);
}

void kf_text_hex(struct kf_text *t, uint64_t n)
{
	kf_text_add(t, "0x");
	kf_text_number(t, n, 16);
}

void kf_text_kib(struct kf_text *t, uint64_t pages)
{
	kf_text_number(t, pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024, 10);
	kf_text_add(t, " KiB");
}

/* 1.234 s */
void kf_text_seconds(struct kf_text *t, uint64_t ns)
{
	uint64_t ms = ns / KF_NS_PER_MS;

	kf_text_number(t, ms / 1000, 10);
	kf_text_byte(t, '.');
	kf_text_number(t, ms / 100 % 10, 10);
	kf_text_number(t, ms / 10 % 10, 10);
	kf_text_number(t, ms % 10, 10);
	kf_text_add(t, " s");
}

/* function+0x12 (program+0x1234), as far as it is known */
void kf_text_place(struct kf_text *t, uintptr_t address)
{
	struct kf_symbol symbol;

	kf_symbol_find(&t->symbols, address, &symbol);
	if (*symbol.name) {
		kf_text_add(t, symbol.name);
		kf_text_byte(t, '+');
		kf_text_hex(t, symbol.name_offset);
		kf_text_add(t, " (");
	}
	kf_text_add(t, symbol.object);
	if (*symbol.object)
		kf_text_byte(t, '+');
	kf_text_hex(t, symbol.object_offset);
	if (*symbol.name)
		kf_text_byte(t, ')');
}

static void kf_text_name(struct kf_text *t, const char *name, size_t size)
{
	size_t i;

	kf_text_add(t, " \"");
	for (i = 0; i < size && name[i]; i++)
		kf_text_byte(t, name[i] < ' ' || name[i] > '~' ? '?' : name[i]);
	kf_text_byte(t, '"');
}

void kf_text_fiber(struct kf_text *t, struct kf_domain *d, struct kfiber_fiber_block *f)
{
	kf_fiber_t name = kf_name(d, f);

	kf_text_add(t, "fiber ");
	kf_text_hex(t, name);
	kf_text_add(t, " (index ");
	kf_text_number(t, name & KFIBER_INDEX_MASK, 10);
	kf_text_add(t, ", generation ");
	kf_text_number(t, name >> KFIBER_GENERATION_SHIFT, 10);
	kf_text_byte(t, ')');
	kf_text_name(t, f->name, sizeof(f->name));
}
