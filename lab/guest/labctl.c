/* SPDX-License-Identifier: GPL-2.0-or-later */
/* labctl snapshot | exit N | quiet TTY | counters NAME: what scripts in the guest ask of the machine. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "arch/exit_reasons.h"
#include "lab/probe/probe.h"

static const char *const counter_names[] = {
#define COUNTER(name, text) #name,
#include "abi/machine_counters.def"
#undef COUNTER
};
#define COUNTERS (sizeof(counter_names) / sizeof(counter_names[0]))

/* 0, or 3 with a line on stderr. */
static int command(struct machine_command_block *b)
{
	int fd = open(PROBE_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, PROBE_COMMAND, b)) {
		fprintf(stderr, "labctl: %s: %s\n", PROBE_DEVICE, strerror(errno));
		return 3;
	}
	close(fd);
	return b->status ? 3 : 0;
}

static int snapshot(void)
{
	return command(&(struct machine_command_block){ .command = MACHINE_SNAPSHOT });
}

static void json_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		putchar(*s);
	}
	putchar('"');
}

static void exits(const char *reason, const char *vector, uint64_t count, uint64_t cycles)
{
	static const char *comma = "";

	if (!count)
		return;
	printf("%s\"%s%s%s\":[%" PRIu64 ",%" PRIu64 "]", comma, reason, *vector ? " " : "", vector, count, cycles);
	comma = ",";
}

/* One line of JSON; VM exits as "name": [count, cycles], those by exceptions and NMIs by vector. */
static int counters(const char *name)
{
	uint64_t v[512] = { 0 };
	struct machine_command_block b = { .command = MACHINE_COUNTERS, .arg = { (uintptr_t)v, 512 } };
	struct machine_command_block now = { .command = MACHINE_NOW };

	if (command(&b) || command(&now))
		return 3;
	printf("{\"counters\":");
	json_string(name);
	printf(",\"now\":%" PRIu64, now.out[0]);
	for (size_t i = 0; i < COUNTERS; i++)
		printf(",\"%s\":%" PRIu64, counter_names[i], v[i]);
	printf(",\"exits\":{");
	for (unsigned i = 0; i < MACHINE_EXIT_REASONS; i++)
		if (i != EXIT_EXCEPTION_NMI)
			exits(exit_reason_name(i), "", v[MACHINE_EXITS_AT + i], v[MACHINE_EXIT_CYCLES_AT + i]);
	for (unsigned i = 0; i < MACHINE_VECTORS; i++)
		exits(exit_reason_name(EXIT_EXCEPTION_NMI), exception_name(i), v[MACHINE_VECTORS_AT + i], v[MACHINE_VECTOR_CYCLES_AT + i]);
	puts("}}");
	return 0;
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
	if (argc == 3 && !strcmp(argv[1], "counters"))
		return counters(argv[2]);
	fputs("usage: labctl snapshot | exit N | quiet TTY | counters NAME\n", stderr);
	return 2;
}
