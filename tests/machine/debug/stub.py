#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""stub.py MACHINE IMAGE ELF: the remote protocol, packet by packet."""
import json
import sys
import time

sys.dont_write_bytecode = True
from rsp import Machine, Remote, symbols  # noqa: E402

program, image, elf = sys.argv[1:4]
sym = symbols(elf)
ROUNDS = 20


def cycles(machine):
    with open(machine.stats) as f:
        return json.load(f)['cycles']


def undisturbed():
    machine = Machine(program, image, gdb=False)
    assert machine.end()[0] == 1
    return cycles(machine)


def breakpoints(expected):
    """Each call of a function in root and non-root operation stops once; the run stays the run, to the cycle."""
    machine = Machine(program, image, '--gdb-wait')
    gdb = Remote(machine.path)
    assert gdb.ask('?').startswith('T05thread:1;')
    first = gdb.regs()
    assert first['cr0'] & 1 and not first['cr0'] >> 31, 'protected mode without paging at the first instruction'
    for name in 'root_step', 'guest_step':
        before = gdb.read(sym[name], 1)
        assert gdb.ask(f'Z0,{sym[name]:x},1') == 'OK'
        assert gdb.read(sym[name], 1) == before, 'memory is not changed'
    for i in range(1, ROUNDS + 1):
        for name in 'root_step', 'guest_step':
            assert gdb.ask('vCont;c') == 'T05thread:1;swbreak:;'
            regs = gdb.regs()
            assert regs['rip'] == sym[name] and regs['rdi'] == i, (name, i, regs)
            nonroot = 'non-root' in bytes.fromhex(gdb.ask('qThreadExtraInfo,1')).decode()
            assert nonroot == (name == 'guest_step')
    assert gdb.ask('c') == 'W01'
    assert machine.end()[0] == 1
    assert cycles(machine) == expected, 'breakpoints cost virtual time'


def modes():
    machine = Machine(program, image, '--gdb-wait')
    gdb = Remote(machine.path)
    for name in 'root_step', 'guest_step':
        assert gdb.ask(f'Z1,{sym[name]:x},1') == 'OK'
    gdb.monitor('stops non-root')
    assert gdb.ask('c').startswith('T05')
    assert gdb.regs()['rip'] == sym['guest_step']
    gdb.monitor('stops root')
    assert gdb.ask('c').startswith('T05')
    assert gdb.regs()['rip'] == sym['root_step']
    assert gdb.ask(f"z1,{sym['root_step']:x},1") == 'OK'
    assert gdb.ask(f"z1,{sym['root_step']:x},1") == 'E16'
    assert gdb.ask('D') == 'OK'
    assert machine.end()[0] == 1


def watchpoints():
    machine = Machine(program, image, '--gdb-wait')
    gdb = Remote(machine.path)
    assert gdb.ask(f"Z2,{sym['guest_count']:x},8") == 'OK'
    assert gdb.ask(f"Z4,{sym['never_written']:x},8") == 'OK'
    total = 0
    for i in range(1, 6):
        total += i
        assert gdb.ask('vCont;c') == f"T05thread:1;watch:{sym['guest_count']:x};"
        assert gdb.read(sym['guest_count'], 8) == total, 'the store has happened, and only this one'
    assert gdb.ask(f"z2,{sym['guest_count']:x},8") == 'OK'
    assert gdb.ask(f"Z3,{sym['root_count']:x},8") == 'OK'
    assert gdb.ask('vCont;c') == f"T05thread:1;rwatch:{sym['root_count']:x};"
    assert gdb.ask(f"z3,{sym['root_count']:x},8") == 'OK'
    assert gdb.ask('c') == 'W01'
    assert machine.end()[0] == 1


