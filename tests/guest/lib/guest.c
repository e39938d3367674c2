// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/guest/lib/guest.h"

#include <stdarg.h>

#define COM1 0x3f8
#define EXIT_PORT 0xf4

extern const u64 vector_stubs[256];
void guest_trap(struct frame *f);
_Noreturn void guest_start(void);

struct gate idt[256] __attribute__((aligned(16)));
struct tss tss __attribute__((aligned(16)));
struct trap trap;
u64 trap_resume, trap_rsp, try_rax, try_rcx, try_rdx;
bool (*trap_hook)(struct frame *f);
static u8 trap_stack[16384] __attribute__((aligned(16)));
static unsigned failures, checks;
static bool difference_known;
bool on_tcg;

void *memset(void *p, int v, size_t n)
{
	void *start = p;

	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(v) : "memory");
	return start;
}

void *memcpy(void *d, const void *s, size_t n)
{
	void *start = d;

	__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
	return start;
}

/* --- output --- */

static void put_char(char ch)
{
	while (!(inb(COM1 + 5) & 0x20))
		;
	outb(COM1, (u8)ch);
}

static void put_number(u64 v, unsigned base)
{
	char buf[24];
	unsigned n = 0;

	do
		buf[n++] = "0123456789abcdef"[v % base];
	while (v /= base);
	while (n)
		put_char(buf[--n]);
}

static void put_signed(s64 v)
{
	if (v < 0)
		put_char('-');
	put_number(v < 0 ? -(u64)v : (u64)v, 10);
}

static void put_list(const char *fmt, va_list ap)
{
	for (; *fmt; fmt++) {
		bool wide = fmt[0] == '%' && fmt[1] == 'l';

		if (*fmt != '%') {
			put_char(*fmt);
			continue;
		}
		fmt += wide ? 2 : 1;
		if (*fmt == 's')
			for (const char *s = va_arg(ap, const char *); *s; s++)
				put_char(*s);
		else if (*fmt == 'c')
			put_char((char)va_arg(ap, int));
		else if (*fmt == 'd')
			put_signed(wide ? va_arg(ap, s64) : va_arg(ap, int));
		else if (*fmt == 'u')
			put_number(wide ? va_arg(ap, u64) : va_arg(ap, u32), 10);
		else
			put_number(wide || *fmt == 'p' ? va_arg(ap, u64) : va_arg(ap, u32), 16);
	}
}

void put(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_list(fmt, ap);
	va_end(ap);
}

void check(bool ok, const char *fmt, ...)
{
	bool known = !ok && difference_known;
	va_list ap;

	difference_known = false;
	checks++;
	failures += !ok && !known;
	put(ok ? "ok   " : known ? "known " : "FAIL ");
	va_start(ap, fmt);
	put_list(fmt, ap);
	va_end(ap);
	put("\n");
}

void check_equal(u64 got, u64 want, const char *name)
{
	if (got == want)
		check(true, "%s", name);
	else
		check(false, "%s: got %lx, want %lx", name, got, want);
}

void tcg_differs(void)
{
	difference_known = on_tcg;
}

static bool brand_is_tcg(void)
{
	static const char qemu[] = "QEMU";
	u32 r[4];

	cpuid(0x80000002, 0, r);
	return !__builtin_memcmp(r, qemu, 4);
}

bool need_feature(u32 leaf, u32 subleaf, unsigned reg, unsigned bit, const char *name)
{
	u32 r[4];

	cpuid(leaf & 0x80000000, 0, r);
	if (r[0] >= leaf) {
		cpuid(leaf, subleaf, r);
		if (r[reg] >> bit & 1)
			return true;
	}
	put("skip %s: not enumerated\n", name);
	return false;
}

void guest_exit(unsigned code)
{
	outl(EXIT_PORT, code);
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* --- descriptors --- */

void gdt_set(u16 sel, u32 base, u32 limit, u8 access, u8 flags)
{
	u64 v = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40;

	v |= (u64)(limit >> 16 & 15) << 48 | (u64)(flags & 15) << 52 | (u64)(base >> 24) << 56;
	gdt[sel / 8] = v;
}

void gate_set(unsigned vector, u64 handler, unsigned type, unsigned dpl, unsigned ist)
{
	idt[vector] = (struct gate){
		.offset_low = (u16)handler, .offset_mid = (u16)(handler >> 16), .offset_high = (u32)(handler >> 32),
		.selector = SEL_CODE64, .ist = (u8)ist, .type = (u8)(0x80 | dpl << 5 | type),
	};
}

void trap_gate_default(unsigned vector)
{
	gate_set(vector, vector_stubs[vector], SYS_TYPE_INTR, 0, 0);
}

/* --- events --- */

static void unexpected(const struct frame *f)
{
	put("FAIL unexpected event: vector %u error %lx rip %lx cs %lx rflags %lx rsp %lx cr2 %lx\n", (u32)f->vector,
	    f->error, f->rip, f->cs, f->rflags, f->rsp, trap.cr2);
	guest_exit(1);
}

void guest_trap(struct frame *f)
{
	trap.f = *f;
	trap.handler_rsp = (u64)f;
	__asm__ volatile("mov %%cr2, %0" : "=r"(trap.cr2));
	__asm__ volatile("mov %%dr6, %0" : "=r"(trap.dr6));
	if (!trap_resume) {
		if (!trap_hook || !trap_hook(f))
			unexpected(f);
		return;
	}
	f->rip = trap_resume;
	f->rsp = trap_rsp;
	f->cs = SEL_CODE64;
	f->ss = SEL_DATA;
	f->rflags = EFLAGS_ONE;
	trap_resume = 0;
	__asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(SEL_DATA));
}

static void load_tables(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) idtr = { sizeof(idt) - 1, (u64)idt };
	u64 base = (u64)&tss;

	for (unsigned i = 0; i < 256; i++)
		trap_gate_default(i);
	tss.rsp[0] = (u64)(trap_stack + sizeof(trap_stack));
	tss.iopb = sizeof(tss);
	gdt_set(SEL_TSS, (u32)base, sizeof(tss) - 1, 0x89, 0);
	gdt[SEL_TSS / 8 + 1] = base >> 32;
	__asm__ volatile("lidt %0; ltr %w1" : : "m"(idtr), "r"(SEL_TSS));
}

void guest_start(void)
{
	on_tcg = brand_is_tcg();
	outb(0x21, 0xff), outb(0xa1, 0xff); /* a firmware may have left its timer running */
	load_tables();
	guest_main();
	put("%u checks, %u failed\n", checks, failures);
	guest_exit(failures != 0 || checks == 0);
}
