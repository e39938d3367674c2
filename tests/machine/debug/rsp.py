# SPDX-License-Identifier: GPL-2.0-or-later
"""A small client of GDB's remote protocol, and a machine to connect it to."""
import os
import re
import socket
import subprocess
import tempfile
import time


class Remote:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.sock.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self.sock.settimeout(60)
        self.data = b''
        self.ack = True
        self.ask('qSupported:swbreak+;hwbreak+')
        assert self.ask('QStartNoAckMode') == 'OK'
        self.ack = False
        xml = self.ask('qXfer:features:read:target.xml:0,3fff')
        assert xml[0] == 'l', xml[:40]
        self.registers = [(name, int(bits)) for name, bits in re.findall(r'<reg name="(\w+)" bitsize="(\d+)"', xml)]

    def _byte(self):
        if not self.data:
            self.data = self.sock.recv(65536)
            if not self.data:
                raise EOFError
        byte, self.data = self.data[:1], self.data[1:]
        return byte

    def send(self, text):
        raw = text if isinstance(text, bytes) else text.encode()
        self.sock.sendall(b'$' + raw + b'#%02x' % (sum(raw) & 255))

    def receive(self):
        while self._byte() != b'$':
            pass
        raw = b''
        while (byte := self._byte()) != b'#':
            raw += byte
        assert int(self._byte() + self._byte(), 16) == sum(raw) & 255
        if self.ack:
            self.sock.sendall(b'+')
        return re.sub(b'}(.)', lambda m: bytes([m[1][0] ^ 0x20]), raw, flags=re.S).decode()

    def ask(self, text):
        self.send(text)
        return self.receive()

    def regs(self):
        raw = self.ask('g')
        values, at = {}, 0
        for name, bits in self.registers:
            n = bits // 4
            values[name] = int.from_bytes(bytes.fromhex(raw[at:at + n]), 'little')
            at += n
        assert at == len(raw)
        return values

    def monitor(self, command):
        self.send('qRcmd,' + command.encode().hex())
        text = ''
        while True:
            answer = self.receive()
            if answer[0] != 'O' or answer == 'OK':
                assert answer == 'OK', answer
                return text
            text += bytes.fromhex(answer[1:]).decode()

    def read(self, addr, n):
        return int.from_bytes(bytes.fromhex(self.ask(f'm{addr:x},{n:x}')), 'little')


class Machine:
    """The machine with an image, and files for what it says."""
    def __init__(self, program, image, *options, gdb=True):
        self.dir = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.dir.name, 'gdb')
        self.stats = os.path.join(self.dir.name, 'stats')
        more = ['--gdb', 'unix:' + self.path] if gdb else []
        self.process = subprocess.Popen(
            [program, '--kernel', image, '--serial', 'null', '--stats', self.stats, *more, *options],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def end(self):
        error = self.process.communicate(timeout=60)[1]
        return self.process.returncode, error


def symbols(elf):
    lines = subprocess.run(['nm', elf], capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[2]: int(line.split()[0], 16) for line in lines if len(line.split()) == 3}
