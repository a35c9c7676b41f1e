/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Structs that a program hands in begin with their size, and grow at their end: what was
 * compiled against another version of the library has less of them, or more.
 */
#ifndef KF_SIZED_H
#define KF_SIZED_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

/**
 * kf_read_sized() - copy a struct of any version
 * @from: the program's; NULL, or a size of 0: all as it is by default, which is 0
 * @least: the size of the first version
 * @to: of this version; what @from does not have is 0
 * @size: of @to
 *
 * Return: 0, -EINVAL, or -E2BIG if something is set that this version does not know.
 */
static inline int kf_read_sized(const void *from, size_t least, void *to, size_t size)
{
	size_t given = from ? *(const size_t *)from : 0, i;

	memset(to, 0, size);
	if (!given)
		return 0;
	if (given < least)
		return -EINVAL;
	for (i = size; i < given; i++)
		if (((const unsigned char *)from)[i])
			return -E2BIG;
	memcpy(to, from, given < size ? given : size);
	return 0;
}

#endif /* KF_SIZED_H */
