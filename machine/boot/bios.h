/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a PC's BIOS does for software that starts from it: Multiboot images. Linux is entered behind all that. */
#ifndef OOH_MACHINE_BOOT_BIOS_H
#define OOH_MACHINE_BOOT_BIOS_H

struct machine;

/* Interrupt vectors, the 8259s and the timer as a BIOS leaves them; S3. */
void bios_leave(struct machine *m);
/* The machine wakes up from S3: processors are reset, the first goes where the FACS says. */
void bios_resume(struct machine *m);

#endif
