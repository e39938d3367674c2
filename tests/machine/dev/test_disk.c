/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The block device: requests, the image and its overlay, time, snapshots. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/core/snapshot.h"
#include "machine/dev/disk.h"
#include "machine/oracle/oracle.h"
#include "tests/machine/dev/virtio_driver.h"

#define SECTORS 64
#define IN  0
#define OUT 1
#define HEADER_AT BUFFERS_AT
#define DATA_AT   (BUFFERS_AT + 0x1000)
#define STATUS_AT (BUFFERS_AT + 0x800)

static char dir[64], image[80];

static u8 pattern(u64 i)
{
	return (u8)(i * 7 + (i >> 9) * 3);
}

static int make_image(void **state)
{
	int fd;

	snprintf(dir, sizeof(dir), "/tmp/ooh-disk-%d", (int)getpid());
	snprintf(image, sizeof(image), "%s.img", dir);
	fd = open(image, O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (u64 i = 0; i < SECTORS * 512; i++) {
		u8 b = pattern(i);

		if (write(fd, &b, 1) != 1)
			return -1;
	}
	close(fd);
	return 0;
}

static int remove_image(void **state)
{
	char p[100];

	unlink(image);
	snprintf(p, sizeof(p), "%s/state", dir);
	unlink(p);
	snprintf(p, sizeof(p), "%s/ram", dir);
	unlink(p);
	rmdir(dir);
	return 0;
}

static u8 image_byte(u64 at)
{
	int fd = open(image, O_RDONLY);
	u8 b = 0;

	assert_int_equal(pread(fd, &b, 1, (off_t)at), 1);
	close(fd);
	return b;
}

static struct pc *pc_disk(const char *options)
{
	static char spec[100];

	snprintf(spec, sizeof(spec), "%s%s", image, options);
	return pc_new_with(&(struct machine_config){ .disk = { spec } });
}

static struct vdev start_disk(const char *options)
{
	return driver_start(pc_disk(options), 1, 16, 0);
}

static void send_request(struct vdev *d, u32 type, u64 sector, u64 at, u32 n)
{
	struct { u32 type, zero; u64 sector; } h = { type, 0, sector };
	u8 none = 0xee;
	struct part p[3] = { { HEADER_AT, 16, 0 }, { at, n, type == OUT ? 0 : WRITE }, { STATUS_AT, 1, WRITE } };

	put(d->pc, HEADER_AT, &h, sizeof(h));
	put(d->pc, STATUS_AT, &none, 1);
	if (!n)
		p[1] = p[2];
	request(d, 0, p, n ? 3 : 2);
}

/* Sends it and waits; returns the status. */
static u8 carry_out(struct vdev *d, u32 type, u64 sector, u64 at, u32 n)
{
	u16 before = used_index(d, 0);
	u8 s;

	send_request(d, type, sector, at, n);
	to_next_timer(d->pc);
	assert_int_equal((u16)(used_index(d, 0) - before), 1);
	get(d->pc, STATUS_AT, &s, 1);
	return s;
}

static void the_configuration_says_what_the_image_is(void **state)
{
	struct vdev d = start_disk(",snapshot");

	assert_int_equal(config_read(d.pc, 1, 0), 0x10421af4);
	assert_int_equal(reg_read(&d, 0x2000, 8), SECTORS);
	assert_int_equal(reg_read(&d, 0x2014, 4), 512);
	assert_int_equal(reg_read(&d, 4, 4) & 1u << 5, 0); /* not read-only */
	pc_free(d.pc);
	d = start_disk(",ro");
	reg_write(&d, 0, 4, 0);
	assert_int_equal(reg_read(&d, 4, 4) & 1u << 5, 1u << 5);
	pc_free(d.pc);
}

static void a_read_gives_what_the_image_has(void **state)
{
	struct vdev d = start_disk(",snapshot");
	u32 head, n;
	u8 b[1024];

	assert_int_equal(carry_out(&d, IN, 3, DATA_AT, sizeof(b)), 0);
	get(d.pc, DATA_AT, b, sizeof(b));
	for (unsigned i = 0; i < sizeof(b); i++)
		assert_int_equal(b[i], pattern(3 * 512 + i));
	used_entry(&d, 0, 0, &head, &n);
	assert_int_equal(head, 0);
	assert_int_equal(n, sizeof(b) + 1);
	pc_free(d.pc);
}

static void time_is_by_request_and_by_sector(void **state)
{
	struct vdev d = start_disk(",snapshot");
	const u32 *cost = d.pc->m.costs->cycles;
	u64 begin;

	reg_write(&d, 0x2000, 1, 0);
	begin = cpu_now(d.pc->c);
	send_request(&d, IN, 0, DATA_AT, 8 * 512);
	begin += cost[COST_MMIO]; /* of the notification, before the device sees it */
	assert_int_equal(used_index(&d, 0), 0);
	assert_int_equal(to_next_timer(d.pc), begin + cost[COST_DISK] + 8 * cost[COST_DISK_SECTOR]);
	assert_int_equal(used_index(&d, 0), 1);
	pc_free(d.pc);
}

static void writes_go_to_the_file_unless_told_otherwise(void **state)
{
	struct vdev d = start_disk(",snapshot");
	u8 b[512], back[512];

	memset(b, 0x5a, sizeof(b));
	put(d.pc, DATA_AT, b, sizeof(b));
	assert_int_equal(carry_out(&d, OUT, 9, DATA_AT, 512), 0);
	assert_int_equal(carry_out(&d, IN, 9, DATA_AT + 512, 512), 0);
	get(d.pc, DATA_AT + 512, back, 512);
	assert_memory_equal(b, back, 512);
	assert_int_equal(carry_out(&d, IN, 10, DATA_AT + 512, 512), 0); /* the rest of the overlay's block */
	get(d.pc, DATA_AT + 512, back, 512);
	assert_int_equal(back[5], pattern(10 * 512 + 5));
	assert_int_equal(image_byte(9 * 512), pattern(9 * 512));
	pc_free(d.pc);

	d = start_disk("");
	put(d.pc, DATA_AT, b, sizeof(b));
	assert_int_equal(carry_out(&d, OUT, 9, DATA_AT, 512), 0);
	assert_int_equal(carry_out(&d, 4, 0, 0, 0), 0); /* flush */
	assert_int_equal(image_byte(9 * 512), 0x5a);
	assert_int_equal(image_byte(10 * 512), pattern(10 * 512));
	pc_free(d.pc);
	make_image(NULL);
}

static void what_cannot_be_is_an_error(void **state)
{
	struct vdev d = start_disk(",ro");

	assert_int_equal(carry_out(&d, OUT, 0, DATA_AT, 512), 1);
	assert_int_equal(carry_out(&d, IN, SECTORS, DATA_AT, 512), 1);
	assert_int_equal(carry_out(&d, IN, SECTORS - 1, DATA_AT, 1024), 1);
	assert_int_equal(carry_out(&d, IN, ~0ull, DATA_AT, 512), 1);
	assert_int_equal(carry_out(&d, IN, ~0ull >> 9, DATA_AT, 512), 1);
	assert_int_equal(carry_out(&d, IN, 0, DATA_AT, 100), 1);
	assert_int_equal(carry_out(&d, 77, 0, DATA_AT, 512), 2);
	assert_int_equal(status(&d) & 0x40, 0);
	assert_int_equal(carry_out(&d, IN, SECTORS - 1, DATA_AT, 512), 0);
	pc_free(d.pc);
}

static void an_image_that_became_shorter_is_an_error(void **state)
{
	struct vdev d = start_disk(",snapshot");

	assert_int_equal(truncate(image, 512), 0);
	assert_int_equal(carry_out(&d, IN, 9, DATA_AT, 512), 1);
	assert_int_equal(carry_out(&d, OUT, 9, DATA_AT, 512), 1);
	assert_int_equal(carry_out(&d, IN, 0, DATA_AT, 512), 0);
	pc_free(d.pc);
	make_image(NULL);
}

static void the_disk_has_a_name(void **state)
{
	struct vdev d = start_disk(",ro");
	char name[20];

	assert_int_equal(carry_out(&d, 8, 0, DATA_AT, 20), 0);
	get(d.pc, DATA_AT, name, sizeof(name));
	assert_string_equal(name, "ooh-0");
	pc_free(d.pc);
}

static void images_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = { "/nonexistent", "/", "/dev/null", ",ro" };
	struct disk d, other;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(disk_open(&d, bad[i]));
		disk_close(&d);
	}
	assert_int_equal(truncate(image, 1000), 0);
	assert_false(disk_open(&d, image));
	disk_close(&d);
	make_image(NULL);
	assert_true(disk_open(&d, image));
	assert_false(disk_open(&other, image)); /* two that write, or one that writes and one that reads */
	disk_close(&other);
	disk_close(&d);
}

