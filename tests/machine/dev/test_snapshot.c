/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saving and loading: what comes back is what went in, and files that do not fit are refused. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch/apic.h"
#include "machine/core/snapshot.h"
#include "tests/machine/dev/pc.h"

static char dir[64];

static void path_in(char *out, size_t n, const char *file)
{
	snprintf(out, n, "%s/%s", dir, file);
}

static int make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/ooh-snapshot-%d", (int)getpid());
	return 0;
}

static int remove_dir(void **state)
{
	char p[128];

	path_in(p, sizeof(p), "state");
	unlink(p);
	path_in(p, sizeof(p), "ram");
	unlink(p);
	rmdir(dir);
	return 0;
}

/* A machine with something in every corner: RAM, timers, a pending interrupt. */
static struct pc *busy_pc(void)
{
	struct pc *pc = pc_new("null");

	pic_setup(pc);
	out8(pc, 0x43, 0x34);
	out8(pc, 0x40, 0x9c);
	out8(pc, 0x40, 0x2e);
	write32(pc, MSI_ADDRESS_BASE + LAPIC_TIMER_DIVIDE, 3);
	write32(pc, MSI_ADDRESS_BASE + LAPIC_LVT_TIMER, 0xec | LVT_TIMER_PERIODIC);
	write32(pc, MSI_ADDRESS_BASE + LAPIC_TIMER_INITIAL, 12345);
	bus_dma_write(&pc->m, (hpa_t){ 0x5ffe }, "across pages", 12);
	bus_dma_write(&pc->m, (hpa_t){ pc->cfg.ram - 4 }, "end", 4);
	out8(pc, 0x70, 11);
	out8(pc, 0x71, 0x42);
	pass(pc, 10000000);
	pc->c->gpr[RBX] = 0x123456789abcdef0;
	pc->c->rip = 0x1000;
	return pc;
}

/* The next events, as a fingerprint of the machine's future. */
static u64 future(struct pc *pc)
{
	u64 h = 0;

	for (unsigned i = 0; i < 200; i++) {
		h = h * 31 + to_next_timer(pc);
		h = h * 31 + (u64)take(pc);
		if (i % 3 == 0)
			out8(pc, 0x20, 0x20);
		if (i % 5 == 0)
			write32(pc, MSI_ADDRESS_BASE + LAPIC_EOI, 0);
	}
	return h;
}

static void a_loaded_machine_goes_on_like_the_saved_one(void **state)
{
	struct pc *a = busy_pc(), *b = pc_new("null");
	char buf[16] = "";
	u64 now;

	assert_int_equal(snapshot_save(&a->m, dir), 0);
	now = machine_now(&a->m);
	assert_int_equal(snapshot_load(&b->m, dir), 0);
	assert_int_equal(machine_now(&b->m), now);
	assert_int_equal(b->c->gpr[RBX], 0x123456789abcdef0);
	assert_int_equal(b->c->rip, 0x1000);
	bus_dma_read(&b->m, (hpa_t){ 0x5ffe }, buf, 12);
	assert_string_equal(buf, "across pages");
	bus_dma_read(&b->m, (hpa_t){ b->cfg.ram - 4 }, buf, 4);
	assert_string_equal(buf, "end");
	assert_memory_equal(a->m.stat, b->m.stat, sizeof(a->m.stat));
	assert_int_equal(future(a), future(b));
	pc_free(a);
	pc_free(b);
}

static void the_test_device_comes_back(void **state)
{
	const struct machine_config cfg = { .test_device = true };
	struct pc *a = pc_new_with(&cfg), *b = pc_new_with(&cfg);
	struct machine_config found = { 0 };

	write32(a, 0xff004320, 0xfeedf00d);
	out32(a, 0xe0, 0x01020304);
	assert_int_equal(snapshot_save(&a->m, dir), 0);
	assert_int_equal(snapshot_read_config(dir, &found), 0);
	assert_true(found.test_device);
	assert_int_equal(snapshot_load(&b->m, dir), 0);
	assert_int_equal(read32(b, 0xff004320), 0xfeedf00d);
	assert_int_equal(in32(b, 0xe0), 0x01020304);
	pc_free(a);
	pc_free(b);
}

static void writes_of_a_resumed_machine_stay_private(void **state)
{
	struct pc *a = busy_pc(), *b = pc_new("null"), *c = pc_new("null");
	char buf[16] = "";

	assert_int_equal(snapshot_save(&a->m, dir), 0);
	assert_int_equal(snapshot_load(&b->m, dir), 0);
	bus_dma_write(&b->m, (hpa_t){ 0x5ffe }, "something else", 15);
	assert_int_equal(snapshot_save(&a->m, dir), 0); /* over the files that b runs from */
	bus_dma_read(&b->m, (hpa_t){ 0x5ffe }, buf, 15);
	assert_string_equal(buf, "something else");
	assert_int_equal(snapshot_load(&c->m, dir), 0);
	bus_dma_read(&c->m, (hpa_t){ 0x5ffe }, buf, 13);
	assert_string_equal(buf, "across pages");
	pc_free(a);
	pc_free(b);
	pc_free(c);
}

static void zero_pages_take_no_room(void **state)
{
	struct pc *a = busy_pc();
	struct stat st;
	char p[128];

	assert_int_equal(snapshot_save(&a->m, dir), 0);
	path_in(p, sizeof(p), "ram");
	assert_int_equal(stat(p, &st), 0);
	assert_in_range(st.st_blocks * 512, 1, 1 << 20);
	pc_free(a);
}

static void damage(const char *file, off_t at, const char *bytes, off_t size)
{
	char p[128];
	int fd;

	path_in(p, sizeof(p), file);
	fd = open(p, O_RDWR);
	assert_true(fd >= 0);
	if (bytes)
		assert_int_equal(pwrite(fd, bytes, strlen(bytes), at), strlen(bytes));
	if (size)
		assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static void files_that_do_not_fit_are_refused(void **state)
{
	static const struct { const char *file; off_t at; const char *bytes; off_t size; } kinds[] = {
		{ "state", 0, "NOTASNAP", 0 }, /* another file */
		{ "state", 8, "\x63", 0 },     /* a later format */
		{ "state", 80, "X", 0 },       /* a record's name */
		{ "state", 0, NULL, 600 },     /* cut */
		{ "ram", 16 << 20, "!", 0 },   /* of another state */
		{ "ram", 0, NULL, 4096 },
	};
	struct pc *a = busy_pc();

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct pc *b = pc_new("null");

		assert_int_equal(snapshot_save(&a->m, dir), 0);
		damage(kinds[i].file, kinds[i].at, kinds[i].bytes, kinds[i].size);
		assert_true(snapshot_load(&b->m, dir) < 0);
		pc_free(b);
	}
	pc_free(a);
}

static void a_missing_directory_is_an_error(void **state)
{
	struct pc *a = pc_new("null");
	struct machine_config cfg;

	assert_int_equal(snapshot_load(&a->m, "/nonexistent/snapshot"), -ENOENT);
	assert_int_equal(snapshot_read_config("/nonexistent/snapshot", &cfg), -ENOENT);
	assert_int_equal(snapshot_save(&a->m, "/nonexistent/snapshot"), -ENOENT);
	pc_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_loaded_machine_goes_on_like_the_saved_one, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(writes_of_a_resumed_machine_stay_private, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(zero_pages_take_no_room, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(files_that_do_not_fit_are_refused, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(the_test_device_comes_back, make_dir, remove_dir),
		cmocka_unit_test(a_missing_directory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
