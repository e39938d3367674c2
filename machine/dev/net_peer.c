/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Source: RFC 826 (ARP), 791 (IPv4), 792 (ICMP), 768 (UDP), 862 (echo), 2131 and 2132 (DHCP). The station is 10.0.2.2;
 * who asks for an address gets 10.0.2.15.
 */
#include <string.h>

#include "machine/dev/net.h"

#define ETHER_ARP  0x0806
#define ETHER_IPV4 0x0800
#define ARP_REQUEST 1
#define ARP_REPLY   2
#define ARP_END 42 /* of the packet, in the frame */
#define IP_ICMP 1
#define IP_UDP  17
#define ICMP_ECHO 8
#define ICMP_ECHO_REPLY 0
#define UDP_ECHO 7
#define DHCP_SERVER 67
#define DHCP_CLIENT 68

#define AT_IP  14
#define AT_L4  34 /* behind an IPv4 header without options: others are not answered */
#define AT_UDP_DATA 42

/* DHCP message, from its start. */
#define DHCP_YOUR   16
#define DHCP_NEXT   20
#define DHCP_COOKIE 236
#define DHCP_OPTIONS 240
#define DHCP_REPLY_BYTES 300
#define OPTION_TYPE 53
#define OPTION_END  255
#define DISCOVER 1
#define OFFER    2
#define REQUEST  3
#define ACK      5

static const u8 my_mac[6] = { 0x52, 0x55, 0x0a, 0x00, 0x02, 0x02 };
static const u8 my_ip[4] = { 10, 0, 2, 2 };
static const u8 your_ip[4] = { 10, 0, 2, 15 };
static const u8 everyone[4] = { 255, 255, 255, 255 };

static u16 get16(const u8 *p)
{
	return (u16)(p[0] << 8 | p[1]);
}

static void put16(u8 *p, unsigned v)
{
	p[0] = (u8)(v >> 8);
	p[1] = (u8)v;
}

