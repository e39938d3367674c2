/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The line to GDB: a socket, and packets `$data#checksum` on it. GDB manual, appendix "GDB Remote Serial Protocol",
 * section "Overview". TCP listens on the loopback interface only: whoever connects owns the machine.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "machine/debug/state.h"

#define CTRL_C 3

static int listen_on(const struct sockaddr *a, socklen_t n, int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -1;
	if (family == AF_INET)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, a, n) == 0 && listen(fd, 1) == 0)
		return fd;
	close(fd);
	return -1;
}

static int listen_unix(struct gdb_link *l, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(a.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(a.sun_path, path);
	fd = listen_on((const struct sockaddr *)&a, sizeof(a), AF_UNIX);
	if (fd >= 0)
		l->path = path;
	return fd;
}

static int listen_tcp(const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	a.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	return listen_on((const struct sockaddr *)&a, sizeof(a), AF_INET);
}

/* spec: tcp:PORT or unix:PATH, as the command line has checked. */
bool gdb_listen(struct gdb_link *l, const char *spec)
{
	if (strncmp(spec, "unix:", 5) == 0)
		l->listener = listen_unix(l, spec + 5);
	else
		l->listener = listen_tcp(spec + 4);
	if (l->listener < 0)
		fprintf(stderr, "ooh-machine: --gdb %s: %s\n", spec, strerror(errno));
	return l->listener >= 0;
}

void gdb_hang_up(struct gdb_link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->in_at = l->in_n = 0;
	l->no_ack = l->swbreak = false;
}

void gdb_unlisten(struct gdb_link *l)
{
	gdb_hang_up(l);
	if (l->listener >= 0)
		close(l->listener);
	if (l->path)
		unlink(l->path);
	l->listener = -1;
	l->path = NULL;
}

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

bool gdb_accept(struct gdb_link *l, int ms)
{
	int on = 1;

	if (!readable(l->listener, ms))
		return false;
	l->fd = accept(l->listener, NULL, NULL);
	if (l->fd >= 0)
		setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* refused by Unix sockets */
	return l->fd >= 0;
}

/* More bytes into the buffer. False: none came; the other side may be gone (fd -1) or a signal may have arrived. */
static bool fill(struct gdb_link *l)
{
	ssize_t n = read(l->fd, l->in, sizeof(l->in));

	l->in_at = l->in_n = 0;
	if (n > 0)
		l->in_n = (unsigned)n;
	else if (n == 0 || errno != EINTR)
		gdb_hang_up(l);
	return n > 0;
}

static int next_byte(struct gdb_link *l)
{
	if (l->in_at == l->in_n && !fill(l))
		return -1;
	return l->in[l->in_at++];
}

static bool send_all(struct gdb_link *l, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(l->fd, p, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			gdb_hang_up(l);
			return false;
		}
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static int digit(int ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch |= 0x20;
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

void gdb_hex(char *to, const void *from, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*to++ = digits[((const u8 *)from)[i] >> 4];
		*to++ = digits[((const u8 *)from)[i] & 15];
	}
	*to = 0;
}

size_t gdb_unhex(void *to, const char *from, size_t max)
{
	size_t n = 0;

	while (n < max && digit(from[0]) >= 0 && digit(from[1]) >= 0) {
		((u8 *)to)[n++] = (u8)(digit(from[0]) << 4 | digit(from[1]));
		from += 2;
	}
	return n;
}

/* The data of a packet whose `$` has been read, escapes undone. 1: good, 0: bad checksum or too long, -1: no more. */
static int read_data(struct gdb_link *l)
{
	unsigned sum = 0, n = 0;
	bool escaped = false, fits = true;
	int ch, hi, lo;

	while ((ch = next_byte(l)) != '#') {
		if (ch < 0)
			return -1;
		sum += (unsigned)ch;
		if (ch == '}' && !escaped) {
			escaped = true;
			continue;
		}
		fits = n < sizeof(l->packet) - 1;
		if (fits)
			l->packet[n++] = (char)(escaped ? ch ^ 0x20 : ch);
		escaped = false;
	}
	hi = next_byte(l);
	lo = hi < 0 ? -1 : next_byte(l);
	if (lo < 0)
		return -1;
	l->packet[n] = 0;
	l->packet_n = n;
	return fits && digit(hi) >= 0 && digit(lo) >= 0 && (digit(hi) << 4 | digit(lo)) == (int)(sum & 0xff);
}

bool gdb_receive(struct gdb_link *l)
{
	for (;;) {
		int ch = next_byte(l), ok;

		if (ch < 0)
			return false;
		if (ch != '$')
			continue; /* acknowledgements; Ctrl-C, to which the stop that is being served is the answer */
		ok = read_data(l);
		if (ok < 0)
			return false;
		if (!l->no_ack && !send_all(l, ok ? "+" : "-", 1))
			return false;
		if (ok)
			return true;
	}
}

void gdb_send_bytes(struct gdb_link *l, const char *data, size_t n)
{
	static char frame[2 * sizeof(l->reply) + 4];
	unsigned sum = 0;
	size_t k = 0;
	u8 check;

	if (l->fd < 0)
		return;
	frame[k++] = '$';
	for (size_t i = 0; i < n && k < sizeof(frame) - 8; i++) {
		char ch = data[i];

		if (ch == '$' || ch == '#' || ch == '}' || ch == '*') {
			frame[k++] = '}';
			sum += '}';
			ch ^= 0x20;
		}
		frame[k++] = ch;
		sum += (u8)ch;
	}
	frame[k++] = '#';
	check = (u8)sum;
	gdb_hex(frame + k, &check, 1);
	send_all(l, frame, k + 2);
}

void gdb_send(struct gdb_link *l, const char *text)
{
	gdb_send_bytes(l, text, strlen(text));
}

bool gdb_interrupted(struct gdb_link *l)
{
	while (l->in_at < l->in_n)
		if (l->in[l->in_at++] == CTRL_C)
			return true;
	if (!readable(l->fd, 0))
		return false;
	if (!fill(l))
		return l->fd < 0;
	return gdb_interrupted(l);
}
