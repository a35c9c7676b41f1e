/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LISTEN_H
#define LISTEN_H

#include <netinet/in.h>
#include <sys/socket.h>

/** union address - of a TCP socket */
union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/**
 * tcp_listen() - a socket that takes connections
 * @host: a numeric address; NULL for all, by IPv6 and by IPv4
 * @port: 0 for any free one
 *
 * What is accepted from it sends at once (TCP_NODELAY), as servers send what is whole.
 *
 * Return: a file descriptor, close on exec; a negative errno.
 */
int tcp_listen(const char *host, unsigned int port);

/* Return: the port that @fd is bound to, 0 if it is not. */
int tcp_port(int fd);

#endif
