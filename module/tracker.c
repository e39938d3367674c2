// SPDX-License-Identifier: GPL-2.0-only
/*
 * A tracker: the file behind which one address space is tracked. Its life, its ranges, start and stop.
 */
#include <linux/anon_inodes.h>
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timex.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "ooh_mod.h"

#define USER_MAX   64 /* trackers of a user without CAP_SYS_RESOURCE */
#define POLL_EVERY msecs_to_jiffies(100)

static DEFINE_SPINLOCK(list_lock);
static DEFINE_HASHTABLE(by_mm, 8);       /* L */
static DEFINE_XARRAY_ALLOC1(by_id);
static atomic_t nr_open = ATOMIC_INIT(0);
static atomic_t nr_pollers = ATOMIC_INIT(0); /* started trackers with a threshold */

/* ---- finding trackers ---- */

/* Under RCU, or while the tracker has a tagged frame (whose tags go before it does). */
struct ooh_tracker *ooh_tracker_by_id(unsigned int id)
{
	return xa_load(&by_id, id);
}

unsigned int ooh_trackers_open(void)
{
	return atomic_read(&nr_open);
}

/* Calls fn, which must not sleep, for each tracker of mm. */
void ooh_trackers_of(struct mm_struct *mm, void (*fn)(struct ooh_tracker *t, void *arg), void *arg)
{
	struct ooh_tracker *t;

	rcu_read_lock();
	hash_for_each_possible_rcu(by_mm, t, node, (unsigned long)mm)
		if (t->mm == mm)
			fn(t, arg);
	rcu_read_unlock();
}

/* Log entries are gone, and nobody knows whose. */
void ooh_trackers_overflow(void)
{
	struct ooh_tracker *t;
	unsigned int i;

	rcu_read_lock();
	hash_for_each_rcu(by_mm, i, t, node) {
		WRITE_ONCE(t->overflow, true);
		wake_up_poll(&t->wait, EPOLLIN | EPOLLRDNORM);
	}
	rcu_read_unlock();
}

/* The hypervisor goes away under them. G is held for write, so nobody is in a call; hooks find them stopped. */
void ooh_trackers_revoke(void)
{
	struct ooh_tracker *t;
	unsigned int i;

	lockdep_assert_held_write(&ooh_gate);
	rcu_read_lock();
	hash_for_each_rcu(by_mm, i, t, node) {
		WRITE_ONCE(t->revoked, true);
		wake_up_poll(&t->wait, EPOLLERR);
	}
	rcu_read_unlock();
}

/* ---- the address space ---- */

/* Locks the mm of the tracker for write and keeps it from being torn down. -ESRCH: it has been. -EINTR. */
int ooh_mm_lock(struct ooh_tracker *t)
{
	if (READ_ONCE(t->gone) || !mmget_not_zero(t->mm))
		return -ESRCH;
	if (mmap_write_lock_killable(t->mm)) {
		mmput(t->mm);
		return -EINTR;
	}
	return 0;
}

void ooh_mm_unlock(struct ooh_tracker *t)
{
	mmap_write_unlock(t->mm);
	mmput(t->mm);
}

/* ---- start and stop ---- */

static void poll_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(poller, poll_work);

/* Trackers with a threshold want to be woken without a COLLECT: their logs are drained now and then. */
static void poll_work(struct work_struct *work)
{
	if (!atomic_read(&nr_pollers))
		return;
	if (!down_read_trylock(&ooh_gate))
		goto again;
	if (!ooh_hv_get()) {
		ooh_drain(false);
		ooh_hv_put();
	}
	up_read(&ooh_gate);
again:
	schedule_delayed_work(&poller, POLL_EVERY);
}

void ooh_trackers_exit(void)
{
	cancel_delayed_work_sync(&poller);
}

static void set_started(struct ooh_tracker *t, bool on)
{
	xa_lock(&t->pages);
	WRITE_ONCE(t->started, on);
	xa_unlock(&t->pages);
	if (!t->threshold)
		return;
	if (!on)
		atomic_dec(&nr_pollers);
	else if (atomic_inc_return(&nr_pollers) == 1)
		schedule_delayed_work(&poller, POLL_EVERY);
}

