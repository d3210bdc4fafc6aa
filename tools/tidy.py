#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/tidy.py BUILD - clang-tidy over every C file that BUILD compiles, JOBS at a time (all CPUs if not said).

What has passed is remembered in BUILD/tidy by a hash of the file, of all headers, of the checks and of the
command, so that a second run only looks at what has changed.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def digest(*parts):
    h = hashlib.sha256()
    for part in parts:
        h.update(part if isinstance(part, bytes) else part.encode())
        h.update(b'\0')
    return h.hexdigest()


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    passed = build / 'tidy'
    passed.mkdir(exist_ok=True)
    commands = {}
    for entry in json.loads((build / 'compile_commands.json').read_text()):
        path = (pathlib.Path(entry['directory']) / entry['file']).resolve()
        if path.is_relative_to(ROOT) and path.suffix == '.c':
            commands.setdefault(path, entry['command'])
    version = subprocess.run(['clang-tidy', '--version'], capture_output=True, check=True).stdout
    common = digest(version, *(p.read_bytes() for p in sorted(ROOT.glob('**/.clang-tidy'))),
                    *(p.read_bytes() for p in sorted(ROOT.rglob('*.h')) if build not in p.parents))

    def look(path):
        stamp = passed / digest(common, str(path), commands[path], path.read_bytes())
        if stamp.exists():
            return None
        run = subprocess.run(['clang-tidy', '-p', str(build), '--quiet', str(path)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if run.returncode == 0:
            stamp.touch()
            return ''
        return run.stdout + ('' if run.stdout else run.stderr)

    bad = looked = 0
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get('JOBS') or os.cpu_count())) as pool:
        for output in pool.map(look, sorted(commands)):
            looked += output is not None
            if output:
                bad += 1
                print(output, end='', flush=True)
    print(f'tidy: {len(commands)} files, {looked} of them new or changed, {bad} with findings')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
