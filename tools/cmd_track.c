/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ooh.h>

#include "cli.h"
#include "report.h"

static const char help[] =
	"usage: ooh track [options] --pid N\n"
	"       ooh track [options] [--] command [argument …]\n\n"
	"Shows the pages that a process writes, round by round, per mapping, and where.\n\n"
	"  -p, --pid N          a process that runs already (needs what ptrace needs)\n"
	"  -b, --backend NAME   pml, soft-dirty or userfaultfd; default: the best that works (`ooh status`)\n"
	"  -i, --interval MS    length of a round in milliseconds; default 100\n"
	"  -n, --rounds N       stop tracking after N rounds; the process goes on\n"
	"  -o, --output FILE    write the report there instead of to standard output\n"
	"      --json           one JSON object a line: a round each, then a summary\n"
	"      --lines          no live screen, also on a terminal\n\n"
	"Children of the process are not tracked. With a command, the exit status is the command's (128 + signal if killed).";

struct options {
	long pid, interval, rounds;
	const char *backend, *output;
	bool json, lines;
	char **command;
};

static volatile sig_atomic_t interrupted;
static int command_stdout = STDOUT_FILENO; /* the command's, when --output has taken ours */

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* 0 to go on, else the exit code + 1. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "pid", required_argument, NULL, 'p' },      { "backend", required_argument, NULL, 'b' },
		{ "interval", required_argument, NULL, 'i' }, { "rounds", required_argument, NULL, 'n' },
		{ "output", required_argument, NULL, 'o' },   { "json", no_argument, NULL, 'j' },
		{ "lines", no_argument, NULL, 'l' },          { "help", no_argument, NULL, 'h' }, { 0 },
	};
	bool ok = true;
	int c;

	while (ok && (c = getopt_long(argc, argv, "+p:b:i:n:o:h", options, NULL)) != -1) {
		switch (c) {
		case 'p': ok = parse_number(optarg, 1, 1 << 22, &o->pid); break;
		case 'b': o->backend = optarg; break;
		case 'i': ok = parse_number(optarg, 1, 3600 * 1000, &o->interval); break;
		case 'n': ok = parse_number(optarg, 1, 1l << 40, &o->rounds); break;
		case 'o': o->output = optarg; break;
		case 'j': o->json = true; break;
		case 'l': o->lines = true; break;
		case 'h': puts(help); return EXIT_OK + 1;
		default: return EXIT_USAGE + 1;
		}
	}
	if (!ok)
		return 1 + fail(EXIT_USAGE, "track", "%s: not a number in range", optarg);
	o->command = optind < argc ? argv + optind : NULL;
	if (!o->pid == !o->command)
		return 1 + fail(EXIT_USAGE, "track", "give either --pid or a command; see `ooh track --help`");
	return 0;
}

/*
 * Starts the command and leaves it stopped (by SIGSTOP, untraced) before its first instruction, so that whatever the backend needs
 * to do to it, it can.
 */
static pid_t start_command(char **argv)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (command_stdout != STDOUT_FILENO)
			dup2(command_stdout, STDOUT_FILENO);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execvp(argv[0], argv);
		_exit(errno == ENOENT ? 127 : 126);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	if (!WIFSTOPPED(status)) {
		errno = WIFEXITED(status) && WEXITSTATUS(status) == 127 ? ENOENT : EACCES;
		return -1;
	}
	if (ptrace(PTRACE_DETACH, pid, NULL, (void *)(long)SIGSTOP))
		return -1;
	waitpid(pid, &status, WUNTRACED); /* it stands */
	return pid;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int collect(struct ooh_tracker *t, struct report *r, double begin)
{
	static struct ooh_region *vec;
	static size_t cap;
	struct ooh_round round;
	double before;
	int err;

	if (!vec) {
		cap = 65536;
		vec = malloc(cap * sizeof(*vec));
		if (!vec)
			return -ENOMEM;
	}
	before = now();
	err = ooh_tracker_collect(t, 0, 0, vec, cap, &round);
	if (!err)
		report_round(r, vec, &round, now() - begin, now() - before);
	return err;
}

/* Waits for the end of a round. False: the process has ended. */
static bool wait_round(int pidfd, double until)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	double left;

	while (!interrupted && (left = until - now()) > 0)
		if (poll(&p, 1, (int)(left * 1e3) + 1) > 0)
			return false;
	return true;
}

static bool has_ended(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 200) > 0; /* its memory goes a moment before it is a zombie */
}