def steps_and_writes():
    machine = Machine(program, image, '--gdb-wait')
    gdb = Remote(machine.path)
    assert gdb.ask(f"Z0,{sym['root_step']:x},1") == 'OK'
    assert gdb.ask('c').startswith('T05')
    insns = lambda: int(next(x for x in gdb.monitor('stats').splitlines() if x.startswith('INSNS')).split()[1])
    seen, before = [gdb.regs()['rip']], insns()
    for _ in range(3):
        assert gdb.ask('vCont;s:1;c') == 'T05thread:1;'
        seen.append(gdb.regs()['rip'])
    assert insns() == before + 3
    assert all(0 < b - a < 16 for a, b in zip(seen, seen[1:])), seen
    number = [name for name, _ in gdb.registers].index('rdi')
    assert gdb.ask('c').startswith('T05')
    assert gdb.ask(f"P{number:x}={(1000).to_bytes(8, 'little').hex()}") == 'OK'
    assert gdb.regs()['rdi'] == 1000
    assert gdb.ask('c').startswith('T05')
    assert gdb.read(sym['root_count'], 8) == 1001
    assert gdb.ask(f"M{sym['root_count']:x},8:{(3).to_bytes(8, 'little').hex()}") == 'OK'
    assert gdb.ask(b'X%x,2:}\x03\x04' % sym['never_written']) == 'OK'
    assert gdb.read(sym['never_written'], 2) == 0x0423
    assert gdb.ask('mffff800000000000,8') == 'E0e', 'nothing is mapped there'
    assert gdb.ask(f"z0,{sym['root_step']:x},1") == 'OK'
    assert gdb.ask('c') == 'W01', 'the sum is as it should be'
    assert machine.end()[0] == 1


def vectors_and_keys():
    """The upper halves of YMM registers and PKRU, as the program loads them and as the debugger leaves them."""
    machine = Machine(program, image, '--gdb-wait')
    gdb = Remote(machine.path)
    assert gdb.ask(f"Z0,{sym['root_step']:x},1") == 'OK'
    assert gdb.ask('c').startswith('T05')
    regs = gdb.regs()
    assert regs['xmm3'] == 2 << 64 | 1 and regs['ymm3h'] == 4 << 64 | 3 and regs['pkru'] == 3 << 10, regs
    names = [name for name, _ in gdb.registers]
    upper, rights = 0x1122334455667788 << 64 | 0x99aabbccddeeff00, 1 << 22
    assert gdb.ask(f"P{names.index('ymm3h'):x}={upper.to_bytes(16, 'little').hex()}") == 'OK'
    assert gdb.ask(f"P{names.index('pkru'):x}={rights.to_bytes(4, 'little').hex()}") == 'OK'
    assert gdb.ask('c').startswith('T05')
    assert gdb.read(sym['vector'], 32) == upper << 128 | 2 << 64 | 1
    assert gdb.read(sym['key_rights'], 4) == rights
    assert gdb.ask('D') == 'OK'
    assert machine.end()[0] == 1


def monitors():
    machine = Machine(program, image, '--gdb-wait', '--dump-on-exit')
    gdb = Remote(machine.path)
    assert 'not in VMX operation' in gdb.monitor('vmcs')
    assert gdb.ask(f"Z0,{sym['guest_step']:x},1") == 'OK'
    assert gdb.ask('c').startswith('T05') and gdb.ask('c').startswith('T05')
    vmcs = gdb.monitor('vmcs')
    assert 'ENABLE_EPT' in vmcs and 'EXIT_REASON' in vmcs and ' VMCALL' in vmcs, vmcs
    walk = gdb.monitor(f"walk {sym['guest_count']:x}").splitlines()
    assert sum('EPT' in line for line in walk) == 4 * 4, walk  # three entries of guest paging and the page
    assert walk[0].startswith('PML4E') and walk[-1].endswith(f"-> physical {sym['guest_count']:x}"), walk
    assert 'PDE' in walk[10] and '2 MiB page' in walk[10], walk
    assert 'not mapped' in gdb.monitor('walk ffff800000000000')
    assert f"{sym['guest_step'] & ~0xfff:016x} -> " in gdb.monitor('tlb')
    assert gdb.monitor(f"gpa {sym['guest_count']:x} 8") == '01 00 00 00 00 00 00 00\n'
    assert gdb.monitor(f"hpa {sym['guest_count']:x} 8") == '01 00 00 00 00 00 00 00\n'
    gdb.monitor('space host-physical')
    assert gdb.read(sym['guest_count'], 8) == 1
    assert 'non-root' in gdb.monitor('cpus')
    assert 'no such command' in gdb.monitor('nonsense')
    gdb.send('k')
    status, error = machine.end()
    assert status == 78 and 'ENABLE_EPT' in error and 'ended by the debugger' in error, error


