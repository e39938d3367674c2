/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads of the subject change the same mapping at the same time: one drops it, one reads, one stores. */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include "sound.h"

#define KNOWN  496ul /* pages of the block that are there; the last 16 come by fault-around */
#define STEPS  16u
#define LAPS   (6 * STEPS)
#define STEP   120ul /* cycles */

static char *block;
static unsigned reader_late, writer_late, ready;
static pthread_barrier_t begin, end;

static void wait_cycles(uint64_t n)
{
	for (uint64_t from = __rdtsc(); __rdtsc() - from < n;)
		__asm__ volatile("pause");
}

/* Sleeps until all are there, then spins, so that all leave it at the same time. */
static void together(void)
{
	unsigned goal;

	pthread_barrier_wait(&begin);
	goal = __atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	goal = (goal + 2) / 3 * 3;
	while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) < goal)
		__asm__ volatile("pause");
}

static void *reader(void *arg)
{
	for (;;) {
		together();
		wait_cycles(reader_late * STEP);
		*(volatile char *)(block + 511 * PG);
		pthread_barrier_wait(&end);
	}
	return arg;
}

static void *writer(void *arg)
{
	for (;;) {
		together();
		wait_cycles((reader_late + writer_late) * STEP);
		touch(block + 500 * PG, 1);
		pthread_barrier_wait(&end);
	}
	return arg;
}

/*
 * Pages come with their neighbour while the block they lie in is being dropped: after that was announced and before it
 * happens, at times that vary. Those stored to meanwhile had no fault of their own.
 */
static void come_while_going(void)
{
	int file = memfd_create("t", 0);
	char page[PG];
	pthread_t threads[2];

	if (sysconf(_SC_NPROCESSORS_ONLN) < 3)
		skip("needs three CPUs");
	memset(page, 0x5a, PG);
	for (unsigned i = 0; i < 512; i++)
		NEED(write(file, page, PG) == (ssize_t)PG);
	block = map(reserve(512), 512, MAP_SHARED | MAP_FIXED, file);
	touch(block, KNOWN);
	NEED(!pthread_barrier_init(&begin, NULL, 3) && !pthread_barrier_init(&end, NULL, 3));
	NEED(!pthread_create(&threads[0], NULL, reader, NULL) && !pthread_create(&threads[1], NULL, writer, NULL));
	track(block, 512);
	for (unsigned i = 0; i < LAPS; i++) {
		reader_late = i % STEPS;
		writer_late = 28 + 8 * (i / STEPS);
		together();
		NEED(!madvise(block, HUGE, MADV_DONTNEED));
		pthread_barrier_wait(&end);
		round_of("dropped, read %u and stored to %u steps later", reader_late, writer_late);
		NEED(!madvise(block, HUGE, MADV_DONTNEED));
		touch(block, KNOWN);
		round_of("made ready again");
	}
}

const struct scenario sound_race[] = {
	{ .name = "threads: pages come while their block is dropped", .run = come_while_going, .flags = ONLY_PML },
	{ 0 },
};
