/* SPDX-License-Identifier: GPL-2.0-or-later */
/* No guard: mmio.c includes it twice. FORM(name, alignment that the instruction asks for, code). */
FORM(st8, 1, "mov %al, (%rdi)")
FORM(st16, 1, "mov %ax, (%rdi)")
FORM(st32, 1, "mov %eax, (%rdi)")
FORM(st64, 1, "mov %rax, (%rdi)")
FORM(st_imm, 1, "movq $-77, (%rdi); movw $0x1234, 9(%rdi); movb $7, 1(%rdi)")
FORM(ld8, 1, "mov (%rdi), %al")
FORM(ld16, 1, "mov (%rdi), %ax")
FORM(ld32, 1, "mov (%rdi), %eax")
FORM(ld64, 1, "mov (%rdi), %rax")
FORM(movzx, 1, "movzbl (%rdi), %eax; movzwl 1(%rdi), %ecx; movsbq 3(%rdi), %rdx; movslq 2(%rdi), %rbx")
FORM(movbe, 1, "movbe (%rdi), %rax; movbe %ecx, 8(%rdi); movbe %dx, 3(%rdi)")
FORM(movnti, 1, "movnti %rax, (%rdi); movnti %edx, 9(%rdi)")
FORM(alu, 1, "add %rax, (%rdi); or %eax, 8(%rdi); adcw $5, (%rdi); sbb %dl, 1(%rdi)")
FORM(alu2, 1, "and (%rdi), %rax; sub %ecx, 2(%rdi); xorb $0x55, 3(%rdi); cmp %rbx, (%rdi)")
FORM(test, 1, "test %rax, (%rdi); setp %al")
FORM(unary, 1, "incq (%rdi); decw 1(%rdi); notl 3(%rdi); negb 2(%rdi)")
FORM(locked, 1, "lock addq $3, (%rdi); lock incb 1(%rdi); lock notl 2(%rdi); lock xorw %ax, 5(%rdi)")
FORM(xchg, 1, "xchg %al, (%rdi); xchg %rbx, 1(%rdi); xchg %cx, 3(%rdi)")
FORM(xadd, 1, "xadd %al, (%rdi); lock xadd %rbx, 1(%rdi); xadd %ecx, 3(%rdi)")
FORM(cmpxchg_ne, 1, "cmpxchg %rbx, (%rdi); setz %cl")
FORM(cmpxchg_eq, 1, "mov (%rdi), %eax; lock cmpxchg %ebx, (%rdi); setz %cl")
FORM(cmpxchg8b, 1, "lock cmpxchg8b (%rdi)")
FORM(cmpxchg8b_eq, 1, "mov (%rdi), %eax; mov 4(%rdi), %edx; cmpxchg8b (%rdi)")
FORM(cmpxchg16b, 16, "lock cmpxchg16b (%rdi)")
FORM(cmpxchg16b_eq, 16, "mov (%rdi), %rax; mov 8(%rdi), %rdx; lock cmpxchg16b (%rdi)")
FORM(bit_imm, 1, "btl $3, (%rdi); setc %al; btsq $61, (%rdi); btrw $9, 2(%rdi); lock btcl $31, (%rdi)")
FORM(bit_reg, 1, "mov $-70, %rcx; bts %rcx, (%rdi); mov $333, %ecx; btc %ecx, (%rdi); mov $-17, %dx; btr %dx, (%rdi)")
FORM(shift, 1, "shlq $5, (%rdi); sarw %cl, 1(%rdi); rorl $7, 2(%rdi); rclb $3, (%rdi)")
FORM(double_shift, 1, "shld $7, %rax, (%rdi); shrd %cl, %ebx, 3(%rdi)")
FORM(multiply, 1, "imul (%rdi), %rbx; imul $100, 1(%rdi), %ecx; mulq 2(%rdi)")
FORM(divide, 1, "xor %edx, %edx; divq (%rdi); cltd; xor %edx, %edx; idivl 1(%rdi)")
FORM(scan, 1, "bsf (%rdi), %rax; bsr 1(%rdi), %ecx; lzcnt 2(%rdi), %rdx; popcnt (%rdi), %bx")
FORM(bmi, 1, "andn (%rdi), %rax, %rcx; mulx (%rdi), %rbx, %rax; rorx $9, 1(%rdi), %edx; blsr 3(%rdi), %r8d")
FORM(crc, 1, "crc32q (%rdi), %rax; crc32b 3(%rdi), %ecx")
FORM(conditional, 1, "cmovz (%rdi), %rax; cmovnz 1(%rdi), %ecx; setc 2(%rdi); setnc 5(%rdi)")
FORM(stack_operand, 1, "push (%rdi); pop 3(%rdi); pushw 1(%rdi); popw 7(%rdi)")
FORM(stack, 1, "mov %rsp, %r8; mov %rdi, %rsp; push %rax; pushw $5; pushfq; pop %rcx; pop %bx; mov %rsp, %rdx; "
	"sub %rdi, %rdx; mov %r8, %rsp")
