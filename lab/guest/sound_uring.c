/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages that the kernel keeps: io_uring's registered buffers, pages in pipes, packet rings. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sound.h"

#define PINNED "the kernel keeps the pages pinned and writes to them past the page tables"

/* ---- io_uring, without its library ---- */

struct ring {
	int fd;
	char *sq, *cq;
	struct io_uring_sqe *sqe;
	struct io_uring_params p;
};

static unsigned *word(char *base, unsigned offset)
{
	return (unsigned *)(base + offset);
}

static void *ring_part(const struct ring *r, size_t bytes, off_t which)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, which);

	NEED(p != MAP_FAILED);
	return p;
}

static struct ring ring_new(void)
{
	struct ring r = { 0 };

	r.fd = (int)syscall(SYS_io_uring_setup, 8, &r.p);
	if (r.fd < 0)
		skip("no io_uring");
	r.sq = ring_part(&r, r.p.sq_off.array + r.p.sq_entries * 4, IORING_OFF_SQ_RING);
	r.cq = ring_part(&r, r.p.cq_off.cqes + r.p.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
	r.sqe = ring_part(&r, r.p.sq_entries * sizeof(*r.sqe), IORING_OFF_SQES);
	return r;
}

static void ring_read(struct ring *r, unsigned op, int fd, char *to, size_t n, off_t at, unsigned short buffer)
{
	unsigned *tail = word(r->sq, r->p.sq_off.tail), *head = word(r->cq, r->p.cq_off.head);
	unsigned i = *tail & *word(r->sq, r->p.sq_off.ring_mask);
	const struct io_uring_cqe *cqe = (void *)(r->cq + r->p.cq_off.cqes);

	r->sqe[i] = (struct io_uring_sqe){ .opcode = (__u8)op, .fd = fd, .addr = (uintptr_t)to, .len = (unsigned)n,
					   .off = (__u64)at, .buf_index = buffer };
	word(r->sq, r->p.sq_off.array)[i] = i;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	NEED(syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	errno = -cqe[*head & *word(r->cq, r->p.cq_off.ring_mask)].res;
	NEED(cqe[*head & *word(r->cq, r->p.cq_off.ring_mask)].res == (int)n);
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
}

static void plain(void)
{
	char *p = resident(64);
	struct ring r = ring_new();
	int fd = open_disk();

	track(p, 64);
	for (int i = 0; i < 3; i++) {
		ring_read(&r, IORING_OP_READ, fd, p + (5 + i) * PG, 4 * PG, next_place(4), 0);
		round_of("io_uring reads the disk");
		touch(p + 6 * PG, 1);
		round_of("a store");
	}
}

static int numbers(void)
{
	int file = memfd_create("t", 0);
	unsigned page[1024];

	for (unsigned i = 0; i < 64; i++) {
		for (unsigned k = 0; k < 1024; k++)
			page[k] = i * 1024 + k + 1;
		NEED(write(file, page, PG) == (ssize_t)PG);
	}
	return file;
}

static void fixed_rounds(struct ring *r, char *p, int disk, int file)
{
	for (int i = 0; i < 3; i++) {
		ring_read(r, IORING_OP_READ_FIXED, disk, p + (5 + i) * PG, 4 * PG, next_place(4), 0);
		round_of("the disk is read into a registered buffer");
		round_of("nothing");
		ring_read(r, IORING_OP_READ_FIXED, file, p + (10 + i) * PG + 100, 2 * PG, (10 + i) * (off_t)PG, 0);
		round_of("a file in memory is read into it");
		touch(p + 20 * PG, 1);
		round_of("a store");
	}
	NEED(!syscall(SYS_io_uring_register, r->fd, IORING_UNREGISTER_BUFFERS, NULL, 0));
	round_of("taken back");
	touch(p + 3 * PG, 30);
	round_of("stores after that");
	round_of("nothing");
}

static void registered_before(void)
{
	char *p = resident(64);
	struct iovec v = { p, 32 * PG };
	struct ring r = ring_new();
	int disk = open_disk(), file = numbers();

	NEED(!syscall(SYS_io_uring_register, r.fd, IORING_REGISTER_BUFFERS, &v, 1));
	track(p, 64);
	fixed_rounds(&r, p, disk, file);
}

static void registered_after(void)
{
	char *p = resident(64);
	struct iovec v = { p, 32 * PG };
	struct ring r = ring_new();
	int disk = open_disk(), file = numbers();

	track(p, 64);
	touch(p + 2 * PG, 3);
	if (syscall(SYS_io_uring_register, r.fd, IORING_REGISTER_BUFFERS, &v, 1) && !strcmp(backend_now(), "userfaultfd"))
		skip("write-protected by userfaultfd, the buffers cannot be registered: %m");
	round_of("registered");
	fixed_rounds(&r, p, disk, file);
}

/* ---- pipes ---- */

static void pipes(void)
{
	char *p = resident(64);
	struct iovec v = { p + 5 * PG, 4 * PG }, to = { p + 40 * PG + 200, 4 * PG };
	int a[2], file = numbers(), out = memfd_create("out", 0);
	loff_t at = 7 * PG;

	NEED(!pipe(a));
	track(p, 64);
	for (int i = 0; i < 2; i++) {
		NEED(vmsplice(a[1], &v, 1, i ? SPLICE_F_GIFT : 0) == 4 * (ssize_t)PG);
		round_of("vmsplice(2) into a pipe: the pages are only read");
		touch(p + 6 * PG, 1);
		round_of("a store to a page in the pipe");
		NEED(read(a[0], p + 20 * PG + 9, 2 * PG) == 2 * (ssize_t)PG);
		round_of("read(2) of the pipe, from the window to itself");
		NEED(splice(a[0], NULL, out, NULL, 2 * PG, SPLICE_F_MOVE) > 0);
		round_of("splice(2) of the rest to a file");
		NEED(splice(file, &at, a[1], NULL, 4 * PG, 0) > 0 && vmsplice(a[0], &to, 1, 0) > 0);
		round_of("a file through a pipe, vmsplice(2) to the window");
		while (poll(&(struct pollfd){ .fd = a[0], .events = POLLIN }, 1, 0) > 0)
			NEED(read(a[0], p + 50 * PG, PG) > 0);
		round_of("the rest of it");
	}
}

/* ---- the network ---- */

static const unsigned char who_has[42] = { 255, 255, 255, 255, 255, 255, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1,
					   0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2 };

static int eth0_up(void)
{
	struct ifreq q = { .ifr_name = "eth0" };
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in *a = (void *)&q.ifr_addr;

	NEED(s >= 0);
	if (ioctl(s, SIOCGIFINDEX, &q))
		skip("no eth0");
	*a = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a00020f) };
	NEED(!ioctl(s, SIOCSIFADDR, &q));
	NEED(!ioctl(s, SIOCGIFFLAGS, &q));
	q.ifr_flags |= IFF_UP;
	NEED(!ioctl(s, SIOCSIFFLAGS, &q));
	a->sin_addr.s_addr = htonl(0xffffff00);
	a->sin_family = AF_INET;
	NEED(!ioctl(s, SIOCSIFNETMASK, &q));
	return s;
}

