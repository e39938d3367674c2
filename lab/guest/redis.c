/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debian's redis-server under redis-benchmark. A round ends every so many milliseconds of virtual time: the server is stopped by
 * SIGSTOP for the comparison (under technique "none", too), so that tracker and oracle see the same moment. The cost to the
 * server is its own CPU time per request, as the scheduler accounts it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define ROUND_MS 20
#define TSC_PER_NS 2 /* the machine's TSC runs at 2 GHz */

static pid_t spawn(const char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		execvp(argv[0], (char *const *)argv);
		fprintf(stderr, "trackbench: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	return pid;
}

static void nap(unsigned ms)
{
	struct timespec t = { ms / 1000, (ms % 1000) * 1000000l };

	nanosleep(&t, NULL);
}

/* CPU time of the main thread and the others, in nanoseconds. */
static uint64_t cpu_time(pid_t pid)
{
	char path[48];
	uint64_t ns = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%" SCNu64, &ns) != 1)
		die("%s: cannot read", path);
	fclose(f);
	return ns;
}

static void stop(pid_t pid)
{
	int status;

	kill(pid, SIGSTOP);
	if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
		die("redis-server has ended");
}

static void wait_ready(void)
{
	static const char *const ping[] = { "redis-cli", "-h", "127.0.0.1", "ping", NULL };

	for (int i = 0; i < 100; i++) {
		int status;
		pid_t pid = spawn(ping);

		waitpid(pid, &status, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			return;
		nap(50);
	}
	die("redis-server does not answer");
}

int run_redis(const struct workload_options *o)
{
	static const char *const server[] = { "redis-server", "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--loglevel",
					      "warning", "--daemonize", "no", NULL };
	static const char *const benchmark[] = { "redis-benchmark", "-h", "127.0.0.1", "-q", "-n", "8000", "-c", "4", "-t", "set",
						 "-r", "5000", "-d", "256", NULL };
	struct result r = { .technique = o->technique, .workload = "redis" };
	pid_t pid = spawn(server), client;
	struct session s;
	uint64_t before;
	int status;

	wait_ready();
	stop(pid);
	session_start(&s, pid, o->technique, 0, 0, &r);
	before = cpu_time(pid);
	client = spawn(o->command ? o->command : benchmark);
	session_work(&s);
	kill(pid, SIGCONT);
	do {
		nap(ROUND_MS);
		stop(pid);
		session_round(&s);
		kill(pid, SIGCONT);
		session_work(&s);
	} while (waitpid(client, &status, WNOHANG) == 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		die("redis-benchmark failed");
	r.app_cycles = (cpu_time(pid) - before) * TSC_PER_NS;
	stop(pid);
	session_round(&s);
	session_end(&s);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	result_print(&r);
	return r.missed ? 1 : 0;
}
