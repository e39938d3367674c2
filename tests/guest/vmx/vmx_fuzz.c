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
#define CODE_USED 1024 /* where guests begin, and go on after a fault */

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

static unsigned draw(unsigned n)
{
	return (unsigned)(random64() >> 32) % n;
}

/* A ModRM byte that more often than not is memory at a register, and what belongs to it. */
static unsigned put_operand(uint8_t *p)
{
	uint64_t v = random64();
	uint8_t modrm = (uint8_t)v;

	if (v >> 8 & 3)
		modrm &= 0x3f | (v >> 10 & 1) << 6;
	p[0] = modrm;
	for (unsigned i = 1; i < 6; i++)
		p[i] = (uint8_t)(v >> 8 * (i + 1) & (modrm >> 6 == 1 ? 0x3f : 0xff));
	return 1 + ((modrm & 7) == 4 && modrm >> 6 != 3) + (modrm >> 6 == 1 ? 1 : modrm >> 6 == 2 ? 4 : 0);
}

static unsigned put_prefixes(uint8_t *p)
{
	static const uint8_t prefixes[] = { 0x66, 0xf2, 0xf3, 0x67, 0xf0, 0x64, 0x2e };
	unsigned n = 0;

	if (draw(2))
		p[n++] = prefixes[draw(sizeof(prefixes))];
	if (draw(2))
		p[n++] = (uint8_t)(0x40 | draw(16));
	return n;
}

/* Legacy prefixes, opcode, operand; opcode2: of 0F, or of one of its maps if map is not 0. */
static unsigned put_0f(uint8_t *p, uint8_t map, uint8_t opcode2)
{
	unsigned n = put_prefixes(p);

	p[n++] = 0x0f;
	if (map)
		p[n++] = map;
	p[n++] = opcode2;
	return n + put_operand(p + n) + (map == 0x3a);
}

static unsigned put_vex(uint8_t *p, unsigned bytes)
{
	unsigned n = 0;

	p[n++] = bytes == 2 ? 0xc5 : bytes == 3 ? 0xc4 : 0x62;
	if (bytes == 3)
		p[n++] = (uint8_t)(draw(8) << 5 | (1 + draw(3)));
	if (bytes == 4) {
		p[n++] = (uint8_t)(draw(16) << 4 | (1 + draw(3)));
		p[n++] = (uint8_t)(draw(256) | 4);
	}
	p[n++] = (uint8_t)(draw(2) ? draw(256) : draw(256) | 0x78); /* VVVV = 1111 where there is no third operand */
	p[n++] = (uint8_t)draw(256);
	return n + put_operand(p + n) + draw(2);
}

/* Instructions that random bytes seldom make, by their first bytes; what follows stays random. Returns the length, more or less. */
static unsigned put_instruction(uint8_t *p)
{
	static const uint8_t system[] = { 0x00, 0x01, 0x20, 0x22, 0x30, 0x32, 0xa2, 0xae, 0xc7, 0x78, 0x79 };

	switch (draw(10)) {
	case 0: return put_vex(p, 2);
	case 1: return put_vex(p, 3);
	case 2: return put_vex(p, 4);
	case 3: return put_0f(p, 0, 0xae); /* FXSAVE, XSAVE, LDMXCSR, CLFLUSH, fences … */
	case 4: return put_0f(p, 0, 0xc7); /* XSAVEC, XSAVES, XRSTORS, CMPXCHG16B, RDRAND, VMPTRLD … */
	case 5: return put_0f(p, 0, 0x01); /* VMX, MONITOR, XGETBV, SWAPGS, RDPKRU, descriptor tables … */
	case 6: return put_0f(p, draw(2) ? 0x38 : 0x3a, (uint8_t)draw(256));
	case 7: return put_0f(p, 0, system[draw(sizeof(system))]);
	case 8: return put_0f(p, 0, (uint8_t)draw(256));
	default: return 1 + draw(8);
	}
}

static void fill_code(void)
{
	uint64_t *p = (uint64_t *)code[0];

	for (unsigned i = 0; i < sizeof(code) / 8; i++)
		p[i] = random64();
	switch (draw(3)) {
	case 0:
		break;
	case 1: /* instructions of two bytes more often */
		for (unsigned i = 0; i < 64; i += 4 + draw(8))
			code[0][i] = 0x0f;
		break;
	case 2:
		for (unsigned i = 0; i < CODE_USED;)
			i += put_instruction(code[0] + i);
		break;
	}
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
			if (vmread(VMCS_EXIT_INSTRUCTION_LENGTH) && draw(4))
				guest_skip();
			else
				vmwrite(VMCS_GUEST_RIP, (uint64_t)code[0] + draw(CODE_USED));
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

static uint64_t cpuid(uint32_t leaf, uint32_t *c)
{
	uint32_t a = leaf, b, d;

	*c = 0;
	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(*c), "=d"(d));
	return a;
}

/* All that there is: the whole of XCR0, protection keys, UMIP now and then. */
static void enable_features(void)
{
	uint64_t cr4 = read_cr4(), xcr0;
	uint32_t leaf1, leaf7, ignored;

	cpuid(1, &leaf1);
	cpuid(7, &leaf7);
	if (leaf7 & 1u << 3)
		cr4 |= CR4_PKE;
	if ((leaf7 & 1u << 2) && draw(2))
		cr4 |= CR4_UMIP;
	if (leaf1 & 1u << 26)
		cr4 |= CR4_OSXSAVE;
	write_cr4(cr4 | CR4_OSXMMEXCPT);
	if (!(cr4 & CR4_OSXSAVE))
		return;
	xcr0 = cpuid(13, &ignored);
	asm volatile("xsetbv" : : "c"(0), "a"((uint32_t)xcr0), "d"(0));
}

int main(void)
{
	asm volatile("1: rdrand %0; jnc 1b" : "=r"(state) : : "cc");
	enable_features();
	if (!vmx_start())
		return 0;
	fuzz_guest();
	fuzz_root();
	return 0;
}
