/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ooh: what hardware made for hypervisors can do, for ordinary processes. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ooh.h>

static const struct command commands[] = {
	{ "status", "say what works here: hypervisor, module, backends", cmd_status },
	{ "enable", "start the hypervisor under the running Linux", cmd_enable },
	{ "disable", "stop it again", cmd_disable },
	{ "track", "show the pages that a process writes, round by round", cmd_track },
	{ "lab", "do it inside the emulated machine: no VT-x needed", cmd_lab },
};

static void usage(FILE *f)
{
	fputs("usage: ooh <command> [options]\n\ncommands:\n", f);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(f, "  %-9s %s\n", commands[i].name, commands[i].summary);
	fputs("\n`ooh <command> --help` says more. Exit codes: 0 success, 1 mismatch, 2 usage, 3 environment;\n"
	      "`ooh track -- command` ends with the command's own.\n", f);
}

int fail(int code, const char *command, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "ooh %s: ", command);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

bool parse_number(const char *text, long min, long max, long *out)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 0);
	if (errno || end == text || *end || v < min || v > max)
		return false;
	*out = v;
	return true;
}

const char *human_bytes(uint64_t bytes)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	static char buf[4][24];
	static unsigned turn;
	double v = (double)bytes;
	unsigned u = 0;

	turn = (turn + 1) % 4;
	while (v >= 1024 && u < 4) {
		v /= 1024;
		u++;
	}
	snprintf(buf[turn], sizeof(buf[0]), v < 10 && u ? "%.1f %s" : "%.0f %s", v, unit[u]);
	return buf[turn];
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return EXIT_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("ooh %s\n", ooh_version());
		return EXIT_OK;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "ooh: '%s' is not a command; see `ooh --help`\n", argv[1]);
	return EXIT_USAGE;
}
