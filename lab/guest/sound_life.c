/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Trackers themselves: several, of oneself, killed; and what is beneath them taken away. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sound.h"

#define PAGES 64ul

/* A process that stores to the pages it is told. */
struct target {
	pid_t pid;
	int to, from;
	char *p;
};

struct order {
	unsigned first, n;
};

static struct target target_start(char *p)
{
	struct target t = { .p = p };
	int to[2], from[2];
	struct order o;

	NEED(!pipe(to) && !pipe(from));
	t.pid = fork();
	NEED(t.pid >= 0);
	if (t.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		touch(p, PAGES);
		while (write(from[1], "d", 1) == 1 && read(to[0], &o, sizeof(o)) == sizeof(o))
			touch(p + o.first * PG, o.n);
		_exit(0);
	}
	t.to = to[1];
	t.from = from[0];
	return t;
}

static void wait_done(const struct target *t)
{
	char c;

	NEED(read(t->from, &c, 1) == 1);
}

static void tell(const struct target *t, unsigned first, unsigned n)
{
	struct order o = { first, n };

	NEED(write(t->to, &o, sizeof(o)) == sizeof(o));
	wait_done(t);
}

static void target_end(const struct target *t)
{
	int status;

	NEED(waitpid(t->pid, &status, WNOHANG) == 0); /* it lives: unharmed */
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
}

static struct ooh_tracker *tracker_of(pid_t pid, const char *backend, char *p)
{
	struct ooh_tracker *t;
	int err = ooh_tracker_open(&t, pid, backend, 0);

	if (!err)
		err = ooh_tracker_add(t, (uintptr_t)p, (uintptr_t)p + PAGES * PG);
	if (!err)
		err = ooh_tracker_start(t);
	if (err)
		broken("a tracker: %s", strerror(-err));
	return t;
}

/* Collects: pages [first, first + n) of p must be handed over. */
static void expect(struct ooh_tracker *t, const char *p, unsigned first, unsigned n, const char *what)
{
	struct ooh_region vec[PAGES];
	struct ooh_round r;
	int err = ooh_tracker_collect(t, 0, 0, vec, PAGES, &r);
	unsigned seen = 0;

	if (err)
		broken("%s: collect: %s", what, strerror(-err));
	for (unsigned i = first; i < first + n; i++)
		for (size_t k = 0; k < r.regions; k++)
			seen += (uintptr_t)(p + i * PG) >= vec[k].start && (uintptr_t)(p + i * PG) < vec[k].end;
	if (seen != n)
		broken("%s: %u of %u written pages reported", what, seen, n);
}

static void two_trackers(const char *backend)
{
	char *p = resident(PAGES);
	struct target g = target_start(p);
	struct ooh_tracker *a, *b = NULL;
	int err;

	wait_done(&g);
	a = tracker_of(g.pid, backend, p);
	if (strcmp(backend, "pml")) { /* the kernel has one set of marks: the second is refused, the first goes on */
		err = ooh_tracker_open(&b, g.pid, backend, 0);
		if (!err)
			err = ooh_tracker_add(b, (uintptr_t)p, (uintptr_t)p + PAGES * PG);
		if (!err)
			err = ooh_tracker_start(b);
		if (err != -EBUSY)
			broken("the second tracker got %d, not EBUSY", -err);
		ooh_tracker_close(b);
		tell(&g, 3, 10);
		expect(a, p, 3, 10, "the first of two");
	} else {
		b = tracker_of(g.pid, backend, p);
		tell(&g, 3, 10);
		expect(a, p, 3, 10, "the first of two");
		tell(&g, 8, 10);
		expect(b, p, 3, 15, "the second of two, two rounds of the first");
		expect(a, p, 8, 10, "the first again");
		tell(&g, 8, 5);
		ooh_tracker_close(a);
		tell(&g, 30, 5);
		expect(b, p, 30, 5, "the second when the first is closed");
		expect(b, p, 0, 0, "nothing");
		tell(&g, 8, 5);
		expect(b, p, 8, 5, "the second alone");
		a = b;
	}
	ooh_tracker_close(a);
	tell(&g, 0, 5);
	target_end(&g);
}

