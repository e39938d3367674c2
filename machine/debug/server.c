/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The packets. GDB manual, appendix "GDB Remote Serial Protocol". All-stop: while the debugger is served, virtual time
 * stands still on all CPUs; when it resumes one, all run, as the interleaving is a matter of virtual time. A CPU is a
 * thread; thread numbers are CPU numbers plus 1.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "machine/debug/debug.h"
#include "machine/debug/state.h"
#include "machine/dev/dev.h"

#define SIGNAL_INT  2
#define SIGNAL_TRAP 5
#define CONSOLE_CHUNK 2000

static void send_error(struct debug *d)
{
	gdb_send(&d->link, "E16"); /* EINVAL */
}

static void send_bool(struct debug *d, bool ok)
{
	if (ok)
		gdb_send(&d->link, "OK");
	else
		send_error(d);
}

static void send_stop(struct debug *d)
{
	static const char *const watch_names[] = { [WATCH_WRITE] = "watch", [WATCH_READ] = "rwatch",
						   [WATCH_ACCESS] = "awatch" };
	const struct debug_cpu *dc = &d->cpu[d->stop_cpu->id];
	int n = snprintf(d->link.reply, sizeof(d->link.reply), "T%02xthread:%x;",
			 d->stop == STOP_INTERRUPT ? SIGNAL_INT : SIGNAL_TRAP, d->stop_cpu->id + 1);
	char *rest = d->link.reply + n;

	if (d->stop == STOP_BREAK && d->link.swbreak)
		strcpy(rest, "swbreak:;");
	if (d->stop == STOP_WATCH)
		sprintf(rest, "%s:%" PRIx64 ";", watch_names[dc->hit_watch.kind], dc->hit_lin);
	gdb_send(&d->link, d->link.reply);
}

/* --- numbers in packets --- */

/* A hexadecimal number and the character after it, which must be `end` (0: the packet's end). */
static bool take_number(const char **p, char end, u64 *v)
{
	char *after;

	*v = strtoull(*p, &after, 16);
	if (after == *p || *after != end)
		return false;
	*p = after + (end != 0);
	return true;
}

/* A thread-id: 0 and -1 are any. NULL: there is no such CPU. */
static struct cpu *thread(const struct debug *d, const char *p)
{
	unsigned long n;

	if (strncmp(p, "p1.", 3) == 0)
		p += 3;
	if (p[0] == '-' || p[0] == '0')
		return d->stop_cpu;
	n = strtoul(p, NULL, 16);
	return n >= 1 && n <= d->m->ncpus ? d->m->cpu[n - 1] : NULL;
}

/* --- registers and memory --- */

static void read_registers(struct debug *d)
{
	char *to = d->link.reply;

	for (unsigned i = 0; i < registers_count(); i++) {
		u8 v[REGISTER_MAX];
		unsigned n = register_read(d->selected, i, v);

		gdb_hex(to, v, n);
		to += 2 * n;
	}
	gdb_send(&d->link, d->link.reply);
}

/* What did not change is not written; what cannot be is left alone. */
static void write_registers(struct debug *d, const char *p)
{
	for (unsigned i = 0; i < registers_count(); i++) {
		u8 now[REGISTER_MAX], v[REGISTER_MAX];
		unsigned n = register_read(d->selected, i, now);

		if (gdb_unhex(v, p, n) != n)
			break;
		p += 2 * n;
		if (memcmp(v, now, n) != 0)
			register_write(d->selected, i, v);
	}
	d->changed = true;
	gdb_send(&d->link, "OK");
}

static void read_register(struct debug *d, const char *p)
{
	u8 v[REGISTER_MAX];
	unsigned n;
	u64 i;

	n = take_number(&p, 0, &i) && i < registers_count() ? register_read(d->selected, (unsigned)i, v) : 0;
	if (!n) {
		send_error(d);
		return;
	}
	gdb_hex(d->link.reply, v, n);
	gdb_send(&d->link, d->link.reply);
}

static void write_register(struct debug *d, const char *p)
{
	u8 v[REGISTER_MAX] = { 0 };
	u64 i;

	if (!take_number(&p, '=', &i) || i >= registers_count()) {
		send_error(d);
		return;
	}
	gdb_unhex(v, p, sizeof(v));
	d->changed = true;
	send_bool(d, register_write(d->selected, (unsigned)i, v) != 0);
}

static void read_memory(struct debug *d, const char *p)
{
	u8 buf[GDB_PACKET / 2];
	u64 addr, n;
	size_t got;

	if (!take_number(&p, ',', &addr) || !take_number(&p, 0, &n)) {
		send_error(d);
		return;
	}
	got = debug_read(d->selected, d->space, addr, buf, n < sizeof(buf) ? n : sizeof(buf));
	if (!got && n) {
		gdb_send(&d->link, "E0e"); /* EFAULT */
		return;
	}
	gdb_hex(d->link.reply, buf, got);
	gdb_send(&d->link, d->link.reply);
}

