/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who stores: the program, its threads, the kernel on its behalf, another process through the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sound.h"

static void stores(void)
{
	char *p = resident(64);

	track(p, 64);
	round_of("nothing");
	touch(p + 5 * PG, 1);
	round_of("one store");
	touch(p, 64);
	round_of("a store to each page");
	p[63 * PG + PG - 1]++;
	*(volatile uint64_t *)(p + 10 * PG - 4) += 0x0102030405060708;
	round_of("the last byte; across a page boundary");
	memset(p + 20 * PG + 100, 7, 3 * PG);
	__asm__ volatile("lock incq %0" : "+m"(*(uint64_t *)(p + 40 * PG)));
	__asm__ volatile("movups %%xmm0, %0" : "=m"(*(char(*)[16])(p + 45 * PG - 8)));
	round_of("string, locked and vector stores");
}

/* As trackbench's: every word of an array in order, round after round; then one word in every tenth page. */
static void array_writer(void)
{
	const size_t n = 512;
	volatile uint64_t *a = (volatile uint64_t *)resident(n);

	track((char *)a, n);
	for (uint64_t value = 2; value < 5; value++) {
		for (size_t i = 0; i < n * PG / 8; i++)
			a[i] = value;
		round_of("the whole array");
	}
	for (size_t i = 0; i < n; i += 10)
		a[i * PG / 8 + i % 512]++;
	round_of("a word in every tenth page");
	round_of("nothing");
}

static void new_pages(void)
{
	char *p = anon(128);

	track(p, 128);
	touch(p + 3 * PG, 4);
	round_of("first touch");
	*(volatile char *)(p + 20 * PG);
	round_of("a read of what is not there");
	touch(p + 20 * PG, 1);
	round_of("a store after that");
	touch(p, 128);
	round_of("a store to each page");
}

static void many(void)
{
	const size_t n = 4000;
	char *p = resident(n);

	track(p, n);
	for (int i = 0; i < 3; i++) {
		touch(p, n);
		touch(p, n);
		round_of("4000 pages, twice");
	}
	touch(p + 1234 * PG, 700);
	round_of("700 of them");
}

static void overflow(void)
{
	const size_t n = 3000;
	char *p = resident(n);

	track(p, n);
	for (int i = 0; i < 2; i++) {
		touch(p + 500 * PG, 2000);
		expect_overflow();
		round_of("2000 pages into a ring of 512 entries");
		touch(p + 10 * PG, 100);
		round_of("100 pages, after the overflow");
		round_of("nothing");
	}
}

static void windows(void)
{
	char *p = resident(64);

	track(p, 64);
	for (size_t cut = 1; cut < 64; cut += 13) {
		touch(p + (cut - 1) * PG, 3);
		touch(p + 30 * PG, 9);
		round_cut(cut, "in two windows");
	}
	round_of("nothing");
}

static void ranges_added(void)
{
	char *p = resident(96);

	track_first(p, 96, 32);
	touch(p, 64);
	round_of("one range");
	touch(p + 3 * PG, 3);
	round_of("before another is added");
	track_more(p + 40 * PG, 20);
	touch(p + 10 * PG, 40);
	round_of("after it was added");
	track_more(p + 20 * PG, 76);
	touch(p, 96);
	round_of("after all was added");
	touch(p + 59 * PG, 7);
	round_of("some");
}

/* ---- system calls ---- */

static void reads(void)
{
	char *p = resident(64), buf[PG];
	int fd[2], file = memfd_create("t", 0);
	struct iovec v[3] = { { p + 20 * PG - 5, 10 }, { p + 30 * PG, 3 }, { p + 33 * PG + 7, 2 * PG } };

	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (char)(i * 7 + 1);
	NEED(!pipe(fd) && write(fd[1], buf, 300) == 300);
	track(p, 64);
	NEED(read(fd[0], p + 3 * PG + 50, 100) == 100);
	round_of("read(2) of a pipe");
	NEED(read(fd[0], p + 9 * PG - 50, 100) == 100);
	round_of("read(2) across a page boundary");
	for (int i = 0; i < 4; i++)
		NEED(write(file, buf, PG) == PG);
	NEED(pread(file, p + 40 * PG + 8, 3 * PG, 0) == 3 * (ssize_t)PG);
	round_of("pread(2) of a file");
	NEED(preadv(file, v, 3, 100) == 10 + 3 + 2 * (ssize_t)PG);
	round_of("preadv(2)");
	NEED(readv(fd[0], v, 2) == 13);
	round_of("readv(2)");
	NEED(getrandom(p + 50 * PG + 9, 3 * PG, 0) > 0);
	round_of("getrandom(2)");
}