static struct ooh_ranges *ranges_of(struct ooh_tracker *t)
{
	return rcu_dereference_protected(t->ranges, lockdep_is_held(&t->mutex));
}

static void free_pages_of(struct ooh_tracker *t)
{
	xa_destroy(&t->pages);
	xa_destroy(&t->blocks);
	kvfree(t->whole);
	t->whole = NULL;
	t->dirty = 0;
	t->present = 0;
	t->nr_inval = 0;
	t->lost = false;
	t->overflow = false;
}

/* T is held. Revoked trackers have no frames armed: their tags are taken out of the table all the same. */
static void stop(struct ooh_tracker *t)
{
	if (!t->started)
		return;
	set_started(t, false);
	ooh_forget(t, 0, OOH_MAX_VPN);
	free_pages_of(t);
	ooh_ring_close();
}

/* After arming has taken effect. */
static void check_pins(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	if (!ooh_check_pins(t, lo, hi, false))
		return;
	ooh_settle_lru();
	ooh_check_pins(t, lo, hi, true);
}

/* The mm is locked. Arms what is present in [lo, hi). */
static int arm_span(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	int err = ooh_whole_look(t, lo, hi);

	if (!err)
		err = ooh_scan_new(t, lo, hi);
	if (!err)
		err = ooh_drain(true);
	if (!err)
		check_pins(t, lo, hi);
	return err;
}

static int arm_all(struct ooh_tracker *t)
{
	const struct ooh_ranges *r = ranges_of(t);
	unsigned int i;
	int err = ooh_whole_look(t, 0, OOH_MAX_VPN);

	for (i = 0; r && i < r->nr && !err; i++)
		err = ooh_scan_new(t, r->span[i].lo, r->span[i].hi);
	if (!err)
		err = ooh_drain(true);
	if (!err)
		check_pins(t, 0, OOH_MAX_VPN);
	return err;
}

static int start(struct ooh_tracker *t)
{
	const u64 began = get_cycles();
	int err;

	if (t->started)
		return -EALREADY;
	err = ooh_ring_open();
	if (err)
		return err;
	t->missed = ooh_hooks_missed();
	WRITE_ONCE(t->overflow, false); /* of a log that this tracker had no part in */
	set_started(t, true);
	err = ooh_mm_lock(t);
	if (!err) {
		err = arm_all(t);
		ooh_mm_unlock(t);
	}
	if (err)
		stop(t);
	t->stats.cycles_start += get_cycles() - began;
	return err;
}

/* ---- ranges ---- */

static int range_check(struct ooh_range *r)
{
	if (r->flags & ~OOH_RANGE_ALL)
		return -EINVAL;
	if (r->flags & OOH_RANGE_ALL) {
		if (r->start || r->end)
			return -EINVAL;
		r->end = (u64)OOH_MAX_VPN << PAGE_SHIFT;
		return 0;
	}
	if (!PAGE_ALIGNED(r->start) || !PAGE_ALIGNED(r->end) || r->start >= r->end || r->end > TASK_SIZE_MAX)
		return -EINVAL;
	return 0;
}

static void ranges_set(struct ooh_tracker *t, struct ooh_ranges *new)
{
	struct ooh_ranges *old = ranges_of(t);

	rcu_assign_pointer(t->ranges, new);
	if (old)
		kvfree_rcu(old, rcu);
}

static int range_add(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	const u64 began = get_cycles();
	struct ooh_ranges *new = ooh_ranges_add(ranges_of(t), lo, hi);
	int err;

	if (IS_ERR(new))
		return PTR_ERR(new);
	if (!t->started) {
		ranges_set(t, new);
		return 0;
	}
	err = ooh_mm_lock(t);
	if (err) {
		kvfree(new);
		return err;
	}
	ranges_set(t, new);
	err = arm_span(t, lo, hi);
	if (err) /* half of it is armed: what is not would never be reported */
		WRITE_ONCE(t->lost, true);
	ooh_mm_unlock(t);
	t->stats.cycles_start += get_cycles() - began;
	return err;
}