static void the_oracle_sees_what_the_disk_writes(void **state)
{
	struct vdev d = start_disk(",snapshot");
	u64 e, page = 0, lin = 0x400000;
	const u64 tables = 0x300000; /* PML4, PDPT, page directory, page table: lin is mapped to DATA_AT */
	int id;

	for (unsigned i = 0; i < 4; i++) {
		e = (i < 3 ? tables + 0x1000 * (i + 1) : DATA_AT) | 7;
		put(d.pc, tables + 0x1000 * i + (i == 2 ? 16 : 0), &e, 8);
	}
	id = oracle_watch(&d.pc->m, tables, 0, 1ull << 40);
	assert_int_equal(carry_out(&d, IN, 0, DATA_AT + 0x1000, 512), 0);
	assert_int_equal(oracle_round(&d.pc->m, id), 0);
	assert_int_equal(carry_out(&d, IN, 0, DATA_AT, 512), 0);
	assert_int_equal(oracle_round(&d.pc->m, id), 1);
	assert_int_equal(oracle_read(&d.pc->m, id, 0, &page, 1), 1);
	assert_int_equal(page, lin);
	pc_free(d.pc);
}

static struct pc *resume(void)
{
	struct machine_config cfg = { .serial = { "null", "null" } };
	struct pc *pc;