static void sockets(void)
{
	char *p = resident(32), buf[3000];
	struct iovec v[2] = { { p + 10 * PG, 100 }, { p + 12 * PG + 4000, 200 } };
	struct msghdr h = { .msg_iov = v, .msg_iovlen = 2, .msg_control = p + 20 * PG, .msg_controllen = 200 };
	int s[2], on = 1;

	memset(buf, 0x5a, sizeof(buf));
	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && !setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	track(p, 32);
	NEED(send(s[0], buf, 3000, 0) == 3000 && recv(s[1], p + 5 * PG - 1500, 2000, 0) > 1000);
	round_of("recv(2)");
	NEED(send(s[0], buf, 300, 0) == 300 && recvmsg(s[1], &h, 0) > 0);
	round_of("recvmsg(2) with control data");
	NEED(!getsockopt(s[0], SOL_SOCKET, SO_SNDBUF, p + 25 * PG, (socklen_t *)memset(p + 26 * PG, 0, 4)) || errno == EINVAL);
	round_of("getsockopt(2)");
}

/* Results that the kernel stores by put_user and copy_to_user, and one that the vDSO stores. */
static void results(void)
{
	char *p = resident(32);

	track(p, 32);
	NEED(!syscall(SYS_clock_gettime, CLOCK_MONOTONIC, p + PG));
	NEED(!clock_gettime(CLOCK_MONOTONIC, (void *)(p + 2 * PG)));
	NEED(!stat("/init", (void *)(p + 3 * PG)));
	NEED(!uname((void *)(p + 5 * PG)));
	NEED(!getrlimit(RLIMIT_STACK, (void *)(p + 6 * PG)));
	NEED(!sysinfo((void *)(p + 7 * PG)));
	NEED(!pipe((int *)(p + 9 * PG - 4)));
	NEED(times((void *)(p + 10 * PG)) != -1);
	NEED(getcwd(p + 12 * PG, 100));
	NEED(readlink("/proc/self/exe", p + 14 * PG, 100) > 0);
	NEED(!getrusage(RUSAGE_SELF, (void *)(p + 16 * PG)));
	NEED(!sigprocmask(SIG_BLOCK, NULL, (void *)(p + 18 * PG)));
	round_of("results of system calls");
	NEED(mincore(p, 8 * PG, (void *)(p + 20 * PG)) == 0);
	round_of("mincore(2)");
}

static void on_signal(int sig)
{
	(void)sig;
}

/* The frame of a signal is stored by the kernel, on the alternate stack: that is in the window. */
static void signals(void)
{
	char *p = resident(32);
	stack_t alt = { .ss_sp = p + 8 * PG, .ss_size = 8 * PG };
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };

	NEED(!sigaltstack(&alt, NULL) && !sigaction(SIGUSR1, &sa, NULL));
	track(p, 32);
	for (int i = 0; i < 3; i++) {
		raise(SIGUSR1);
		round_of("a signal frame");
	}
	round_of("nothing");
}

static void signals_whole(void)
{
	char *p = resident(8);
	struct sigaction sa = { .sa_handler = on_signal };
	timer_t timer;
	struct itimerspec every = { { 0, 1000000 }, { 0, 1000000 } };

	NEED(!sigaction(SIGUSR1, &sa, NULL) && !sigaction(SIGALRM, &sa, NULL));
	track_whole(p, 8);
	raise(SIGUSR1);
	round_of("a signal on the stack of the thread");
	NEED(!timer_create(CLOCK_MONOTONIC, NULL, &timer) && !timer_settime(timer, 0, &every, NULL));
	for (int i = 0; i < 2000; i++)
		touch(p, 8);
	timer_delete(timer);
	round_of("signals of a timer");
	for (int i = 0; i < 50; i++)
		free(memset(malloc((size_t)rnd() % 60000), i, 10));
	round_of("the heap");
}

/* ---- another process stores ---- */

static pid_t target;

/* Who writes by ptrace cannot wait for the server of userfaultfd: it is told that it could not, and nothing was stored. */
static _Noreturn void refused(void)
{
	_exit(strcmp(backend_now(), "userfaultfd") ? 1 : 0);
}

