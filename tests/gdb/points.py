# SPDX-License-Identifier: MIT
"""For gdb, by tests/gdb/probes.py: prints each probe of corvid that is hit: probe NAME COROUTINE WORD."""
import gdb


class Point(gdb.Breakpoint):
    def __init__(self, kind):
        super().__init__(f'-probe-stap corvid:{kind}')
        self.kind = kind

    def stop(self):
        coro, word = (int(gdb.parse_and_eval(f'$_probe_arg{n}')) for n in (0, 1))
        gdb.write(f'\nprobe {self.kind} {coro} {word}\n')
        return False


def watch(kinds):
    for kind in kinds:
        Point(kind)
