/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network device and what answers at the other end of its cable. */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/machine/dev/virtio_driver.h"

#define SLOT 5
#define RX 0
#define TX 1
#define TX_AT (BUFFERS_AT + 0x10000)
#define RX_ROOM 1526

static struct vdev start_net(const char *where)
{
	return driver_start(pc_new_with(&(struct machine_config){ .net = where }), SLOT, 16, 0);
}

/* Gives the device a buffer to receive into. */
static void give(struct vdev *d, u16 i, u32 room)
{
	set_desc(d, RX, i, BUFFERS_AT + i * 0x1000u, room, WRITE, 0);
	offer(d, RX, i);
}

static void send_frame(struct vdev *d, const u8 *frame, u32 n)
{
	const u8 header[12] = { 0 };

	put(d->pc, TX_AT, header, 12);
	put(d->pc, TX_AT + 12, frame, n);
	request(d, TX, &(struct part){ TX_AT, 12 + n, 0 }, 1);
}

/* Sends a frame and takes the answer: its length, 0 if there is none. */
static u32 talk(struct vdev *d, const u8 *frame, u32 n, u8 *answer)
{
	u16 before = used_index(d, RX);
	u32 head, got;

	give(d, 0, RX_ROOM);
	send_frame(d, frame, n);
	pass(d->pc, 100000);
	assert_int_equal(used_index(d, TX), d->avail[TX]);
	if (used_index(d, RX) == before)
		return 0;
	used_entry(d, RX, before, &head, &got);
	get(d->pc, BUFFERS_AT + 0x1000 * head + 12, answer, got - 12);
	return got - 12;
}

/* The sum that RFC 1071 wants to be all ones. */
static unsigned sum(const u8 *p, unsigned n, unsigned s)
{
	for (unsigned i = 0; i < n; i++)
		s += i & 1 ? p[i] : p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

static const u8 arp[42] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1,
			    0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2 };

static void the_configuration_has_an_address(void **state)
{
	struct vdev d = start_net("peer");

	assert_int_equal(config_read(d.pc, SLOT, 0), 0x10411af4);
	assert_int_equal(reg_read(&d, 0x2000, 4), 0x12005452);
	assert_int_equal(reg_read(&d, 0x2006, 2), 1);
	pc_free(d.pc);
}

static void the_peer_says_who_it_is(void **state)
{
	struct vdev d = start_net("peer");
	u8 a[2048], other[42];

	assert_int_equal(talk(&d, arp, sizeof(arp), a), 42);
	assert_memory_equal(a, arp + 6, 6);
	assert_memory_equal(a + 20, "\0\2", 2);
	assert_memory_equal(a + 22, "\x52\x55\x0a\0\2\2\x0a\0\2\2", 10);
	assert_memory_equal(a + 32, arp + 22, 10);
	memcpy(other, arp, sizeof(other));
	other[41] = 3;
	assert_int_equal(talk(&d, other, sizeof(other), a), 0);
	pc_free(d.pc);
}

/* An IPv4 frame to the peer with n bytes behind its header. */
static u32 make_ip(u8 *f, u8 protocol, u32 n)
{
	static const u8 head[34] = { 0x52, 0x55, 10, 0, 2, 2, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 0, 0x45, 0, 0, 0, 0, 1, 0x40, 0, 64,
				     0, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2 };

	memcpy(f, head, sizeof(head));
	f[16] = (u8)((20 + n) >> 8);
	f[17] = (u8)(20 + n);
	f[23] = protocol;
	return 34 + n;
}

static void echo_comes_back(void **state)
{
	struct vdev d = start_net("peer");
	u8 f[1514], a[2048];
	u32 n;

	for (unsigned size = 8; size <= 1480; size += 736) {
		n = make_ip(f, 1, size);
		memset(f + 34, 0x33, size);
		f[34] = 8;
		assert_int_equal(talk(&d, f, n, a), n);
		assert_int_equal(a[34], 0);
		assert_memory_equal(a + 38, f + 38, size - 4);
		assert_memory_equal(a + 26, "\x0a\0\2\2\x0a\0\2\x0f", 8);
		assert_int_equal(sum(a + 14, 20, 0), 0xffff);
		assert_int_equal(sum(a + 34, size, 0), 0xffff);
	}
	n = make_ip(f, 17, 8 + 5);
	memcpy(f + 34, "\x12\x34\0\7\0\x0d\0\0hallo", 13);
	assert_int_equal(talk(&d, f, n, a), n);
	assert_memory_equal(a + 34, "\0\7\x12\x34\0\x0d", 6);
	assert_memory_equal(a + 42, "hallo", 5);
	assert_int_equal(sum(a + 34, 13, sum(a + 26, 8, 17 + 13)), 0xffff);
	pc_free(d.pc);
}