/* The Internet checksum over n bytes, after `sum`. */
static u16 checksum(const u8 *p, unsigned n, u32 sum)
{
	for (unsigned i = 0; i + 1 < n; i += 2)
		sum += get16(p + i);
	if (n & 1)
		sum += (u32)p[n - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (u16)~sum;
}

static void address_back(u8 *b)
{
	memcpy(b, b + 6, 6);
	memcpy(b + 6, my_mac, 6);
}

static bool answer_arp(struct net_frame *f)
{
	u8 *b = f->bytes;

	if (f->n < ARP_END || get16(b + 20) != ARP_REQUEST || memcmp(b + 38, my_ip, 4) != 0)
		return false;
	address_back(b);
	put16(b + 20, ARP_REPLY);
	memcpy(b + 32, b + 22, 10); /* the asker becomes the target */
	memcpy(b + 22, my_mac, 6);
	memcpy(b + 28, my_ip, 4);
	f->n = ARP_END;
	return true;
}

/* Finishes the IPv4 header of an answer of n bytes from the header on. */
static void send_ip(struct net_frame *f, const u8 to[4], unsigned n)
{
	u8 *ip = f->bytes + AT_IP;

	put16(ip + 2, n);
	put16(ip + 6, 0);
	ip[8] = 64;
	memcpy(ip + 16, to, 4);
	memcpy(ip + 12, my_ip, 4);
	put16(ip + 10, 0);
	put16(ip + 10, checksum(ip, 20, 0));
	f->n = AT_IP + n;
}

static bool answer_icmp(struct net_frame *f, unsigned n)
{
	u8 *icmp = f->bytes + AT_L4, to[4];

	if (n < 28 || icmp[0] != ICMP_ECHO)
		return false;
	memcpy(to, f->bytes + AT_IP + 12, 4);
	icmp[0] = ICMP_ECHO_REPLY;
	put16(icmp + 2, 0);
	put16(icmp + 2, checksum(icmp, n - 20, 0));
	address_back(f->bytes);
	send_ip(f, to, n);
	return true;
}

/* The UDP header and all below it, for n bytes of data. */
static void send_udp(struct net_frame *f, const u8 to[4], unsigned from_port, unsigned to_port, unsigned n)
{
	u8 *udp = f->bytes + AT_L4;
	u32 pseudo = IP_UDP + 8 + n;
	u16 sum;

	put16(udp, from_port);
	put16(udp + 2, to_port);
	put16(udp + 4, 8 + n);
	put16(udp + 6, 0);
	address_back(f->bytes);
	send_ip(f, to, 28 + n);
	for (unsigned i = 0; i < 8; i += 2)
		pseudo += get16(f->bytes + AT_IP + 12 + i);
	sum = checksum(udp, 8 + n, pseudo);
	put16(udp + 6, sum ? sum : 0xffff);
}

static u8 *put_option(u8 *p, u8 code, const void *data, u8 n)
{
	*p++ = code;
	*p++ = n;
	memcpy(p, data, n);
	return p + n;
}

/* The type of a message of n bytes, 0 if it says none. */
static u8 dhcp_type(const u8 *m, unsigned n)
{
	for (unsigned i = DHCP_OPTIONS; i + 2 < n && m[i] != OPTION_END; i += m[i] ? 2u + m[i + 1] : 1)
		if (m[i] == OPTION_TYPE)
			return m[i + 2];
	return 0;
}

static bool answer_dhcp(struct net_frame *f, unsigned n)
{
	static const u8 cookie[4] = { 99, 130, 83, 99 }, mask[4] = { 255, 255, 255, 0 }, lease[4] = { 0, 1, 0x51, 0x80 };
	u8 *m = f->bytes + AT_UDP_DATA, type, *p = m + DHCP_OPTIONS;

	if (n < DHCP_OPTIONS || m[0] != 1 || memcmp(m + DHCP_COOKIE, cookie, 4) != 0)
		return false;
	type = dhcp_type(m, n);
	if (type != DISCOVER && type != REQUEST)
		return false;
	type = type == DISCOVER ? OFFER : ACK;
	m[0] = 2;
	memcpy(m + DHCP_YOUR, your_ip, 4);
	memcpy(m + DHCP_NEXT, my_ip, 4);
	memset(p, 0, DHCP_REPLY_BYTES - DHCP_OPTIONS);
	p = put_option(p, OPTION_TYPE, &type, 1);
	p = put_option(p, 54, my_ip, 4); /* server */
	p = put_option(p, 51, lease, 4); /* a day */
	p = put_option(p, 1, mask, 4);
	p = put_option(p, 3, my_ip, 4); /* router */
	*p = OPTION_END;
	send_udp(f, everyone, DHCP_SERVER, DHCP_CLIENT, DHCP_REPLY_BYTES);
	return true;
}

static bool answer_udp(struct net_frame *f, unsigned n)
{
	const u8 *udp = f->bytes + AT_L4;
	unsigned data, from = get16(udp), port = get16(udp + 2);
	u8 to[4];

	if (n < 28 || get16(udp + 4) < 8 || get16(udp + 4) > n - 20)
		return false;
	data = get16(udp + 4) - 8u;
	memcpy(to, f->bytes + AT_IP + 12, 4);
	if (port == DHCP_SERVER)
		return answer_dhcp(f, data);
	if (port != UDP_ECHO || memcmp(f->bytes + AT_IP + 16, my_ip, 4) != 0)
		return false;
	send_udp(f, to, UDP_ECHO, from, data);
	return true;
}

static bool answer_ip(struct net_frame *f)
{
	const u8 *ip = f->bytes + AT_IP;
	unsigned n;

	if (f->n < AT_L4 || ip[0] != 0x45 || (get16(ip + 6) & 0x3fff))
		return false; /* options, or a fragment */
	n = get16(ip + 2);
	if (n > f->n - AT_IP)
		return false;
	if (ip[9] == IP_UDP)
		return answer_udp(f, n);
	return ip[9] == IP_ICMP && memcmp(ip + 16, my_ip, 4) == 0 && answer_icmp(f, n);
}

bool net_peer_answer(struct net_frame *f)
{
	if (f->n < NET_FRAME_MIN)
		return false;
	switch (get16(f->bytes + 12)) {
	case ETHER_ARP: return answer_arp(f);
	case ETHER_IPV4: return answer_ip(f);
	}
	return false;
}
