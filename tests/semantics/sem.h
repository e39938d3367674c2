/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Silicon as the oracle: random sequences of user-mode instructions run on the host CPU and in the interpreter from
 * the same state, and what they leave is compared.
 */
#ifndef OOH_TESTS_SEMANTICS_SEM_H
#define OOH_TESTS_SEMANTICS_SEM_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The address space of a sequence: a page of code (read, execute), two writable pages, a read-only one, and nothing
 * else.
 */
#define SEM_CODE      0x10000000ull
#define SEM_DATA      0x20000000ull
#define SEM_PAGE      4096u
#define SEM_RW_PAGES  2u
#define SEM_RO_PAGES  1u
#define SEM_DATA_SIZE ((SEM_RW_PAGES + SEM_RO_PAGES) * SEM_PAGE)
#define SEM_MAX_INSNS 32u
#define SEM_MAX_CODE  640u

#define SEM_XSAVE_HEADER 512u
#define SEM_XSAVE_HIGH   576u
#define SEM_XSAVE_SIZE   832u

struct sem_state {
	uint64_t gpr[16];
	uint64_t rip, rflags;
	/* XSAVE image in the standard form: FXSAVE's, the header, the upper halves of the vector registers. */
	uint8_t fx[SEM_XSAVE_SIZE] __attribute__((aligned(64)));
	/* How the sequence ended: vector (3: its own INT3 at the end), error code, CR2 of a page fault. */
	uint32_t vector, error;
	uint64_t cr2;
};

struct sem_program {
	unsigned bits;                       /* 64, or 32: compatibility mode */
	unsigned n;                          /* instructions */
	uint16_t start[SEM_MAX_INSNS + 1];   /* offset of each, and of the end */
	uint32_t undefined[SEM_MAX_INSNS + 1]; /* status flags without a defined value before each */
	uint8_t code[SEM_MAX_CODE];          /* followed by INT3 up to its end */
};

/* What the generator may choose from. */
enum sem_class { SEM_INTEGER = 1, SEM_SSE = 2, SEM_X87 = 4, SEM_32BIT = 8, SEM_AVX = 16 };

struct sem_rng {
	uint64_t s;
};
uint64_t sem_random(struct sem_rng *r);

/* gen.c */
void sem_generate(struct sem_rng *r, unsigned classes, struct sem_program *p);
void sem_initial_state(struct sem_rng *r, unsigned classes, struct sem_state *s);
void sem_print_program(const struct sem_program *p);

/* native.c: runs on the host; data: SEM_DATA_SIZE bytes, read before and written after. */
bool native_init(void);
bool native_has_avx(void); /* AVX, AVX2, FMA and F16C, enabled by the host's kernel */
void native_run(const struct sem_program *p, const struct sem_state *in, struct sem_state *out, uint8_t *data);

/* guest.c: the same in the interpreter. False: it did not end. */
bool guest_init(void);
bool guest_run(const struct sem_program *p, const struct sem_state *in, struct sem_state *out, uint8_t *data);

#endif