static void by_process_vm(char *p)
{
	char buf[300];
	struct iovec from = { buf, 300 }, to = { p, 300 };

	memset(buf, (int)(rnd() | 1), sizeof(buf));
	if (process_vm_writev(target, &from, 1, &to, 1, 0) != 300)
		_exit(1);
}

static void by_proc_mem(char *p)
{
	char path[32], buf[300];
	int fd;

	memset(buf, (int)(rnd() | 1), sizeof(buf));
	snprintf(path, sizeof(path), "/proc/%d/mem", target);
	fd = open(path, O_RDWR);
	if (fd < 0 || pwrite(fd, buf, 300, (off_t)(uintptr_t)p) != 300)
		refused();
}

static void by_ptrace(char *p)
{
	int status;

	if (ptrace(PTRACE_SEIZE, target, 0, 0) || ptrace(PTRACE_INTERRUPT, target, 0, 0) ||
	    waitpid(target, &status, 0) != target)
		_exit(1);
	if (ptrace(PTRACE_POKEDATA, target, p, 0x1234567 + rnd()))
		refused();
	ptrace(PTRACE_DETACH, target, 0, 0);
}

/* The helper is a child, but waits for nobody: a stop by ptrace may interrupt waitpid, which then goes on. */
static void from_outside(void)
{
	static void (*const how[])(char *) = { by_process_vm, by_proc_mem, by_ptrace };
	static const char *const name[] = { "process_vm_writev(2)", "/proc/PID/mem", "PTRACE_POKEDATA" };
	char *p = resident(64), *read_only = p + 40 * PG;

	target = getpid();
	NEED(!mprotect(read_only, 8 * PG, PROT_READ));
	track(p, 64);
	for (int i = 0; i < 3; i++) {
		wait_child(child(how[i], p + (3 + 5 * i) * PG - 150));
		round_of("%s", name[i]);
		touch(p + 10 * PG, 1);
		round_of("a store after %s", name[i]);
	}
	wait_child(child(by_proc_mem, read_only + 100));
	round_of("/proc/PID/mem into a page that may not be written");
}

/* ---- threads ---- */

struct run {
	pthread_t thread;
	char *p;
	size_t pages;
	unsigned times;
	uint64_t seed;
};

static void *run_touch(void *arg)
{
	struct run *r = arg;

	for (unsigned i = 0; i < r->times; i++) {
		r->seed = r->seed * 6364136223846793005ull + 1442695040888963407ull;
		touch(r->p + (r->seed >> 33) % r->pages * PG, 1);
	}
	return NULL;
}

static void run_threads(char *p, size_t pages, unsigned n, unsigned times)
{
	struct run r[8];

	for (unsigned i = 0; i < n; i++) {
		r[i] = (struct run){ .p = p, .pages = pages, .times = times, .seed = rnd() };
		NEED(!pthread_create(&r[i].thread, NULL, run_touch, &r[i]));
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(r[i].thread, NULL);
}

static void threads(void)
{
	char *p = resident(256);

	track(p, 256);
	for (int i = 0; i < 3; i++) {
		run_threads(p, 256, 6, 40);
		round_of("six threads");
	}
}

static void threads_beside(void)
{
	char *p = resident(256);

	track(p, 256);
	for (int i = 0; i < 2; i++) {
		race_begin();
		run_threads(p, 256, 4, 40000);
		race_end();
		round_of("four threads beside the rounds");
	}
	round_of("nothing");
}

const struct scenario sound_writes[] = {
	{ .name = "stores", .run = stores },
	{ .name = "pages touched for the first time", .run = new_pages },
	{ .name = "the array writer", .run = array_writer },
	{ .name = "the log fills many times in a round", .run = many },
	{ .name = "the ring overflows", .run = overflow, .flags = ONLY_PML | ON_DEMAND },
	{ .name = "a round in two windows", .run = windows },
	{ .name = "ranges added while started", .run = ranges_added },
	{ .name = "read, pread, readv, preadv, getrandom", .run = reads },
	{ .name = "recv, recvmsg, getsockopt", .run = sockets },
	{ .name = "results of system calls", .run = results },
	{ .name = "signal frames", .run = signals },
	{ .name = "signal frames, whole process", .run = signals_whole },
	{ .name = "process_vm_writev, /proc/PID/mem, ptrace", .run = from_outside },
	{ .name = "threads", .run = threads },
	{ .name = "threads that store during the rounds", .run = threads_beside },
	{ 0 },
};
