/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/dev/chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define CTRL_A 1

static struct termios saved_termios;
static bool termios_saved;

static void restore_terminal(void)
{
	if (termios_saved)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved_termios);
	termios_saved = false;
}

/* Input and signals raw; output keeps its newline translation off too, as the guest's driver sends CR LF. */
static void raw_terminal(void)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &saved_termios) != 0)
		return;
	termios_saved = true;
	atexit(restore_terminal);
	t = saved_termios;
	cfmakeraw(&t);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &t);
}

static bool is_regular(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static int open_part(const char *path, size_t n, int flags)
{
	char *name = strndup(path, n);
	int fd = name ? open(name, flags | O_CLOEXEC, 0666) : -1;

	if (fd < 0)
		fprintf(stderr, "ooh-machine: %s: %s\n", name ? name : "serial port", strerror(errno));
	free(name);
	return fd;
}

static void open_stdio(struct chardev *ch)
{
	ch->in = STDIN_FILENO;
	ch->out = STDOUT_FILENO;
	ch->tty = isatty(STDIN_FILENO);
	ch->polled = !is_regular(STDIN_FILENO);
	if (ch->tty)
		raw_terminal();
}

/* "in:PATH", "out:PATH", or both with a comma between. */
static bool open_parts(struct chardev *ch, const char *spec)
{
	while (*spec) {
		size_t n = strcspn(spec, ",");
		int fd;

		if (strncmp(spec, "in:", 3) == 0)
			fd = ch->in = open_part(spec + 3, n - 3, O_RDONLY);
		else if (strncmp(spec, "out:", 4) == 0)
			fd = ch->out = open_part(spec + 4, n - 4, O_WRONLY | O_CREAT | O_TRUNC);
		else if (strncmp(spec, "file:", 5) == 0)
			fd = ch->out = open_part(spec + 5, n - 5, O_WRONLY | O_CREAT | O_TRUNC);
		else {
			fprintf(stderr, "ooh-machine: --serial %s: not in:PATH or out:PATH\n", spec);
			return false;
		}
		if (fd < 0)
			return false;
		spec += n + (spec[n] == ',');
	}
	ch->polled = ch->in >= 0 && !is_regular(ch->in);
	return true;
}

bool chardev_open(struct chardev *ch, const char *spec)
{
	memset(ch, 0, sizeof(*ch));
	ch->in = ch->out = -1;
	if (strcmp(spec, "stdio") == 0)
		open_stdio(ch);
	else if (strcmp(spec, "null") != 0)
		return open_parts(ch, spec);
	return true;
}

void chardev_close(struct chardev *ch)
{
	chardev_flush(ch);
	if (ch->tty)
		restore_terminal();
	if (ch->in > STDERR_FILENO)
		close(ch->in);
	if (ch->out > STDERR_FILENO)
		close(ch->out);
	ch->in = ch->out = -1;
	ch->tty = ch->polled = false;
}

static void fill(struct chardev *ch, u8 *buf, unsigned *n)
{
	ssize_t got = read(ch->in, buf, CHARDEV_BUFFER);

	if (got > 0) {
		*n = (unsigned)got;
		return;
	}
	*n = 0;
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	ch->in = ch->in > STDERR_FILENO ? (close(ch->in), -1) : -1; /* end of the input */
}

/* Ctrl-A x ends the machine; Ctrl-A twice sends one. Returns how many bytes are left for the guest. */
static unsigned take_commands(struct chardev *ch, u8 *buf, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		u8 byte = buf[i];

		if (!ch->escape && byte == CTRL_A) {
			ch->escape = true;
			continue;
		}
		if (ch->escape && (byte == 'x' || byte == 'X'))
			ch->quit = true;
		ch->escape = false;
		buf[kept++] = byte;
	}
	return kept;
}

void chardev_poll(struct chardev *ch)
{
	struct pollfd fd = { .fd = ch->in, .events = POLLIN };

	if (ch->in < 0 || !ch->polled || ch->rx_at < ch->rx_n)
		return;
	if (poll(&fd, 1, 0) <= 0 || !(fd.revents & (POLLIN | POLLHUP | POLLERR)))
		return;
	ch->rx_at = 0;
	fill(ch, ch->rx, &ch->rx_n);
	if (ch->tty)
		ch->rx_n = take_commands(ch, ch->rx, ch->rx_n);
}

unsigned chardev_ready(struct chardev *ch)
{
	if (ch->rx_at == ch->rx_n && ch->in >= 0 && !ch->polled) {
		ch->rx_at = 0;
		fill(ch, ch->rx, &ch->rx_n);
	}
	return ch->rx_n - ch->rx_at;
}

u8 chardev_get(struct chardev *ch)
{
	return ch->rx_at < ch->rx_n ? ch->rx[ch->rx_at++] : 0;
}

void chardev_flush(struct chardev *ch)
{
	unsigned done = 0;

	while (done < ch->tx_n && ch->out >= 0) {
		ssize_t n = write(ch->out, ch->tx + done, ch->tx_n - done);

		if (n > 0)
			done += (unsigned)n;
		else if (n < 0 && errno != EINTR && errno != EAGAIN)
			break; /* nobody reads any more: the guest must not notice */
	}
	ch->tx_n = 0;
}

void chardev_put(struct chardev *ch, u8 byte)
{
	if (ch->out < 0)
		return;
	ch->tx[ch->tx_n++] = byte;
	if (ch->tx_n == CHARDEV_BUFFER)
		chardev_flush(ch);
}

bool chardev_may_wake(const struct chardev *ch)
{
	return ch->in >= 0 && ch->polled;
}
