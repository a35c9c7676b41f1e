// SPDX-License-Identifier: GPL-2.0
/* A file's sum. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "crawl.h"

#define BLOCK_SIZE	65536

/* Each read may take its time: a disk's, or that of a server that does not answer. */
static int hash_blocks(int fd, EVP_MD_CTX *hash, unsigned char *block)
{
	for (;;) {
		ssize_t n = read(fd, block, BLOCK_SIZE);

		if (kf_cancelled())
			return -ECANCELED;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : 0;
		if (!EVP_DigestUpdate(hash, block, n))
			return -ENOMEM;
		count(&counters.bytes, n);
	}
}

static int hash_into(int fd, EVP_MD_CTX *hash, unsigned char *block, char sum[SUM_TEXT_SIZE])
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned int len, i;
	int err;

	if (!EVP_DigestInit_ex(hash, EVP_sha256(), NULL))
		return -ENOMEM;
	err = hash_blocks(fd, hash, block);
	if (err)
		return err;
	if (!EVP_DigestFinal_ex(hash, bytes, &len))
		return -ENOMEM;
	for (i = 0; i < len; i++)
		sprintf(sum + 2 * i, "%02x", bytes[i]);
	return 0;
}

/* Return: 0, a negative errno. */
int hash_file(int fd, char sum[SUM_TEXT_SIZE])
{
	unsigned char *block = malloc(BLOCK_SIZE);
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	int err = -ENOMEM;

	if (hash && block)
		err = hash_into(fd, hash, block, sum);
	EVP_MD_CTX_free(hash);
	free(block);
	return err;
}
