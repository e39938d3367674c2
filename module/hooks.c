// SPDX-License-Identifier: GPL-2.0-only
/*
 * How changes of mappings become known without looking for them.
 *
 * The notifier tells what takes mappings away or replaces them: unmap, copy-on-write, reclaim, migration, huge-page
 * split and collapse.
 *
 * Ftrace hooks tell what installs mappings: handle_mm_fault, move_page_tables (mremap), mfill_atomic_install_pte
 * (userfaultfd), do_set_pmd (huge pages of files), do_swap_page and unuse_pte_range (swap-in without a fault),
 * hugetlb_fault. All run with the mm locked, so none is in flight during a round.
 *
 * Return probes tell what lets devices write to a page: try_grab_folio and try_grab_page with FOLL_WRITE. After they
 * return, because the reference must be there before the tag is looked at (see ooh_check_pins()).
 *
 * The ftrace hooks are "permanent": while one is registered, kernel.ftrace_enabled cannot be cleared. All are there
 * only while a tracker is open, and a second longer.
 */
#include <linux/file.h>
#include <linux/ftrace.h>
#include <linux/hugetlb.h>
#include <linux/kprobes.h>
#include <linux/ptrace.h>
#include <linux/workqueue.h>

#include "ooh_mod.h"

#define LINGER msecs_to_jiffies(1000)

/* ---- names that are not exported ---- */

static unsigned long (*lookup)(const char *name);
static bool (*may_access)(struct task_struct *task, unsigned int mode);
static struct pid *(*pid_of_pidfd)(unsigned int fd, unsigned int *flags);
static void (*drain_lru)(void); /* may be missing */

/* kallsyms_lookup_name() is not exported; the address of a probe on it is. */
static int resolve_lookup(void)
{
	struct kprobe kp = { .symbol_name = "kallsyms_lookup_name" };
	int err = register_kprobe(&kp);

	if (err)
		return err;
	lookup = (void *)kp.addr;
	unregister_kprobe(&kp);
	return 0;
}

/* Pages that a CPU has gathered on their way to an LRU list get there, and lose the reference that this takes. */
void ooh_settle_lru(void)
{
	if (drain_lru)
		drain_lru();
}

bool ooh_may_attach(struct task_struct *task)
{
	return may_access(task, PTRACE_MODE_ATTACH_FSCREDS);
}

/* The pid behind a pidfd, to be put; or ERR_PTR(-EBADF). */
struct pid *ooh_pidfd_pid(int fd)
{
	unsigned int flags;

	return pid_of_pidfd(fd, &flags);
}

/* ---- the notifier ---- */

/* These change permissions, not frames: fork, mprotect, clear_refs. Armed frames stay the right ones. */
static bool keeps_frames(const struct mmu_notifier_range *range)
{
	return range->event == MMU_NOTIFY_PROTECTION_VMA || range->event == MMU_NOTIFY_PROTECTION_PAGE ||
	       range->event == MMU_NOTIFY_SOFT_DIRTY;
}

/* Faults in the range may come between announcement and end: munmap and mremap keep them out. */
static bool lets_faults_in(const struct mmu_notifier_range *range)
{
	return range->event != MMU_NOTIFY_UNMAP;
}

static int inval_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct ooh_tracker *t = container_of(mn, struct ooh_tracker, mn);
	const unsigned long lo = range->start >> PAGE_SHIFT;
	const unsigned long hi = min(range->end >> PAGE_SHIFT, OOH_MAX_VPN);

	if (!keeps_frames(range))
		ooh_pages_inval_begin(t, lo, max(hi, lo + 1), lets_faults_in(range));
	return 0;
}

static void inval_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	if (!keeps_frames(range))
		ooh_pages_inval_end(container_of(mn, struct ooh_tracker, mn), lets_faults_in(range));
}

/* The address space is being torn down: exit, or exec of another program. */
static void mm_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct ooh_tracker *t = container_of(mn, struct ooh_tracker, mn);

	WRITE_ONCE(t->gone, true);
	wake_up_poll(&t->wait, EPOLLHUP);
}