static void write_memory(struct debug *d, const char *p, bool binary)
{
	u8 buf[GDB_PACKET];
	u64 addr, n;
	size_t have;

	if (!take_number(&p, ',', &addr) || !take_number(&p, ':', &n) || n > sizeof(buf)) {
		send_error(d);
		return;
	}
	have = binary ? d->link.packet_n - (size_t)(p - d->link.packet) : gdb_unhex(buf, p, n);
	if (binary)
		memcpy(buf, p, have < n ? have : n);
	d->changed = true;
	send_bool(d, have >= n && debug_write(d->selected, d->space, addr, buf, n) == n);
}

/* --- breakpoints --- */

static void change_point(struct debug *d, const char *p, bool add)
{
	char type = *p;
	u64 addr, n;
	bool ok;

	if (type < '0' || type > '4') {
		gdb_send(&d->link, "");
		return;
	}
	p += 2;
	if (!take_number(&p, ',', &addr)) {
		send_error(d);
		return;
	}
	n = strtoull(p, NULL, 16);
	if (type <= '1')
		ok = add ? debug_add_break(d, addr) : debug_remove_break(d, addr);
	else
		ok = (add ? debug_add_watch : debug_remove_watch)(d, (enum watch_kind)(type - '0'), addr, n);
	send_bool(d, ok);
}

/* --- queries --- */

/* A part of a text, as qXfer reads it: "…:OFFSET,LENGTH". */
static void send_part(struct debug *d, const char *text, const char *p)
{
	u64 at, n;
	size_t size = strlen(text);

	if (!take_number(&p, ',', &at) || !take_number(&p, 0, &n)) {
		send_error(d);
		return;
	}
	if (at > size)
		at = size;
	if (n > GDB_PACKET - 1)
		n = GDB_PACKET - 1;
	if (n > size - at)
		n = size - at;
	d->link.reply[0] = at + n < size ? 'm' : 'l';
	memcpy(d->link.reply + 1, text + at, n);
	gdb_send_bytes(&d->link, d->link.reply, n + 1);
}

static void send_description(struct debug *d, const char *p)
{
	char *text = registers_describe();

	if (text)
		send_part(d, text, p);
	else
		send_error(d);
	free(text);
}

static void send_threads(struct debug *d)
{
	char *to = d->link.reply;

	*to++ = 'm';
	for (unsigned i = 0; i < d->m->ncpus; i++)
		to += sprintf(to, "%s%x", i ? "," : "", i + 1);
	gdb_send(&d->link, d->link.reply);
}

static void send_thread_info(struct debug *d, const char *p)
{
	const struct cpu *c = thread(d, p);
	char text[64];

	if (!c) {
		send_error(d);
		return;
	}
	snprintf(text, sizeof(text), "CPU %u, %s%s", c->id, c->vmx.nonroot ? "non-root" : c->vmx.on ? "VMX root" : "no VMX",
		 c->activity == ACTIVE ? "" : ", not active");
	gdb_hex(d->link.reply, text, strlen(text));
	gdb_send(&d->link, d->link.reply);
}

static void console(struct debug *d, const char *text, size_t n)
{
	while (n) {
		size_t part = n < CONSOLE_CHUNK ? n : CONSOLE_CHUNK;

		d->link.reply[0] = 'O';
		gdb_hex(d->link.reply + 1, text, part);
		gdb_send(&d->link, d->link.reply);
		text += part;
		n -= part;
	}
}

static void run_monitor(struct debug *d, const char *hex)
{
	char line[256], *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	if (!f) {
		send_error(d);
		return;
	}
	line[gdb_unhex(line, hex, sizeof(line) - 1)] = 0;
	monitor_command(d, d->selected, line, f);
	if (fclose(f) == 0)
		console(d, text, n);
	free(text);
	gdb_send(&d->link, "OK");
}

static const char *after(const char *p, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(p, prefix, n) == 0 ? p + n : NULL;
}

static void query(struct debug *d, const char *p)
{
	const char *rest;

	if (after(p, "qSupported")) {
		d->link.swbreak = strstr(p, "swbreak+") != NULL;
		snprintf(d->link.reply, sizeof(d->link.reply), "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;"
			 "swbreak+;hwbreak+;vContSupported+", GDB_PACKET);
		gdb_send(&d->link, d->link.reply);
	} else if ((rest = after(p, "qXfer:features:read:target.xml:")) != NULL) {
		send_description(d, rest);
	} else if ((rest = after(p, "qRcmd,")) != NULL) {
		run_monitor(d, rest);
	} else if ((rest = after(p, "qThreadExtraInfo,")) != NULL) {
		send_thread_info(d, rest);
	} else if (strcmp(p, "qfThreadInfo") == 0) {
		send_threads(d);
	} else if (strcmp(p, "qsThreadInfo") == 0) {
		gdb_send(&d->link, "l");
	} else if (after(p, "qAttached")) {
		gdb_send(&d->link, "1");
	} else if (strcmp(p, "qC") == 0) {
		snprintf(d->link.reply, sizeof(d->link.reply), "QC%x", d->selected->id + 1);
		gdb_send(&d->link, d->link.reply);
	} else {
		gdb_send(&d->link, "");
	}
}

