/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fiber-local values: a key is the same for all fibers, its value each fiber's own. A
 * thread-local variable is no substitute: a fiber may go on in another thread after
 * each call that waits.
 */
#ifndef KFIBER_KEY_H
#define KFIBER_KEY_H

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/**
 * typedef kf_key_t - a key of fiber-local values
 *
 * Keys are never taken back: make them once for the program, not for each use.
 */
typedef unsigned int kf_key_t;

/** KF_DESTROY_ROUNDS - how often values are looked for when a fiber ends */
#define KF_DESTROY_ROUNDS 4

/**
 * kf_key_create() - make a key
 * @key: where it goes
 * @destroy: NULL, or called with each value that is not NULL when its fiber ends
 *
 * When a fiber returns or calls kf_exit() each of its values is set to NULL, then
 * destroyed, by the fiber itself, which may use the whole of this library for it. If
 * destroying set values again that is repeated, KF_DESTROY_ROUNDS times in all. A
 * fiber that died with its thread, or of a contained fault, destroys nothing.
 *
 * Context: any fiber or plain thread; no domain needs to run.
 * Return: 0, -ENOMEM.
 */
int kf_key_create(kf_key_t *key, void (*destroy)(void *value));

/**
 * kf_getspecific() - the calling fiber's value
 * @key: the key
 *
 * Context: anywhere; signal handlers too.
 * Return: the value; NULL if none was set, and in a plain thread.
 */
void *kf_getspecific(kf_key_t key);

/**
 * kf_setspecific() - set the calling fiber's value
 * @key: the key
 * @value: the value; what was there before is not destroyed
 *
 * Return: 0, -EINVAL (no such key), -ENOMEM, -EPERM (a plain thread).
 */
int kf_setspecific(kf_key_t key, void *value);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KFIBER_KEY_H */