const struct mmu_notifier_ops ooh_notifier_ops = {
	.invalidate_range_start = inval_start,
	.invalidate_range_end = inval_end,
	.release = mm_release,
};

/* ---- ftrace: mappings appear ---- */

struct fault {
	unsigned long lo, hi; /* pages */
	bool block;           /* and what else is in their blocks */
};

/* More blocks than this at once: walk everything instead. */
#define BLOCKS_MAX 4096

static void on_fault(struct ooh_tracker *t, void *arg)
{
	const struct fault *f = arg;
	unsigned long vpn;

	if (f->hi - f->lo > BLOCKS_MAX * OOH_BLOCK_PAGES) {
		WRITE_ONCE(t->lost, true);
		return;
	}
	if (f->hi - f->lo == 1)
		ooh_page_fault(t, f->lo);
	for (vpn = round_down(f->lo, OOH_BLOCK_PAGES); f->block && vpn < f->hi; vpn += OOH_BLOCK_PAGES)
		ooh_block_fault(t, vpn);
}

static void fault(struct vm_area_struct *vma, unsigned long start, unsigned long end, bool block)
{
	struct fault f = { start >> PAGE_SHIFT, PAGE_ALIGN(end) >> PAGE_SHIFT, block };

	ooh_trackers_of(vma->vm_mm, on_fault, &f);
}

/* Only an mm with a notifier has a tracker. */
static bool maybe_tracked(const struct vm_area_struct *vma)
{
	return vma->vm_mm && READ_ONCE(vma->vm_mm->notifier_subscriptions);
}

/*
 * One fault may install more than its page: a huge page when there is no table yet, or, reading a file, the pages
 * around it.
 */
static void on_handle_mm_fault(unsigned long ip, unsigned long parent, struct ftrace_ops *ops,
			       struct ftrace_regs *fregs)
{
	struct vm_area_struct *vma = (void *)fregs->regs.di;
	const unsigned long addr = fregs->regs.si, flags = fregs->regs.dx;
	bool block;

	if (!maybe_tracked(vma))
		return;
	block = ooh_walk_huge_or_none(vma->vm_mm, addr) ||
		(vma->vm_ops && vma->vm_ops->map_pages && !(flags & FAULT_FLAG_WRITE));
	fault(vma, addr & PAGE_MASK, (addr & PAGE_MASK) + PAGE_SIZE, block);
}

static void on_whole(struct ooh_tracker *t, void *arg)
{
	const struct fault *f = arg;

	ooh_whole_fault(t, f->lo, f->hi);
}

/* (mm, vma, addr, flags): also called without handle_mm_fault(), to fill a mapping at once. */
static void on_hugetlb_fault(unsigned long ip, unsigned long parent, struct ftrace_ops *ops,
			     struct ftrace_regs *fregs)
{
	struct vm_area_struct *vma = (void *)fregs->regs.si;
	unsigned long size, addr;
	struct fault f;

	if (!maybe_tracked(vma))
		return;
	size = huge_page_size(hstate_vma(vma));
	addr = round_down(fregs->regs.dx, size);
	f = (struct fault){ addr >> PAGE_SHIFT, (addr + size) >> PAGE_SHIFT, true };
	ooh_trackers_of(vma->vm_mm, on_whole, &f);
}

/* (vma, old_addr, new_vma, new_addr, len, ...): only the old place is announced by the notifier. */
static void on_move_page_tables(unsigned long ip, unsigned long parent, struct ftrace_ops *ops,
				struct ftrace_regs *fregs)
{
	struct vm_area_struct *vma = (void *)fregs->regs.dx;

	if (maybe_tracked(vma))
		fault(vma, fregs->regs.cx, fregs->regs.cx + fregs->regs.r8, true);
}

/* (dst_mm, dst_pmd, dst_vma, dst_addr, ...) */
static void on_mfill_install(unsigned long ip, unsigned long parent, struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	struct vm_area_struct *vma = (void *)fregs->regs.dx;
	const unsigned long addr = fregs->regs.cx & PAGE_MASK;

	if (maybe_tracked(vma))
		fault(vma, addr, addr + PAGE_SIZE, false);
}

