/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The array writer: stores every 8-byte word of its array in order, round after round; or, with --dirty N, one word in each of N
 * pages spread over it. It times its own passes by the TSC.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

struct link {
	int to, from;
};

static void write_all(volatile uint64_t *a, size_t words, uint64_t value)
{
	for (size_t i = 0; i < words; i++)
		a[i] = value;
}

static void write_some(volatile uint64_t *a, size_t words, unsigned pages, uint64_t value)
{
	size_t step = words / pages;

	for (unsigned i = 0; i < pages; i++)
		a[i * step] = value;
}

static void writer(const struct workload_options *o, volatile uint64_t *a, size_t words, struct link l)
{
	uint64_t value = 1, took;
	char go;

	write_all(a, words, 1); /* resident */
	while (write(l.to, &(uint64_t){ 0 }, 8) == 8 && read(l.from, &go, 1) == 1) {
		uint64_t before = cycles();

		if (o->dirty)
			write_some(a, words, o->dirty, ++value);
		else
			write_all(a, words, ++value);
		took = cycles() - before;
		if (write(l.to, &took, 8) != 8 || read(l.from, &go, 1) != 1)
			break;
	}
	_exit(0);
}

static uint64_t answer(int fd)
{
	uint64_t v;

	if (read(fd, &v, 8) != 8)
		die("the writer has gone");
	return v;
}

static void tell(int fd)
{
	if (write(fd, "g", 1) != 1)
		die("the writer has gone");
}

int run_array(const struct workload_options *o)
{
	size_t bytes = (size_t)o->megabytes << 20;
	void *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct result r = { .technique = o->technique };
	int to[2], from[2];
	struct session s;
	char name[40];
	pid_t pid;

	if (area == MAP_FAILED || pipe(to) || pipe(from))
		die("setting up the writer failed");
	madvise(area, bytes, o->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	snprintf(name, sizeof(name), o->dirty ? "sparse-%u" : o->huge ? "array-thp-%u" : "array-%u", o->megabytes);
	r.workload = name;
	pid = fork();
	if (pid == 0)
		writer(o, area, bytes / 8, (struct link){ .to = to[1], .from = from[0] });
	answer(to[0]); /* resident now */
	session_start(&s, pid, o->technique, (uintptr_t)area, (uintptr_t)area + bytes, &r);
	for (unsigned i = 0; i <= o->rounds; i++) {
		uint64_t took;

		session_work(&s);
		tell(from[1]);
		took = answer(to[0]);
		if (i == 0) { /* warms the caches of all techniques alike */
			session_skip(&s);
		} else {
			r.app_cycles += took;
			session_round(&s);
		}
		tell(from[1]);
		answer(to[0]);
	}
	session_end(&s);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	result_print(&r);
	return r.missed ? 1 : 0;
}
