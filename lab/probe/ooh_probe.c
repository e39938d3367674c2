// SPDX-License-Identifier: GPL-2.0-only
/* Driver of ooh-machine's control device, for the lab: see probe.h. */
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "lab/probe/probe.h"

static DEFINE_MUTEX(lock); /* the device has one set of address latches, the driver one page */
static struct machine_command_block *block;
static u64 *page;

static void go(void)
{
	u64 pa = virt_to_phys(block);

	outl((u32)pa, MACHINE_CTL_PORT);
	outl((u32)(pa >> 32), MACHINE_CTL_PORT + 4);
	outl(MACHINE_CTL_GO, MACHINE_CTL_PORT + 8);
}

static int root_of(pid_t nr, u64 *cr3)
{
	struct pid *pid = nr ? find_get_pid(nr) : get_pid(task_tgid(current));
	struct task_struct *task = pid ? get_pid_task(pid, PIDTYPE_PID) : NULL;
	struct mm_struct *mm = task ? get_task_mm(task) : NULL;

	put_pid(pid);
	if (task)
		put_task_struct(task);
	if (!mm)
		return -ESRCH;
	*cr3 = virt_to_phys(mm->pgd);
	mmput(mm);
	return 0;
}

/* The user's buffer of a command and its size in u64, if it has one. */
static u64 *swap_buffer(u64 __user **user, u64 *n)
{
	switch (block->command) {
	case MACHINE_COUNTERS:
		*user = u64_to_user_ptr(block->arg[0]);
		*n = block->arg[1] = min_t(u64, block->arg[1], PAGE_SIZE / 8);
		return &block->arg[0];
	case MACHINE_ORACLE_READ:
		*user = u64_to_user_ptr(block->arg[2]);
		*n = block->arg[3] = min_t(u64, block->arg[3], PAGE_SIZE / 8);
		return &block->arg[2];
	default:
		return NULL;
	}
}

static int execute(void)
{
	u64 __user *user = NULL;
	u64 n = 0, *where = swap_buffer(&user, &n);
	int err = 0;

	if (block->command == MACHINE_ORACLE_WATCH)
		err = root_of((pid_t)block->arg[0], &block->arg[0]);
	if (err)
		return err;
	if (where)
		*where = virt_to_phys(page);
	go();
	if (where && !block->status && copy_to_user(user, page, min(n, block->out[0]) * 8))
		return -EFAULT;
	return 0;
}

static long probe_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	int err;

	if (cmd != PROBE_COMMAND)
		return -ENOTTY;
	if (mutex_lock_interruptible(&lock))
		return -EINTR;
	err = copy_from_user(block, user, sizeof(*block)) ? -EFAULT : execute();
	if (!err && copy_to_user(user, block, sizeof(*block)))
		err = -EFAULT;
	mutex_unlock(&lock);
	return err;
}

static const struct file_operations probe_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = probe_ioctl,
};

static struct miscdevice probe_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ooh-machine",
	.fops = &probe_fops,
	.mode = 0600,
};

static int __init probe_init(void)
{
	int err;

	if (inl(MACHINE_CTL_PORT + 8) != MACHINE_CTL_MAGIC) {
		pr_err("ooh_probe: no ooh-machine here\n");
		return -ENODEV;
	}
	block = (void *)get_zeroed_page(GFP_KERNEL);
	page = (void *)get_zeroed_page(GFP_KERNEL);
	err = block && page ? misc_register(&probe_misc) : -ENOMEM;
	if (err) {
		free_page((unsigned long)block);
		free_page((unsigned long)page);
	}
	return err;
}

static void __exit probe_exit(void)
{
	misc_deregister(&probe_misc);
	free_page((unsigned long)block);
	free_page((unsigned long)page);
}

module_init(probe_init);
module_exit(probe_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("control device of ooh-machine, for experiments");