/* Memory shared by two processes, each with its tracker: both are told, whoever wrote. */
static void two_processes(const char *backend)
{
	char *p = map(NULL, PAGES, MAP_SHARED | MAP_ANONYMOUS, -1);
	struct target g = target_start(p), h = target_start(p);
	struct ooh_tracker *a, *b;

	wait_done(&g);
	wait_done(&h);
	a = tracker_of(g.pid, backend, p);
	b = tracker_of(h.pid, backend, p);
	tell(&g, 5, 7);
	expect(b, p, 5, 7, "the one that did not write");
	expect(a, p, 5, 7, "the one that wrote");
	tell(&h, 20, 10);
	tell(&g, 30, 2);
	expect(a, p, 20, 12, "both wrote");
	expect(b, p, 20, 12, "both wrote");
	touch(p + 43 * PG, 10);
	expect(a, p, 43, 10, "a third wrote");
	ooh_tracker_close(a);
	tell(&g, 40, 3);
	expect(b, p, 40, 13, "after the other's tracker was closed");
	ooh_tracker_close(b);
	target_end(&g);
	target_end(&h);
}

static void *idle(void *arg)
{
	pause();
	return arg;
}

static void itself(const char *backend)
{
	char *p = resident(PAGES);
	struct ooh_tracker *t = tracker_of(0, backend, p);
	struct ooh_region vec[PAGES];
	struct ooh_round r;
	pthread_t thread;
	int err;

	for (unsigned i = 0; i < 5; i++) {
		touch(p + i * 3 * PG, 4);
		expect(t, p, i * 3, 4, "a tracker of itself");
	}
	NEED(!pthread_create(&thread, NULL, idle, NULL));
	touch(p + 40 * PG, 4);
	err = ooh_tracker_collect(t, 0, 0, vec, PAGES, &r);
	if (strcmp(backend, "pml") ? err != -EBUSY : err)
		broken("with a second thread, collect gave %d", -err);
	ooh_tracker_close(t);
}

static void tracker_killed(const char *backend)
{
	char *p = resident(PAGES), c;
	struct target g = target_start(p);
	struct ooh_tracker *t;

	wait_done(&g);
	for (unsigned i = 0; i < 3; i++) {
		int ready[2];
		pid_t pid;

		NEED(!pipe(ready));
		pid = fork();
		if (pid == 0) {
			struct ooh_region vec[PAGES];
			struct ooh_round r;

			t = tracker_of(g.pid, backend, p);
			if (write(ready[1], "r", 1) != 1)
				_exit(1);
			/* Under userfaultfd, rounds without a pause can stop a fault each time before the server has seen it. */
			for (;;) {
				ooh_tracker_collect(t, 0, 0, vec, PAGES, &r);
				usleep(200);
			}
		}
		NEED(read(ready[0], &c, 1) == 1);
		usleep(3000 + i * 777);
		tell(&g, 0, 20);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		tell(&g, 10, 20);
		usleep(20000); /* the server of userfaultfd is told by a signal, too */
		t = tracker_of(g.pid, backend, p);
		tell(&g, 30, 10);
		expect(t, p, 30, 10, "a new tracker after one was killed");
		ooh_tracker_close(t);
		tell(&g, 0, 64);
	}
	target_end(&g);
}

static int switch_hv(unsigned long request, unsigned flags)
{
	struct ooh_switch s = { .size = sizeof(s), .flags = flags };
	int fd = open(OOH_DEVICE, O_RDWR | O_CLOEXEC), r;

	NEED(fd >= 0);
	r = ioctl(fd, request, &s) ? -errno : 0;
	close(fd);
	return r;
}

