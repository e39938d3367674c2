/* SPDX-License-Identifier: GPL-2.0-only */
/* The linked hypervisor, embedded. */
	.section .rodata, "a"
	.balign	8
	.globl	ooh_hv_image_start, ooh_hv_image_end
ooh_hv_image_start:
	.incbin	OOH_HV_IMAGE
ooh_hv_image_end:
	.section .note.GNU-stack, "", @progbits
