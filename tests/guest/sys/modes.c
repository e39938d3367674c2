// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * All modes of the processor in one trip: 64-bit, compatibility, 32-bit without paging, 16-bit, real, with PAE paging,
 * with 32-bit paging, two tasks, virtual-8086, and home. SDM 3A "Mode Switching" (10.9), "Initializing IA-32e Mode"
 * (10.8.5).
 */
#include "tests/guest/sys/expect.h"

#define SEL_CODE16 0xf0
#define SEL_DATA16 0xf8
#define SEL_TSS_A 0x100
#define SEL_TSS_B 0x108
#define LOW 0x8000

/* What modes32.S finds; the slots written in real mode are in a copy at LOW. */
struct result {
	u32 efer_off, cr0_real, int_flags, flags, unreal, div_ip, far, sp, pae, pse;
	u32 task, task_flags, task_tr, task_cr0, v86_ip, v86_flags, v86_ds, v86_ax, gate32, efer_on, vme_gp, ticks;
};
struct result modes_result;

struct tss32 {
	u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
	u32 es, cs, ss, ds, fs, gs, ldt, iomap;
};
static struct tss32 tss_b;
static struct {
	struct tss32 t;
	u8 redirect[32]; /* which INT n of virtual-8086 mode the monitor gets */
} tss_a;
u32 modes_probe = 0xfeedf00d;
u64 modes_pae_pdpt[4] __attribute__((aligned(4096)));
u32 modes_pd32[1024] __attribute__((aligned(4096)));
u64 modes_idt32[0x23];
static u8 stack_b[1024] __attribute__((aligned(16))), stack_a[1024] __attribute__((aligned(16)));

extern const u8 low_begin[], low_end[];
extern const u8 modes_gate22[], modes_from_v86[], modes_task_b[], modes_v86_ip[], modes_low_result[], modes_gp_v86[];
extern const u16 modes_vme_flags[3][5];
void modes_excursion(void);

static u64 gate32(const u8 *target)
{
	u64 t = (u64)target;

	return (t & 0xffff) | (u64)SEL_CODE32 << 16 | 0xee00ull << 32 | (t >> 16) << 48;
}

static void prepare_tables(void)
{
	static u64 pae_pd[2][512] __attribute__((aligned(4096)));

	for (unsigned i = 0; i < 512; i++)
		pae_pd[0][i] = pae_pd[1][i] = i << 21 | 0x83; /* 1 to 2 GiB is 0 to 1 GiB again */
	modes_pae_pdpt[0] = (u64)pae_pd[0] | 1;
	modes_pae_pdpt[1] = (u64)pae_pd[1] | 1;
	for (unsigned i = 0; i < 256; i++)
		modes_pd32[i] = modes_pd32[512 + i] = i << 22 | 0x87;
	gdt_set(SEL_CODE16, LOW, 0xffff, 0x9b, 0);
	gdt_set(SEL_DATA16, 0, 0xffff, 0x93, 0);
	gdt_set(SEL_TSS_A, (u32)(u64)&tss_a, sizeof(tss_a) - 1, 0x89, 0);
	gdt_set(SEL_TSS_B, (u32)(u64)&tss_b, sizeof(tss_b) - 1, 0x89, 0);
	modes_idt32[0x22] = gate32(modes_gate22);
	modes_idt32[VEC_GP] = gate32(modes_gp_v86);
	modes_idt32[VEC_BP] = gate32(modes_from_v86);
}

static void prepare_tasks(void)
{
	tss_a.t.esp0 = (u32)(u64)(stack_a + sizeof(stack_a));
	tss_a.t.ss0 = SEL_DATA2;
	tss_a.t.cr3 = (u32)(u64)modes_pd32;
	tss_a.t.iomap = sizeof(tss_a) << 16;
	tss_a.redirect[0x41 / 8] = 1 << (0x41 & 7);
	tss_b = (struct tss32){
		.cr3 = (u32)(u64)modes_pd32, .eip = (u32)(u64)modes_task_b, .eflags = 2,
		.esp = (u32)(u64)(stack_b + sizeof(stack_b)),
		.es = SEL_DATA2, .cs = SEL_CODE32, .ss = SEL_DATA2, .ds = SEL_DATA2,
	};
}

