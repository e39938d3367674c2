// SPDX-License-Identifier: GPL-2.0-only
/*
 * The header that the loader reads, the state, and the functions that the compiler calls by itself.
 */
#include "core/root.h"

extern const uint8_t hv_image_start[], hv_image_end[], hv_data_start[], hv_exit_entry[], hv_stubs[];

struct hv hv;

__attribute__((section(".header"), used)) const struct hv_image hv_image = {
	.magic = HV_IMAGE_MAGIC,
	.start = (uintptr_t)hv_image_start,
	.end = (uintptr_t)hv_image_end,
	.data = (uintptr_t)hv_data_start,
	.exit_entry = (uintptr_t)hv_exit_entry,
	.stubs = (uintptr_t)hv_stubs,
	.state = (uintptr_t)&hv,
	.state_size = sizeof(hv),
};

void *memset(void *to, int c, size_t n);
void *memcpy(void *restrict to, const void *restrict from, size_t n);

void *memset(void *to, int c, size_t n)
{
	void *p = to;

	asm volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
	return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	void *p = to;

	asm volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(n) : : "memory");
	return to;
}