FORM(call, 1, "mov %rsp, %r8; mov %rdi, %rsp; call 1f; jmp 2f; 1: ret $16; 2: mov %rsp, %rdx; sub %rdi, %rdx; mov %r8, %rsp")
FORM(call_indirect, 1, "lea 1f(%rip), %r9; mov %r9, (%rdi); call *(%rdi); jmp 2f; 1: inc %eax; ret; 2: lea 3f(%rip), %r9; "
	"mov %r9, 1(%rdi); jmp *1(%rdi); 3:")
FORM(call_far, 1, "lea 1f(%rip), %r9; mov %r9d, (%rdi); movw $8, 4(%rdi); lcall *(%rdi); jmp 2f; 1: inc %eax; lretl; 2:")
FORM(enter, 1, "mov %rsp, %r8; mov %rbp, %r9; lea 16(%rdi), %rbp; mov %rdi, %rsp; enter $24, $2; mov %rsp, %rdx; "
	"sub %rdi, %rdx; leave; mov %r8, %rsp; mov %r9, %rbp; movq $0, -8(%rdi); movq $0, -16(%rdi); movq $0, -24(%rdi)")
FORM(iret, 1, "mov %rsp, %r8; lea -40(%rdi), %rsp; lea 1f(%rip), %r9; mov %r9, (%rsp); movq $8, 8(%rsp); pushfq; "
	"popq 16(%rsp); mov %r8, 24(%rsp); movq $16, 32(%rsp); iretq; 1: mov %rsp, %rdx; sub %r8, %rdx; mov %r8, %rsp")
FORM(pushf, 1, "mov %rsp, %r8; mov %rdi, %rsp; stc; pushfq; clc; popfq; setc %al; mov %r8, %rsp")
FORM(movs_up, 1, "sub $9, %rdi; mov $20, %ecx; rep movsb")
FORM(movs_down, 1, "lea 40(%rdi), %rdi; add $30, %rsi; mov $12, %ecx; std; rep movsw; cld")
FORM(movs_long, 1, "add $256, %rdi; mov $20, %ecx; rep movsq; movsl; movsw")
FORM(stos, 1, "mov $13, %ecx; rep stosb; mov $3, %ecx; rep stosq; stosw; stosl")
FORM(stos_down, 1, "mov $13, %ecx; std; rep stosl; cld")
FORM(lods, 1, "mov $13, %ecx; rep lodsb; mov $3, %ecx; rep lodsq; lodsw; lodsl")
FORM(cmps, 1, "mov $30, %ecx; repe cmpsb; lea 3(%rsi), %rsi; mov $9, %ecx; repne cmpsw")
FORM(scas, 1, "mov 20(%rdi), %al; mov $90, %ecx; repne scasb; scasq")
FORM(ins, 1, "mov $0xe0, %edx; insb; insw; insl; mov $9, %ecx; rep insb")
FORM(outs, 1, "mov $0xe0, %edx; outsb; mov $3, %ecx; rep outsl; in %dx, %eax; outsw")
FORM(bound_tables, 1, "sgdt (%rdi); lgdt (%rdi); sidt 10(%rdi); lidt 10(%rdi)")
FORM(selectors, 1, "smsw (%rdi); str 2(%rdi); sldt 5(%rdi); mov %ds, 7(%rdi); movw $0x10, 9(%rdi); mov 9(%rdi), %es; "
	"lsl 9(%rdi), %eax; verr 9(%rdi)")
FORM(far_pointer, 1, "movl $0x12345, (%rdi); movw $0, 4(%rdi); lfs (%rdi), %eax")
FORM(hints, 1, "prefetcht0 (%rdi); clflush (%rdi); clflushopt 1(%rdi); clwb (%rdi)")
FORM(x87_load, 1, "fld1; fistpll (%rdi); fildll (%rdi); fstpl 8(%rdi); fldl 8(%rdi); fstps 3(%rdi); flds 3(%rdi)")
FORM(x87_store, 1, "fstpt (%rdi); fldt (%rdi); fldpi; fistl 11(%rdi); fistps 17(%rdi); fildl 11(%rdi); filds 17(%rdi)")
FORM(x87_alu, 1, "fldpi; fstl (%rdi); faddl (%rdi); fsts 9(%rdi); fmuls 9(%rdi); fcompl (%rdi); fnstsw 20(%rdi)")
FORM(x87_bcd, 1, "fldpi; fbstp (%rdi); fbld (%rdi)")
FORM(x87_env, 1, "fldpi; fnstcw 100(%rdi); fldcw 100(%rdi); fnstenv (%rdi); fldenv (%rdi); movl $0, 12(%rdi); "
	"movl $0, 20(%rdi); movw $0, 16(%rdi)")
