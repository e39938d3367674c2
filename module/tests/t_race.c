// SPDX-License-Identifier: GPL-2.0-only
/*
 * The test of a live migration: a process with threads that write, map, unmap, move, split and fork as fast as they
 * can; a replica that is updated, while they do, only with pages that were reported. When they stop, one last round
 * must make the replica equal to the memory.
 */
#define _GNU_SOURCE
#include "ooh_test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define PAGES   (4 * 512ul) /* four blocks */
#define THREADS 3

struct control {
	atomic_bool stop;
	atomic_int running;
	atomic_ulong ops;
};

typedef void (*mutation)(char *p, size_t pages, uint64_t *seed);

static struct control *ctl;
static char *mem;
static char *aside;  /* as large; where pages go for a while */
static const mutation *mutations;
static size_t nr_mutations;

static bool stopping(void)
{
	return atomic_load_explicit(&ctl->stop, memory_order_relaxed);
}

/* ---- what they do to some pages of theirs ---- */

static void m_store(char *p, size_t n, uint64_t *seed)
{
	size_t i;

	for (i = 0; i < n; i++)
		*(volatile uint64_t *)(p + i * PG + rnd(seed) % 512 * 8) = rnd(seed);
}

static void m_remap(char *p, size_t n, uint64_t *seed)
{
	munmap(p, n * PG);
	mmap(p, n * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	m_store(p, n / 2 + 1, seed);
}

static void m_dontneed(char *p, size_t n, uint64_t *seed)
{
	madvise(p, n * PG, MADV_DONTNEED);
	m_store(p, n / 3 + 1, seed);
}

/*
 * Away and back: stores at both places. Nobody calls mmap() without an address while the threads run: it could be
 * given the hole.
 */
static void m_move(char *p, size_t n, uint64_t *seed)
{
	char *away = aside + (p - mem);

	if (mremap(p, n * PG, n * PG, MREMAP_MAYMOVE | MREMAP_FIXED, away) != away)
		return;
	m_store(away, n / 2 + 1, seed);
	if (mremap(away, n * PG, n * PG, MREMAP_MAYMOVE | MREMAP_FIXED, p) != p)
		abort();
}

static void m_protect(char *p, size_t n, uint64_t *seed)
{
	mprotect(p, n * PG, PROT_READ);
	mprotect(p, n * PG, PROT_READ | PROT_WRITE);
	m_store(p, 1, seed);
}

static void m_huge(char *p, size_t n, uint64_t *seed)
{
	char *block = (char *)((uintptr_t)p & ~((512 * PG) - 1));

	madvise(p, n * PG, rnd(seed) & 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (rnd(seed) % 8 == 0)
		madvise(block, 512 * PG, MADV_COLLAPSE);
	m_store(p, n, seed);
}

static void m_fork(char *p, size_t n, uint64_t *seed)
{
	pid_t pid;

	if (rnd(seed) % 4)
		return m_store(p, n, seed);
	pid = fork();
	if (!pid) {
		m_store(p, n, seed);
		_exit(0);
	}
	m_store(p, n, seed);
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static void m_pageout(char *p, size_t n, uint64_t *seed)
{
	madvise(p, n * PG, MADV_PAGEOUT);
	m_store(p, n / 4 + 1, seed);
}

static void m_compact(char *p, size_t n, uint64_t *seed)
{
	m_store(p, n, seed);
	if (rnd(seed) % 16 == 0)
		put_file("/proc/sys/vm/compact_memory", "1");
}

/* ---- the process that is tracked ---- */

/* Each thread owns every THREADS-th run of 16 pages, so that one does not unmap what another writes. */
static void *mutator(void *arg)
{
	const uintptr_t id = (uintptr_t)arg;
	uint64_t seed = 0x9e3779b97f4a7c15ull * (id + 1) ^ (uint64_t)getpid();

	while (!stopping()) {
		size_t run = rnd(&seed) % (PAGES / 16 / THREADS) * THREADS + id;
		size_t at = rnd(&seed) % 8, n = 1 + rnd(&seed) % 8;

		mutations[rnd(&seed) % nr_mutations](mem + (run * 16 + at) * PG, n, &seed);
		atomic_fetch_add(&ctl->ops, 1);
	}
	atomic_fetch_sub(&ctl->running, 1);
	return NULL;
}

static void tracked_process(void)
{
	pthread_t th[THREADS];
	uintptr_t i;

	atomic_store(&ctl->running, THREADS);
	for (i = 0; i < THREADS; i++)
		if (pthread_create(&th[i], NULL, mutator, (void *)i))
			_exit(1);
	for (i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	pause();
	_exit(0);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static int seconds(void)
{
	const char *s = getenv("OOH_RACE_SECONDS");

	return s ? atoi(s) : 4;
}

/* Several goes: each compares once, when all stand still. */
static void migrate(const mutation *m, size_t nr)
{
	unsigned int rounds = 0;
	size_t n;
	double end;
	struct area a;
	pid_t pid;
	int t;

	mutations = m;
	nr_mutations = nr;
	ctl = (void *)map_at(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	mem = (char *)(((uintptr_t)map_anon(PAGES + 512) + 512 * PG - 1) & ~(512 * PG - 1));
	aside = map_anon(PAGES);
	madvise(mem, PAGES * PG, MADV_HUGEPAGE);
	touch(mem, PAGES);
	pid = fork();
	if (!pid)
		tracked_process();
	while (!atomic_load(&ctl->ops))
		usleep(1000);
	t = tracker(pidfd_of(pid));
	CHECK(t >= 0 && !range_op(t, OOH_IOC_ADD_RANGE, mem, PAGES * PG) && !simple_op(t, OOH_IOC_START), "%s",
	      strerror(errno));
	area_init(&a, t, pid, mem, PAGES);
	a.vec_len = 1024;
	for (end = now() + seconds(); now() < end; rounds++) {
		area_collect(&a);
		area_copy_dirty(&a);
	}
	atomic_store(&ctl->stop, true);
	while (atomic_load(&ctl->running))
		usleep(1000);
	area_collect(&a);
	area_copy_dirty(&a);
	n = area_differs(&a);
	note("%u rounds beside %lu operations", rounds, atomic_load(&ctl->ops));
	CHECK(waitpid(pid, NULL, WNOHANG) == 0, "the tracked process died");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK(!n, "%zu pages differ from the replica", n);
}

#define RACE(name, ...)                                                                                \
	static void t_##name(void)                                                                     \
	{                                                                                              \
		static const mutation m[] = { __VA_ARGS__ };                                           \
		migrate(m, sizeof(m) / sizeof(m[0]));                                                  \
	}

RACE(stores, m_store)
RACE(remap, m_store, m_remap, m_dontneed)
RACE(move, m_store, m_move)
RACE(protect, m_store, m_protect)
RACE(huge_only, m_store, m_huge, m_dontneed)
RACE(fork, m_store, m_fork)
RACE(compact, m_store, m_compact, m_dontneed)
RACE(all, m_store, m_remap, m_dontneed, m_move, m_protect, m_huge, m_fork, m_pageout, m_compact)

static void t_huge(void)
{
	khugepaged(true);
	t_huge_only();
}

/*
 * Trackers come and go, calls race with each other, with fork and with the end of the process: nothing but defined
 * errors.
 */
static void *meddler(void *arg)
{
	uint64_t seed = (uintptr_t)arg + 88172645463325252ull;
	struct ooh_region vec[16];
	struct ooh_collect c;

	while (!stopping()) {
		int t = tracker(rnd(&seed) & 1 ? -1 : *(int *)mem);

		if (t < 0)
			continue;
		if (rnd(&seed) & 1)
			range_all(t);
		range_op(t, OOH_IOC_ADD_RANGE, mem + rnd(&seed) % 64 * PG, PG * (1 + rnd(&seed) % 64));
		simple_op(t, OOH_IOC_START);
		while (rnd(&seed) % 8) {
			collect(t, &c, NULL, 0, vec, 16, rnd(&seed) & 1);
			range_op(t, rnd(&seed) & 1 ? OOH_IOC_ADD_RANGE : OOH_IOC_DEL_RANGE,
				 mem + rnd(&seed) % 64 * PG, 8 * PG);
			if (rnd(&seed) % 16 == 0)
				simple_op(t, rnd(&seed) & 1 ? OOH_IOC_STOP : OOH_IOC_START);
		}
		close(t);
	}
	return NULL;
}

static void t_meddle(void)
{
	static struct control c;
	static const mutation m[] = { m_store, m_remap, m_huge };
	struct ooh_status st;
	pthread_t th[6];
	double end = now() + seconds();
	uintptr_t i;

	ctl = &c;
	mutations = m;
	nr_mutations = 3;
	mem = map_anon(PAGES);
	touch(mem, PAGES);
	*(int *)mem = -1;
	mem += 16 * PG;
	*(int *)mem = -1;
	atomic_store(&c.running, 2);
	for (i = 0; i < 4; i++)
		CHECK(!pthread_create(&th[i], NULL, meddler, (void *)i));
	while (now() < end) {
		pid_t pid = fork();

		if (!pid) {
			uint64_t seed = getpid();

			while (rnd(&seed) % 64)
				m_store(mem + PG, 60, &seed);
			_exit(0);
		}
		*(volatile int *)mem = pidfd_of(pid);
		usleep(rnd(&(uint64_t){ pid * 7919ull + 1 }) % 20000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(*(int *)mem);
	}
	atomic_store(&c.stop, true);
	for (i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	status(&st);
	CHECK(!st.trackers && !st.tagged, "%u trackers, %llu tags left", st.trackers, st.tagged);
}

/* The hypervisor is switched off by force and on again under trackers at work. */
static void *switcher(void *arg)
{
	while (!stopping()) {
		struct ooh_switch on = { .size = sizeof(on) };
		struct ooh_switch off = { .size = sizeof(off), .flags = OOH_DISABLE_FORCE };

		usleep(20000);
		CHECK(!ioctl(dev, OOH_IOC_DISABLE, &off), "%s", strerror(errno));
		CHECK(!ioctl(dev, OOH_IOC_ENABLE, &on), "%s", strerror(errno));
	}
	return arg;
}

static void t_switch(void)
{
	static struct control c;
	pthread_t th[4];
	struct ooh_status st;
	uintptr_t i;

	if (geteuid())
		skip("not root");
	ctl = &c;
	mem = map_anon(256);
	touch(mem, 256);
	*(int *)mem = -1;
	CHECK(!pthread_create(&th[3], NULL, switcher, NULL));
	for (i = 0; i < 3; i++)
		CHECK(!pthread_create(&th[i], NULL, meddler, (void *)i));
	sleep(seconds());
	atomic_store(&c.stop, true);
	for (i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	status(&st);
	CHECK(!st.trackers && !st.tagged, "%u trackers, %llu tags left", st.trackers, st.tagged);
	CHECK(st.state == OOH_HV_ACTIVE);
}

const struct test race_tests[] = {
	{ "replica beside stores", t_stores },
	{ "replica beside munmap, MAP_FIXED and MADV_DONTNEED", t_remap },
	{ "replica beside mremap", t_move },
	{ "replica beside mprotect", t_protect },
	{ "replica beside huge pages that come and go", t_huge },
	{ "replica beside fork", t_fork },
	{ "replica beside compaction", t_compact },
	{ "replica beside everything", t_all },
	{ "calls against each other", t_meddle },
	{ "calls against the switch", t_switch },
	{ NULL, NULL },
};
