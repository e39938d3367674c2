/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A CPU with a little RAM and no devices: code is put at an address and run until an event is delivered (which is
 * recorded in the place of the IDT) or the budget ends.
 */
#ifndef OOH_TESTS_MACHINE_CPU_HARNESS_H
#define OOH_TESTS_MACHINE_CPU_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86.h"
#include "machine/cpu/block.h"

#define RAM_SIZE (16ull << 20)
#define CODE     0x100000u
#define DATA     0x200000u
#define STACK    0x300000u

extern struct machine machine;
extern struct cpu *cpu;
extern struct event delivered; /* the last event */
extern unsigned deliveries;

/* The linker puts it in the place of cpu_deliver. */
void __wrap_cpu_deliver(struct cpu *c, const struct event *e);
/* The same for dev_idle_wait: HLT ends a run by its budget, no device will wake the CPU. */
bool __wrap_dev_idle_wait(struct machine *m, u64 until);

/*
 * 64-bit mode at CPL 0, the first 16 MiB mapped one to one; registers 0, RSP = STACK. Also a setup function of
 * cmocka.
 */
int harness_setup(void **state);
/*
 * Segments and control registers for code of 64, 32 (under 64-bit paging: compatibility mode) or 16 bits (real mode).
 */
void harness_mode(unsigned bits, unsigned cpl);
void harness_code(uint64_t at, const void *bytes, unsigned n);
/* Runs for `cycles` of virtual time from rip, or until an event. Returns true if one was delivered. */
bool harness_run(uint64_t rip, int64_t cycles);

#define CODE_AT(at, ...)                                                                                               \
	do {                                                                                                           \
		static const uint8_t bytes_[] = { __VA_ARGS__ };                                                       \
		harness_code((at), bytes_, sizeof(bytes_));                                                            \
	} while (0)

#endif