	if (snapshot_read_config(dir, &cfg) != 0)
		return NULL;
	pc = pc_new_with(&cfg);
	if (snapshot_load(&pc->m, dir) == 0)
		return pc;
	pc_free(pc);
	return NULL;
}

static void a_snapshot_has_the_overlay_and_the_request_under_way(void **state)
{
	struct vdev d = start_disk(",snapshot");
	u8 b[512], back[512];
	u64 when;

	memset(b, 0xa5, sizeof(b));
	put(d.pc, DATA_AT, b, sizeof(b));
	assert_int_equal(carry_out(&d, OUT, 17, DATA_AT, 512), 0);
	send_request(&d, IN, 17, DATA_AT + 512, 512);
	assert_int_equal(snapshot_save(&d.pc->m, dir), 0);
	when = to_next_timer(d.pc);
	pc_free(d.pc);
	d.pc = resume();
	assert_non_null(d.pc);
	assert_int_equal(to_next_timer(d.pc), when);
	assert_int_equal(used_index(&d, 0), 2);
	get(d.pc, DATA_AT + 512, back, 512);
	assert_memory_equal(b, back, 512);
	pc_free(d.pc);
}

static void a_snapshot_does_not_hold_a_file_that_changes(void **state)
{
	struct vdev d = start_disk("");

	assert_true(snapshot_save(&d.pc->m, dir) != 0);
	pc_free(d.pc);
	d = start_disk(",snapshot");
	assert_int_equal(snapshot_save(&d.pc->m, dir), 0);
	pc_free(d.pc);
	usleep(20000); /* the file's time has to differ */
	make_image(NULL);
	assert_null(resume());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_configuration_says_what_the_image_is),
		cmocka_unit_test(a_read_gives_what_the_image_has),
		cmocka_unit_test(time_is_by_request_and_by_sector),
		cmocka_unit_test(writes_go_to_the_file_unless_told_otherwise),
		cmocka_unit_test(what_cannot_be_is_an_error),
		cmocka_unit_test(an_image_that_became_shorter_is_an_error),
		cmocka_unit_test(the_disk_has_a_name),
		cmocka_unit_test(images_that_are_none_are_refused),
		cmocka_unit_test(the_oracle_sees_what_the_disk_writes),
		cmocka_unit_test(a_snapshot_has_the_overlay_and_the_request_under_way),
		cmocka_unit_test(a_snapshot_does_not_hold_a_file_that_changes),
	};

	return cmocka_run_group_tests(tests, make_image, remove_image);
}
