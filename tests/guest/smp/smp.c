/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several processors: start-up, interrupts between them, each one's own TLB, locked instructions, code that another
 * processor writes, one time for all. SDM 3A chapters "Multiple-Processor Management" and "Advanced Programmable
 * Interrupt Controller (APIC)".
 */
#include "tests/guest/lib/guest.h"

#include "arch/apic.h"
#include "arch/paging.h"

#define APIC 0xfee00000u
#define AP_PAGE 0x8000u
#define CPUS 8
#define VECTOR_COUNT 0x40
#define VECTOR_FLUSH 0x41
#define WINDOW 0x40000000ull /* 1 GiB: mapped anew by the test */
#define TIMES 20000u

extern const u8 ap_code[], ap_code_end[];
void ap_main(u32 id);

enum job { IDLE, ADD, LOAD, CALL, CALL_OFTEN, CLOCK, HALT, SPIN, WAIT, PASS };

static volatile u32 job, serial, done, online, started[CPUS], counted[CPUS], nmis[CPUS];
static volatile u32 atomic_sum, lock, plain_sum, spins[CPUS];
static volatile u64 loaded[CPUS], newest[CPUS], last_tsc;
static volatile u32 order[CPUS]; /* how often newer code was followed by older */
static volatile u32 backwards;
static volatile u32 signal[16] __attribute__((aligned(64))), other_line[16] __attribute__((aligned(64)));
static volatile u32 wakes[CPUS], rounds;
static struct { u16 limit; u64 base; } __attribute__((packed)) idtr;
static u8 frames[2][4096] __attribute__((aligned(4096)));
static u64 window_pd[512] __attribute__((aligned(4096))), window_pt[512] __attribute__((aligned(4096)));
static u8 code[64] __attribute__((aligned(64)));

static u32 apic_read(u32 reg) { return *(volatile u32 *)(u64)(APIC + reg); }
static void apic_write(u32 reg, u32 v) { *(volatile u32 *)(u64)(APIC + reg) = v; }
static u32 self(void) { return apic_read(LAPIC_ID) >> 24; }
static void relax(void) { __asm__ volatile("pause" : : : "memory"); }
static u32 fetch_add(volatile u32 *p, u32 v) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }

static void delay(u64 cycles)
{
	u64 end = rdtsc() + cycles;

	while (rdtsc() < end)
		relax();
}

/* Waits until *p has the value; false after a second or so. */
static bool until(volatile u32 *p, u32 value)
{
	u64 end = rdtsc() + 2000000000ull;

	while (*p != value) {
		if (rdtsc() > end)
			return false;
		relax();
	}
	return true;
}

static void ipi(u32 dest, u32 low)
{
	while (apic_read(LAPIC_ICR_LOW) & ICR_PENDING)
		relax();
	apic_write(LAPIC_ICR_HIGH, dest << 24);
	apic_write(LAPIC_ICR_LOW, low);
}

__attribute__((interrupt)) static void on_count(void *frame)
{
	(void)frame;
	counted[self()]++;
	apic_write(LAPIC_EOI, 0);
}

__attribute__((interrupt)) static void on_flush(void *frame)
{
	(void)frame;
	invlpg(WINDOW);
	counted[self()]++;
	apic_write(LAPIC_EOI, 0);
}

__attribute__((interrupt)) static void on_nmi(void *frame)
{
	(void)frame;
	nmis[self()]++;
}

static void apic_on(void)
{
	apic_write(LAPIC_DFR, 0xffffffff);
	apic_write(LAPIC_LDR, 1u << (24 + self()));
	apic_write(LAPIC_TPR, 0);
	apic_write(LAPIC_SVR, SVR_ENABLE | 0xff);
}

/* --- what all processors do at the same time --- */

static void add(void)
{
	for (u32 i = 0; i < TIMES; i++) {
		__asm__ volatile("lock incl %0" : "+m"(atomic_sum));
		if (i % 16)
			continue;
		while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
			relax();
		plain_sum = plain_sum + 1;
		__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
	}
}

