/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Something to debug: root code that counts, and a guest under EPT that counts too and exits by CPUID, VMCALL, #BP and #DB. The
 * names are what the tests set breakpoints and watchpoints on.
 */
#include "tests/guest/vmx/lib.h"

#define ROUNDS 20

volatile uint64_t root_count, guest_count, never_written;
uint64_t vector[4] = { 1, 2, 3, 4 }; /* what YMM3 is loaded with, and later held */
uint32_t key_rights;                 /* what PKRU held */
void root_step(uint64_t n);
void guest_step(uint64_t n);

__attribute__((noinline)) void root_step(uint64_t n)
{
	root_count = root_count + n;
}

__attribute__((noinline)) void guest_step(uint64_t n)
{
	guest_count = guest_count + n;
}

static void guest_main(void)
{
	for (uint64_t i = 1;; i++) {
		uint32_t a = 0, c = 0;

		guest_step(i);
		asm volatile("cpuid" : "+a"(a), "+c"(c) : : "ebx", "edx");
		asm volatile("int3; int1; vmcall");
	}
}

/* YMM3 and PKRU have values to look at. Key 5 is in no page's entry. */
static void load_registers(void)
{
	write_cr4(read_cr4() | CR4_OSXSAVE | CR4_PKE);
	asm volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
	asm volatile("wrpkru" : : "a"(3u << 10), "d"(0), "c"(0));
	asm volatile("vmovdqu %0, %%ymm3" : : "m"(vector));
}

static void store_registers(void)
{
	asm volatile("rdpkru" : "=a"(key_rights) : "c"(0) : "edx");
	asm volatile("vmovdqu %%ymm3, %0" : "=m"(vector));
}

int main(void)
{
	bool ok = vmx_start();

	load_registers();

	vmcs_fresh(guest_main);
	vmwrite(VMCS_EXCEPTION_BITMAP, 1u << VEC_BP | 1u << VEC_DB);
	vmwrite(VMCS_EPT_POINTER, ept_identity());
	ok = ok && control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT);
	for (uint64_t i = 1; ok && i <= ROUNDS; i++) {
		root_step(i);
		store_registers();
		for (unsigned n = 0; n < 4; n++) {
			ok = ok && enter_guest() == 0;
			guest_skip();
		}
	}
	check(ok, "rounds", "VT-x does not work");
	check(root_count == ROUNDS * (ROUNDS + 1) / 2, "root", "count %lu", root_count);
	check(guest_count == ROUNDS * (ROUNDS + 1) / 2, "guest", "count %lu", guest_count);
	return (int)failures();
}
