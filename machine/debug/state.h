/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this room share. */
#ifndef OOH_MACHINE_DEBUG_STATE_H
#define OOH_MACHINE_DEBUG_STATE_H

#include <stdio.h>

#include "machine/cpu/cpu.h"

#define DEBUG_MAX_BREAKS  256
#define DEBUG_MAX_WATCHES 32
#define GDB_PACKET 0x4000 /* bytes of a packet, at most */

enum stop_kind { STOP_NONE, STOP_ATTACH, STOP_INTERRUPT, STOP_STEP, STOP_BREAK, STOP_WATCH };
enum watch_kind { WATCH_WRITE = 2, WATCH_READ, WATCH_ACCESS }; /* numbers as in the Z packets */
/* Where breakpoints and watchpoints hold. */
enum in_mode { IN_ROOT = 1, IN_NONROOT = 2, IN_ALL = 3 };
/* What addresses of memory packets are. */
enum address_space { SPACE_LINEAR, SPACE_GUEST_LINEAR, SPACE_GUEST_PHYSICAL, SPACE_HOST_PHYSICAL };

struct watchpoint {
	u64 lin, n;
	enum watch_kind kind;
};

struct debug_cpu {
	bool step;
	/* No breakpoint at this address while the CPU has retired so many instructions: it stopped here before. */
	u64 pass_lin, pass_insns;
	/* An access to something watched, by an instruction that may not have retired yet. */
	bool hit, hit_by_op;
	struct watchpoint hit_watch;
	u64 hit_lin, hit_rip, hit_insns;
};

/* The handler of an op that has a breakpoint's in its place. */
struct saved_op {
	const struct op *op;
	op_fn *fn;
};

struct gdb_link {
	int listener, fd;     /* -1: none */
	const char *path;     /* of the Unix socket, to be removed */
	bool no_ack, swbreak; /* negotiated */
	u8 in[GDB_PACKET + 64];
	unsigned in_at, in_n;
	char packet[GDB_PACKET + 64]; /* the one received last */
	unsigned packet_n;
	char reply[2 * GDB_PACKET + 64];
};

struct debug {
	struct machine *m;
	struct gdb_link link;
	bool dump_on_exit, serving;
	struct debug_cpu cpu[MACHINE_MAX_CPUS];
	u64 brk[DEBUG_MAX_BREAKS];
	unsigned nbrk;
	struct watchpoint watch[DEBUG_MAX_WATCHES];
	unsigned nwatch;
	enum in_mode modes;
	enum address_space space;
	struct saved_op *saved; /* open addressing; a power of two */
	size_t saved_size, saved_n;
	enum stop_kind stop;    /* wanted, or the one being served */
	struct cpu *stop_cpu, *last;
	bool changed;           /* registers or memory were written while stopped */
	struct cpu *selected;   /* of g, m …: the Hg packet */
	struct cpu *stepped;    /* of c and s: the Hc packet */
};

/* break.c. False if there is no room. */
bool debug_add_break(struct debug *d, u64 lin);
bool debug_remove_break(struct debug *d, u64 lin);
bool debug_add_watch(struct debug *d, enum watch_kind kind, u64 lin, u64 n);
bool debug_remove_watch(struct debug *d, enum watch_kind kind, u64 lin, u64 n);
void debug_clear(struct debug *d);
/* Instructions that this CPU has retired, at a boundary or after cpu_sync(). */
u64 debug_insns(const struct cpu *c);
bool debug_mode_matches(const struct debug *d, const struct cpu *c);

/* link.c: bytes and packets. */
bool gdb_listen(struct gdb_link *l, const char *spec);
void gdb_unlisten(struct gdb_link *l);
bool gdb_accept(struct gdb_link *l, int ms);
void gdb_hang_up(struct gdb_link *l);
/* The next packet is in l->packet, terminated by 0; false: the other side is gone, or a signal came (fd is kept). */
bool gdb_receive(struct gdb_link *l);
/* n: bytes of data, any values. */
void gdb_send_bytes(struct gdb_link *l, const char *data, size_t n);
void gdb_send(struct gdb_link *l, const char *text);
/* While the machine runs. True: the debugger wants it to stop, or has gone away (then fd is -1). */
bool gdb_interrupted(struct gdb_link *l);
/* Hexadecimal: bytes to digits (terminated), and back; the latter returns how many bytes there were. */
void gdb_hex(char *to, const void *from, size_t n);
size_t gdb_unhex(void *to, const char *from, size_t max);

/* server.c: serves packets until the machine is to go on. */
void gdb_serve(struct debug *d);
void gdb_ended(struct debug *d);

/* registers.c. Bytes as the g packet has them. */
#define REGISTER_MAX 16 /* bytes of one */
unsigned registers_count(void);
unsigned register_read(struct cpu *c, unsigned n, u8 *out);
/* Bytes used, 0: no such register, or one that cannot be written. */
unsigned register_write(struct cpu *c, unsigned n, const u8 *in);
char *registers_describe(void); /* target.xml; the caller frees it */

/* memory.c: how many bytes could be read or written. */
size_t debug_read(struct cpu *c, enum address_space s, u64 addr, void *buf, size_t n);
size_t debug_write(struct cpu *c, enum address_space s, u64 addr, const void *buf, size_t n);

/* walk.c: translations without effect. f: NULL, or where each level is printed. */
struct view {
	const struct pt_format *fmt; /* NULL: no paging */
	u64 cr3, pdpte[4];
	bool long_mode;
	u64 eptp; /* 0: no EPT */
};
/* As the processor translates now. */
struct view view_now(const struct cpu *c);
/* As its guest's addresses are translated: in root operation by the current VMCS, if there is one. */
struct view view_guest(const struct cpu *c);
bool debug_walk_linear(struct cpu *c, const struct view *v, u64 lin, gpa_t *out, FILE *f);
bool debug_walk_ept(struct cpu *c, const struct view *v, gpa_t gpa, hpa_t *out, FILE *f);

/* monitor.c */
void monitor_command(struct debug *d, struct cpu *c, const char *line, FILE *f);
/* vmcs.c */
void print_vmcs(struct cpu *c, FILE *f);

#endif