static void clock_check(void)
{
	for (u32 i = 0; i < 2000; i++) {
		u64 now;

		while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
			relax();
		__asm__ volatile("lfence" : : : "memory");
		now = rdtsc();
		backwards += now < last_tsc;
		last_tsc = now;
		__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
	}
}

/* Waits as an operating system's idle loop does: no store may get lost between the look and MWAIT. */
static void wait_for(volatile u32 *p, u32 value, u32 id)
{
	while (*p != value) {
		__asm__ volatile("monitor" : : "a"(p), "c"(0), "d"(0) : "memory");
		if (*p == value)
			break;
		__asm__ volatile("mwait" : : "a"(0), "c"(0) : "memory");
		wakes[id]++;
	}
}

/* A token goes round all processors. */
static void pass_on(u32 id)
{
	for (u32 i = 0; i < rounds; i++) {
		wait_for(signal, i * (online + 1) + id, id);
		signal[0]++;
	}
}

static void work(u32 id)
{
	switch ((enum job)job) {
	case ADD: add(); break;
	case LOAD: loaded[id] = *(volatile u64 *)WINDOW; break;
	case CALL: loaded[id] = ((u64 (*)(void))(u64)code)(); break;
	case CALL_OFTEN: /* CPUID serializes: SDM 3A "Handling Self- and Cross-Modifying Code" */
		while (job == CALL_OFTEN) {
			u32 r[4];

			cpuid(0, 0, r);
			loaded[id] = ((u64 (*)(void))(u64)code)();
			order[id] += loaded[id] < newest[id];
			newest[id] = loaded[id];
		}
		break;
	case CLOCK: clock_check(); break;
	case HALT: __asm__ volatile("sti; hlt; cli" : : : "memory"); break;
	case WAIT: wait_for(signal, 7, id); break;
	case PASS: pass_on(id); break;
	case SPIN:
		for (;;)
			spins[id]++;
	case IDLE: break;
	}
}

void ap_main(u32 id)
{
	u32 seen = serial;

	__asm__ volatile("lidt %0" : : "m"(idtr));
	apic_on();
	started[id]++;
	fetch_add(&online, 1);
	for (;;) {
		__asm__ volatile("sti" : : : "memory");
		while (serial == seen)
			relax();
		__asm__ volatile("cli" : : : "memory");
		seen++;
		work(id);
		fetch_add(&done, 1);
	}
}

/* Gives all others a job. */
static void post(enum job j)
{
	job = j;
	done = 0;
	fetch_add(&serial, 1);
}

static bool all(enum job j)
{
	post(j);
	return until(&done, online);
}

/* --- start-up --- */

static void start_up(void)
{
	ipi(0, DELIVERY_INIT | ICR_ASSERT | ICR_TO_OTHERS);
	delay(400000);
	check_eq(online, 0, "INIT alone starts nobody");
	ipi(0, DELIVERY_SIPI | ICR_ASSERT | ICR_TO_OTHERS | AP_PAGE >> 12);
	delay(20000000);
	check(online > 0, "%u processors have started beside the first", online);
	for (u32 i = 1; i <= online; i++)
		check_eq(started[i], 1, "each once");
	ipi(0, DELIVERY_SIPI | ICR_ASSERT | ICR_TO_OTHERS | AP_PAGE >> 12);
	delay(2000000);
	check_eq(started[1], 1, "a running processor does not hear a start-up message");
}

static void stop_and_start(void)
{
	u32 before;

	post(SPIN);
	delay(100000);
	check(spins[1] > 0, "a processor that spins");
	for (u32 i = 1; i <= online; i++)
		ipi(i, DELIVERY_INIT | ICR_ASSERT);
	delay(100000);
	before = spins[1];
	delay(100000);
	check_eq(spins[1], before, "INIT stops it");
	ipi(1, VECTOR_COUNT | ICR_ASSERT);
	delay(100000);
	check_eq(counted[1], 0, "it takes no interrupts while it waits");
	online = 0;
	for (u32 i = 1; i < CPUS; i++)
		if (started[i]) {
			ipi(i, DELIVERY_SIPI | ICR_ASSERT | AP_PAGE >> 12);
			check(until(&started[i], 2), "processor %u starts again", i);
		}
	delay(100000);
	for (u32 i = 0; i < CPUS; i++)
		counted[i] = nmis[i] = 0;
}

