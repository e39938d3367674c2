/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/exit_reasons.h"
#include "machine/core/snapshot.h"
#include "machine/vmx/entry.h"
#include "machine/vmx/vmcs.h"
#include "machine/vmx/vmx.h"

/* Reset leaves VMX operation. The decoded VMCS is made once and lives as long as the CPU. */
void vmx_reset(struct cpu *c)
{
	struct vmcs_cache *cache = c->vmx.vmcs ? c->vmx.vmcs : malloc(sizeof(*cache));

	if (!cache)
		abort();
	memset(cache, 0, sizeof(*cache));
	if (c->vmx.timer_on)
		timer_cancel(c->m, &c->vmx.timer);
	memset(&c->vmx, 0, sizeof(c->vmx));
	c->vmx.vmcs = cache;
	c->vmx.entered_at = CYCLES_NONE;
	c->vmx.vmxon_ptr = c->vmx.vmcs_ptr = c->vmx.apic_page = VMX_NO_POINTER;
	vmx_timer_bind(c);
}

void vmx_snap(struct cpu *c, struct snap *s)
{
	struct vmx_state *v = &c->vmx;

	snap_var(s, "vmx.on", v->on);
	snap_var(s, "vmx.nonroot", v->nonroot);
	snap_var(s, "vmx.ept", v->ept);
	snap_var(s, "vmx.ept_ad", v->ept_ad);
	snap_var(s, "vmx.pml", v->pml);
	snap_var(s, "vmx.mbec", v->mbec);
	snap_var(s, "vmx.spp", v->spp);
	snap_var(s, "vmx.spptp", v->spptp);
	snap_var(s, "vmx.vpid", v->vpid);
	snap_var(s, "vmx.vintr", v->vintr);
	snap_var(s, "vmx.apic_due", v->apic_due);
	snap_var(s, "vmx.apic_due_size", v->apic_due_size);
	snap_var(s, "vmx.apic_page", v->apic_page);
	snap_var(s, "vmx.eptp", v->eptp);
	snap_var(s, "vmx.vmxon_ptr", v->vmxon_ptr);
	snap_var(s, "vmx.vmcs_ptr", v->vmcs_ptr);
	snap_var(s, "vmx.entered_at", v->entered_at);
	snap_var(s, "vmx.exit_at", v->exit_at);
	snap_var(s, "vmx.exit_reason", v->exit_reason);
	snap_var(s, "vmx.exit_vector", v->exit_vector);
	snap_var(s, "vmx.timed_exit", v->timed_exit);
	snap_var(s, "vmx.vnmi_blocked", v->vnmi_blocked);
	snap_var(s, "vmx.iret_unblocked", v->iret_unblocked);
	snap_var(s, "vmx.mtf", v->mtf);
	snap_var(s, "vmx.iret_rip", v->iret_rip);
	snap_var(s, "vmx.paused", v->paused);
	snap_var(s, "vmx.pause_first", v->pause_first);
	snap_var(s, "vmx.pause_last", v->pause_last);
	snap_var(s, "vmx.timer_on", v->timer_on);
	snap_var(s, "vmx.timer_expired", v->timer_expired);
	timer_snap(c->m, s, "vmx.timer", &v->timer);
	snap_bytes(s, "vmx.vmcs", v->vmcs, sizeof(*v->vmcs));
}

void vmx_print(const struct cpu *c)
{
	if (!c->vmx.on)
		return;
	fprintf(stderr, "  vmxon %" PRIx64 ", vmcs %" PRIx64 ", eptp %" PRIx64 ", vpid %u\n", c->vmx.vmxon_ptr,
		c->vmx.vmcs_ptr, c->vmx.eptp, c->vmx.vpid);
	if (c->vmx.vmcs_ptr == VMX_NO_POINTER)
		return;
	fprintf(stderr, "  last exit %s%s, qualification %" PRIx64 ", interruption %" PRIx64 ", gpa %" PRIx64
		", guest rip %" PRIx64 "\n", exit_reason_name((unsigned)(VMCS(c, EXIT_REASON) & EXIT_REASON_BASIC)),
		VMCS(c, EXIT_REASON) & EXIT_REASON_ENTRY_FAILURE ? " (entry failed)" : "", VMCS(c, EXIT_QUALIFICATION),
		VMCS(c, EXIT_INTR_INFO), VMCS(c, GUEST_PHYSICAL_ADDRESS), VMCS(c, GUEST_RIP));
	if (c->vmx.failed_rule)
		fprintf(stderr, "  last VM entry failed: %s\n", c->vmx.failed_rule);
}

const char *vmx_broken_rule(const struct cpu *c, const struct vmx_rule *rules, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!rules[i].holds(c, rules[i].arg))
			return rules[i].text;
	return NULL;
}
