/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything, in an order that the seed decides. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sound.h"

#define PAGES  1536ul /* three huge pages */
#define PIECES 16u

static char *mem;
static size_t places = PAGES; /* where pieces begin */
static __thread char *aside;
static int file = -1;

struct piece {
	char *p;
	size_t n;
};

static __thread sigjmp_buf back; /* of a thread: to its next operation */
static pid_t self;               /* 0: there is only one */

/* Alone, nothing may fail; beside others, what this one was about to use may have gone. */
static void failed(const char *what)
{
	if (!self)
		broken("%s: %m", what);
	if (getpid() != self)
		_exit(0);
	siglongjmp(back, 1);
}
#define MUST(cond) ((cond) ? (void)0 : failed(#cond))

static struct piece any(void)
{
	size_t first = rnd() % places, n = 1 + rnd() % PIECES;

	return (struct piece){ mem + first * PG, first + n > PAGES ? PAGES - first : n };
}

static void do_store(struct piece a)
{
	touch(a.p, a.n);
}

static void do_one(struct piece a)
{
	touch(a.p + rnd() % a.n * PG, 1);
}

static void do_read(struct piece a)
{
	for (size_t i = 0; i < a.n; i++)
		*(volatile char *)(a.p + i * PG);
}

static void do_syscall(struct piece a)
{
	MUST(getrandom(a.p + rnd() % PG / 2, 100 + rnd() % (a.n * PG / 2), 0) > 0);
}

static void do_dontneed(struct piece a)
{
	MUST(!madvise(a.p, a.n * PG, MADV_DONTNEED));
	touch(a.p, rnd() % (a.n + 1));
}

static void do_free(struct piece a)
{
	madvise(a.p, a.n * PG, MADV_FREE);
	touch(a.p, rnd() % (a.n + 1));
}

