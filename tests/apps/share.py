#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does httpd share its load between two workers? Run by hand and by the benchmarks, not by tools/test.

    tests/apps/share.py [--seconds 10] [--connections 64] [HTTPD]

Starts HTTPD (build/release/apps/httpd/httpd) on a free port with two workers, loads /plaintext with wrk, and
asserts: no socket error and no status other than 2xx; each worker answers 40 to 60 % of the requests and owns
28 to 36 of 64 sockets (44 to 56 % of any other number); status 0 after SIGTERM. Exit status 0 if all hold.
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def stats(port):
    """The counters of each worker, by name."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=10) as answer:
        return json.load(answer)["workers"]


def load(port, connections, seconds):
    """Runs wrk; reads the sockets of each worker in the middle. Returns wrk's words and the sockets."""
    wrk = subprocess.Popen(
        ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", f"http://127.0.0.1:{port}/plaintext"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        time.sleep(seconds / 2)
        sockets = [worker["net_sockets"] for worker in stats(port)]
        words, _ = wrk.communicate(timeout=seconds + 20)
    finally:
        wrk.kill()
    return words, sockets


def judge(name, values, low, high):
    """Prints the values; False if one is outside."""
    good = all(low <= value <= high for value in values)
    print(f"{'ok  ' if good else 'FAIL'} {name}: {values}, each to be {low:g} to {high:g}")
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("httpd", nargs="?", default=f"{ROOT}/build/release/apps/httpd/httpd")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=64)
    args = parser.parse_args()

    httpd = subprocess.Popen(
        [args.httpd, "--set", "runtime.threads=2", "--set", "http.listen=127.0.0.1:0"],
        stderr=subprocess.PIPE, text=True)
    good = True
    try:
        line = httpd.stderr.readline()
        port = int(re.match(r"httpd: listening on 127\.0\.0\.1:(\d+)", line).group(1))
        first = stats(port)
        before = [worker["http_requests"] for worker in first]
        words, sockets = load(port, args.connections, args.seconds)
        after = [worker["http_requests"] for worker in stats(port)]
        print(words, end="")
        if "Socket errors" in words or "Non-2xx" in words or "requests in" not in words:
            print("FAIL wrk met errors")
            good = False
        counts = [b - a for a, b in zip(before, after)]
        shares = [round(100 * count / max(1, sum(counts)), 1) for count in counts]
        half = args.connections / 2
        good &= judge("share of the requests in %", shares, 40, 60)
        # Less the sockets that listen, and the connection that asks for the statistics.
        sockets = [now - worker["net_sockets"] for now, worker in zip(sockets, first)]
        good &= judge("sockets", sockets, half * 0.875, half * 1.125)
    finally:
        httpd.send_signal(signal.SIGTERM)
        status = httpd.wait(timeout=30)
    print(f"{'ok  ' if status == 0 else 'FAIL'} exit status {status}")
    return 0 if good and status == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
