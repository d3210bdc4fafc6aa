#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/stress/idle.py HTTPD [SECONDS] - does any thread of an idle httpd make a context switch?

Starts the program with two workers on a free loopback port, sends it some requests, lets it rest for
100 ms, then counts the context switches of each of its threads over so many seconds (10).
"""
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request


def switches(pid):
    """Thread: its switches so far."""
    counts = {}
    for task in pathlib.Path(f'/proc/{pid}/task').iterdir():
        lines = (task / 'status').read_text().splitlines()
        counts[task.name] = sum(int(line.split()[1]) for line in lines if 'ctxt_switches' in line)
    return counts


def main():
    program = sys.argv[1]
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    httpd = subprocess.Popen([program, '--set', f'http.listen=127.0.0.1:{port}',
                              '--set', 'runtime.threads=2'],
                             stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                socket.create_connection(('127.0.0.1', port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        for _ in range(20):
            with urllib.request.urlopen(f'http://127.0.0.1:{port}/plaintext', timeout=5) as answer:
                answer.read()
        time.sleep(0.1)
        before = switches(httpd.pid)
        time.sleep(seconds)
        after = switches(httpd.pid)
    finally:
        httpd.terminate()
        httpd.wait(10)
    moved = {tid: after[tid] - before.get(tid, 0) for tid in after if after[tid] != before.get(tid)}
    print(f'idle: {len(after)} threads, {sum(moved.values())} context switches in {seconds:g} s'
          + (f': {moved}' if moved else ''))
    return bool(moved) or set(before) != set(after)


if __name__ == '__main__':
    sys.exit(main())