static void taken_away(const char *backend)
{
	char *p = resident(PAGES);
	struct target g = target_start(p);
	struct ooh_region vec[PAGES];
	struct ooh_tracker *t;
	struct ooh_round r;
	int err;

	wait_done(&g);
	t = tracker_of(g.pid, backend, p);
	tell(&g, 3, 5);
	NEED(syscall(SYS_delete_module, "ooh", O_NONBLOCK) < 0 && errno == EWOULDBLOCK);
	NEED(syscall(SYS_delete_module, "ooh_hv", O_NONBLOCK) < 0 && errno == EWOULDBLOCK);
	err = switch_hv(OOH_IOC_DISABLE, 0);
	if (err != -EBUSY)
		broken("disable gave %d, not EBUSY", -err);
	expect(t, p, 3, 5, "after disable was refused");
	tell(&g, 10, 5);
	err = switch_hv(OOH_IOC_DISABLE, OOH_DISABLE_FORCE);
	if (err)
		broken("disable by force gave %d", -err);
	tell(&g, 20, 5);
	err = ooh_tracker_collect(t, 0, 0, vec, PAGES, &r);
	if (err != -ENODEV)
		broken("after disable by force, collect gave %d, not ENODEV", -err);
	err = switch_hv(OOH_IOC_ENABLE, 0);
	if (err)
		broken("enable gave %d", -err);
	err = ooh_tracker_collect(t, 0, 0, vec, PAGES, &r);
	if (err != -ENODEV)
		broken("after enable, an old tracker gave %d, not ENODEV", -err);
	ooh_tracker_close(t);
	t = tracker_of(g.pid, backend, p);
	tell(&g, 30, 9);
	expect(t, p, 30, 9, "a new tracker after disable and enable");
	ooh_tracker_close(t);
	target_end(&g);
}

static bool insert_kvm(void)
{
	return !system("for m in irqbypass kvm kvm-intel; do insmod /modules/$m.ko || exit 1; done 2>/dev/null");
}

static void remove_kvm(void)
{
	if (system("rmmod kvm-intel kvm irqbypass 2>/dev/null"))
		broken("KVM stays loaded");
}

/* A virtual machine of KVM, or a negative errno. */
static int virtual_machine(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm;

	NEED(kvm >= 0);
	vm = ioctl(kvm, KVM_CREATE_VM, 0ul);
	if (vm < 0)
		vm = -errno;
	close(kvm);
	return vm;
}

/* Virtual machines would store past the hypervisor's page tables: the two are not there at the same time. */
static void beside_kvm(const char *backend)
{
	int vm, err;

	(void)backend;
	if (access("/modules/kvm-intel.ko", R_OK))
		skip("no module kvm-intel");
	if (insert_kvm())
		broken("KVM can be loaded while the hypervisor is active");
	if (system("rmmod kvm irqbypass 2>/dev/null"))
		broken("half of KVM stays loaded");
	NEED(!switch_hv(OOH_IOC_DISABLE, 0));
	NEED(insert_kvm());
	vm = virtual_machine();
	if (vm < 0)
		broken("KVM alone: %s", strerror(-vm));
	err = switch_hv(OOH_IOC_ENABLE, 0);
	if (err != -EBUSY)
		broken("enable beside a virtual machine gave %d, not EBUSY", -err);
	close(vm);
	NEED(!switch_hv(OOH_IOC_ENABLE, 0));
	vm = virtual_machine();
	if (vm != -EBUSY)
		broken("a virtual machine while the hypervisor is active: %d, not EBUSY", -vm);
	remove_kvm();
}

const struct scenario sound_life[] = {
	{ .name = "two trackers on one process", .whole = two_trackers },
	{ .name = "two tracked processes share memory", .whole = two_processes },
	{ .name = "a process tracks itself", .whole = itself },
	{ .name = "the tracker is killed", .whole = tracker_killed },
	{ .name = "unload and disable refused; disable by force", .whole = taken_away, .flags = ONLY_PML },
	{ .name = "KVM and the hypervisor refuse each other", .whole = beside_kvm, .flags = ONLY_PML },
	{ 0 },
};
