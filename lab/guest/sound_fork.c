/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fork and copy-on-write on both sides, vfork, exec and exit. */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sound.h"

static void touch_ten(char *p)
{
	touch(p, 10);
}

static void child_first(void)
{
	char *p = resident(64);

	track(p, 64);
	wait_child(child(touch_ten, p));
	round_of("the child wrote and exited");
	touch(p, 20);
	round_of("the parent writes after");
	wait_child(child(touch_ten, p + 5 * PG));
	touch(p, 64);
	round_of("the parent writes all");
	touch(p + 7 * PG, 5);
	round_of("some");
}

static int go_on[2], done[2];

static void wait_then_touch(char *p)
{
	char c;

	touch(p, 5);
	if (write(done[1], "d", 1) != 1 || read(go_on[0], &c, 1) != 1)
		_exit(1);
	touch(p + 3 * PG, 10);
}

static pid_t child_that_waits(char *p)
{
	pid_t pid;
	char c;

	NEED(!pipe(go_on) && !pipe(done));
	pid = child(wait_then_touch, p);
	NEED(read(done[0], &c, 1) == 1);
	return pid;
}

static void child_later(void)
{
	char *p = resident(64);
	pid_t pid;

	track(p, 64);
	pid = child_that_waits(p);
	round_of("the child wrote and lives");
	touch(p, 30);
	round_of("the parent writes what is shared with it");
	touch(p, 30);
	round_of("and again");
	NEED(write(go_on[1], "g", 1) == 1);
	wait_child(pid);
	round_of("the child wrote more and exited");
	touch(p, 64);
	round_of("the parent writes all");
}

static void parent_first(void)
{
	char *p = resident(64);
	pid_t pid;

	track(p, 64);
	pid = child_that_waits(p + 40 * PG);
	touch(p, 32);
	touch(p + 41 * PG, 3);
	round_of("both wrote");
	NEED(write(go_on[1], "g", 1) == 1);
	wait_child(pid);
	touch(p + 20 * PG, 30);
	round_of("the parent writes when the child has gone");
}

/* The tracked process is the child: it is tracked while it still shares with its parent. */
static void tracked_child(void)
{
	char *p = resident(64);

	track(p, 64);
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();

		NEED(pid >= 0);
		if (pid == 0) {
			pid_t inner = fork();

			touch(p, 20);
			if (inner == 0)
				_exit(0);
			waitpid(inner, NULL, 0);
			_exit(0);
		}
		touch(p + 10 * PG, 20);
		wait_child(pid);
		touch(p + 25 * PG, 10);
		round_of("a child that forks");
	}
}

/* Of a copy that was tracked already when it was shared: pages tracked, shared, written, tracked again. */
static void shared_at_start(void)
{
	char *p = resident(64);
	pid_t pid = child_that_waits(p);

	track(p, 64);
	round_of("nothing");
	touch(p + 10 * PG, 10);
	round_of("copied by the parent's stores");
	NEED(write(go_on[1], "g", 1) == 1);
	wait_child(pid);
	touch(p, 30);
	round_of("taken over when the child has gone");
}

static char *vfork_page;

static void with_vfork(void)
{
	char *p = resident(32);

	vfork_page = p + 7 * PG;
	track(p, 32);
	for (int i = 0; i < 2; i++) {
		pid_t pid = vfork();

		if (pid == 0) {
			touch(vfork_page, 3);
			_exit(0);
		}
		NEED(pid > 0);
		waitpid(pid, NULL, 0);
		touch(p + 20 * PG, 2);
		round_of("vfork, the child stores to the parent's memory");
	}
}

static void image(void)
{
	char *p = resident(32);

	track_whole(p, 32);
	touch(p, 5);
	round_of("before exec");
	touch(p, 5);
	expect_gone();
	execl("/bin/busybox", "sleep", "1000", (char *)NULL);
	_exit(3);
}

static void leave(void)
{
	char *p = resident(32);

	track(p, 32);
	touch(p, 5);
	round_of("before exit");
	touch(p, 5);
	expect_gone();
	_exit(0);
}

const struct scenario sound_fork[] = {
	{ .name = "fork, the child writes first and exits", .run = child_first },
	{ .name = "fork, the child lives on", .run = child_later },
	{ .name = "fork, both write", .run = parent_first },
	{ .name = "fork in forks", .run = tracked_child },
	{ .name = "shared with a child at the start", .run = shared_at_start },
	{ .name = "vfork", .run = with_vfork },
	{ .name = "exec", .run = image },
	{ .name = "exit", .run = leave },
	{ 0 },
};
