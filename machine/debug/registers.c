/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers as GDB counts them: first those that its x86-64 features prescribe in this order (GDB manual, "Target
 * Descriptions", "i386 Features"), then the system registers, as a feature of our own.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86.h"
#include "machine/cpu/sys/sys.h"
#include "machine/debug/state.h"

/* How a register is reached. */
enum access { MEMBER, RIP, FLAGS, SELECTOR, ST, FPU, XMM, MXCSR, YMM_HIGH, PKRU };

struct reg {
	const char *name, *type, *feature; /* feature: at its first register */
	u8 bits;
	enum access access;
	u16 arg;       /* which one; of MEMBER the offset in struct cpu */
	bool writable; /* by a plain store; the rest decides for itself */
};

#define CORE "org.gnu.gdb.i386.core"
#define SSE "org.gnu.gdb.i386.sse"
#define SEGMENTS "org.gnu.gdb.i386.segments"
#define AVX "org.gnu.gdb.i386.avx" /* the upper halves; GDB makes the YMM registers of these and SSE's */
#define PKEYS "org.gnu.gdb.i386.pkeys"
#define SYSTEM "ooh.system"
#define AT(member) MEMBER, offsetof(struct cpu, member)
#define GPR(name, n) { name, "int64", NULL, 64, MEMBER, offsetof(struct cpu, gpr) + 8 * (n), true }
#define SEL(name, n) { name, "int32", NULL, 32, SELECTOR, n, false }
#define FP(n) { "st" #n, "i387_ext", NULL, 80, ST, n, true }
#define FCTL(name, n) { name, "int", NULL, 32, FPU, n, true }
#define X(n) { "xmm" #n, "vec128", NULL, 128, XMM, n, true }
#define Y(n) { "ymm" #n "h", "uint128", NULL, 128, YMM_HIGH, n, true }
#define SYS(name, member) { name, "uint64", NULL, 64, AT(member), false }
#define SYS32(name, type, bits, member) { name, type, NULL, bits, AT(member), false }

static const struct reg regs[] = {
	{ "rax", "int64", CORE, 64, AT(gpr[RAX]), true }, GPR("rbx", RBX), GPR("rcx", RCX), GPR("rdx", RDX),
	GPR("rsi", RSI), GPR("rdi", RDI), { "rbp", "data_ptr", NULL, 64, AT(gpr[RBP]), true },
	{ "rsp", "data_ptr", NULL, 64, AT(gpr[RSP]), true }, GPR("r8", R8), GPR("r9", R9), GPR("r10", R10),
	GPR("r11", R11), GPR("r12", R12), GPR("r13", R13), GPR("r14", R14), GPR("r15", R15),
	{ "rip", "code_ptr", NULL, 64, RIP, 0, true }, { "eflags", "i386_eflags", NULL, 32, FLAGS, 0, true },
	SEL("cs", CS), SEL("ss", SS), SEL("ds", DS), SEL("es", ES), SEL("fs", FS), SEL("gs", GS),
	FP(0), FP(1), FP(2), FP(3), FP(4), FP(5), FP(6), FP(7),
	FCTL("fctrl", 0), FCTL("fstat", 1), FCTL("ftag", 2), FCTL("fiseg", 3), FCTL("fioff", 4), FCTL("foseg", 5),
	FCTL("fooff", 6), FCTL("fop", 7),
	{ "xmm0", "vec128", SSE, 128, XMM, 0, true }, X(1), X(2), X(3), X(4), X(5), X(6), X(7), X(8), X(9), X(10),
	X(11), X(12), X(13), X(14), X(15), { "mxcsr", "i386_mxcsr", NULL, 32, MXCSR, 0, true },
	{ "fs_base", "int64", SEGMENTS, 64, AT(seg[FS].base), true },
	{ "gs_base", "int64", NULL, 64, AT(seg[GS].base), true },
	{ "ymm0h", "uint128", AVX, 128, YMM_HIGH, 0, true }, Y(1), Y(2), Y(3), Y(4), Y(5), Y(6), Y(7), Y(8), Y(9), Y(10),
	Y(11), Y(12), Y(13), Y(14), Y(15), { "pkru", "uint32", PKEYS, 32, PKRU, 0, true },
	{ "cr0", "uint64", SYSTEM, 64, AT(cr0), false }, { "cr2", "uint64", NULL, 64, AT(cr2), true },
	SYS("cr3", cr3), SYS("cr4", cr4), SYS("efer", efer),
	{ "k_gs_base", "uint64", NULL, 64, AT(kernel_gs_base), true },
	SYS("gdtr_base", gdtr.base), SYS32("gdtr_limit", "uint16", 16, gdtr.limit),
	SYS("idtr_base", idtr.base), SYS32("idtr_limit", "uint16", 16, idtr.limit),
	SYS32("tr", "uint16", 16, tr.sel), SYS("tr_base", tr.base),
	SYS32("ldtr", "uint16", 16, ldtr.sel), SYS("ldtr_base", ldtr.base),
	SYS("dr6", dr[6]), SYS("dr7", dr[7]), SYS("star", star), SYS("lstar", lstar), SYS("pat", pat),
	SYS32("cpl", "uint8", 8, cpl),
};

unsigned registers_count(void)
{
	return sizeof(regs) / sizeof(regs[0]);
}

/* The full tag word, from the abridged one: 0 valid, 1 zero, 2 special, 3 empty. By physical register. */
static u64 full_tags(const struct fpu_state *fpu)
{
	u64 v = 0;

	for (unsigned i = 0; i < 8; i++) {
		const struct x87_reg *r = &fpu->st[i];
		u16 exponent = r->se & 0x7fff;
		u64 tag = !exponent && !r->mant ? 1 : !exponent || exponent == 0x7fff || !(r->mant >> 63) ? 2 : 0;

		v |= (fpu->ftw >> i & 1 ? tag : 3) << 2 * i;
	}
	return v;
}

static u8 abridged_tags(u64 full)
{
	u8 v = 0;

	for (unsigned i = 0; i < 8; i++)
		if ((full >> 2 * i & 3) != 3)
			v |= (u8)(1u << i);
	return v;
}

static struct x87_reg *stack_reg(struct cpu *c, unsigned i)
{
	return &c->fpu.st[((c->fpu.fsw >> 11 & 7) + i) & 7];
}

static u64 fpu_get(const struct fpu_state *fpu, unsigned which)
{
	switch (which) {
	case 0: return fpu->fcw;
	case 1: return fpu->fsw;
	case 2: return full_tags(fpu);
	case 3: return fpu->fcs;
	case 4: return (u32)fpu->fip;
	case 5: return fpu->fds;
	case 6: return (u32)fpu->fdp;
	default: return fpu->fop;
	}
}

static void fpu_put(struct fpu_state *fpu, unsigned which, u64 v)
{
	switch (which) {
	case 0: fpu->fcw = (u16)v; break;
	case 1: fpu->fsw = (u16)v; break;
	case 2: fpu->ftw = abridged_tags(v); break;
	case 3: fpu->fcs = (u16)v; break;
	case 4: fpu->fip = v; break;
	case 5: fpu->fds = (u16)v; break;
	case 6: fpu->fdp = v; break;
	default: fpu->fop = v & 0x7ff; break;
	}
}

static u64 small_get(struct cpu *c, const struct reg *r)
{
	switch (r->access) {
	case RIP: return c->rip;
	case FLAGS: return cpu_rflags(c);
	case SELECTOR: return c->seg[r->arg].sel;
	case FPU: return fpu_get(&c->fpu, r->arg);
	case PKRU: return c->pkru;
	default: return c->fpu.mxcsr;
	}
}

unsigned register_read(struct cpu *c, unsigned n, u8 *out)
{
	const struct reg *r = &regs[n];
	unsigned size;
	u64 v;

	if (n >= registers_count())
		return 0;
	size = r->bits / 8;
	if (r->access == MEMBER) {
		memcpy(out, (const u8 *)c + r->arg, size);
	} else if (r->access == XMM) {
		memcpy(out, c->fpu.ymm[r->arg].lo.b, size);
	} else if (r->access == YMM_HIGH) {
		memcpy(out, c->fpu.ymm[r->arg].hi.b, size);
	} else if (r->access == ST) {
		memcpy(out, &stack_reg(c, r->arg)->mant, 8);
		memcpy(out + 8, &stack_reg(c, r->arg)->se, 2);
	} else {
		v = small_get(c, r);
		memcpy(out, &v, size);
	}
	return size;
}

static void small_put(struct cpu *c, const struct reg *r, u64 v)
{
	switch (r->access) {
	case RIP: c->rip = v; break;
	case FLAGS: cpu_set_rflags(c, (cpu_rflags(c) & ~0xffffffffull) | v | EFLAGS_ONE); break;
	case FPU: fpu_put(&c->fpu, r->arg, v); break;
	case PKRU: sys_load_pkru(c, (u32)v); break;
	default: c->fpu.mxcsr = (u32)v & 0xffff; break;
	}
}

unsigned register_write(struct cpu *c, unsigned n, const u8 *in)
{
	const struct reg *r = &regs[n];
	unsigned size;
	u64 v = 0;

	if (n >= registers_count() || !r->writable)
		return 0;
	size = r->bits / 8;
	if (r->access == MEMBER) {
		memcpy((u8 *)c + r->arg, in, size);
	} else if (r->access == XMM) {
		memcpy(c->fpu.ymm[r->arg].lo.b, in, size);
	} else if (r->access == YMM_HIGH) {
		memcpy(c->fpu.ymm[r->arg].hi.b, in, size);
	} else if (r->access == ST) {
		memcpy(&stack_reg(c, r->arg)->mant, in, 8);
		memcpy(&stack_reg(c, r->arg)->se, in + 8, 2);
	} else {
		memcpy(&v, in, size);
		small_put(c, r, v);
	}
	return size;
}

/* --- target.xml --- */

static void describe_types(FILE *f, const char *feature)
{
	static const char *const flag[] = { "CF", NULL, "PF", NULL, "AF", NULL, "ZF", "SF", "TF", "IF", "DF", "OF", NULL,
					    NULL, "NT", NULL, "RF", "VM", "AC", "VIF", "VIP", "ID" };
	static const char *const csr[] = { "IE", "DE", "ZE", "OE", "UE", "PE", "DAZ", "IM", "DM", "ZM", "OM", "UM", "PM",
					   NULL, NULL, "FZ" };

	if (strcmp(feature, CORE) == 0) {
		fputs("<flags id=\"i386_eflags\" size=\"4\">", f);
		for (unsigned i = 0; i < sizeof(flag) / sizeof(flag[0]); i++)
			if (flag[i])
				fprintf(f, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", flag[i], i, i);
		fputs("</flags>", f);
	} else if (strcmp(feature, SSE) == 0) {
		fputs("<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
		      "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
		      "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
		      "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
		      "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
		      "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
		      "<field name=\"uint128\" type=\"uint128\"/></union><flags id=\"i386_mxcsr\" size=\"4\">", f);
		for (unsigned i = 0; i < sizeof(csr) / sizeof(csr[0]); i++)
			if (csr[i])
				fprintf(f, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", csr[i], i, i);
		fputs("</flags>", f);
	}
}

char *registers_describe(void)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return NULL;
	fputs("<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">"
	      "<architecture>i386:x86-64</architecture>", f);
	for (unsigned i = 0; i < registers_count(); i++) {
		const struct reg *r = &regs[i];

		if (r->feature) {
			fprintf(f, "%s<feature name=\"%s\">", i ? "</feature>" : "", r->feature);
			describe_types(f, r->feature);
		}
		fprintf(f, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"%s/>", r->name, r->bits, r->type, i,
			strncmp(r->name, "st", 2) == 0 && r->access == ST ? " group=\"float\"" : "");
	}
	fputs("</feature></target>", f);
	return fclose(f) == 0 ? text : NULL;
}
