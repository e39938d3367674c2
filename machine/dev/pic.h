/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two cascaded 8259A interrupt controllers at 20H and A0H, with the edge/level registers at 4D0H. */
#ifndef OOH_MACHINE_DEV_PIC_H
#define OOH_MACHINE_DEV_PIC_H

#include "machine/core/types.h"

struct machine;
struct snap;

struct pic {
	u8 irr, imr, isr, line, elcr;
	u8 base;      /* ICW2: vector of input 0 */
	u8 lowest;    /* input of lowest priority (rotation) */
	u8 icw4, init_step; /* init_step: 0 ready, else the next ICW expected */
	bool need_icw4, read_isr, poll, special_mask, rotate_on_aeoi, single;
};

struct pic_pair {
	struct machine *m;
	struct pic chip[2]; /* master, slave (on the master's input 2) */
};

void pic_init(struct pic_pair *p, struct machine *m);
/* As ICW1 to ICW4 and OCW1 would: ready, in fully nested mode, the vectors of inputs 0 and the masks as given. */
void pic_program(struct pic_pair *p, const u8 base[2], const u8 mask[2]);
/* The master's mask. */
u8 pic_mask(const struct pic_pair *p);
void pic_set(struct pic_pair *p, unsigned irq, bool level);
/* The INT output of the master. */
bool pic_output(const struct pic_pair *p);
/* The vector that an acknowledge would return now. */
unsigned pic_peek(const struct pic_pair *p);
/* INTA: input to service, vector (a spurious one is input 7's). */
unsigned pic_inta(struct pic_pair *p);
void pic_snap(struct pic_pair *p, struct snap *s);

#endif