static int range_del(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	struct ooh_ranges *new = ooh_ranges_del(ranges_of(t), lo, hi);
	int err = 0;

	if (IS_ERR(new))
		return PTR_ERR(new);
	if (t->started)
		err = ooh_mm_lock(t);
	if (err) {
		kvfree(new);
		return err;
	}
	ranges_set(t, new);
	if (t->started) {
		ooh_forget(t, lo, hi);
		ooh_mm_unlock(t);
	}
	return 0;
}

/* ---- calls ---- */

static int ioc_range(struct ooh_tracker *t, void __user *arg, bool add)
{
	struct ooh_range r;
	int err = ooh_copy_in(&r, sizeof(r), sizeof(r), arg);

	if (!err)
		err = range_check(&r);
	if (err)
		return err;
	return add ? range_add(t, r.start >> PAGE_SHIFT, r.end >> PAGE_SHIFT) :
		     range_del(t, r.start >> PAGE_SHIFT, r.end >> PAGE_SHIFT);
}

static int ioc_start_stop(struct ooh_tracker *t, void __user *arg, bool on)
{
	struct ooh_switch s;
	int err = ooh_copy_in(&s, sizeof(s), sizeof(s), arg);

	if (err)
		return err;
	if (s.flags)
		return -EINVAL;
	if (on)
		return start(t);
	if (!t->started)
		return -EALREADY;
	stop(t);
	return 0;
}

static int collect_check(struct ooh_collect *c)
{
	if (c->flags & ~OOH_COLLECT_PEEK)
		return -EINVAL;
	if (!c->start && !c->end)
		c->end = (u64)OOH_MAX_VPN << PAGE_SHIFT;
	if (!PAGE_ALIGNED(c->start) || !PAGE_ALIGNED(c->end) || c->start >= c->end || c->end > TASK_SIZE_MAX)
		return -EINVAL;
	if (!c->vec_len)
		return c->vec ? -EINVAL : 0;
	if (c->vec_len > SIZE_MAX / sizeof(struct ooh_region))
		return -EINVAL;
	return access_ok(u64_to_user_ptr(c->vec), c->vec_len * sizeof(struct ooh_region)) ? 0 : -EFAULT;
}

static int ioc_collect(struct ooh_tracker *t, void __user *arg)
{
	struct ooh_collect c;
	int err = ooh_copy_in(&c, sizeof(c), sizeof(c), arg);

	if (!err)
		err = collect_check(&c);
	if (err)
		return err;
	if (!t->started)
		return -ENOTCONN;
	c.regions = c.walk_end = c.pages = c.extra = c.armed = c.examined = c.hypercalls = c.cycles = 0;
	c.result = c.reserved = 0;
	return ooh_collect(t, &c, arg);
}

static u64 memory_of(struct ooh_tracker *t)
{
	/* An XArray node has 64 slots and takes 576 bytes; a tag takes 8. */
	return sizeof(*t) + t->present * (9 + 8) + t->buf_len * sizeof(struct ooh_region) + 3 * PAGE_SIZE;
}

static int ioc_stats(struct ooh_tracker *t, void __user *arg)
{
	struct ooh_tracker_stats s, in;
	int err = ooh_copy_in(&in, sizeof(in), offsetof(struct ooh_tracker_stats, dirty_known), arg);

	if (err)
		return err;
	if (in.flags)
		return -EINVAL;
	s = t->stats;
	s.size = in.size;
	s.flags = (t->started ? OOH_TRACKER_STARTED : 0) | (READ_ONCE(t->gone) ? OOH_TRACKER_GONE : 0) |
		  (t->revoked ? OOH_TRACKER_REVOKED : 0);
	s.armed_now = t->present;
	s.dirty_known = t->dirty;
	s.memory = memory_of(t);
	return ooh_copy_out(arg, &s, sizeof(s));
}

