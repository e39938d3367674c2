/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random VMCS contents and random bytes as code, in root and in non-root operation. Nothing is judged but that the image
 * goes on, or ends as a CPU can: the machine must not crash, hang or reach beyond itself (see tests/engines/fuzz, which
 * runs it with many seeds). Random numbers come from RDRAND, that is, from the machine's --seed.
 */
#include "tests/guest/vmx/lib.h"

#define ATTEMPTS 400
#define RESUMES 12
#define TICKS 2000 /* of the preemption timer */

static uint8_t code[2][4096] __attribute__((aligned(4096)));
static uint8_t data[4][4096] __attribute__((aligned(4096)));
static uint64_t guest_pml4[512] __attribute__((aligned(4096))), guest_pdpt[512] __attribute__((aligned(4096)));
static uint64_t state;

/* deadly: a random value mostly ends in a VMX abort, or in a host that is none. */
static const struct { uint32_t encoding; bool deadly; } fields[] = {
#define VMCS_FIELD(name, encoding, width, class, cap, text) \
	{ encoding, VMCS_CLASS_##class == VMCS_CLASS_HOST || (encoding) == VMCS_EXIT_MSR_STORE_COUNT || \
		    (encoding) == VMCS_EXIT_MSR_LOAD_COUNT || (encoding) == VMCS_EXIT_CONTROLS },
#include "arch/vmcs_fields.def"
#undef VMCS_FIELD
};
#define NFIELDS (sizeof(fields) / sizeof(fields[0]))

static uint64_t random64(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void fill_code(void)
{
	uint64_t *p = (uint64_t *)code[0];

	for (unsigned i = 0; i < sizeof(code) / 8; i++)
		p[i] = random64();
	if (random64() % 2) /* instructions of two bytes more often */
		for (unsigned i = 0; i < 64; i += 4 + random64() % 8)
			code[0][i] = 0x0f;
}

static void fill_registers(void)
{
	for (unsigned i = 0; i < 16; i++) {
		uint64_t v = random64();

		regs[i] = v % 4 == 0 ? v : (uint64_t)data + (v >> 32) % sizeof(data);
	}
}

static uint64_t *table(uint64_t entry)
{
	return (uint64_t *)(entry & 0x000ffffffffff000ull);
}

/* The guest reaches its own pages and nothing else. */
static uint64_t small_ept(void)
{
	uint64_t eptp = ept_identity(), *pdpt = table(table(eptp)[0]), *pd = table(pdpt[0]), *pt = table(pd[0]);

	for (unsigned i = 1; i < 512; i++)
		pdpt[i] = pd[i] = 0;
	for (unsigned i = 0; i < 512; i++) {
		uint64_t page = (uint64_t)i << 12;
		bool mine = (page >= (uint64_t)code && page < (uint64_t)code + sizeof(code)) ||
			    (page >= (uint64_t)data && page < (uint64_t)data + sizeof(data)) || page == (uint64_t)guest_pml4 ||
			    page == (uint64_t)guest_pdpt;

		if (!mine)
			pt[i] = 0;
	}
	return eptp;
}

static uint64_t odd_value(uint64_t old)
{
	switch (random64() % 8) {
	case 0: return 0;
	case 1: return ~0ull;
	case 2: return old + 1;
	case 3: return random64();
	case 4: return random64() & 0xffff;
	case 5: return (uint64_t)data + random64() % 8192;
	default: return old ^ 1ull << random64() % 64;
	}
}

static void spoil_vmcs(void)
{
	bool deadly_too = random64() % 256 == 0;

	for (unsigned n = random64() % 5; n; n--) {
		unsigned i = random64() % NFIELDS;

		if (!fields[i].deadly || deadly_too)
			vmwrite(fields[i].encoding, odd_value(vmread(fields[i].encoding)));
	}
}

static void prepare(uint64_t eptp)
{
	for (unsigned i = 0; i < 512; i++)
		guest_pml4[i] = guest_pdpt[i] = 0;
	guest_pml4[0] = (uint64_t)guest_pdpt | 7;
	guest_pdpt[0] = 0x87;
	vmcs_fresh((void (*)(void))(uint64_t)(code[0] + random64() % 64));
	vmwrite(VMCS_GUEST_CR3, (uint64_t)guest_pml4);
	vmwrite(VMCS_GUEST_RSP, (uint64_t)data + 4096 + random64() % 64 * 8);
	control_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	control_set(VMCS_PROC_CONTROLS, PROC_HLT_EXITING | PROC_UNCOND_IO_EXITING | PROC_SECONDARY_CONTROLS);
	control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT | PROC2_UNRESTRICTED_GUEST);
	vmwrite(VMCS_EPT_POINTER, eptp);
	vmwrite(VMCS_PREEMPTION_TIMER_VALUE, TICKS);
	if (random64() % 4)
		vmwrite(VMCS_EXCEPTION_BITMAP, ~0u);
}

static void fuzz_guest(void)
{
	uint64_t eptp = small_ept();
	unsigned entered = 0, refused = 0, failed = 0;

	for (unsigned i = 0; i < ATTEMPTS; i++) {
		fill_code();
		fill_registers();
		prepare(eptp);
		spoil_vmcs();
		for (unsigned k = 0; k < RESUMES; k++) {
			int r = enter_guest();

			refused += r != 0;
			entered += r == 0;
			if (r != 0)
				break;
			if (vmread(VMCS_EXIT_REASON) >> 31) {
				failed++;
				break;
			}
			guest_skip();
			vmwrite(VMCS_PREEMPTION_TIMER_VALUE, TICKS);
			if (random64() % 8 == 0)
				spoil_vmcs();
		}
	}
	say("guests: %u exits, %u of them failed entries; %u refused\n", entered, failed, refused);
}

static void run_code(void)
{
	uint64_t p = (uint64_t)data[1] + random64() % 4096;

	asm volatile("call *%0" : : "a"(code[0] + random64() % 64), "c"(p), "d"(p), "S"(p), "D"(p) : "memory"); /* survive() saved the rest */
}

/* In root operation the code has everything: this part ends early, somehow. */
static void fuzz_root(void)
{
	for (unsigned i = 0; i < ATTEMPTS; i++) {
		fill_code();
		survive(run_code);
	}
}

int main(void)
{
	asm volatile("1: rdrand %0; jnc 1b" : "=r"(state) : : "cc");
	if (!vmx_start())
		return 0;
	fuzz_guest();
	fuzz_root();
	return 0;
}
