/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "tests/machine/fpu/random.h"

static u64 state;

void rnd_seed(u64 seed)
{
	state = seed * 2 + 1;
}

/* splitmix64 */
u64 rnd(void)
{
	u64 z = (state += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

#define PICK(array) ((array)[rnd_below(sizeof(array) / sizeof((array)[0]))])

static u32 special_float(void)
{
	static const u32 v[] = {
		0, 1, 0x007fffff, 0x00800000, 0x00800001, 0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fbfffff,
		0x7fc00000, 0x7fffffff, 0x3f800000, 0x3f000000, 0x3f7fffff, 0x3fc00000, 0x40200000, 0x4effffff,
		0x4f000000, 0x4f7fffff, 0x5effffff, 0x5f000000, 0x0c000000, 0x33800000, 0x4b000000, 0x4b7fffff,
		0x01000000
	};

	return PICK(v) | (u32)(rnd() & 1) << 31;
}

static u64 special_double(void)
{
	static const u64 v[] = {
		0, 1, 0x000fffffffffffff, 0x0010000000000000, 0x0010000000000001, 0x7fefffffffffffff,
		0x7ff0000000000000, 0x7ff0000000000001, 0x7ff7ffffffffffff, 0x7ff8000000000000, 0x7fffffffffffffff,
		0x3ff0000000000000, 0x3fe0000000000000, 0x3fefffffffffffff, 0x3ff8000000000000, 0x4004000000000000,
		0x41dfffffffc00000, 0x41dfffffffe00000, 0x41e0000000000000, 0x43dfffffffffffff, 0x43e0000000000000,
		0x36a0000000000000, 0x380fffffffffffff, 0x3810000000000000, 0x47efffffe0000000, 0x47effffff0000000,
		0x3690000000000000, 0x2000000000000000, 0x4330000000000000, 0x36a8000000000000, 0x0020000000000000
	};

	return PICK(v) | (rnd() & 1) << 63;
}

/* A normal number of about the magnitude of one, so that sums and products are neither always huge nor always exact. */
static u64 near_double(void)
{
	u64 e = 1023 - 40 + rnd_below(80);

	return (rnd() & 0x800fffffffffffffull) | e << 52;
}

static u32 near_float(void)
{
	u32 e = 127 - 30 + rnd_below(60);

	return ((u32)rnd() & 0x807fffffu) | e << 23;
}

static u64 double_lane(void)
{
	switch (rnd_below(4)) {
	case 0:  return special_double();
	case 1:  return rnd();
	case 2:  return (rnd() & 0x800fffffffffffffull) | (u64)rnd_below(0x800) << 52;
	default: return near_double();
	}
}

static u32 float_lane(void)
{
	switch (rnd_below(4)) {
	case 0:  return special_float();
	case 1:  return (u32)rnd();
	case 2:  return ((u32)rnd() & 0x807fffffu) | rnd_below(0x100) << 23;
	default: return near_float();
	}
}

static u16 word_lane(void)
{
	static const u16 v[] = {
		0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0x8001, 0xffff, 0xff80
	};

	return rnd() & 1 ? PICK(v) : (u16)rnd();
}

void rnd_vector(void *p, unsigned n)
{
	unsigned kind = rnd_below(6);

	for (unsigned i = 0; i + 8 <= n; i += 8) {
		u64 v = rnd();

		if (kind == 0)
			v = double_lane();
		else if (kind == 1)
			v = float_lane() | (u64)float_lane() << 32;
		else if (kind == 2)
			v = word_lane() | (u64)word_lane() << 16 | (u64)word_lane() << 32 | (u64)word_lane() << 48;
		else if (kind == 3)
			v &= 0x0303030303030303ull;
		else if (kind == 4)
			v = rnd_gpr();
		memcpy((u8 *)p + i, &v, 8);
	}
}

void rnd_x87(u64 *mant, u16 *se)
{
	static const u16 e[] = {
		0, 1, 0x3ffe, 0x3fff, 0x4000, 0x7ffe, 0x7fff, 0x3f80, 0x3f81, 0x407e, 0x407f, 0x3c00, 0x3c01,
		0x43fe, 0x43ff, 0x401e, 0x403d, 0x403e, 0x400e, 0x3f69, 0x3bcd, 0x403f
	};
	static const u64 m[] = {
		0, 1, 0x8000000000000000, 0xffffffffffffffff, 0xc000000000000000, 0x8000000000000001,
		0x7fffffffffffffff, 0xfffffffffffffc00, 0xffffff0000000000, 0xbfffffffffffffff, 0xfffffffffffffbff
	};
	unsigned kind = rnd_below(5);

	*mant = kind < 2 ? PICK(m) : rnd();
	*se = kind == 0 || kind == 2 ? PICK(e) : kind == 1 ? (u16)rnd() & 0x7fff : (u16)(0x3fff - 40 + rnd_below(80));
	*se |= (u16)(rnd() & 1) << 15;
	/* Most numbers are normal ones. */
	if (rnd_below(8) && (*se & 0x7fff))
		*mant |= 1ull << 63;
}

u64 rnd_gpr(void)
{
	static const u64 v[] = {
		0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
		0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0x1000001, 0x20000000000001, 0x7fffffbf,
		0x7ffffffffffffdff
	};

	switch (rnd_below(4)) {
	case 0:  return PICK(v);
	case 1:  return (u64)(s64)((int)rnd_below(41) - 20);
	case 2:  return (u32)rnd();
	default: return rnd();
	}
}