static int dispatch(struct ooh_tracker *t, unsigned int cmd, void __user *arg)
{
	if (cmd == OOH_IOC_TRACKER_STATS)
		return ioc_stats(t, arg);
	if (t->revoked)
		return -ENODEV;
	if (READ_ONCE(t->gone))
		return -ESRCH;
	switch (cmd) {
	case OOH_IOC_ADD_RANGE:
		return ioc_range(t, arg, true);
	case OOH_IOC_DEL_RANGE:
		return ioc_range(t, arg, false);
	case OOH_IOC_START:
		return ioc_start_stop(t, arg, true);
	case OOH_IOC_STOP:
		return ioc_start_stop(t, arg, false);
	case OOH_IOC_COLLECT:
		return ioc_collect(t, arg);
	}
	return -ENOTTY;
}

static long tracker_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct ooh_tracker *t = file->private_data;
	int rc;

	if (_IOC_TYPE(cmd) != OOH_IOC_MAGIC)
		return -ENOTTY;
	if (down_read_killable(&ooh_gate))
		return -EINTR;
	if (mutex_lock_killable(&t->mutex)) {
		up_read(&ooh_gate);
		return -EINTR;
	}
	rc = dispatch(t, cmd, (void __user *)arg);
	mutex_unlock(&t->mutex);
	up_read(&ooh_gate);
	return rc;
}

static __poll_t tracker_poll(struct file *file, poll_table *wait)
{
	struct ooh_tracker *t = file->private_data;
	__poll_t mask = 0;

	poll_wait(file, &t->wait, wait);
	if (t->threshold && (READ_ONCE(t->dirty) >= t->threshold || READ_ONCE(t->overflow)))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (READ_ONCE(t->gone))
		mask |= EPOLLHUP;
	if (READ_ONCE(t->revoked))
		mask |= EPOLLERR;
	return mask;
}

/* ---- life ---- */

static void tracker_free(struct ooh_tracker *t)
{
	xa_destroy(&t->pages);
	xa_destroy(&t->blocks);
	kvfree(t->whole);
	kvfree(t->buf);
	kfree(t->batch_vpn);
	kfree(t->batch_pfn);
	kfree(t->snap);
	kvfree(rcu_dereference_protected(t->ranges, true));
	kfree(t);
}

static struct ooh_tracker *tracker_alloc(const struct ooh_tracker_create *arg)
{
	struct ooh_tracker *t = kzalloc(sizeof(*t), GFP_KERNEL_ACCOUNT);

	if (!t)
		return NULL;
	mutex_init(&t->mutex);
	spin_lock_init(&t->events);
	init_waitqueue_head(&t->wait);
	xa_init_flags(&t->pages, XA_FLAGS_ACCOUNT);
	xa_init_flags(&t->blocks, XA_FLAGS_ACCOUNT);
	t->owner = current_uid();
	t->threshold = arg->threshold;
	t->mn.ops = &ooh_notifier_ops;
	t->batch_vpn = kmalloc_array(OOH_LIST_MAX, sizeof(*t->batch_vpn), GFP_KERNEL_ACCOUNT);
	t->batch_pfn = kmalloc_array(OOH_LIST_MAX, sizeof(*t->batch_pfn), GFP_KERNEL_ACCOUNT);
	t->snap = kmalloc_array(OOH_BLOCK_PAGES, sizeof(*t->snap), GFP_KERNEL_ACCOUNT);
	if (t->batch_vpn && t->batch_pfn && t->snap)
		return t;
	tracker_free(t);
	return NULL;
}

static void tracker_unlink(struct ooh_tracker *t)
{
	spin_lock(&list_lock);
	hash_del_rcu(&t->node);
	spin_unlock(&list_lock);
	atomic_dec(&nr_open);
}

static int tracker_release(struct inode *inode, struct file *file)
{
	struct ooh_tracker *t = file->private_data;

	down_read(&ooh_gate);
	mutex_lock(&t->mutex);
	stop(t);
	mutex_unlock(&t->mutex);
	tracker_unlink(t);
	xa_erase(&by_id, t->id);
	up_read(&ooh_gate);
	mmu_notifier_unregister(&t->mn, t->mm); /* waits for callbacks, drops the mm */
	synchronize_rcu(); /* of hooks that found it in the table */
	tracker_free(t);
	ooh_hooks_put();
	ooh_hv_put();
	return 0;
}