/* (vmf, page) */
static void on_do_set_pmd(unsigned long ip, unsigned long parent, struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	const struct vm_fault *vmf = (void *)fregs->regs.di;
	const unsigned long addr = vmf->address & PMD_MASK;

	if (maybe_tracked(vmf->vma))
		fault(vmf->vma, addr, addr + PMD_SIZE, true);
}

/* (vma, pmd, addr, end, type) */
static void on_unuse_pte_range(unsigned long ip, unsigned long parent, struct ftrace_ops *ops,
			       struct ftrace_regs *fregs)
{
	struct vm_area_struct *vma = (void *)fregs->regs.di;

	if (maybe_tracked(vma))
		fault(vma, fregs->regs.dx, fregs->regs.cx, true);
}

/* (vmf): also called before a collapse, without a fault, for pages in swap. */
static void on_do_swap_page(unsigned long ip, unsigned long parent, struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	const struct vm_fault *vmf = (void *)fregs->regs.di;
	const unsigned long addr = vmf->address & PAGE_MASK;

	if (maybe_tracked(vmf->vma))
		fault(vmf->vma, addr, addr + PAGE_SIZE, false);
}

static struct hook {
	const char *name;
	struct ftrace_ops ops;
	unsigned long ip;
} hooks[] = {
	{ "handle_mm_fault", { .func = on_handle_mm_fault, .flags = FTRACE_OPS_FL_PERMANENT } },
	{ "move_page_tables", { .func = on_move_page_tables, .flags = FTRACE_OPS_FL_PERMANENT } },
	{ "mfill_atomic_install_pte", { .func = on_mfill_install, .flags = FTRACE_OPS_FL_PERMANENT } },
	{ "do_swap_page", { .func = on_do_swap_page, .flags = FTRACE_OPS_FL_PERMANENT } },
	{ "do_set_pmd", { .func = on_do_set_pmd, .flags = FTRACE_OPS_FL_PERMANENT } },
	{ "hugetlb_fault", { .func = on_hugetlb_fault, .flags = FTRACE_OPS_FL_PERMANENT } },
	{ "unuse_pte_range", { .func = on_unuse_pte_range, .flags = FTRACE_OPS_FL_PERMANENT } },
};

/* ---- kretprobes: devices get pages ---- */

struct grab {
	unsigned long pfn, nr;
};

static int grab_begin(struct kretprobe_instance *ri, struct page *page, unsigned long nr, unsigned long flags)
{
	struct grab *g = (void *)ri->data;

	if (!(flags & FOLL_WRITE) || !ooh_frames_count() || in_nmi())
		return 1;
	g->pfn = page_to_pfn(page);
	g->nr = nr;
	return 0;
}

/* (page, refs, flags) */
static int grab_folio_begin(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	return grab_begin(ri, (void *)regs->di, (int)regs->si, (unsigned int)regs->dx);
}

/* (page, flags) */
static int grab_page_begin(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	return grab_begin(ri, (void *)regs->di, 1, (unsigned int)regs->si);
}

static int grab_end(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	const struct grab *g = (void *)ri->data;
	u64 pfn;

	for (pfn = g->pfn; pfn < g->pfn + g->nr; pfn++)
		if (ooh_frame_tagged(pfn))
			ooh_frames_for_each(&pfn, 1, ooh_page_grabbed, NULL);
	return 0;
}

static struct kretprobe grabs[] = {
	{
		.kp.symbol_name = "try_grab_folio",
		.entry_handler = grab_folio_begin,
		.handler = grab_end,
		.data_size = sizeof(struct grab),
	},
	{
		.kp.symbol_name = "try_grab_page",
		.entry_handler = grab_page_begin,
		.handler = grab_end,
		.data_size = sizeof(struct grab),
	},
};

/*
 * Runs of a return probe that found no room, or a probe inside a probe. Both functions run with preemption off, so
 * this stays 0.
 */
unsigned long ooh_hooks_missed(void)
{
	unsigned long n = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(grabs); i++)
		n += grabs[i].nmissed + grabs[i].kp.nmissed;
	return n;
}

/* ---- on and off ---- */