FORM(x87_save, 1, "fldpi; fnsave (%rdi); frstor (%rdi); movl $0, 12(%rdi); movl $0, 20(%rdi); movw $0, 16(%rdi)")
FORM(fxsave, 16, "fldpi; fxsave (%rdi); fninit; fxrstor (%rdi); movq $0, 8(%rdi); movq $0, 16(%rdi)")
FORM(xsave, 64, "movq $0, 512(%rdi); movq $0, 520(%rdi); movq $0, 528(%rdi); mov $7, %eax; xor %edx, %edx; xsave (%rdi); "
	"vpxor %xmm0, %xmm0, %xmm0; xrstor (%rdi); movq $0, 8(%rdi); movq $0, 16(%rdi)")
FORM(mxcsr, 1, "stmxcsr (%rdi); ldmxcsr (%rdi)")
FORM(mmx, 1, "movq (%rdi), %mm0; paddb 1(%rdi), %mm0; movq %mm0, 9(%rdi); movd %mm0, 3(%rdi); movntq %mm0, 20(%rdi); emms")
FORM(movups, 1, "movups %xmm0, (%rdi); movupd 1(%rdi), %xmm1; movdqu %xmm1, 20(%rdi); lddqu 4(%rdi), %xmm0")
FORM(movaps, 16, "movaps %xmm0, (%rdi); movdqa 16(%rdi), %xmm1; movntps %xmm1, 32(%rdi); movntdq %xmm0, 48(%rdi); "
	"movntdqa (%rdi), %xmm0; paddb (%rdi), %xmm1; pcmpeqd 16(%rdi), %xmm0")
FORM(sse_parts, 1, "movss %xmm0, (%rdi); movsd 1(%rdi), %xmm1; movlps %xmm1, 9(%rdi); movhps %xmm0, 17(%rdi); "
	"movhpd (%rdi), %xmm0; movq %xmm0, 30(%rdi); movd 3(%rdi), %xmm1")
FORM(sse_scalar, 1, "cvtsi2sdq (%rdi), %xmm0; addsd 1(%rdi), %xmm0; cvtsi2ssl 3(%rdi), %xmm1; ucomiss (%rdi), %xmm1; "
	"cvttsd2si 8(%rdi), %rax")
FORM(sse_insert, 1, "pinsrb $3, (%rdi), %xmm0; pinsrq $1, 1(%rdi), %xmm0; pextrw $2, %xmm0, 9(%rdi); "
	"pextrb $5, %xmm0, 12(%rdi); extractps $1, %xmm1, 20(%rdi); insertps $0x10, 20(%rdi), %xmm1; pmovsxbw (%rdi), %xmm1; "
	"pmovzxbq 5(%rdi), %xmm0")
FORM(maskmov, 1, "maskmovdqu %xmm1, %xmm0")
FORM(sse_string, 1, "pcmpistri $0x0c, (%rdi), %xmm0; mov $7, %eax; mov $9, %edx; pcmpestrm $0x40, 3(%rdi), %xmm1")
FORM(crypto, 16, "aesenc (%rdi), %xmm0; aesdeclast 16(%rdi), %xmm1; pclmulqdq $1, (%rdi), %xmm0")
FORM(avx_move, 1, "vmovdqu %ymm0, (%rdi); vmovups 3(%rdi), %ymm1; vmovdqu %xmm1, 40(%rdi); vlddqu (%rdi), %ymm0; "
	"vpaddd 5(%rdi), %ymm0, %ymm1")
FORM(avx_mask, 1, "vmaskmovps %ymm0, %ymm1, (%rdi); vmaskmovpd 3(%rdi), %ymm1, %ymm0; vpmaskmovd %xmm0, %xmm1, 33(%rdi); "
	"vpmaskmovq 8(%rdi), %ymm1, %ymm0")
FORM(avx_lanes, 1, "vextractf128 $1, %ymm0, (%rdi); vinsertf128 $0, 1(%rdi), %ymm1, %ymm1; vbroadcastss (%rdi), %ymm0; "
	"vpbroadcastw 3(%rdi), %xmm1; vbroadcasti128 (%rdi), %ymm0")
FORM(avx_gather, 1, "vpxor %xmm2, %xmm2, %xmm2; vpmovsxbd %xmm1, %ymm1; vpcmpeqd %ymm2, %ymm2, %ymm2; "
	"vpmovzxbd (%rdi), %ymm3; vpgatherdd %ymm2, (%rdi,%ymm3), %ymm0; vpmovzxbq 2(%rdi), %ymm3; vpcmpeqd %ymm2, %ymm2, %ymm2; "
	"vgatherqpd %ymm2, (%rdi,%ymm3), %ymm1; vpxor %ymm3, %ymm3, %ymm3")
FORM(fma, 1, "vfmadd231pd (%rdi), %ymm0, %ymm1; vfnmsub132ss 1(%rdi), %xmm1, %xmm0; vcvtps2ph $0, %ymm0, 3(%rdi); "
	"vcvtph2ps (%rdi), %ymm0")