static const struct file_operations tracker_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = tracker_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = tracker_poll,
	.release = tracker_release,
	.llseek = noop_llseek,
};

/* Adds it to the tables. -EMFILE: too many. */
static int tracker_link(struct ooh_tracker *t)
{
	struct ooh_tracker *other;
	unsigned int i, mine = 0;
	int err;

	err = xa_alloc(&by_id, &t->id, t, XA_LIMIT(1, OOH_MAX_TRACKERS), GFP_KERNEL);
	if (err)
		return err == -EBUSY ? -EMFILE : err;
	spin_lock(&list_lock);
	hash_for_each(by_mm, i, other, node)
		mine += uid_eq(other->owner, t->owner);
	if (mine >= USER_MAX && !capable(CAP_SYS_RESOURCE)) {
		spin_unlock(&list_lock);
		xa_erase(&by_id, t->id);
		return -EMFILE;
	}
	hash_add_rcu(by_mm, &t->node, (unsigned long)t->mm);
	atomic_inc(&nr_open);
	spin_unlock(&list_lock);
	return 0;
}

/* The address space behind a pidfd, if the caller may. Its users are counted: mmput() it. */
static struct mm_struct *mm_of_pid(struct pid *pid)
{
	struct task_struct *task = get_pid_task(pid, PIDTYPE_PID);
	struct mm_struct *mm;

	if (!task)
		return ERR_PTR(-ESRCH);
	/* No exec between the question and the answer. */
	if (down_read_killable(&task->signal->exec_update_lock)) {
		put_task_struct(task);
		return ERR_PTR(-EINTR);
	}
	mm = get_task_mm(task);
	if (!mm)
		mm = ERR_PTR(-ESRCH);
	else if (mm != current->mm && !ooh_may_attach(task)) {
		mmput(mm);
		mm = ERR_PTR(-EPERM);
	}
	up_read(&task->signal->exec_update_lock);
	put_task_struct(task);
	return mm;
}

static struct mm_struct *mm_of(int pidfd)
{
	struct mm_struct *mm;
	struct pid *pid;

	if (pidfd == OOH_PIDFD_SELF) {
		mm = get_task_mm(current);
		return mm ? mm : ERR_PTR(-ESRCH);
	}
	pid = ooh_pidfd_pid(pidfd);
	if (IS_ERR(pid))
		return ERR_CAST(pid);
	mm = mm_of_pid(pid);
	put_pid(pid);
	return mm;
}

/* G is held. Returns a file descriptor. */
int ooh_tracker_create(const struct ooh_tracker_create *arg)
{
	struct ooh_tracker *t;
	struct mm_struct *mm;
	int err;

	err = ooh_hv_get();
	if (err)
		return -ENODEV;
	err = -ENODEV;
	if (!ooh_hv_is_active())
		goto no_hv;
	mm = mm_of(arg->pidfd);
	err = PTR_ERR_OR_ZERO(mm);
	if (err)
		goto no_hv;
	err = ooh_hooks_get();
	if (err)
		goto no_hooks;
	err = -ENOMEM;
	t = tracker_alloc(arg);
	if (!t)
		goto no_tracker;
	t->mm = mm;
	err = mmu_notifier_register(&t->mn, mm);
	if (err)
		goto no_notifier;
	err = tracker_link(t);
	if (err)
		goto no_link;
	err = anon_inode_getfd("[ooh]", &tracker_fops, t, O_RDWR | O_CLOEXEC);
	if (err < 0)
		goto no_fd;
	mmput(mm);
	return err;

no_fd:
	tracker_unlink(t);
	xa_erase(&by_id, t->id);
	synchronize_rcu();
no_link:
	mmu_notifier_unregister(&t->mn, mm);
no_notifier:
	tracker_free(t);
no_tracker:
	ooh_hooks_put();
no_hooks:
	mmput(mm);
no_hv:
	ooh_hv_put();
	return err;
}
