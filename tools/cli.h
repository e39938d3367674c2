/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command `ooh`: its subcommands and what they share. */
#ifndef OOH_TOOLS_CLI_H
#define OOH_TOOLS_CLI_H

#include <stdbool.h>
#include <stdint.h>

/* Exit codes, as the man page lists them. */
enum { EXIT_OK = 0, EXIT_MISMATCH = 1, EXIT_USAGE = 2, EXIT_ENVIRONMENT = 3 };

struct command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv); /* argv[0]: the subcommand; returns the exit code */
};

int cmd_status(int argc, char **argv);
int cmd_enable(int argc, char **argv);
int cmd_disable(int argc, char **argv);
int cmd_track(int argc, char **argv);
int cmd_lab(int argc, char **argv);

/* One line on stderr: "ooh track: object: reason"; returns code. */
int fail(int code, const char *command, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A whole number in [min, max]; false if text is none. */
bool parse_number(const char *text, long min, long max, long *out);

/* Bytes as people read them: "512 KiB". Static buffers, four in turn. */
const char *human_bytes(uint64_t bytes);

#endif
