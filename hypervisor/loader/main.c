// SPDX-License-Identifier: GPL-2.0-only
/*
 * ooh_hv.ko: starts the hypervisor under the running Linux, and stops it.
 */
#define pr_fmt(fmt) "ooh_hv: " fmt

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/reboot.h>
#include <linux/stop_machine.h>
#include <linux/suspend.h>

#include "abi/hv_loader.h"
#include "abi/hypercall.h"
#include "arch/vmcs.h"
#include "arch/vmx.h"
#include "loader/loader.h"

#define DUMP_ORDER 2

static bool enable_now;
module_param_named(enable, enable_now, bool, 0444);
MODULE_PARM_DESC(enable, "start the hypervisor when the module is loaded (default: no)");

static int fail_cpu = -1;
module_param(fail_cpu, int, 0644);
MODULE_PARM_DESC(fail_cpu, "fault injection: this CPU fails to launch (default: none)");

static DEFINE_MUTEX(lock); /* enable against disable; protects setup */
static struct ooh_setup setup;
static bool active; /* changes only while all CPUs are stopped: constant in a section that cannot be preempted */
static u64 epoch;
static struct debugfs_blob_wrapper dump;
static struct dentry *debug_dir;

/* ---- all CPUs at once ---- */

struct meeting {
	atomic_t arrived;
	int error; /* the first */
};

static void meet(struct meeting *m, unsigned int round)
{
	atomic_inc(&m->arrived);
	while (atomic_read(&m->arrived) < (int)(num_online_cpus() * round))
		cpu_relax();
}

static void vote(struct meeting *m, int error)
{
	if (error)
		cmpxchg(&m->error, 0, error);
}

/*
 * Runs on every CPU, interrupts off. Until all have met a failure anywhere leads every CPU back to plain Linux; behind
 * the mark there is no way back but LEAVE.
 */
static int launch_all(void *arg)
{
	struct meeting *m = arg;
	int cpu = smp_processor_id();
	int error = cpu == fail_cpu ? -EIO : ooh_launch_this_cpu(&setup, &setup.cpu[cpu]);

	vote(m, error);
	meet(m, 1);
	if (READ_ONCE(m->error)) {
		if (!error)
			error = ooh_leave_this_cpu(&setup.cpu[cpu]);
	} else {
		/* ---- point of no return ---- */
		WRITE_ONCE(active, true);
	}
	meet(m, 2);
	return error;
}

static int leave_all(void *arg)
{
	struct meeting *m = arg;

	vote(m, ooh_leave_this_cpu(&setup.cpu[smp_processor_id()]));
	meet(m, 1);
	WRITE_ONCE(active, false);
	return 0;
}

static int on_all_cpus(int (*fn)(void *arg))
{
	struct meeting m = { .error = 0 };

	stop_machine(fn, &m, cpu_online_mask);
	return m.error;
}

/* ---- enable, disable ---- */

static void report_failure(int error)
{
	unsigned int cpu;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		const struct ooh_cpu *c = &setup.cpu[cpu];

		if (!c->error)
			continue;
		pr_err("cannot enable: CPU %u: error %d%s%s%s%s\n", cpu, c->error,
		       c->field ? ", VMCS field " : "", c->field ? vmcs_field_name(c->field) : "",
		       c->vmx_error ? ": " : "", c->vmx_error ? vmx_error_text(c->vmx_error) : "");
		return;
	}
	pr_err("cannot enable: error %d\n", error);
}

static int enable_locked(void)
{
	int ret = ooh_probe();

	if (ret)
		return ret;
	memset(dump.data, 0, dump.size);
	ret = ooh_memory_build(&setup, dump.data, dump.size);
	if (ret)
		goto free;
	ret = on_all_cpus(launch_all);
	if (ret) {
		report_failure(ret);
		goto free;
	}
	epoch++;
	pr_info("active on %u CPUs, keeps %u MiB\n", setup.nr_cpus, setup.nr_blocks * 2);
	return 0;
free:
	ooh_memory_free(&setup);
	return ret;
}

int ooh_hv_enable(void)
{
	int ret;

	mutex_lock(&lock);
	ret = active ? -EALREADY : enable_locked();
	mutex_unlock(&lock);
	return ret;
}
EXPORT_SYMBOL_GPL(ooh_hv_enable);

