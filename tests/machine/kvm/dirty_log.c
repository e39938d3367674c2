/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs inside the machine, under stock Linux: KVM, which knows nothing of us, runs a small 64-bit guest on our VT-x
 * with EPT and tracks its writes by PML. What the guest wrote, what KVM reports and what is in memory have to agree.
 * Prints TAP.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MEMORY   (64ul << 20)
#define PAGES    (MEMORY >> 12)
#define CODE     0x1000
#define PML4     0x2000
#define PDPT     0x3000
#define PD       0x4000
#define TABLES   0x10000  /* one page table for each 2 MiB */
#define LIST     0x100000 /* addresses that the guest is to increment */
#define TARGET   (8ul << 20)
#define ROUNDS   40
#define PLAIN    5        /* rounds before logging is switched on */

/* rdi: list, rsi: how many; each 8-byte word named there is incremented, then a port is written. */
static const uint8_t program[] = {
	0x48, 0x8b, 0x07,       /* next: mov rax, [rdi] */
	0x48, 0xff, 0x00,       /* inc qword [rax] */
	0x48, 0x83, 0xc7, 0x08, /* add rdi, 8 */
	0x48, 0xff, 0xce,       /* dec rsi */
	0x75, 0xf1,             /* jnz next */
	0xe6, 0x10,             /* out 0x10, al */
	0xf4,
};

static int vm, vcpu, failures;
static unsigned tests;
static struct kvm_run *run;
static uint8_t *memory;
static uint64_t expected[MEMORY / 8]; /* what each word should hold */
static uint8_t written[PAGES];

static void check(int ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void check(int ok, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %u - ", ok ? "" : "not ", ++tests);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	failures += !ok;
}

static void need(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(3);
}

static int open_kvm(void)
{
	int fd = open("/dev/kvm", O_RDWR);
	unsigned major, minor;
	FILE *f;

	if (fd >= 0)
		return fd;
	f = fopen("/sys/class/misc/kvm/dev", "r");
	need(f && fscanf(f, "%u:%u", &major, &minor) == 2, "/sys/class/misc/kvm/dev");
	fclose(f);
	need(mknod("/tmp/kvm", S_IFCHR | 0600, makedev(major, minor)) == 0, "mknod");
	return open("/tmp/kvm", O_RDWR);
}

static void parameter(const char *name)
{
	char path[128];
	int c = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/kvm_intel/parameters/%s", name);
	f = fopen(path, "r");
	if (f) {
		c = fgetc(f);
		fclose(f);
	}
	check(c == 'Y', "KVM uses %s", name);
}

static void set_memory(uint32_t flags)
{
	struct kvm_userspace_memory_region r = { .flags = flags, .memory_size = MEMORY,
						 .userspace_addr = (uintptr_t)memory };

	need(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r) == 0, "KVM_SET_USER_MEMORY_REGION");
}

/* One to one; every second 2 MiB as one page, so that both kinds are walked. */
static void make_tables(void)
{
	uint64_t *pd = (uint64_t *)(memory + PD);

	*(uint64_t *)(memory + PML4) = PDPT | 7;
	*(uint64_t *)(memory + PDPT) = PD | 7;
	for (uint64_t i = 0; i < MEMORY >> 21; i++) {
		uint64_t *pt = (uint64_t *)(memory + TABLES + i * 4096);

		for (uint64_t j = 0; j < 512; j++)
			pt[j] = i << 21 | j << 12 | 7;
		pd[i] = i % 2 ? i << 21 | 0x87 : (TABLES + i * 4096) | 7;
	}
	memcpy(memory + CODE, program, sizeof(program));
}

