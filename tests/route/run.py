#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/route/run.py PROGRAM - runs PROGRAM, which speaks TAP, in a network namespace with routes that do harm.

The namespace belongs to the processes in it and is gone with them, however they end. In it 10.9.0.2 and 10.9.0.3
swallow everything, 10.8/16 is a blackhole route, 10.7/16 unreachable, 10.6/16 prohibited, and loopback passes
8 Mbit/s. Needs root, unshare(1) and iproute2; what this machine cannot do is skipped, and says so.
"""
import os
import shutil
import subprocess
import sys

ROUTES = (
    'ip link set lo mtu 1500 up',
    'ip link add hole0 type veth peer name hole1',
    'ip link set hole0 up',
    'ip link set hole1 up',
    'ip address add 10.9.0.1/24 dev hole0',
    # The other end belongs to nobody with this address, and drops what comes.
    'ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:02 dev hole0',
    'ip neighbour add 10.9.0.3 lladdr 02:00:00:00:00:03 dev hole0',
    'ip route add blackhole 10.8.0.0/16',
    'ip route add unreachable 10.7.0.0/16',
    'ip route add prohibit 10.6.0.0/16',
)
THROTTLE = 'tc qdisc add dev lo root tbf rate 8mbit burst 64kb latency 500ms'


def say(command):
    """Runs a command. Returns: None, or what is wrong."""
    done = subprocess.run(command.split(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return None if done.returncode == 0 else f'{command}: {done.stdout.strip()}'


def skip(reason):
    print(f'1..0 # SKIP {reason}')
    return 0


def inside(program):
    for command in ROUTES:
        wrong = say(command)
        if wrong:
            return skip(wrong)
    plain = subprocess.run([program, 'routes'], check=False).returncode
    wrong = say(THROTTLE)
    return subprocess.run([program, 'throttle', wrong or ''], check=False).returncode or plain


def main():
    if sys.argv[1] == '--inside':
        return inside(sys.argv[2])
    for tool in ('unshare', 'ip', 'tc'):
        if not shutil.which(tool):
            return skip(f'there is no {tool}')
    if os.geteuid() != 0:
        return skip('only root may make a network namespace')
    wrong = say('unshare --net true')
    if wrong:
        return skip(wrong)
    return subprocess.run(['unshare', '--net', sys.executable, __file__, '--inside', sys.argv[1]],
                          check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
