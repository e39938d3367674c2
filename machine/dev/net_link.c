/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "machine/dev/net.h"

#define LENGTH 4u

bool net_link_open(struct net_link *l, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	*l = (struct net_link){ .fd = -1 };
	if (strlen(path) >= sizeof(a.sun_path)) {
		errno = ENAMETOOLONG;
	} else {
		memcpy(a.sun_path, path, strlen(path));
		l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (l->fd >= 0 && connect(l->fd, (struct sockaddr *)&a, sizeof(a)) == 0)
			return true;
	}
	fprintf(stderr, "ooh-machine: %s: %s\n", path, strerror(errno));
	net_link_close(l);
	return false;
}

void net_link_close(struct net_link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

static u32 length(const u8 *p)
{
	return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

/* All or nothing: a frame cut short would spoil those behind it. */
static void send_all(struct net_link *l, const u8 *p, size_t n)
{
	int flags = MSG_NOSIGNAL | MSG_DONTWAIT; /* until the first byte is out */

	while (n && l->fd >= 0) {
		ssize_t put = send(l->fd, p, n, flags);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && (flags & MSG_DONTWAIT) && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (put <= 0) {
			net_link_close(l);
			return;
		}
		p += put;
		n -= (size_t)put;
		flags = MSG_NOSIGNAL;
	}
}

void net_link_send(struct net_link *l, const struct net_frame *f)
{
	u8 out[LENGTH + NET_FRAME_MAX] = { 0, 0, (u8)(f->n >> 8), (u8)f->n };

	memcpy(out + LENGTH, f->bytes, f->n);
	send_all(l, out, LENGTH + f->n);
}

/* Reads up to `want` bytes in all; true when they are there. */
static bool fill(struct net_link *l, u32 want)
{
	while (l->have < want && l->fd >= 0) {
		ssize_t got = recv(l->fd, l->in + l->have, want - l->have, MSG_DONTWAIT);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return false;
		if (got <= 0) {
			net_link_close(l);
			return false;
		}
		l->have += (u32)got;
	}
	return l->have >= want;
}

bool net_link_receive(struct net_link *l, struct net_frame *f)
{
	u32 n;

	if (l->fd < 0 || !fill(l, LENGTH))
		return false;
	n = length(l->in);
	if (n < NET_FRAME_MIN || n > NET_FRAME_MAX) { /* what follows cannot be found again */
		net_link_close(l);
		return false;
	}
	if (!fill(l, LENGTH + n))
		return false;
	f->n = n;
	memcpy(f->bytes, l->in + LENGTH, n);
	l->have = 0;
	return true;
}
