/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which features this machine's CPUs enumerate: features.def, as --cpu has changed it. */
#include <stdio.h>
#include <strings.h>

#include "machine/cpu/sys/priv.h"

/* Without the second, the first is left out, too. */
static const struct { u8 feature, needs; } needs[] = {
	{ FEAT_AVX, FEAT_XSAVE }, { FEAT_AVX2, FEAT_AVX }, { FEAT_FMA, FEAT_AVX }, { FEAT_F16C, FEAT_AVX },
	{ FEAT_XSAVEOPT, FEAT_XSAVE }, { FEAT_XSAVEC, FEAT_XSAVE }, { FEAT_XGETBV1, FEAT_XSAVE },
	{ FEAT_XSAVES, FEAT_XSAVEC }, { FEAT_PKU, FEAT_XSAVE },
};

static const char *const names[FEAT_COUNT] = {
#define CPUID_FEATURE(name, leaf, subleaf, reg, bit, text) [FEAT_##name] = #name,
#include "arch/cpuid.def"
#undef CPUID_FEATURE
};

static const bool works[FEAT_COUNT] = {
#define HAS(name) [FEAT_##name] = true,
#define CAN(name) [FEAT_##name] = true,
#include "machine/cpu/sys/features.def"
#undef HAS
#undef CAN
};

static bool present[FEAT_COUNT] = {
#define HAS(name) [FEAT_##name] = true,
#define CAN(name)
#include "machine/cpu/sys/features.def"
#undef HAS
#undef CAN
};

bool cpuid_has(const struct cpu *c, enum cpu_feature f)
{
	if (c && f == FEAT_MONITOR && !(c->misc_enable & MISC_ENABLE_MONITOR))
		return false;
	if (c && f == FEAT_NX && (c->misc_enable & MISC_ENABLE_XD_DISABLE))
		return false;
	return present[f];
}

static int by_name(const char *s, size_t n)
{
	for (int i = 0; i < FEAT_COUNT; i++)
		if (strlen(names[i]) == n && strncasecmp(names[i], s, n) == 0)
			return i;
	return -1;
}

/* "+NAME" or "-NAME", n bytes. */
static bool choose_one(const char *s, size_t n)
{
	int f = n > 1 ? by_name(s + 1, n - 1) : -1;

	if (f < 0 || !works[f] || (s[0] != '+' && s[0] != '-'))
		return false;
	present[f] = s[0] == '+';
	return true;
}

const char *cpuid_choose(const char *list)
{
	for (size_t n; list && *list; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if (!choose_one(list, n))
			return list;
	}
	for (unsigned i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (!present[needs[i].needs])
			present[needs[i].feature] = false;
	return NULL;
}
