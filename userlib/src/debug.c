// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * KFIBER_DEBUG: what is asked for from outside, as by GODEBUG. Settings with commas
 * between them; one that makes no sense is said once, when a domain begins, and ignored.
 * A switch, whose values are 0 and 1, is on when it is only named.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

/* A day. */
#define KF_SCHEDTRACE_MAX 86400000u

static const struct {
	const char *name;
	size_t offset;
	unsigned int max;
} kf_settings[] = {
	{ "schedtrace", offsetof(struct kf_debug, schedtrace), KF_SCHEDTRACE_MAX },
	{ "scheddetail", offsetof(struct kf_debug, scheddetail), 1 },
	{ "leaks", offsetof(struct kf_debug, leaks), 1 },
	{ "cputime", offsetof(struct kf_debug, cputime), 1 },
};

#define KF_NR_SETTINGS (sizeof(kf_settings) / sizeof(kf_settings[0]))

/* Return: false if it is not a number up to @max and nothing else. */
static bool kf_debug_number(const char *digits, size_t length, unsigned int max,
			    unsigned int *number)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < length; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(digits[i] - '0');
		if (n > max)
			return false;
	}
	*number = (unsigned int)n;
	return length;
}

/* @max: of the setting's values; -1: there is no such setting */
static void kf_debug_complain(const char *setting, size_t length, int64_t max)
{
	struct kf_text t = { .fd = STDERR_FILENO };

	kf_text_add(&t, "kfiber: KFIBER_DEBUG: ignored \"");
	while (length--) {
		kf_text_byte(&t, *setting < ' ' || *setting > '~' ? '?' : *setting);
		setting++;
	}
	kf_text_add(&t, max < 0 ? "\": there is no such setting" : "\": a number from 0 to ");
	if (max >= 0) {
		kf_text_number(&t, (uint64_t)max, 10);
		kf_text_add(&t, " is wanted");
	}
	kf_text_byte(&t, '\n');
	kf_text_end(&t);
}

/* Return: the setting whose name this begins with, KF_NR_SETTINGS if there is none. */
static size_t kf_debug_find(const char *setting, size_t length)
{
	size_t i;

	for (i = 0; i < KF_NR_SETTINGS; i++)
		if (strlen(kf_settings[i].name) == length &&
		    !memcmp(kf_settings[i].name, setting, length))
			break;
	return i;
}

static void kf_debug_read_one(struct kf_debug *debug, const char *setting, size_t length)
{
	const char *equals = memchr(setting, '=', length);
	size_t name = equals ? (size_t)(equals - setting) : length;
	size_t i = kf_debug_find(setting, name);
	unsigned int *to;

	if (i == KF_NR_SETTINGS) {
		kf_debug_complain(setting, length, -1);
		return;
	}
	to = (unsigned int *)((char *)debug + kf_settings[i].offset);
	if (!equals && kf_settings[i].max == 1)
		*to = 1;
	else if (!equals || !kf_debug_number(equals + 1, length - name - 1, kf_settings[i].max, to))
		kf_debug_complain(setting, length, kf_settings[i].max);
}

/**
 * kf_debug_read() - read KFIBER_DEBUG
 * @debug: all zero; out: what is asked for
 *
 * A program that runs with more rights than who started it is not asked for anything.
 */
void kf_debug_read(struct kf_debug *debug)
{
	const char *setting = secure_getenv("KFIBER_DEBUG");

	while (setting && *setting) {
		const char *end = strchrnul(setting, ',');

		if (end != setting)
			kf_debug_read_one(debug, setting, (size_t)(end - setting));
		setting = *end ? end + 1 : end;
	}
}
