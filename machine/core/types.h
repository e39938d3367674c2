/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine's basic types. */
#ifndef OOH_MACHINE_CORE_TYPES_H
#define OOH_MACHINE_CORE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

/*
 * Three address spaces, three types. A linear (guest-virtual) address is a plain u64, because instructions compute with it;
 * guest-physical and host-physical (the machine's own physical) addresses are never mixed up by accident.
 * Outside VMX non-root operation with EPT, a guest-physical address equals the host-physical one.
 */
typedef struct { u64 v; } gpa_t;
typedef struct { u64 v; } hpa_t;

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ull
#define PAGE_OFFSET_MASK (PAGE_SIZE - 1)

/* Bits hi..lo of v, in the manual's order. */
static inline u64 bits(u64 v, unsigned hi, unsigned lo)
{
	return (v >> lo) & (~0ull >> (63 - (hi - lo)));
}

/* The bits above those that are translated repeat the highest of them: 57 or 48 bits. */
static inline bool is_canonical(u64 lin, bool wide)
{
	unsigned unused = wide ? 7 : 16;

	return (u64)((s64)(lin << unused) >> unused) == lin;
}

#endif
