/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What native.c's assembly and C share. */
#ifndef OOH_TESTS_SEMANTICS_NATIVE_H
#define OOH_TESTS_SEMANTICS_NATIVE_H

#include <stdint.h>

struct sem_state;

void native_enter(void);
void native_enter32(void); /* in compatibility mode */
void native_exit(void);
extern const struct sem_state *native_input;
extern uint64_t native_stack, native_target;
extern uint32_t native_avx;

struct native_far {
	uint32_t offset;
	uint16_t selector;
} __attribute__((packed));
extern const struct native_far native_far;

#endif
