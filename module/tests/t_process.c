// SPDX-License-Identifier: GPL-2.0-only
/* One process tracks another: its memory, its end, and who may. */
#define _GNU_SOURCE
#include "ooh_test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that runs fn(p) for each byte written to it, and answers with one. */
struct worker {
	pid_t pid;
	int pidfd, to, from;
};

typedef void (*job)(char *p, int what);

static void worker_loop(int in, int out, job fn, char *p)
{
	unsigned char c;

	while (read(in, &c, 1) == 1) {
		fn(p, c);
		if (write(out, &c, 1) != 1)
			break;
	}
	_exit(0);
}

static struct worker worker(job fn, char *p)
{
	int to[2], from[2];
	struct worker w;

	CHECK(!pipe(to) && !pipe(from));
	w.pid = fork();
	CHECK(w.pid >= 0);
	if (!w.pid) {
		close(to[1]);
		worker_loop(to[0], from[1], fn, p);
	}
	close(to[0]);
	close(from[1]);
	w.to = to[1];
	w.from = from[0];
	w.pidfd = pidfd_of(w.pid);
	return w;
}

static void work(struct worker *w, unsigned char what)
{
	unsigned char c;

	CHECK(write(w->to, &what, 1) == 1);
	CHECK(read(w->from, &c, 1) == 1, "the worker died");
}

static int track(struct worker *w, char *p, size_t pages)
{
	int t = tracker(w->pidfd);

	CHECK(t >= 0, "%s", strerror(errno));
	CHECK(!range_op(t, OOH_IOC_ADD_RANGE, p, pages * PG) && !simple_op(t, OOH_IOC_START), "%s", strerror(errno));
	return t;
}

static void job_touch(char *p, int what)
{
	touch(p + what % 50 * PG, 4);
}

static void t_other(void)
{
	char *p = map_anon(64);
	struct worker w;
	struct area a;
	int i;

	touch(p, 64);
	w = worker(job_touch, p);
	work(&w, 0); /* it has its own pages now */
	area_init(&a, track(&w, p, 64), w.pid, p, 64);
	for (i = 1; i < 20; i++) {
		work(&w, i * 7);
		area_round(&a, "another process writes");
	}
	touch(p, 64);
	area_round(&a, "this process writes its own copy");
}

static void t_written_by_others(void)
{
	char *p = map_anon(64), buf[100] = "from outside";
	struct iovec here = { buf, 100 }, there = { p + 9 * PG - 50, 100 };
	struct worker w;
	struct area a;
	int status;

	touch(p, 64);
	w = worker(job_touch, p);
	work(&w, 0);
	area_init(&a, track(&w, p, 64), w.pid, p, 64);
	area_round(&a, "start");
	CHECK(process_vm_writev(w.pid, &here, 1, &there, 1, 0) == 100, "%s", strerror(errno));
	area_round(&a, "process_vm_writev");
	CHECK(a.seen[8] && a.seen[9]);
	CHECK(!ptrace(PTRACE_ATTACH, w.pid, 0, 0) && waitpid(w.pid, &status, 0) == w.pid);
	CHECK(!ptrace(PTRACE_POKEDATA, w.pid, p + 20 * PG, 0x1234567), "%s", strerror(errno));
	area_round(&a, "PTRACE_POKEDATA");
	CHECK(a.seen[20]);
	CHECK(!ptrace(PTRACE_DETACH, w.pid, 0, 0));
	work(&w, 30);
	area_round(&a, "the process itself");
	CHECK(a.seen[30] && a.seen[33]);
}

static void expect_gone(int t)
{
	struct ooh_tracker_stats s;
	struct ooh_region vec[8];
	struct ooh_collect c;
	struct pollfd pf = { .fd = t };

	CHECK(poll(&pf, 1, 5000) == 1 && pf.revents == POLLHUP, "%#x", pf.revents);
	CHECK_ERR(collect(t, &c, NULL, 0, vec, 8, 0), ESRCH);
	CHECK_ERR(simple_op(t, OOH_IOC_START), ESRCH);
	CHECK_ERR(range_all(t), ESRCH);
	stats(t, &s);
	CHECK(s.flags & OOH_TRACKER_GONE);
	close(t);
}