static void do_remap(struct piece a)
{
	map(a.p, a.n, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	touch(a.p, rnd() % (a.n + 1));
}

static void do_unmap(struct piece a)
{
	MUST(!munmap(a.p, a.n * PG));
	map(a.p, a.n, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
}

static void do_shared(struct piece a)
{
	map(a.p, a.n, MAP_SHARED | MAP_FIXED, file);
	touch(a.p, rnd() % (a.n + 1));
}

static void do_private(struct piece a)
{
	map(a.p, a.n, MAP_PRIVATE | MAP_FIXED, file);
	touch(a.p, rnd() % (a.n + 1));
}

static void do_file(struct piece a)
{
	char buf[300];

	memset(buf, (int)rnd(), sizeof(buf));
	MUST(pwrite(file, buf, sizeof(buf), (off_t)(rnd() % (PIECES * PG - 300))) == 300);
	(void)a;
}

/* Away, written there, and back to where it was or to another place. */
static void do_move(struct piece a)
{
	struct piece b = any();

	if (mremap(a.p, a.n * PG, a.n * PG, MREMAP_MAYMOVE | MREMAP_FIXED, aside) != aside) {
		touch(a.p, 1); /* it lies across mappings */
		return;
	}
	map(a.p, a.n, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	touch(aside, rnd() % (a.n + 1));
	if (b.n < a.n)
		b = a;
	MUST(mremap(aside, a.n * PG, a.n * PG, MREMAP_MAYMOVE | MREMAP_FIXED, b.p) == b.p);
}

static void do_protect(struct piece a)
{
	MUST(!mprotect(a.p, a.n * PG, rnd() & 1 ? PROT_READ : PROT_NONE));
	MUST(!mprotect(a.p, a.n * PG, PROT_READ | PROT_WRITE));
	touch(a.p, rnd() % (a.n + 1));
}

static void do_huge(struct piece a)
{
	char *block = mem + rnd() % (PAGES / 512) * HUGE;

	madvise(block, HUGE, rnd() & 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (rnd() % 3 == 0)
		madvise(block, HUGE, 25 /* MADV_COLLAPSE */);
	if (rnd() % 5 == 0)
		madvise(block, HUGE, MADV_DONTNEED);
	touch(a.p, a.n);
}

static void do_fork(struct piece a)
{
	pid_t pid = fork();

	MUST(pid >= 0);
	if (pid == 0) {
		touch(a.p, a.n);
		_exit(0);
	}
	if (rnd() & 1)
		wait_child(pid), pid = 0;
	touch(a.p + a.n / 2 * PG, a.n - a.n / 2);
	if (pid)
		wait_child(pid);
}

static void do_pageout(struct piece a)
{
	madvise(a.p, a.n * PG, MADV_PAGEOUT);
	touch(a.p, rnd() % (a.n + 1));
}

static void do_compact(struct piece a)
{
	if (rnd() % 4 == 0)
		put_file("/proc/sys/vm/compact_memory", "1");
	touch(a.p, a.n);
}

static void do_truncate(struct piece a)
{
	MUST(!ftruncate(file, (off_t)(rnd() % PIECES * PG + rnd() % 2 * 100)));
	MUST(!ftruncate(file, PIECES * PG));
	touch(a.p, 1);
}

static void do_write_past(struct piece a)
{
	char buf[5000];
	struct iovec from = { buf, 1 + rnd() % sizeof(buf) }, to = { a.p + rnd() % PG, from.iov_len };

	memset(buf, (int)rnd(), sizeof(buf));
	MUST(process_vm_writev(getpid(), &from, 1, &to, 1, 0) > 0 || errno == EFAULT);
}

static void (*const all[])(struct piece) = { do_store, do_one, do_one, do_read, do_syscall, do_dontneed, do_free, do_remap,
					     do_unmap, do_shared, do_private, do_file, do_move, do_protect, do_huge, do_fork,
					     do_pageout, do_compact, do_truncate, do_write_past };
#define NALL (sizeof(all) / sizeof(all[0]))

static void begin(void)
{
	mem = reserve(PAGES);
	aside = reserve(PIECES);
	file = memfd_create("random", 0);
	NEED(!ftruncate(file, PIECES * PG));
	map(mem, PAGES, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	touch(mem, PAGES / 2);
	track(mem, PAGES);
}

static void mixed(void)
{
	begin();
	for (unsigned i = 0; i < rounds_option; i++) {
		for (unsigned k = rnd() % 40; k > 0; k--)
			all[rnd() % NALL](any());
		round_of("seed %lu, round %u", seed_option, i);
	}
}

/* The rounds fall anywhere between the operations. */
static void mixed_beside(void)
{
	begin();
	for (unsigned i = 0; i < rounds_option / 3; i++) {
		race_begin();
		for (unsigned k = 0; k < 150; k++)
			all[rnd() % NALL](any());
		race_end();
		round_of("seed %lu, go %u", seed_option, i);
	}
}

/* ---- threads that do so to the same memory ---- */

#define THREADS 3

static pthread_barrier_t go;

static void on_fault(int sig)
{
	(void)sig;
	failed("a store");
}

static void *one_of(void *arg)
{
	rnd_begin((uintptr_t)arg);
	aside = reserve(PIECES);
	for (;;) {
		pthread_barrier_wait(&go);
		for (volatile unsigned k = 0; k < 100; k++)
			if (!sigsetjmp(back, 1))
				all[rnd() % NALL](any());
		pthread_barrier_wait(&go);
	}
	return NULL;
}

static void mixed_threads(void)
{
	const struct sigaction sa = { .sa_handler = on_fault };
	pthread_t threads[THREADS];

	self = getpid();
	places = 96; /* they are to meet */
	NEED(!sigaction(SIGSEGV, &sa, NULL) && !sigaction(SIGBUS, &sa, NULL));
	NEED(!pthread_barrier_init(&go, NULL, THREADS + 1));
	for (uintptr_t i = 0; i < THREADS; i++)
		NEED(!pthread_create(&threads[i], NULL, one_of, (void *)(i + 1)));
	begin();
	for (unsigned i = 0; i < rounds_option / 3; i++) {
		race_begin();
		pthread_barrier_wait(&go);
		pthread_barrier_wait(&go);
		race_end();
		round_of("seed %lu, go %u", seed_option, i);
	}
}

const struct scenario sound_random[] = {
	{ .name = "a random mix", .run = mixed },
	{ .name = "a random mix during the rounds", .run = mixed_beside, .flags = ONLY_PML },
	{ .name = "a random mix by threads, during the rounds", .run = mixed_threads, .flags = ONLY_PML },
	{ 0 },
};
