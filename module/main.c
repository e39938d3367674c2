// SPDX-License-Identifier: GPL-2.0-only
/*
 * ooh.ko: which pages belong to which process. /dev/ooh and the module itself.
 *
 * The story of a page: START (tracker.c) reads the page table (walk.c, examine.c), tags the frame with the tracker
 * and the virtual page (frames.c) and has the hypervisor arm it (hv.c). A store to it is logged; COLLECT (collect.c)
 * drains the logs into the ring, and each frame number in it becomes a mark on a virtual page (pages.c). What happens
 * to mappings meanwhile is told by the hooks (hooks.c), as marks too.
 *
 * Lock order, outermost first:
 *   ooh_gate (rwsem)        read: calls on trackers; write: taking the hypervisor away
 *   tracker->mutex          calls on one tracker
 *   mm->mmap_lock (write)   of the tracked process: no fault, mmap or mremap is in flight
 *   ooh_hv_mutex            the ring, arming, tags: so that a frame is not disarmed by one and armed by another
 *   frames_lock             tags, for hooks that read them
 *   tracker->pages.xa_lock  tracker->blocks.xa_lock  tracker->events    one at a time
 * The last two rows are spinlocks, and taken by hooks: in the middle of faults, of invalidations, and of page
 * references with interrupts off. No interrupt handler takes them. hooks_mutex and hv_ref_mutex are taken with at
 * most ooh_gate held.
 */
#include <linux/capability.h>
#include <linux/cpuhotplug.h>
#include <linux/kmod.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "ooh_mod.h"

DECLARE_RWSEM(ooh_gate);
atomic_t ooh_started = ATOMIC_INIT(0); /* trackers with armed frames; H to write */

static int hotplug_state;

/* ---- extensible structures ---- */

/* Copies a structure that begins with its size. min: of the first version that was published. */
int ooh_copy_in(void *to, size_t ksize, size_t min, void __user *from)
{
	u32 size;
	int err;

	if (get_user(size, (u32 __user *)from))
		return -EFAULT;
	if (size < min)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(to, ksize, from, size);
	if (!err)
		*(u32 *)to = size; /* what was checked, should the caller have changed it meanwhile */
	return err;
}

/* Copies one back: as much as the caller knows. */
int ooh_copy_out(void __user *to, void *from, size_t ksize)
{
	u32 *size = from;

	*size = min_t(size_t, *size, ksize);
	return copy_to_user(to, from, *size) ? -EFAULT : 0;
}

/* ---- /dev/ooh ---- */

static int ioc_status(void __user *arg)
{
	struct ooh_status in, st = {};
	int err = ooh_copy_in(&in, sizeof(in), offsetof(struct ooh_status, hv_exits_by_reason), arg);

	if (err)
		return err;
	if (in.flags)
		return -EINVAL;
	st.size = in.size;
	st.flags = ooh_hooks_ok() ? OOH_STATUS_HOOKS : 0;
	st.abi_version = OOH_ABI_VERSION;
	st.trackers = ooh_trackers_open();
	st.tagged = ooh_frames_count();
	down_read(&ooh_gate);
	ooh_hv_status(&st);
	up_read(&ooh_gate);
	return ooh_copy_out(arg, &st, sizeof(st));
}

static int get_loader(void)
{
	int err = ooh_hv_get();

	if (!err)
		return 0;
	request_module("ooh_hv");
	return ooh_hv_get();
}

static int enable(void)
{
	int err;

	if (down_write_killable(&ooh_gate))
		return -EINTR;
	err = get_loader();
	if (!err) {
		err = ooh_hv_is_active() ? -EALREADY : ooh_hv_switch(true);
		ooh_hv_put();
	}
	up_write(&ooh_gate);
	return err;
}

/* G is held for write and the loader there. */
static int disable_locked(bool force)
{
	if (!ooh_hv_is_active())
		return -EALREADY;
	if (ooh_trackers_open() && !force)
		return -EBUSY;
	ooh_trackers_revoke();
	return ooh_hv_switch(false);
}

static int disable(bool force)
{
	int err = -EALREADY;

	if (down_write_killable(&ooh_gate))
		return -EINTR;
	if (!ooh_hv_get()) {
		err = disable_locked(force);
		ooh_hv_put();
	}
	up_write(&ooh_gate);
	return err;
}

static int ioc_switch(void __user *arg, bool on)
{
	struct ooh_switch s;
	int err = ooh_copy_in(&s, sizeof(s), sizeof(s), arg);

	if (err)
		return err;
	if (s.flags & ~(on ? 0 : OOH_DISABLE_FORCE))
		return -EINVAL;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	return on ? enable() : disable(s.flags & OOH_DISABLE_FORCE);
}

static int ioc_create(void __user *arg)
{
	struct ooh_tracker_create c;
	int err = ooh_copy_in(&c, sizeof(c), sizeof(c), arg);

	if (err)
		return err;
	if (c.flags || c.pidfd < OOH_PIDFD_SELF)
		return -EINVAL;
	if (down_read_killable(&ooh_gate))
		return -EINTR;
	err = ooh_tracker_create(&c);
	up_read(&ooh_gate);
	return err;
}

static long device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *p = (void __user *)arg;

	switch (cmd) {
	case OOH_IOC_STATUS:
		return ioc_status(p);
	case OOH_IOC_ENABLE:
		return ioc_switch(p, true);
	case OOH_IOC_DISABLE:
		return ioc_switch(p, false);
	case OOH_IOC_TRACKER_CREATE:
		return ioc_create(p);
	}
	return -ENOTTY;
}

static const struct file_operations device_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = device_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ooh",
	.fops = &device_fops,
	.mode = 0666, /* tracking oneself needs no privilege; each call checks what it needs */
};

/* ---- CPUs ---- */

/*
 * A CPU that comes up is not under the hypervisor until its loader has seen it, and one that goes takes its log
 * along. While frames are armed, neither may happen.
 */
static int cpu_change(unsigned int cpu)
{
	return atomic_read(&ooh_started) ? -EBUSY : 0;
}

static int __init ooh_init(void)
{
	int err = ooh_hooks_resolve();

	if (err)
		pr_warn("ooh: this kernel cannot be hooked (%d): trackers cannot be created\n", err);
	err = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "ooh:cpu", cpu_change, cpu_change);
	if (err < 0)
		return err;
	hotplug_state = err;
	err = misc_register(&device);
	if (err)
		cpuhp_remove_state_nocalls(hotplug_state);
	return err;
}

/* No tracker is open: each holds a reference on the module. */
static void __exit ooh_exit(void)
{
	misc_deregister(&device);
	ooh_trackers_exit();
	ooh_hooks_exit();
	cpuhp_remove_state_nocalls(hotplug_state);
}

module_init(ooh_init);
module_exit(ooh_exit);

MODULE_DESCRIPTION("Tracks the pages that processes write, through PML");
MODULE_LICENSE("GPL");
MODULE_SOFTDEP("pre: ooh_hv");