static void t_exit(void)
{
	char *p = map_anon(64);
	struct ooh_status st;
	struct worker w;
	int t;

	touch(p, 64);
	w = worker(job_touch, p);
	work(&w, 1);
	t = track(&w, p, 64);
	work(&w, 2);
	CHECK(!kill(w.pid, SIGKILL) && waitpid(w.pid, NULL, 0) == w.pid);
	expect_gone(t);
	status(&st);
	CHECK(!st.tagged, "%llu frames still tagged", st.tagged);
	CHECK_ERR(tracker(w.pidfd), ESRCH);
}

static void job_exec(char *p, int what)
{
	if (what == 2)
		execl("/proc/self/exe", "ooh-module-tests", "no-such-test", NULL);
	touch(p, 4);
}

static void t_exec(void)
{
	char *p = map_anon(64);
	unsigned char two = 2;
	struct worker w;
	int t;

	touch(p, 64);
	w = worker(job_exec, p);
	work(&w, 1);
	t = track(&w, p, 64);
	work(&w, 1);
	CHECK(write(w.to, &two, 1) == 1);
	expect_gone(t);
}

/* The tracker is killed in the middle: its frames must be given back. */
static void t_tracker_killed(void)
{
	char *p = map_anon(64);
	struct ooh_status st;
	struct worker w;
	pid_t pid;
	int i;

	touch(p, 64);
	w = worker(job_touch, p);
	work(&w, 1);
	pid = fork();
	if (!pid) {
		int t = track(&w, p, 64);
		struct ooh_region vec[64];
		struct ooh_collect c;

		for (;;)
			collect(t, &c, NULL, 0, vec, 64, 0);
	}
	for (i = 0; i < 50; i++)
		work(&w, i);
	CHECK(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
	for (i = 0; i < 50; i++)
		work(&w, i);
	status(&st);
	CHECK(!st.tagged && !st.trackers, "%llu frames still tagged", st.tagged);
}

/* Shared memory, a tracker on each side: a store by either is seen by both. */
static void t_shared_two(void)
{
	char *p = map_at(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct area a, b;
	struct worker v, w;
	int i;

	touch(p, 64);
	v = worker(job_touch, p);
	w = worker(job_touch, p);
	for (i = 0; i < 50; i += 4) {
		work(&v, i);
		work(&w, i);
	}
	area_init(&a, track(&v, p, 64), v.pid, p, 64);
	area_init(&b, track(&w, p, 64), w.pid, p, 64);
	work(&v, 5);
	area_round(&a, "one writes, its own tracker");
	area_round(&b, "one writes, the other's tracker");
	work(&w, 20);
	area_round(&b, "the other writes, its own tracker");
	work(&w, 30);
	area_round(&a, "the other writes twice, the first tracker");
	area_round(&b, "and its own again");
	close(b.t);
	work(&w, 40);
	area_round(&a, "the other writes, untracked");
}

static void t_permission(void)
{
	char *p = map_anon(64);
	struct worker w = worker(job_touch, p);
	struct ooh_switch s = { .size = sizeof(s) };
	int kthread = pidfd_of(2), init = pidfd_of(1), t;

	if (geteuid())
		skip("not root");
	CHECK_ERR(tracker(kthread), ESRCH);
	work(&w, 1);
	CHECK(!setgid(65534) && !setuid(65534));
	CHECK_ERR(tracker(w.pidfd), EPERM);
	CHECK_ERR(tracker(init), EPERM);
	CHECK_ERR(ioctl(dev, OOH_IOC_ENABLE, &s), EPERM);
	CHECK_ERR(ioctl(dev, OOH_IOC_DISABLE, &s), EPERM);
	s.flags = OOH_DISABLE_FORCE;
	CHECK_ERR(ioctl(dev, OOH_IOC_DISABLE, &s), EPERM);
	t = open(OOH_DEVICE, O_RDWR);
	CHECK(t >= 0, "/dev/ooh is not for everybody: %s", strerror(errno));
	t = tracker(-1);
	CHECK(t >= 0 && !range_op(t, OOH_IOC_ADD_RANGE, p, 64 * PG) && !simple_op(t, OOH_IOC_START));
}

static void switch_on(void)
{
	struct ooh_switch s = { .size = sizeof(s) };

	CHECK(!ioctl(dev, OOH_IOC_ENABLE, &s), "%s", strerror(errno));
}

/* The hypervisor is taken away: no wrong answers, only ENODEV. */
static void t_disable(void)
{
	struct ooh_switch s = { .size = sizeof(s) };
	char *p = map_anon(64);
	struct ooh_tracker_stats ts;
	struct ooh_region vec[64];
	struct ooh_collect c;
	struct pollfd pf = { 0 };
	struct ooh_status st;
	int i, t;

	if (geteuid())
		skip("not root");
	touch(p, 64);
	for (i = 0; i < 5; i++) {
		t = self_tracker(p, 64 * PG);
		touch(p, 3);
		CHECK_ERR(ioctl(dev, OOH_IOC_DISABLE, &s), EBUSY);
		CHECK(!collect(t, &c, NULL, 0, vec, 64, 0) && c.pages == 3);
		s.flags = OOH_DISABLE_FORCE;
		CHECK(!ioctl(dev, OOH_IOC_DISABLE, &s), "%s", strerror(errno));
		s.flags = 0;
		CHECK_ERR(ioctl(dev, OOH_IOC_DISABLE, &s), EALREADY);
		status(&st);
		CHECK(st.state != OOH_HV_ACTIVE);
		CHECK_ERR(collect(t, &c, NULL, 0, vec, 64, 0), ENODEV);
		CHECK_ERR(tracker(-1), ENODEV);
		switch_on();
		CHECK_ERR(collect(t, &c, NULL, 0, vec, 64, 0), ENODEV);
		CHECK_ERR(simple_op(t, OOH_IOC_STOP), ENODEV);
		stats(t, &ts);
		CHECK(ts.flags & OOH_TRACKER_REVOKED);
		pf.fd = t;
		CHECK(poll(&pf, 1, 0) == 1 && pf.revents & POLLERR);
		if (i % 2) { /* a new one beside the revoked one, or after it */
			int u = self_tracker(p, 64 * PG);

			touch(p + 9 * PG, 2);
			CHECK(!collect(u, &c, NULL, 0, vec, 64, 0) && c.pages == 2, "%llu", c.pages);
			close(t);
			touch(p + 9 * PG, 2);
			CHECK(!collect(u, &c, NULL, 0, vec, 64, 0) && c.pages == 2, "%llu", c.pages);
			close(u);
		} else {
			close(t);
		}
	}
	status(&st);
	CHECK(!st.tagged && !st.trackers);
}

/* A tracker inherited by fork stays that of the parent's memory. */
static void t_inherited(void)
{
	char *p = map_anon(64);
	struct ooh_region vec[64];
	struct ooh_collect c;
	int st, t;
	pid_t pid;

	touch(p, 64);
	t = self_tracker(p, 64 * PG);
	pid = fork();
	if (!pid) {
		touch(p, 64);
		CHECK(!collect(t, &c, NULL, 0, vec, 64, 0) && c.pages == 0, "%llu", c.pages);
		_exit(0);
	}
	CHECK(waitpid(pid, &st, 0) == pid && !st);
	touch(p + 3 * PG, 1);
	CHECK(!collect(t, &c, NULL, 0, vec, 64, 0) && c.pages == 1, "%llu", c.pages);
}

const struct test process_tests[] = {
	{ "another process", t_other },
	{ "written by others", t_written_by_others },
	{ "exit", t_exit },
	{ "exec", t_exec },
	{ "tracker killed", t_tracker_killed },
	{ "shared memory, two trackers", t_shared_two },
	{ "permission", t_permission },
	{ "hypervisor disabled", t_disable },
	{ "inherited tracker", t_inherited },
	{ NULL, NULL },
};
