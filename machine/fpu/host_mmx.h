/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MMX operations on the host's MMX unit, which is left empty. */
#ifndef OOH_MACHINE_FPU_HOST_MMX_H
#define OOH_MACHINE_FPU_HOST_MMX_H

#define MMX_BINARY(text, d, s)                                                                                         \
	({                                                                                                             \
		u64 mmx_result;                                                                                        \
		asm volatile("movq %1, %%mm0\n\tmovq %2, %%mm1\n\t" text " %%mm1, %%mm0\n\tmovq %%mm0, %0\n\temms"      \
			     : "=r"(mmx_result) : "r"((u64)(d)), "r"((u64)(s)) : "mm0", "mm1");                         \
		mmx_result;                                                                                            \
	})

#endif
