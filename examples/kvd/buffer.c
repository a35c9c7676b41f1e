// SPDX-License-Identifier: GPL-2.0
/* Bytes that come and go. */
#include <string.h>

#include "kvd.h"

#define SIZE_MIN	1024
/* What an empty buffer may keep for the next bytes. */
#define SIZE_KEPT	16384

static bool grow(struct buffer *buf, size_t need)
{
	size_t size = buf->size ? buf->size : SIZE_MIN;
	char *data = NULL;

	while (size < need)
		size *= 2;
	if (size > memory_share())
		size = memory_share();
	if (size >= need)
		data = memory_resize(buf->data, buf->size, size);
	if (!data) {
		buf->failed = true;
		return false;
	}
	buf->data = data;
	buf->size = size;
	return true;
}

/**
 * buffer_room() - make room at the end
 * @buf: the buffer; what is in it may move
 * @len: how much
 *
 * Return: where it is; NULL when memory is short, or was, or it would be too much.
 */
char *buffer_room(struct buffer *buf, size_t len)
{
	if (buf->failed)
		return NULL;
	if (buf->size - buf->end < len && buf->start) {
		memmove(buf->data, buf->data + buf->start, buffer_len(buf));
		buf->end -= buf->start;
		buf->start = 0;
	}
	if (buf->size - buf->end < len && !grow(buf, buf->end + len))
		return NULL;
	return buf->data + buf->end;
}

void buffer_put(struct buffer *buf, const void *data, size_t len)
{
	char *room = buffer_room(buf, len);

	if (!room)
		return;
	memcpy(room, data, len);
	buf->end += len;
}

void buffer_take(struct buffer *buf, size_t len)
{
	buf->start += len;
	if (buf->start < buf->end)
		return;
	buf->start = 0;
	buf->end = 0;
	if (buf->size > SIZE_KEPT)
		buffer_free(buf);
}

/* It can be used again. */
void buffer_free(struct buffer *buf)
{
	memory_free(buf->data, buf->size);
	*buf = (struct buffer){ .failed = buf->failed };
}