static int disable_locked(void)
{
	int ret = on_all_cpus(leave_all);

	epoch++;
	if (ret)
		pr_crit("a CPU did not leave: error %d; the memory stays taken\n", ret);
	else
		ooh_memory_free(&setup);
	pr_info("off\n");
	return ret;
}

int ooh_hv_disable(void)
{
	int ret;

	mutex_lock(&lock);
	ret = active ? disable_locked() : -EALREADY;
	mutex_unlock(&lock);
	return ret;
}
EXPORT_SYMBOL_GPL(ooh_hv_disable);

bool ooh_hv_active(void)
{
	return READ_ONCE(active);
}
EXPORT_SYMBOL_GPL(ooh_hv_active);

u64 ooh_hv_epoch(void)
{
	return READ_ONCE(epoch);
}
EXPORT_SYMBOL_GPL(ooh_hv_epoch);

static long vmcall(unsigned int nr, u64 a, u64 b, u64 c)
{
	long ret;

	asm volatile("vmcall" : "=a"(ret) : "a"(OOH_HC_MAGIC | nr), "D"(a), "S"(b), "d"(c) : "memory");
	return ret;
}

/* Leaving needs every CPU's stopper thread to run, so it cannot happen between the check and the call. */
long ooh_hypercall(unsigned int nr, u64 a, u64 b, u64 c)
{
	long ret = OOH_HC_ENOSYS;

	preempt_disable();
	if (READ_ONCE(active))
		ret = vmcall(nr, a, b, c);
	preempt_enable();
	return ret;
}
EXPORT_SYMBOL_GPL(ooh_hypercall);

/* ---- what must not happen while it is active ---- */

/* CPUs neither come nor go: one that came would run beside the hypervisor, with its memory in reach. */
static int refuse_hotplug(unsigned int cpu)
{
	return READ_ONCE(active) ? -EBUSY : 0;
}

static int on_suspend(struct notifier_block *nb, unsigned long event, void *unused)
{
	if ((event == PM_SUSPEND_PREPARE || event == PM_HIBERNATION_PREPARE) && READ_ONCE(active)) {
		pr_info("the machine cannot sleep while it is active\n");
		return notifier_from_errno(-EBUSY);
	}
	return NOTIFY_DONE;
}

static int on_reboot(struct notifier_block *nb, unsigned long event, void *unused)
{
	ooh_hv_disable();
	return NOTIFY_DONE;
}

static struct notifier_block suspend_nb = { .notifier_call = on_suspend };
static struct notifier_block reboot_nb = { .notifier_call = on_reboot };
static enum cpuhp_state prepare_state, online_state;

static int __init add_guards(void)
{
	int ret = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "ooh_hv:prepare", refuse_hotplug, NULL);

	if (ret < 0)
		return ret;
	prepare_state = ret;
	ret = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "ooh_hv:online", NULL, refuse_hotplug);
	if (ret < 0) {
		cpuhp_remove_state_nocalls(prepare_state);
		return ret;
	}
	online_state = ret;
	register_pm_notifier(&suspend_nb);
	register_reboot_notifier(&reboot_nb);
	return 0;
}

static void remove_guards(void)
{
	unregister_reboot_notifier(&reboot_nb);
	unregister_pm_notifier(&suspend_nb);
	cpuhp_remove_state_nocalls(online_state);
	cpuhp_remove_state_nocalls(prepare_state);
}

/* ---- the module ---- */

static int __init ooh_hv_init(void)
{
	int ret;

	dump.data = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, DUMP_ORDER);
	if (!dump.data)
		return -ENOMEM;
	dump.size = PAGE_SIZE << DUMP_ORDER;
	ret = add_guards();
	if (!ret && enable_now) {
		ret = ooh_hv_enable();
		if (ret)
			remove_guards();
	}
	if (ret) {
		free_pages((unsigned long)dump.data, DUMP_ORDER);
		return ret;
	}
	debug_dir = debugfs_create_dir("ooh_hv", NULL);
	debugfs_create_blob("dump", 0400, debug_dir, &dump);
	return 0;
}

static void __exit ooh_hv_exit(void)
{
	int ret = ooh_hv_disable();

	remove_guards();
	debugfs_remove(debug_dir);
	if (!ret || ret == -EALREADY)
		free_pages((unsigned long)dump.data, DUMP_ORDER);
}

module_init(ooh_hv_init);
module_exit(ooh_hv_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Late launch of the ooh hypervisor");
