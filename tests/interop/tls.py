#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/interop/tls.py CORVID GO - Corvid's and Go's ends of TLS with each other. Writes TAP.

CORVID is the program tls_peer, GO the one made of tls.go; both take the same words, see tls_peer.c.
"""
import contextlib
import re
import subprocess
import sys
import tempfile
import threading

PROGRAMS = {'corvid': sys.argv[1], 'go': sys.argv[2]}
PAIRS = [('corvid', 'go'), ('go', 'corvid'), ('corvid', 'corvid'), ('go', 'go')]
ECHO = 3 << 20


class Failure(Exception):
    """What was wrong, for the log."""


@contextlib.contextmanager
def serving(kind, **words):
    """A server. Yields its port, and what reads a line that it prints; it must not print another."""
    argv = [PROGRAMS[kind], 'serve', *(f'{name}={value}' for name, value in words.items())]
    server = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    watch = threading.Timer(30, server.kill)  # so that nothing is read for ever
    watch.start()
    try:
        said = server.stdout.readline().split()
        if said[:1] != ['port']:
            raise Failure(f'{argv} printed {said}')
        yield int(said[1]), server.stdout.readline
        server.terminate()
        rest = server.communicate()[0]
        if rest:
            raise Failure(f'{argv} printed {rest}')
    finally:
        watch.cancel()
        server.kill()
        server.wait()


def ask(kind, port, **words):
    """What a client prints."""
    argv = [PROGRAMS[kind], 'ask', f'port={port}', 'times=1',
            *(f'{name}={value}' for name, value in words.items())]
    argv = [a for a in argv if not (a == 'times=1' and 'times' in words)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise Failure(f'{argv} ended with {done.returncode} and printed {done.stdout}')
    return done.stdout.splitlines()


def expect(lines, *patterns):
    if len(lines) != len(patterns) or any(not any(re.search(p, line) for line in lines) for p in patterns):
        raise Failure(f'wanted {patterns}, got {lines}')


class Cases:
    """Each is called with the server's and the client's kind, and the folder of the certificates."""

    def __init__(self, folder, client):
        self.client = client
        self.own = {'chain': f'{folder}/host.pem', 'key': f'{folder}/host.key'}
        self.trust = {'ca': f'{folder}/ca.pem', 'host': 'localhost'}
        self.folder = folder

    def cert(self, name):
        return {'chain': f'{self.folder}/{name}.pem', 'key': f'{self.folder}/{name}.key'}

    def agree(self, server, client, limited, version):
        """agree on a version, a protocol and a name"""
        limit = {'max': version}
        with serving(server, alpn='h2,http/1.1', **self.own, **(limit if limited == 'server' else {})) as (port, _):
            lines = ask(client, port, alpn='h2,http/1.1', **self.trust, **(limit if limited == 'client' else {}))
        expect(lines, f'^client version={version} alpn=h2 .*resumed=0 peer=CN=host$',
               f'^server version={version} alpn=h2 host=localhost resumed=0 peer=-$')

    def resume(self, server, client, version):
        """resume their sessions"""
        with serving(server, max=version, **self.own) as (port, _):
            lines = ask(client, port, times=4, **self.trust)
        if [len([s for s in lines if re.search(f'^{end} .*resumed=1', s)]) for end in ('server', 'client')] != [3, 3]:
            raise Failure(f'wanted three resumed on both sides, got {lines}')

    def show(self, server, client, version):
        """know each other by certificates on both sides"""
        with serving(server, max=version, ca=f'{self.folder}/ca.pem', **self.own) as (port, _):
            lines = ask(client, port, **self.trust, **self.cert('client'))
        expect(lines, '^client .*peer=CN=host$', '^server .*peer=CN=alice$')

    def refuse_client(self, server, client, version, name):
        """refuse a client without a certificate of the authority"""
        with serving(server, max=version, ca=f'{self.folder}/ca.pem', **self.own) as (port, printed):
            lines = ask(client, port, **self.trust, **(self.cert(name) if name else {}))
            expect(lines, '^error .*(certificate|handshake failure|unknown CA)')
            expect([printed()], '^error .*(certificate|issuer)')

    def refuse_server(self, server, client, name, host, text):
        """refuse a server"""
        with serving(server, **self.cert(name)) as (port, printed):
            lines = ask(client, port, ca=f'{self.folder}/ca.pem', host=host)
            expect(lines, f'^error .*{text}')
            expect([printed()], '^error ')

    def echo(self, server, client, version):
        """carry bytes there and back at once"""
        with serving(server, max=version, **self.own) as (port, _):
            lines = ask(client, port, echo=ECHO, **self.trust)
        expect(lines, f'^echo {ECHO}$')

    def cut(self, server, client, version):
        """notice an end without a good-bye"""
        with serving(server, max=version, cut=1, **self.own) as (port, _):
            lines = ask(client, port, **self.trust)
        expect(lines, '^error .*(good-bye|unexpected EOF)')

    def all(self):
        for version in ('1.2', '1.3'):
            yield f'TLS {version} that the server allows', self.agree, ('server', version)
            yield f'TLS {version} that the client allows', self.agree, ('client', version)
            for case in (self.resume, self.show, self.echo):
                yield f'TLS {version}', case, (version,)
            if self.client != 'go':  # which takes an end between two records for a good one
                yield f'TLS {version}', self.cut, (version,)
            yield f'TLS {version}, none', self.refuse_client, (version, None)
            yield f'TLS {version}, a stranger\'s', self.refuse_client, (version, 'stranger')
        for what, name, host, text in (('that has expired', 'expired', 'localhost', 'expired'),
                                       ('that is another host', 'host', 'elsewhere.test', '(not for|valid for)'),
                                       ('of an unknown issuer', 'stranger', 'localhost', '(issuer|unknown authority)'),
                                       ('that signs itself', 'self', 'localhost', '(self-signed|unknown authority)')):
            yield what, self.refuse_server, (name, host, text)


def main():
    number = failed = 0
    with tempfile.TemporaryDirectory(prefix='corvid-interop-') as folder:
        subprocess.run([PROGRAMS['go'], 'certs', folder], check=True)
        for server, client in PAIRS:
            for what, case, words in Cases(folder, client).all():
                number += 1
                name = f'{server} serves {client}: they {case.__doc__} ({what})'
                try:
                    case(server, client, *words)
                    print(f'ok {number} - {name}', flush=True)
                except (Failure, subprocess.TimeoutExpired) as error:
                    failed += 1
                    print(f'not ok {number} - {name}\n# {error}', flush=True)
    print(f'1..{number}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