static DEFINE_MUTEX(hooks_mutex);
static unsigned int users;     /* hooks_mutex */
static bool installed;         /* hooks_mutex */
static bool resolved;          /* constant after load */

static int install_ftrace(unsigned int *done)
{
	int err;

	for (*done = 0; *done < ARRAY_SIZE(hooks); ++*done) {
		struct hook *h = &hooks[*done];

		err = ftrace_set_filter_ip(&h->ops, h->ip, 0, 0);
		if (!err)
			err = register_ftrace_function(&h->ops);
		if (err) {
			pr_err("ooh: cannot hook %s: %d\n", h->name, err);
			return err;
		}
	}
	return 0;
}

static void remove_ftrace(unsigned int nr)
{
	while (nr--) {
		unregister_ftrace_function(&hooks[nr].ops);
		ftrace_set_filter_ip(&hooks[nr].ops, hooks[nr].ip, 1, 0);
	}
}

static int install_grabs(void)
{
	int i, err;

	for (i = 0; i < ARRAY_SIZE(grabs); i++) {
		/* A registered probe's fields cannot be used again as they are. */
		grabs[i].kp.addr = NULL;
		grabs[i].kp.flags = 0;
		grabs[i].maxactive = max(64u, 4 * num_possible_cpus());
		err = register_kretprobe(&grabs[i]);
		if (err) {
			pr_err("ooh: cannot probe %s: %d\n", grabs[i].kp.symbol_name, err);
			goto undo;
		}
	}
	return 0;

undo:
	while (i--)
		unregister_kretprobe(&grabs[i]);
	return err;
}

static int install(void)
{
	unsigned int done;
	int err = install_ftrace(&done);

	if (!err)
		err = install_grabs();
	if (err)
		remove_ftrace(done);
	installed = !err;
	return err ? -EOPNOTSUPP : 0;
}

static void uninstall(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(grabs); i++)
		unregister_kretprobe(&grabs[i]);
	remove_ftrace(ARRAY_SIZE(hooks));
	installed = false;
}

static void linger_work(struct work_struct *work)
{
	mutex_lock(&hooks_mutex);
	if (!users && installed)
		uninstall();
	mutex_unlock(&hooks_mutex);
}

static DECLARE_DELAYED_WORK(linger, linger_work);

int ooh_hooks_get(void)
{
	int err = resolved ? 0 : -EOPNOTSUPP;

	mutex_lock(&hooks_mutex);
	if (!err && !installed)
		err = install();
	if (!err)
		users++;
	mutex_unlock(&hooks_mutex);
	return err;
}

/* Removing hooks takes a while, and the next tracker may be near. */
void ooh_hooks_put(void)
{
	mutex_lock(&hooks_mutex);
	if (!--users)
		mod_delayed_work(system_wq, &linger, LINGER);
	mutex_unlock(&hooks_mutex);
}

void ooh_hooks_exit(void)
{
	cancel_delayed_work_sync(&linger);
	if (installed)
		uninstall();
}

bool ooh_hooks_ok(void)
{
	return resolved;
}

/* Finds everything that install() will need. Without it the module loads, and refuses to track. */
int ooh_hooks_resolve(void)
{
	int i, err = resolve_lookup();

	if (err)
		return err;
	may_access = (void *)lookup("ptrace_may_access");
	pid_of_pidfd = (void *)lookup("pidfd_get_pid");
	drain_lru = (void *)lookup("lru_add_drain_all");
	if (!may_access || !pid_of_pidfd)
		return -ENOENT;
	for (i = 0; i < ARRAY_SIZE(hooks); i++) {
		hooks[i].ip = lookup(hooks[i].name);
		if (!hooks[i].ip) {
			pr_warn("ooh: this kernel has no %s\n", hooks[i].name);
			return -ENOENT;
		}
	}
	for (i = 0; i < ARRAY_SIZE(grabs); i++) {
		if (!lookup(grabs[i].kp.symbol_name)) {
			pr_warn("ooh: this kernel has no %s\n", grabs[i].kp.symbol_name);
			return -ENOENT;
		}
	}
	resolved = true;
	return 0;
}