def guest_from_root():
    """In root operation the guest's memory is that of the current VMCS, by its paging and its EPT."""
    machine = Machine(program, image, '--gdb-wait')
    gdb = Remote(machine.path)
    where = sym['guest_count']
    assert gdb.ask(f"Z0,{sym['root_step']:x},1") == 'OK'
    assert gdb.ask('c').startswith('T05') and gdb.ask('c').startswith('T05')
    assert 'VMX root' in gdb.monitor('cpus')
    assert 'EPT' not in gdb.monitor(f'walk {where:x}')
    walk = gdb.monitor(f'walk {where:x} guest').splitlines()
    assert sum('EPT' in line for line in walk) == 4 * 4, walk
    leaf = walk[-2].split('@')[1]
    at, entry = (int(x, 16) for x in leaf.split()[0:3:2])
    gdb.monitor('space host-physical')
    assert gdb.read(at, 8) == entry
    assert gdb.ask(f'M{at:x},8:' + '00' * 8) == 'OK'
    assert 'not mapped by EPT' in gdb.monitor(f'gpa {where:x} 8')
    gdb.monitor('space guest-virtual')
    assert gdb.ask(f'm{where:x},8') == 'E0e', 'not mapped by EPT'
    gdb.monitor('space virtual')
    assert gdb.read(where, 8) == 1
    gdb.monitor('space host-physical')
    assert gdb.ask(f"M{at:x},8:{entry.to_bytes(8, 'little').hex()}") == 'OK'
    gdb.monitor('space guest-virtual')
    assert gdb.read(where, 8) == 1
    assert gdb.ask('D') == 'OK'
    assert machine.end()[0] == 1


def interrupt():
    """Ctrl-C out of an endless loop that the debugger has written itself."""
    machine = Machine(program, image, '--gdb-wait')
    gdb = Remote(machine.path)
    assert gdb.ask(f"Z0,{sym['root_step']:x},1") == 'OK'
    assert gdb.ask('c').startswith('T05')
    assert gdb.ask(f"z0,{sym['root_step']:x},1") == 'OK'
    code = gdb.ask(f"m{sym['root_step']:x},2")
    assert gdb.ask(f"M{sym['root_step']:x},2:ebfe") == 'OK'
    gdb.send('c')
    time.sleep(0.2)
    gdb.sock.sendall(b'\x03')
    assert gdb.receive() == 'T02thread:1;'
    assert gdb.regs()['rip'] == sym['root_step']
    assert gdb.ask(f"M{sym['root_step']:x},2:{code}") == 'OK'
    raw = gdb.ask('g')
    assert gdb.ask('G' + raw) == 'OK' and gdb.ask('g') == raw
    assert gdb.ask('c') == 'W01'
    assert machine.end()[0] == 1


def threads():
    machine = Machine(program, image, '--gdb-wait', '--cpus', '2')
    gdb = Remote(machine.path)
    assert gdb.ask('qfThreadInfo') == 'm1,2' and gdb.ask('qsThreadInfo') == 'l'
    assert gdb.ask('T2') == 'OK' and gdb.ask('T3') == 'E16'
    assert gdb.ask('Hg2') == 'OK'
    assert gdb.regs()['rip'] == 0xfff0, 'it waits for a start-up message where reset has left it'
    assert gdb.ask('Hg1') == 'OK'
    assert gdb.ask(f"Z0,{sym['guest_step']:x},1") == 'OK'
    for i in range(1, 4):
        assert gdb.ask('vCont;c') == 'T05thread:1;swbreak:;'
        assert gdb.regs()['rdi'] == i
    assert gdb.ask('vCont;s:1;c') == 'T05thread:1;'
    assert gdb.ask('D') == 'OK'
    assert machine.end()[0] == 1


def attaching(expected):
    """Attached, stopped once and let go: not a cycle more. The debugger goes away: so do its breakpoints."""
    machine = Machine(program, image, '--gdb-wait')
    gdb = Remote(machine.path)
    assert gdb.ask('D') == 'OK'
    assert machine.end()[0] == 1 and cycles(machine) == expected
    machine = Machine(program, image, '--gdb-wait')
    gdb = Remote(machine.path)
    assert gdb.ask(f"Z0,{sym['root_step']:x},1") == 'OK'
    gdb.sock.close()
    assert machine.end()[0] == 1 and cycles(machine) == expected


expected = undisturbed()
breakpoints(expected)
modes()
watchpoints()
steps_and_writes()
vectors_and_keys()
monitors()
guest_from_root()
interrupt()
threads()
attaching(expected)