/* --- interrupts --- */

static void expect_counts(volatile u32 *what, u32 first, u32 others, const char *name)
{
	bool ok;

	delay(200000);
	ok = what[0] == first;
	for (u32 i = 1; i <= online; i++)
		ok = ok && what[i] == others;
	check(ok, "%s: %u on the first, %u on the second processor", name, what[0], what[1]);
	for (u32 i = 0; i < CPUS; i++)
		what[i] = 0;
}

static void interrupts(void)
{
	__asm__ volatile("sti");
	ipi(0, VECTOR_COUNT | ICR_ASSERT | ICR_TO_OTHERS);
	expect_counts(counted, 0, 1, "to all but self");
	ipi(0, VECTOR_COUNT | ICR_ASSERT | ICR_TO_ALL);
	expect_counts(counted, 1, 1, "to all");
	ipi(0, VECTOR_COUNT | ICR_ASSERT | ICR_TO_SELF);
	expect_counts(counted, 1, 0, "to self");
	for (u32 i = 1; i <= online; i++)
		ipi(i, VECTOR_COUNT | ICR_ASSERT);
	expect_counts(counted, 0, 1, "to each by its ID");
	ipi(0xff, VECTOR_COUNT | ICR_ASSERT | ICR_LOGICAL);
	expect_counts(counted, 1, 1, "to a logical set of all");
	ipi(0xfe, VECTOR_COUNT | ICR_ASSERT | ICR_LOGICAL);
	expect_counts(counted, 0, 1, "to a logical set of the others");
	ipi(0, DELIVERY_NMI | ICR_ASSERT | ICR_TO_OTHERS);
	expect_counts(nmis, 0, 1, "NMIs");
	__asm__ volatile("cli");
}

static void halted(void)
{
	post(HALT);
	delay(100000);
	check_eq(done, 0, "halted processors stay so");
	ipi(0, VECTOR_COUNT | ICR_ASSERT | ICR_TO_OTHERS);
	check(until(&done, online), "an interrupt wakes them");
	expect_counts(counted, 0, 1, "and is taken");
}

/* --- memory --- */

static void stale_translations(void)
{
	volatile u64 *pte = &window_pt[0];

	boot_pdpt[1] = (u64)window_pd | PTE_P | PTE_RW;
	window_pd[0] = (u64)window_pt | PTE_P | PTE_RW;
	*(u64 *)frames[0] = 1, *(u64 *)frames[1] = 2;
	*pte = (u64)frames[0] | PTE_P | PTE_RW;
	write_cr3(read_cr3());
	all(LOAD);
	all(LOAD);
	check_eq(loaded[1], 1, "a page of the first mapping");
	*pte = (u64)frames[1] | PTE_P | PTE_RW;
	invlpg(WINDOW);
	check_eq(*(volatile u64 *)WINDOW, 2, "INVLPG shows the processor that executes it the new one");
	all(LOAD);
	tcg_differs();
	check_eq(loaded[1], 1, "and leaves the translation that another has");
	ipi(0, VECTOR_FLUSH | ICR_ASSERT | ICR_TO_OTHERS);
	expect_counts(counted, 0, 1, "all are told");
	all(LOAD);
	check_eq(loaded[1], 2, "and find the new page");
	check_eq(loaded[online], 2, "each of them");
}

static void locked_instructions(void)
{
	post(ADD);
	add();
	check(until(&done, online), "all have counted");
	check_eq(atomic_sum, (online + 1) * TIMES, "LOCK INC loses nothing");
	check_eq(plain_sum, (online + 1) * (TIMES / 16), "nor does a lock by XCHG");
}

