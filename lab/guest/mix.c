/* SPDX-License-Identifier: GPL-2.0-or-later */
/* At rest: compute, system calls, forks and page faults with nothing tracked, and an idle second. What does the hypervisor cost? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static volatile uint64_t sink;

static void compute(void)
{
	static uint32_t table[1 << 18]; /* 1 MiB */
	uint64_t x = 88172645463325252ull;

	for (unsigned i = 0; i < 2000000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		table[x & 0x3ffff] += (uint32_t)x;
	}
	sink += x;
}

/* Loads all over 64 MiB: nearly each one misses the TLB, the worst case of two-dimensional walks. */
static void chase(void)
{
	static uint32_t *next;
	size_t n = (64u << 20) / sizeof(*next);
	uint32_t at = 0;

	if (!next) {
		next = mmap(NULL, n * sizeof(*next), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (next == MAP_FAILED)
			die("mmap failed");
		madvise(next, n * sizeof(*next), MADV_NOHUGEPAGE);
		for (size_t i = 0; i < n; i++)
			next[i] = (uint32_t)((i * 1664525 + 1013904223) & (n - 1));
	}
	for (unsigned i = 0; i < 200000; i++)
		at = next[at];
	sink += at;
}

static void syscalls(void)
{
	for (unsigned i = 0; i < 20000; i++)
		syscall(SYS_getppid);
}

static void forks(void)
{
	for (unsigned i = 0; i < 100; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
}

static void faults(void)
{
	size_t bytes = 16u << 20;

	for (unsigned i = 0; i < 2; i++) {
		char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			die("mmap failed");
		madvise(p, bytes, MADV_NOHUGEPAGE);
		for (size_t k = 0; k < bytes; k += 4096)
			p[k] = 1;
		munmap(p, bytes);
	}
}

static void idle(void)
{
	nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
}

/*
 * Where the kernel puts the stack is random, and a loop of forks whose frames lie in two pages takes two faults a fork more
 * than one whose frames lie in one: 2.5 %. So they begin in the middle of a page.
 */
static void measure(const char *name, const struct workload_options *o, void (*fn)(void))
{
	struct result r = { .workload = name, .technique = o->technique };
	struct counters before;

	*(volatile char *)__builtin_alloca(((uintptr_t)__builtin_alloca(16) - 2048) % 4096 + 16) = 0;
	fn(); /* once to warm up */
	counters_read(&before);
	fn();
	r.app = counters_since(&before);
	r.app_cycles = r.app.now;
	r.rounds = 1;
	result_print(&r);
}

int run_mix(const struct workload_options *o)
{
	measure("rest-compute", o, compute);
	measure("rest-syscalls", o, syscalls);
	measure("rest-forks", o, forks);
	measure("rest-faults", o, faults);
	measure("rest-chase", o, chase);
	measure("rest-idle", o, idle);
	return 0;
}
