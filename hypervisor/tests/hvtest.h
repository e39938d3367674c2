/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of ooh_hvtest.ko share. */
#ifndef OOH_HYPERVISOR_TESTS_HVTEST_H
#define OOH_HYPERVISOR_TESTS_HVTEST_H

#include <linux/bitmap.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "abi/hv_loader.h"
#include "abi/hypercall.h"
#include "arch/exit_reasons.h"

/* hvtest.c: one TAP line each. */
void claim(bool ok, const char *what);
void claim_equal(long got, long want, const char *what);

/* True if the instruction raises an exception. */
#define FAULTS(insn, ...) \
	({ int f_ = 0; \
	   asm volatile("1: " insn "\n\tjmp 3f\n2: mov $1, %0\n3:\n" _ASM_EXTABLE(1b, 2b) \
			: "+r"(f_) : __VA_ARGS__ : "memory", "cc"); \
	   f_; })

#define NO_MSR 0x12345678 /* in neither range of the MSR bitmap */
extern int native_no_msr;

/* hvtest_ring.c: one ring and one list, in pages of their own, and pages to be tracked. */
#define RING_PAGES 256 /* 512 MiB of frames */
#define MANY 4096
extern struct ooh_hv_ring *ring;
extern u64 *ring_list, *list, **ring_page;
extern u8 *pages;                  /* MANY pages of vmalloc */
extern u64 *frames;                /* their frames */
extern unsigned long *mine, *seen; /* sets of frames: these, and those found in the ring */

int alloc_all(void);
void free_all(void);
u64 last_frame(void); /* of RAM */
void make_ring_pages(unsigned int entries);
long set_ring(unsigned int entries);
void drain(u64 flags);
bool take(u64 *frame); /* the next entry; false if there is none */
void skip_ring(void);
long arm(const u64 *frames, unsigned int n);
bool arm_many(unsigned int n);
void store_many(unsigned int n);
/*
 * Empties the ring into the set of frames seen. Returns how many entries were ours; *unknown and *twice count the
 * others.
 */
unsigned int collect(unsigned int *unknown, unsigned int *twice);
struct ooh_hv_info *info(void);

/* The tests, by file. */

/* hvtest_calls.c */
void test_info(void);
void test_arguments(void);
void test_ring_arguments(void);
void test_hidden_memory(void);

/* hvtest_cpu.c */
void test_instructions(void);
void test_single_step(void);
void test_nmi(void);
void test_no_trace(void);
void test_cycles(void);

/* hvtest_log.c */
void test_one_page(void);
void test_many_pages(void);
void test_storm(void);
void test_race(void);
void test_overflow(void);
void test_reset(void);
void show_costs(void);
void show_exits(void);
extern unsigned int cycles; /* how often to enable and disable */

#endif