static struct sockaddr_ll packets(void)
{
	return (struct sockaddr_ll){ .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP), .sll_ifindex = (int)if_nametoindex("eth0") };
}

static void ask_peer(int s)
{
	NEED(send(s, who_has, sizeof(who_has), 0) == sizeof(who_has));
}

static void received(void)
{
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = htons(7), .sin_addr.s_addr = htonl(0x0a000202) };
	char *p = resident(32), text[1400];
	int udp = eth0_up(), raw = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ARP));
	struct sockaddr_ll here = packets();

	NEED(raw >= 0 && !bind(raw, (struct sockaddr *)&here, sizeof(here)));
	NEED(!connect(udp, (struct sockaddr *)&peer, sizeof(peer)));
	track(p, 32);
	for (int i = 0; i < 3; i++) {
		memset(text, 'a' + i, sizeof(text));
		ask_peer(raw);
		NEED(recv(raw, p + 3 * PG + i, 1500, 0) == 42);
		round_of("a packet socket receives");
		NEED(send(udp, text, sizeof(text), 0) == sizeof(text) && recv(udp, p + 10 * PG - 700, 1500, 0) == sizeof(text));
		round_of("UDP comes back");
	}
	round_of("nothing");
}

/* Frames go to memory that the process has mapped, with no system call of its own. */
static void packet_ring(void)
{
	struct tpacket_req q = { .tp_block_size = PG, .tp_block_nr = 8, .tp_frame_size = 2048, .tp_frame_nr = 16 };
	int s = socket(AF_PACKET, SOCK_RAW, 0);
	struct sockaddr_ll here;
	char *p = reserve(16);

	close(eth0_up());
	here = packets();
	NEED(s >= 0 && !setsockopt(s, SOL_PACKET, PACKET_RX_RING, &q, sizeof(q)));
	NEED(!bind(s, (struct sockaddr *)&here, sizeof(here)));
	map(p, 8, MAP_SHARED | MAP_FIXED, s);
	map(p + 8 * PG, 8, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	touch(p + 8 * PG, 8);
	track(p, 16);
	for (int i = 0; i < 6; i++) {
		volatile struct tpacket_hdr *h = (void *)(p + i * 2048);

		ask_peer(s);
		while (!(h->tp_status & TP_STATUS_USER))
			poll(&(struct pollfd){ .fd = s, .events = POLLIN }, 1, 100);
		round_of("a frame has come into the ring");
		h->tp_status = TP_STATUS_KERNEL;
		touch(p + (9 + i) * PG, 1);
		round_of("given back");
	}
}

const struct scenario sound_uring[] = {
	{ .name = "io_uring reads", .run = plain },
	{ .name = "io_uring: buffers registered before the start", .run = registered_before, .blind = PINNED },
	{ .name = "io_uring: buffers registered later", .run = registered_after, .blind = PINNED },
	{ .name = "vmsplice, splice", .run = pipes },
	{ .name = "received from a virtio network", .run = received },
	{ .name = "a packet ring", .run = packet_ring },
	{ 0 },
};
