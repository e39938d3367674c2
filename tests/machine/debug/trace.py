#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""trace.py MACHINE IMAGE: what --trace and --exit-stats say against --stats."""
import collections
import json
import os
import re
import sys

sys.dont_write_bytecode = True
from rsp import Machine  # noqa: E402

program, image = sys.argv[1:3]


def run(*options):
    machine = Machine(program, image, *options, gdb=False)
    status, error = machine.end()
    assert status == 1, error
    with open(machine.stats) as f:
        stats = json.load(f)
    figures = {x['reason']: (x['count'], x['cycles']) for x in stats['exits']}
    vectors = {f"EXCEPTION_NMI {v['name']}": (v['count'], v['cycles']) for x in stats['exits'] for v in x.get('vectors', [])}
    assert figures.pop('EXCEPTION_NMI') == tuple(map(sum, zip(*vectors.values())))
    assert set(vectors) == {'EXCEPTION_NMI #BP', 'EXCEPTION_NMI #DB'}
    return machine, stats['cycles'], figures | vectors, error


def named(reason, vector):
    return f"{reason} {({1: '#DB', 3: '#BP'})[vector]}" if reason == 'EXCEPTION_NMI' else reason


def json_trace(path):
    count, cost = collections.Counter(), collections.Counter()
    with open(path) as f:
        events = json.load(f)
    for event in events:
        if event.get('cat') == 'exit':
            name = named(event['name'], event['args'].get('vector'))
            count[name] += 1
            cost[name] += event['args'].get('cost', 0)
            if 'cost' in event['args']:
                assert round(event['dur'] * 2000) == event['args']['cost']
                assert round(event['ts'] * 2000) == event['args']['cycle']
    return {name: (count[name], cost[name]) for name in count}, {event.get('cat') for event in events}


def text_trace(path):
    count, cost, last = collections.Counter(), collections.Counter(), 0
    with open(path) as f:
        for line in f:
            if line[0] == '#':
                continue
            assert int(line.split()[0]) >= last, line
            last = int(line.split()[0])
            if m := re.match(r'\d+ 0 exit (\w+) qual=[0-9a-f]+ rip=[0-9a-f]+(?: vector=(\d+))?$', line):
                name = named(m[1], m[2] and int(m[2]))
                count[name] += 1
            elif m := re.match(r'\d+ 0 entry (\w+) cost=(\d+) rip=[0-9a-f]+$', line):
                assert name.startswith(m[1])
                cost[name] += int(m[2])
    return {name: (count[name], cost[name]) for name in count}


_, cycles, figures, _ = run()
assert figures
machine, same, again, error = run('--exit-stats')
assert (same, again) == (cycles, figures)
error = error.replace('EXCEPTION_NMI #', 'EXCEPTION_NMI_#')
rows = {x[0].replace('NMI_', 'NMI '): x for x in (line.split() for line in error.splitlines()) if len(x) == 8}
for reason, (count, total) in figures.items():
    assert int(rows[reason][1]) == count and int(rows[reason][3]) == total, (reason, error)
    if rows[reason][7] != '-':
        average, least, most = float(rows[reason][5]), int(rows[reason][6]), int(rows[reason][7])
        assert least <= average + 0.1 and average <= most + 0.1
assert int(rows['all'][1]) == sum(count for count, _ in figures.values())

for name, parse in ('t.json', lambda p: json_trace(p)[0]), ('t.txt', text_trace):
    path = os.path.join(machine.dir.name, name)
    _, same, again, _ = run('--trace', path)
    assert (same, again) == (cycles, figures), 'tracing costs virtual time'
    assert parse(path) == figures, (parse(path), figures)
path = os.path.join(machine.dir.name, 'few.json')
run('--trace', path, '--trace-events', 'injections,irq')
assert 'exit' not in json_trace(path)[1]