static void make_vm(void)
{
	const uint32_t all = 0xffffffff;
	struct kvm_segment code = { .limit = all, .selector = 8, .present = 1, .type = 11, .s = 1, .l = 1, .g = 1 };
	struct kvm_segment data = { .limit = all, .selector = 16, .present = 1, .type = 3, .s = 1, .db = 1, .g = 1 };
	struct kvm_sregs s;
	int kvm = open_kvm(), size;

	need(kvm >= 0, "/dev/kvm");
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	need(vm >= 0, "KVM_CREATE_VM");
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(memory != MAP_FAILED, "mmap");
	set_memory(0);
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	need(vcpu >= 0, "KVM_CREATE_VCPU");
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	need(run != MAP_FAILED, "mmap of the VCPU");
	make_tables();
	need(ioctl(vcpu, KVM_GET_SREGS, &s) == 0, "KVM_GET_SREGS");
	s.cr0 = 0x80010033;
	s.cr3 = PML4;
	s.cr4 = 0x20;
	s.efer = 0xd00;
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	need(ioctl(vcpu, KVM_SET_SREGS, &s) == 0, "KVM_SET_SREGS");
}

static uint32_t seed = 1;

static uint64_t random_address(void)
{
	seed = seed * 1664525 + 1013904223;
	return TARGET + ((seed >> 4) % (MEMORY - TARGET) & ~7ul);
}

/* Lets the guest increment n random words; false if it ended otherwise than by its port. */
static int run_round(unsigned n)
{
	struct kvm_regs regs = { .rip = CODE, .rflags = 2, .rdi = LIST, .rsi = n };
	uint64_t *list = (uint64_t *)(memory + LIST);

	memset(written, 0, sizeof(written));
	for (unsigned i = 0; i < n; i++) {
		list[i] = random_address();
		expected[list[i] / 8]++;
		written[list[i] >> 12] = 1;
	}
	need(ioctl(vcpu, KVM_SET_REGS, &regs) == 0, "KVM_SET_REGS");
	need(ioctl(vcpu, KVM_RUN, 0) == 0, "KVM_RUN");
	return run->exit_reason == KVM_EXIT_IO && run->io.port == 0x10;
}

/*
 * Pages that were written and are not in KVM's log, or (extra) the other way round among those that the guest writes.
 */
static unsigned compare_log(unsigned *extra)
{
	static uint8_t bitmap[PAGES / 8];
	struct kvm_dirty_log log = { .dirty_bitmap = bitmap };
	unsigned missed = 0;

	need(ioctl(vm, KVM_GET_DIRTY_LOG, &log) == 0, "KVM_GET_DIRTY_LOG");
	*extra = 0;
	for (unsigned p = TARGET >> 12; p < PAGES; p++) {
		int logged = bitmap[p / 8] >> (p % 8) & 1;

		missed += written[p] && !logged;
		*extra += logged && !written[p];
	}
	return missed;
}

static unsigned wrong_words(void)
{
	const uint64_t *words = (const uint64_t *)memory;
	unsigned n = 0;

	for (uint64_t i = TARGET / 8; i < MEMORY / 8; i++)
		n += words[i] != expected[i];
	return n;
}

int main(void)
{
	unsigned missed = 0, extra = 0, ended = 0;

	parameter("ept");
	parameter("eptad");
	parameter("pml");
	parameter("vpid");
	make_vm();
	for (unsigned r = 0; r < ROUNDS; r++) {
		unsigned e;

		if (r == PLAIN)
			set_memory(KVM_MEM_LOG_DIRTY_PAGES);
		ended += run_round(r % 10 == 9 ? 4000 : 1 + r * 37); /* the log of 512 entries fills several times */
		if (r < PLAIN)
			continue;
		missed += compare_log(&e);
		if (r > PLAIN) /* the first one starts with everything that was there */
			extra += e;
	}
	check(ended == ROUNDS, "%u rounds of the guest end as they should", ROUNDS);
	check(missed == 0, "no written page is missing in KVM's log (%u)", missed);
	check(extra == 0, "no page that was not written is in it (%u)", extra);
	check(wrong_words() == 0, "every word is incremented as often as asked");
	printf("1..%u\n", tests);
	return failures != 0;
}