static void dhcp_gives_an_address(void **state)
{
	struct vdev d = start_net("peer");
	u8 f[400] = { 0 }, a[2048];
	u32 n;

	for (u8 type = 1; type <= 3; type += 2) {
		n = make_ip(f, 17, 8 + 244);
		memset(f + 26, 0, 4);
		memset(f + 30, 0xff, 4);
		memcpy(f + 34, "\0\x44\0\x43\0\xfc\0\0\1\1\6\0abcd", 16);
		memcpy(f + 42 + 236, "\x63\x82\x53\x63\x35\1", 6);
		f[42 + 242] = type;
		f[42 + 243] = 255;
		assert_int_equal(talk(&d, f, n, a), 342);
		assert_int_equal(a[42], 2);
		assert_memory_equal(a + 46, "abcd", 4);
		assert_memory_equal(a + 58, "\x0a\0\2\x0f", 4);
		assert_int_equal(a[42 + 242], type == 1 ? 2 : 5);
	}
	pc_free(d.pc);
}

static void nonsense_gets_no_answer(void **state)
{
	struct vdev d = start_net("peer");
	u8 f[1514], a[2048];
	u64 r = 7;

	for (unsigned i = 0; i < 4000; i++) {
		u32 n = make_ip(f, i & 1 ? 17 : 1, 60);

		for (unsigned k = 0; k < 4; k++) {
			r = r * 6364136223846793005u + 1442695040888963407u;
			f[12 + (r >> 33) % 60] = (u8)(r >> 56);
		}
		if (i % 3 == 0)
			n = 14 + (u32)(r >> 40) % 60;
		assert_true(talk(&d, f, n, a) <= 1514);
	}
	assert_int_equal(status(&d) & 0x40, 0);
	pc_free(d.pc);
}

static void frames_wait_for_buffers(void **state)
{
	struct vdev d = start_net("peer");

	send_frame(&d, arp, sizeof(arp));
	pass(d.pc, 100000);
	assert_int_equal(used_index(&d, RX), 0);
	give(&d, 3, 20); /* too small: that frame is lost, the buffer stays */
	pass(d.pc, 100000);
	assert_int_equal(used_index(&d, RX), 0);
	set_desc(&d, RX, 3, BUFFERS_AT, RX_ROOM, WRITE, 0);
	send_frame(&d, arp, sizeof(arp));
	pass(d.pc, 100000);
	assert_int_equal(used_index(&d, RX), 1);
	for (unsigned i = 0; i < 200; i++) { /* more than can wait */
		send_frame(&d, arp, sizeof(arp));
		pass(d.pc, 10000);
	}
	assert_int_equal(used_index(&d, TX), 202);
	pc_free(d.pc);
}

static void short_and_long_frames_go_nowhere(void **state)
{
	struct vdev d = start_net("peer");
	u8 big[4000] = { 0 };

	send_frame(&d, big, 4000);
	pass(d.pc, 10000);
	send_frame(&d, big, 3);
	pass(d.pc, 10000);
	assert_int_equal(used_index(&d, TX), 2);
	request(&d, TX, &(struct part){ TX_AT, 11, 0 }, 1); /* less than a header */
	pass(d.pc, 10000);
	assert_int_equal(used_index(&d, TX), 2);
	assert_int_equal(status(&d) & 0x40, 0x40);
	pc_free(d.pc);
}

static void frames_go_through_a_socket(void **state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char where[120];
	u8 in[64] = { 0 }, out[46] = { 0, 0, 0, 42 };
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c;
	struct vdev d;
	u32 head, n;

	snprintf(a.sun_path, sizeof(a.sun_path), "/tmp/ooh-net-%d", (int)getpid());
	snprintf(where, sizeof(where), "unix:%s", a.sun_path);
	assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(l, 1), 0);
	d = start_net(where);
	c = accept(l, NULL, NULL);
	send_frame(&d, arp, sizeof(arp));
	pass(d.pc, 100000);
	assert_int_equal(read(c, in, sizeof(in)), 46);
	assert_memory_equal(in, out, 4);
	assert_memory_equal(in + 4, arp, 42);
	give(&d, 0, RX_ROOM);
	memcpy(out + 4, arp, 42);
	assert_int_equal(write(c, out, 20), 20); /* in two pieces */
	dev_poll(&d.pc->m);
	assert_int_equal(write(c, out + 20, 26), 26);
	dev_poll(&d.pc->m);
	pass(d.pc, 100000);
	assert_int_equal(used_index(&d, RX), 1);
	used_entry(&d, RX, 0, &head, &n);
	assert_int_equal(n, 12 + 42);
	assert_int_equal(write(c, "\xff\xff\xff\xff", 4), 4); /* no frame is that long */
	dev_poll(&d.pc->m);
	send_frame(&d, arp, sizeof(arp)); /* into nothing */
	pass(d.pc, 100000);
	assert_int_equal(used_index(&d, TX), 2);
	pc_free(d.pc);
	close(c);
	close(l);
	unlink(a.sun_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_configuration_has_an_address),
		cmocka_unit_test(the_peer_says_who_it_is),
		cmocka_unit_test(echo_comes_back),
		cmocka_unit_test(dhcp_gives_an_address),
		cmocka_unit_test(nonsense_gets_no_answer),
		cmocka_unit_test(frames_wait_for_buffers),
		cmocka_unit_test(short_and_long_frames_go_nowhere),
		cmocka_unit_test(frames_go_through_a_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