static void code_of_others(void)
{
	static const u8 first[] = { 0xb8, 1, 0, 0, 0, 0xc3 }; /* mov $1, %eax; ret */

	memcpy(code, first, sizeof(first));
	for (u32 i = 1; i <= 20; i++) {
		*(volatile u8 *)&code[1] = (u8)i;
		all(CALL);
		if (loaded[1] != i || loaded[online] != i) {
			check(false, "call %u: %lu and %lu", i, loaded[1], loaded[online]);
			return;
		}
	}
	check(true, "code that another processor wrote runs as written");
}

/* The others call a function all the time while its immediate is counted up. */
static void hot_code_of_others(void)
{
	u32 bad = 0;

	*(volatile u32 *)&code[4] = 0; /* mov $imm, %eax with its immediate aligned: written at once */
	code[3] = 0xb8;
	code[0] = code[1] = code[2] = 0x90;
	code[8] = 0xc3;
	for (u32 i = 0; i < CPUS; i++)
		loaded[i] = newest[i] = order[i] = 0;
	post(CALL_OFTEN);
	for (u32 v = 1; v <= 300 && !bad; v++) {
		*(volatile u32 *)&code[4] = v;
		for (u32 i = 1; i <= online; i++)
			bad += !until((volatile u32 *)&loaded[i], v);
	}
	job = IDLE;
	check(until(&done, online), "hot code that another processor writes: all stop");
	for (u32 i = 1; i <= online; i++)
		bad += order[i];
	check_eq(bad, 0, "… each change was seen by all, in order");
}

static void monitored(void)
{
	u32 r[4], sum = 0;

	cpuid(1, 0, r);
	if (!(r[2] & 8)) {
		put("skip MONITOR: not enumerated\n");
		return;
	}
	signal[0] = 0;
	post(WAIT);
	delay(100000);
	check_eq(done, 0, "all wait for a store");
	for (u32 i = 0; i < 16; i++)
		other_line[i] = 7;
	delay(100000);
	check(done == 0 && wakes[1] == 0 && wakes[online] == 0, "stores elsewhere wake nobody");
	signal[15] = 1;
	delay(100000);
	tcg_differs();
	check(done == 0 && wakes[1] == 1 && wakes[online] == 1, "a store to the line wakes all; they look and wait again");
	signal[0] = 7;
	check(until(&done, online), "the store that they wait for wakes all");
	for (u32 i = 1; i <= online; i++)
		wakes[i] = 0;
	rounds = 200;
	signal[0] = 0;
	post(PASS);
	pass_on(0);
	check(until(&done, online), "a token goes round");
	check_eq(signal[0], rounds * (online + 1), "… so often");
	for (u32 i = 0; i <= online; i++)
		sum += wakes[i];
	tcg_differs();
	check(sum <= rounds * (online + 1) * (online + 1), "nobody wakes more often than it is stored to: %u", sum);
}

static void one_time(void)
{
	post(CLOCK);
	clock_check();
	check(until(&done, online), "all have read the time");
	check_eq(backwards, 0, "no processor's TSC is behind another's");
}

void guest_main(void)
{
	memcpy((void *)(u64)AP_PAGE, ap_code, (size_t)(ap_code_end - ap_code));
	__asm__ volatile("sidt %0" : "=m"(idtr));
	gate_set(VECTOR_COUNT, (u64)on_count, SYS_TYPE_INTR, 0, 0);
	gate_set(VECTOR_FLUSH, (u64)on_flush, SYS_TYPE_INTR, 0, 0);
	gate_set(2, (u64)on_nmi, SYS_TYPE_INTR, 0, 0);
	apic_on();
	start_up();
	if (!online)
		return;
	stop_and_start();
	interrupts();
	halted();
	monitored();
	stale_translations();
	locked_instructions();
	code_of_others();
	hot_code_of_others();
	one_time();
}
