/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trackbench: measures a technique of dirty tracking on a workload inside the machine, against the oracle. */
#ifndef OOH_LAB_GUEST_BENCH_H
#define OOH_LAB_GUEST_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ooh.h>

#include "abi/machine.h"

/* ---- the machine (machine.c). All end the program with one line when the device fails. ---- */

struct counters {
	uint64_t now; /* virtual cycles */
	uint64_t faults, exits, hypercalls, interrupts, instructions, tlb_misses, refs_1d, refs_guest, refs_ept, pml, ept_dirty,
		halted;
	uint64_t exit[MACHINE_EXIT_REASONS]; /* by basic reason */
};

void machine_open(void);
void counters_read(struct counters *c);
/* after - before, member by member. */
struct counters counters_since(const struct counters *before);
/* -1 without an oracle: machine_open() was not called. */
int oracle_watch(pid_t pid, uint64_t start, uint64_t end);
void oracle_unwatch(int id);

struct pages {
	uint64_t *v; /* page addresses, ascending */
	size_t n, cap;
};

/* Closes the watch's round and reads its pages. */
void oracle_round(int id, struct pages *out);

static inline uint64_t cycles(void)
{
	uint32_t lo, hi;

	__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- a tracked process and what is learnt of it (session.c) ---- */

/* Sums over the rounds of one workload under one technique. */
struct result {
	const char *workload, *technique;
	unsigned rounds;
	uint64_t truth, reported, missed, extra;
	uint64_t app_cycles;     /* of the tracked program's own work */
	uint64_t round_cycles;   /* of all collects */
	uint64_t start_cycles;   /* of opening, adding ranges, starting */
	struct counters app, tracker; /* events during the work, and during the collects */
};

struct session {
	struct ooh_tracker *tracker; /* NULL: technique "none" */
	int watch;
	struct pages truth;
	struct ooh_region *vec;
	size_t cap;
	struct result *r;
	struct counters mark;
};

/* technique: "none" or a backend's name. The range is that of the oracle and of the tracker; 0, 0: all of the process. */
void session_start(struct session *s, pid_t pid, const char *technique, uint64_t start, uint64_t end, struct result *r);
/* The workload goes on / has come to the end of a round (the process must stand still): collects, and compares with the oracle. */
void session_work(struct session *s);
void session_round(struct session *s);
/* Closes a round that is not measured (start-up). */
void session_skip(struct session *s);
void session_end(struct session *s);

void result_print(const struct result *r);

/* ---- workloads: return when done ---- */
struct workload_options {
	const char *technique;
	unsigned rounds;
	unsigned megabytes, dirty; /* dirty: pages a round, 0: all words */
	bool huge;
	const char *const *command; /* redis: NULL-terminated benchmark arguments */
};
int run_array(const struct workload_options *o);
int run_redis(const struct workload_options *o);
int run_mix(const struct workload_options *o);

#endif
