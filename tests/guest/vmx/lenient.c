// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A machine that forgets one rule of VM entry: that with the text in the environment variable OOH_LENIENT. With
 * OOH_LENIENT empty it forgets none, and writes each rule's text to stderr once. The linker puts this function in the
 * place of the machine's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lenient.h"

static void list(const struct vmx_rule *rules, unsigned n)
{
	static const struct vmx_rule *seen[16];

	for (unsigned i = 0; i < 16 && seen[i] != rules; i++) {
		if (seen[i])
			continue;
		seen[i] = rules;
		for (unsigned j = 0; j < n; j++)
			fprintf(stderr, "rule: %s\n", rules[j].text);
		return;
	}
}

const char *__wrap_vmx_broken_rule(const struct cpu *c, const struct vmx_rule *rules, unsigned n)
{
	const char *forgotten = getenv("OOH_LENIENT");

	if (forgotten && !*forgotten)
		list(rules, n);
	for (unsigned i = 0; i < n; i++)
		if ((!forgotten || strcmp(rules[i].text, forgotten)) && !rules[i].holds(c, rules[i].arg))
			return rules[i].text;
	return NULL;
}