static u8 access_byte(u16 sel)
{
	return (u8)(gdt[sel / 8] >> 40);
}

/* PUSHF at the start, after STI, in the handler of an INT n, after it, after CLI: each shows IF, or VIF as IF, and IOPL 3. */
static void check_vme(const struct result *r)
{
	static const char *const run[] = { "IOPL 0", "IOPL 3", "IOPL 0, VIP" };
	static const u16 expected[3][5] = {
		{ 0x3000, 0x3200, 0x3000, 0x3200, 0x3000 },
		{ 0x3000, 0x3200, 0x3000, 0x3200, 0x3000 },
		{ 0x3000, 0x3000, 0x3000, 0x3000, 0x3000 },
	};

	u32 leaf1[4];

	cpuid(1, 0, leaf1);
	if (!(leaf1[3] & 2)) /* VME, as QEMU's emulator has none */
		return;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned k = 0; k < 5; k++)
			check_eq(modes_vme_flags[i][k] & 0x3200, expected[i][k], run[i]);
	check_eq(r->vme_gp, 4, "INT n that the bitmap gives to the monitor, three times, and STI with VIP");
}

void guest_main(void)
{
	const struct result *r = &modes_result, *low = (const struct result *)modes_low_result;

	prepare_tables();
	prepare_tasks();
	memcpy((void *)LOW, low_begin, (size_t)(low_end - low_begin));
	modes_excursion();
	check_eq(r->efer_off & (EFER_LMA | EFER_LME), EFER_LME, "PG = 0 clears LMA");
	check_eq(low->cr0_real & (CR0_PE | CR0_PG), 0, "real mode");
	check_eq(low->int_flags & 0x203, 0x003, "INT n in real mode clears IF");
	check_eq(low->flags & 0x203, 0x203, "IRET in real mode restores the flags");
	check_eq(low->div_ip, 0, "#DE in real mode returns to the DIV");
	check_eq(low->far, 0x4321, "far CALL in real mode");
	check_eq(low->sp & 0xffff, 0x7000, "far RET balances the stack");
	check(low->ticks != 0, "the tick of the BIOS's timer ends HLT in real mode");
	check(r->gate32 > 0 && r->gate32 < 64, "INT n through a 32-bit gate");
	check_eq(r->pae, modes_probe, "PAE paging");
	check_eq(r->pse, modes_probe, "32-bit paging with 4 MiB pages");
	check_eq(r->task, 0x1234, "CALL to a TSS");
	check_eq(r->task_flags & EFLAGS_NT, EFLAGS_NT, "… sets NT");
	check_eq(tss_b.link, SEL_TSS_A, "… links back");
	check_eq(r->task_tr, SEL_TSS_A, "IRET returns to the first task");
	check_eq(r->task_cr0 & CR0_TS, CR0_TS, "a task switch sets TS");
	check_eq(access_byte(SEL_TSS_A), 0x8b, "the first task is busy");
	check_eq(access_byte(SEL_TSS_B), 0x89, "the second one is not");
	check_eq(tss_b.eflags & EFLAGS_NT, 0, "NT of the second task is clear");
	check_eq(r->v86_ax, 0x5678, "virtual-8086 mode reads through DS");
	check_eq(r->v86_flags & 0x23000, 0x23000, "VM and IOPL are pushed");
	check_eq(r->v86_ds, 0, "DS is null in the handler");
	check_eq(r->v86_ip, (u64)modes_v86_ip, "IP is pushed");
	check_vme(r);
	check_eq(r->efer_on & (EFER_LMA | EFER_LME), EFER_LMA | EFER_LME, "PG = 1 sets LMA");
	expect(TRY("ud2"), VEC_UD, 0, "home");
}
