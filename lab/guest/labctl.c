/* SPDX-License-Identifier: GPL-2.0-or-later */
/* labctl snapshot | exit N | quiet TTY: what the guest's init asks of the machine, and a serial line without cooking. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "lab/probe/probe.h"

static int snapshot(void)
{
	struct machine_command_block b = { .command = MACHINE_SNAPSHOT };
	int fd = open(PROBE_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, PROBE_COMMAND, &b)) {
		fprintf(stderr, "labctl: %s: %s\n", PROBE_DEVICE, strerror(errno));
		return 3;
	}
	return b.status ? 3 : 0;
}

static int leave(const char *code)
{
	if (iopl(3)) {
		perror("labctl: iopl");
		return 3;
	}
	outl((unsigned)atoi(code), MACHINE_EXIT_PORT);
	return 3; /* not reached inside the machine */
}

static int quiet(const char *tty)
{
	int fd = open(tty, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios t;

	if (fd < 0 || tcgetattr(fd, &t)) {
		fprintf(stderr, "labctl: %s: %s\n", tty, strerror(errno));
		return 3;
	}
	cfmakeraw(&t);
	t.c_cflag |= CLOCAL;
	cfsetspeed(&t, B115200);
	return tcsetattr(fd, TCSANOW, &t) ? 3 : 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "snapshot"))
		return snapshot();
	if (argc == 3 && !strcmp(argv[1], "exit"))
		return leave(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "quiet"))
		return quiet(argv[2]);
	fputs("usage: labctl snapshot | exit N | quiet TTY\n", stderr);
	return 2;
}
