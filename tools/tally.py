#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/tally.py NAME=LOG... - count test cases and close with "N passed, N failed".

A log is meson's testlog.json, whose programs wrote TAP or are one case each, or the output of tools/model, whose last line has the
form of ours. A program that ends badly without a failed case of its own (a crash, a time-out, a plan that
was not kept) counts as one failed case.
"""
import json
import re
import sys

CASE = re.compile(r'^(not )?ok\b(?: \d+)?(?: -)? ?(.*?)(?: *# *(SKIP|TODO)\b(.*))?$', re.IGNORECASE)
SUM = re.compile(r'^(\d+) passed, (\d+) failed$')
TAIL = 60  # lines of a failed program's stderr that are shown


def is_tap(entry):
    return re.search(r'^1\.\.\d+', entry.get('stdout') or '', re.MULTILINE)


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.skipped = []

    def program(self, where, entry):
        """One program of meson's log."""
        bad = []
        passed = 0
        for line in (entry.get('stdout') or '').splitlines():
            case = CASE.match(line)
            if not case:
                continue
            negative, name, directive, why = case.groups()
            if directive and directive.upper() == 'SKIP':
                self.skipped.append(f'{where}: {name}{why}')
            elif negative:
                bad.append(name)
            else:
                passed += 1
        if not bad and not passed and entry['result'] == 'OK' and not is_tap(entry):
            passed = 1
        self.passed += passed
        if not bad and entry['result'] not in ('OK', 'SKIP'):
            bad.append(f'the program as a whole: {entry["result"]}, exit status {entry.get("returncode")}')
        self.failed += len(bad)
        if bad:
            print(f'\n-- {where}: {len(bad)} failed')
            for name in bad:
                print(f'   {name}')
            print('\n'.join(line for line in (entry.get('stdout') or '').splitlines()
                            if not line.startswith('ok ')))
            print('\n'.join((entry.get('stderr') or '').splitlines()[-TAIL:]))

    def meson(self, kind, path):
        programs = 0
        with open(path, encoding='utf-8', errors='replace') as log:
            for line in log:
                entry = json.loads(line)
                programs += 1
                self.program(f'{kind} {entry["name"].split(" / ")[-1]}', entry)
        if programs == 0:
            self.nothing(kind)

    def models(self, kind, path):
        with open(path, encoding='utf-8', errors='replace') as log:
            lines = log.read().splitlines()
        found = SUM.match(lines[-1]) if lines else None
        if not found:
            self.nothing(kind)
            return
        self.passed += int(found.group(1))
        self.failed += int(found.group(2))

    def nothing(self, kind):
        print(f'\n-- {kind}: no test ran')
        self.failed += 1


def main():
    tally = Tally()
    for argument in sys.argv[1:]:
        kind, path = argument.split('=', 1)
        try:
            (tally.meson if path.endswith('.json') else tally.models)(kind, path)
        except (OSError, ValueError) as error:
            print(f'{kind}: {error}')
            tally.nothing(kind)
    if tally.skipped:
        print(f'\n{len(tally.skipped)} skipped:')
        for name in tally.skipped:
            print(f'   {name}')
    print(f'{tally.passed} passed, {tally.failed} failed')
    return 1 if tally.failed or not tally.passed else 0


if __name__ == '__main__':
    sys.exit(main())