static void set_mode(struct debug *d, const char *p)
{
	if (strcmp(p, "QStartNoAckMode") == 0) {
		gdb_send(&d->link, "OK");
		d->link.no_ack = true;
	} else {
		gdb_send(&d->link, "");
	}
}

static void select_thread(struct debug *d, const char *p)
{
	struct cpu *c = thread(d, p + 1);

	if (c && *p == 'g')
		d->selected = c;
	if (c && *p == 'c')
		d->stepped = c;
	send_bool(d, c != NULL);
}

/* --- going on --- */

/* "vCont;ACTION[:THREAD];…": for each CPU the first action that names it, or names none, counts. */
static bool resume(struct debug *d, const char *p)
{
	bool decided[MACHINE_MAX_CPUS] = { false };

	while (*p == ';') {
		char action = *++p;
		const char *colon = p + strcspn(p, ":;");
		bool all = *colon != ':' || colon[1] == '-';
		const struct cpu *which = all ? NULL : thread(d, colon + 1);

		for (unsigned i = 0; i < d->m->ncpus; i++) {
			if (decided[i] || (!all && d->m->cpu[i] != which))
				continue;
			decided[i] = true;
			d->cpu[i].step = action == 's' || action == 'S';
		}
		p += strcspn(p, ";");
	}
	return true;
}

/* c [ADDRESS], s [ADDRESS] */
static bool go_on(struct debug *d, const char *p, bool step)
{
	u64 rip;

	if (*p && take_number(&p, 0, &rip)) {
		d->stepped->rip = rip;
		d->changed = true;
	}
	d->cpu[d->stepped->id].step = step;
	return true;
}

static bool detach(struct debug *d)
{
	gdb_send(&d->link, "OK");
	gdb_hang_up(&d->link);
	return true;
}

static bool kill_machine(struct debug *d)
{
	machine_stop(d->m, STATUS_INTERRUPTED, "ended by the debugger");
	gdb_hang_up(&d->link);
	return true;
}

/* v packets. True: the machine goes on. */
static bool verbose(struct debug *d, const char *p)
{
	if (strcmp(p, "vCont?") == 0)
		gdb_send(&d->link, "vCont;c;C;s;S");
	else if (after(p, "vCont"))
		return resume(d, p + strlen("vCont"));
	else if (after(p, "vKill"))
		return gdb_send(&d->link, "OK"), kill_machine(d);
	else
		gdb_send(&d->link, "");
	return false;
}

/* One packet. True: the machine goes on. */
static bool packet(struct debug *d, const char *p)
{
	switch (*p) {
	case '?': send_stop(d); return false;
	case 'g': read_registers(d); return false;
	case 'G': write_registers(d, p + 1); return false;
	case 'p': read_register(d, p + 1); return false;
	case 'P': write_register(d, p + 1); return false;
	case 'm': read_memory(d, p + 1); return false;
	case 'M': write_memory(d, p + 1, false); return false;
	case 'X': write_memory(d, p + 1, true); return false;
	case 'Z': change_point(d, p + 1, true); return false;
	case 'z': change_point(d, p + 1, false); return false;
	case 'H': select_thread(d, p + 1); return false;
	case 'T': send_bool(d, thread(d, p + 1) != NULL); return false;
	case 'q': query(d, p); return false;
	case 'Q': set_mode(d, p); return false;
	case 'v': return verbose(d, p);
	case 'c': return go_on(d, p + 1, false);
	case 's': return go_on(d, p + 1, true);
	case 'C': return go_on(d, "", false);
	case 'S': return go_on(d, "", true);
	case 'D': return detach(d);
	case 'k': return kill_machine(d);
	default: gdb_send(&d->link, ""); return false;
	}
}

/* From here on no breakpoint stops the CPU at the instruction before which it is now. */
static void leave(struct debug *d)
{
	for (unsigned i = 0; i < d->m->ncpus; i++) {
		struct cpu *c = d->m->cpu[i];

		d->cpu[i].pass_lin = c->code_size == 64 ? c->rip : (u32)(c->seg[CS].base + c->rip);
		d->cpu[i].pass_insns = debug_insns(c);
		d->cpu[i].hit = false;
	}
	if (d->link.fd < 0)
		debug_clear(d);
	d->stop = STOP_NONE;
	d->serving = false;
}

void gdb_serve(struct debug *d)
{
	bool go = false;

	d->serving = true;
	d->changed = false;
	d->selected = d->stepped = d->stop_cpu;
	for (unsigned i = 0; i < d->m->ncpus; i++)
		d->cpu[i].step = false;
	if (d->stop != STOP_ATTACH)
		send_stop(d);
	while (!go && d->link.fd >= 0 && !d->m->stop) {
		if (gdb_receive(&d->link))
			go = packet(d, d->link.packet);
		else if (d->link.fd >= 0)
			dev_poll(d->m); /* a signal came */
	}
	leave(d);
}

void gdb_ended(struct debug *d)
{
	snprintf(d->link.reply, sizeof(d->link.reply), "W%02x", (unsigned)d->m->exit_status & 0xff);
	gdb_send(&d->link, d->link.reply);
}
