/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The workloads that machines are compared by: the same static binary runs natively, in ooh-machine and in QEMU. Each prints a line
 * when it begins and when it ends; whoever listens takes the host's time.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile uint64_t sink;

/* Lists, a matrix, a state machine and a CRC, as CoreMark has them. */
static void integer_mix(void)
{
	static int16_t a[16][16], b[16][16];
	uint32_t crc = 0xffffffff, seed = 1;

	for (unsigned round = 0; round < 25000; round++) {
		int32_t sum = 0;

		for (unsigned i = 0; i < 16; i++)
			for (unsigned k = 0; k < 16; k++) {
				seed = seed * 1103515245 + 12345;
				a[i][k] = (int16_t)(seed >> 16);
				b[k][i] = (int16_t)(seed >> 20);
			}
		for (unsigned i = 0; i < 16; i++)
			for (unsigned k = 0; k < 16; k++) {
				int32_t s = 0;

				for (unsigned j = 0; j < 16; j++)
					s += a[i][j] * b[j][k];
				sum = s > sum ? s - sum : sum + s;
			}
		for (unsigned bit = 0; bit < 512; bit++) {
			uint32_t x = (crc ^ ((uint32_t)sum >> (bit & 31))) & 1;

			crc >>= 1;
			if (x)
				crc ^= 0xedb88320;
			switch (crc & 3) {
			case 0: crc += 7; break;
			case 1: crc ^= 0x55; break;
			case 2: crc = crc << 3 | crc >> 29; break;
			default: break;
			}
		}
	}
	sink += crc;
}

static const uint32_t sha_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
	0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
	0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
	0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
	0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t ror(uint32_t v, unsigned n)
{
	return v >> n | v << (32 - n);
}

static void sha_block(uint32_t h[8], const uint32_t *in)
{
	uint32_t w[64], s[8];

	memcpy(w, in, 64);
	for (unsigned i = 16; i < 64; i++)
		w[i] = w[i - 16] + (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
		       (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(s, h, 32);
	for (unsigned i = 0; i < 64; i++) {
		uint32_t t1 = s[7] + (ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + sha_k[i] + w[i];
		uint32_t t2 = (ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

		memmove(s + 1, s, 28);
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (unsigned i = 0; i < 8; i++)
		h[i] += s[i];
}

static void sha256(void)
{
	static uint32_t buf[16384];
	uint32_t h[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	for (unsigned i = 0; i < (64u << 20) / sizeof(buf); i++)
		for (unsigned k = 0; k < sizeof(buf) / 64; k++)
			sha_block(h, buf + k * 16);
	sink += h[0];
}

static void *area(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mbench: mmap");
		exit(3);
	}
	madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

static void copy(void)
{
	char *a = area(16 << 20), *b = area(16 << 20);

	for (unsigned i = 0; i < 64; i++) {
		memcpy(i & 1 ? a : b, i & 1 ? b : a, 16 << 20);
		__asm__ volatile("" : : : "memory");
	}
	munmap(a, 16 << 20); /* what stays mapped, later forks would copy */
	munmap(b, 16 << 20);
}

static void chase(void)
{
	size_t n = (64u << 20) / sizeof(void *), at = 0;
	void **p = area(64u << 20), **q;

	for (size_t i = 0; i < n; i++) { /* one cycle: a full-period congruence over a power of two */
		size_t next = (at * 1664525 + 1013904223) & (n - 1);

		p[at] = &p[next];
		at = next;
	}
	q = p;
	for (unsigned i = 0; i < 4000000; i++)
		q = *q;
	sink += (uintptr_t)q;
	munmap(p, 64u << 20);
}

static void getppids(void)
{
	for (unsigned i = 0; i < 1000000; i++)
		syscall(SYS_getppid);
}

static void forks(void)
{
	for (unsigned i = 0; i < 2000; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
}

static void touch(void)
{
	char *p = area(64u << 20);

	for (size_t i = 0; i < 64u << 20; i += 4096)
		p[i] = 1;
	munmap(p, 64u << 20);
}

/* --- what grows: a number of something, the work in all the same --- */

static unsigned amount = 16;

/* Four million calls of `amount` different functions of 64 bytes. */
static void code(void)
{
	static const unsigned char f[] = { 0x8d, 0x47, 0x01, 0x31, 0xf8, 0x8d, 0x04, 0x07, 0xc3 }; /* lea, xor, lea, ret */
	unsigned char *p = mmap(NULL, amount * 64ul, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int v = 0;

	if (p == MAP_FAILED) {
		perror("mbench: mmap");
		exit(3);
	}
	for (unsigned i = 0; i < amount; i++)
		memcpy(p + i * 64ul, f, sizeof(f));
	for (unsigned n = 0; n < 4000000;)
		for (unsigned i = 0; i < amount && n < 4000000; i++, n++)
			v = ((int (*)(int))(p + i * 64ul))(v);
	sink += (unsigned)v;
}

static void member(int from, int to)
{
	char token;

	while (read(from, &token, 1) == 1 && write(to, &token, 1) == 1)
		;
	_exit(0);
}

/* A token goes 20,000 steps around a ring of `amount` processes. */
static void ring(void)
{
	int first[2], in[2], out[2];
	pid_t *pid = calloc(amount, sizeof(*pid));
	char token = 0;

	if (!pid || pipe(first) != 0)
		exit(3);
	in[0] = first[0];
	for (unsigned i = 0; i < amount; i++) {
		if (pipe(out) != 0)
			exit(3);
		pid[i] = fork();
		if (pid[i] == 0) {
			close(out[0]);
			close(first[1]);
			member(in[0], out[1]);
		}
		close(in[0]);
		close(out[1]);
		in[0] = out[0];
	}
	for (unsigned n = 0; n < 20000; n += amount)
		if (write(first[1], &token, 1) != 1 || read(in[0], &token, 1) != 1)
			exit(3);
	close(first[1]);
	for (unsigned i = 0; i < amount; i++)
		waitpid(pid[i], NULL, 0);
	free(pid);
}

static const struct {
	const char *name;
	void (*run)(void);
	int asked; /* only by its name */
} works[] = {
	{ "integer", integer_mix, 0 }, { "sha256", sha256, 0 }, { "memcpy", copy, 0 }, { "chase", chase, 0 },
	{ "getppid", getppids, 0 },    { "forkwait", forks, 0 }, { "touch", touch, 0 }, { "code", code, 1 },
	{ "ring", ring, 1 },
};

int main(int argc, char **argv)
{
	if (argc > 2)
		amount = (unsigned)atoi(argv[2]);
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		if (argc > 1 ? strcmp(argv[1], works[i].name) != 0 : works[i].asked)
			continue;
		printf("BEGIN %s\n", works[i].name);
		fflush(stdout);
		works[i].run();
		printf("END %s\n", works[i].name);
		fflush(stdout);
	}
	return 0;
}