/* A tracker of the whole process, started. */
static int open_started(struct ooh_tracker **t, pid_t pid, const char *backend)
{
	int err = ooh_tracker_open(t, pid, backend, 0);

	if (err)
		return err;
	err = ooh_tracker_add_all(*t);
	if (!err)
		err = ooh_tracker_start(*t);
	if (err) {
		ooh_tracker_close(*t);
		*t = NULL;
	}
	return err;
}

/* The process executed another program: its old memory is gone, a new tracker sees the new one. */
static int follow_exec(struct ooh_tracker **t, const struct report *r)
{
	fprintf(stderr, "ooh track: process %d: executed another program; tracking goes on with it\n", r->pid);
	ooh_tracker_close(*t);
	*t = NULL;
	return open_started(t, r->pid, r->backend);
}

static int rounds(struct ooh_tracker **t, struct report *r, const struct options *o, int pidfd)
{
	double begin = now(), next = begin;
	bool alive = true;
	int err = 0;

	while (!err && alive && !interrupted && (!o->rounds || r->rounds < (uint64_t)o->rounds)) {
		next += (double)o->interval * 1e-3;
		if (next < now())
			next = now() + (double)o->interval * 1e-3;
		alive = wait_round(pidfd, next);
		err = collect(*t, r, begin);
		if (err == -ESRCH && alive && !has_ended(pidfd))
			err = follow_exec(t, r);
	}
	return err == -ESRCH ? 0 : err;
}

static const char *why_not(int err, const char *backend)
{
	static char why[200];
	const struct ooh_backend *b;
	size_t n = 0;

	if (err == -ENOENT)
		return "no such backend; there are pml, soft-dirty and userfaultfd";
	if (err == -EPERM)
		return "not permitted; tracking another process needs what ptrace needs (root, or the same user)";
	if (err == -EBUSY)
		return "busy: somebody else (a debugger?) traces it";
	if (err != -ENODEV)
		return strerror(-err);
	if (backend) {
		ooh_backend_probe(backend, why, sizeof(why));
		return why;
	}
	for (unsigned i = 0; (b = ooh_backend_get(i)) && n < sizeof(why); i++) {
		char one[120];

		ooh_backend_probe(b->name, one, sizeof(one));
		n += (size_t)snprintf(why + n, sizeof(why) - n, "%s%s: %s", i ? "; " : "", b->name, one);
	}
	return why;
}

static int open_tracker(struct ooh_tracker **t, pid_t pid, const struct options *o)
{
	int err = open_started(t, pid, o->backend);

	if (!err)
		return 0;
	return fail(err == -ENOENT ? EXIT_USAGE : EXIT_ENVIRONMENT, "track", "%s: %s", o->backend ? o->backend : "process",
		    why_not(err, o->backend));
}

static int track(pid_t pid, const struct options *o)
{
	struct report r = { .pid = pid, .style = o->json ? REPORT_JSON : REPORT_LINES };
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), err;
	struct ooh_stats stats = { 0 };
	struct ooh_tracker *t = NULL;

	if (pidfd < 0)
		return fail(EXIT_ENVIRONMENT, "track", "process %d: %s", pid, strerror(errno));
	err = open_tracker(&t, pid, o);
	if (err) {
		close(pidfd);
		return err;
	}
	if (!o->json && !o->lines && isatty(STDOUT_FILENO))
		r.style = REPORT_SCREEN;
	r.backend = ooh_tracker_backend(t)->name;
	report_begin(&r);
	if (o->command)
		kill(pid, SIGCONT);
	err = rounds(&t, &r, o, pidfd);
	if (t)
		ooh_tracker_stats(t, &stats);
	ooh_tracker_close(t);
	close(pidfd);
	report_end(&r, &stats);
	return err ? fail(EXIT_ENVIRONMENT, "track", "%s: %s", r.backend, err == -ENODEV ?
			  "the hypervisor was taken away; the last round is not complete" : strerror(-err)) : 0;
}

static int run_command(const struct options *o)
{
	pid_t pid = start_command(o->command);
	int status, code;

	if (pid < 0)
		return fail(errno == ENOENT ? 127 : 126, "track", "%s: %s", o->command[0], strerror(errno));
	code = track(pid, o);
	if (code) { /* it shall not run on in secret */
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return code;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int cmd_track(int argc, char **argv)
{
	struct options o = { .interval = 100 };
	struct sigaction sa = { .sa_handler = on_signal };
	int r = parse(argc, argv, &o);

	if (r)
		return r - 1;
	if (o.output)
		command_stdout = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (o.output && !freopen(o.output, "we", stdout))
		return fail(EXIT_ENVIRONMENT, "track", "%s: %s", o.output, strerror(errno));
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	return o.command ? run_command(&o) : track((pid_t)o.pid, &o);
}
