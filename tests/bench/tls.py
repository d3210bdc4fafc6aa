# SPDX-License-Identifier: MIT
"""tools/bench tls: handshakes, bulk data and idle connections over TLS 1.3, beside nginx and Go.

tools/bench hands itself in as `kit`; see there for what a benchmark is. All servers have the same
certificate (ECDSA on P-256), speak TLS_AES_128_GCM_SHA256 with the same client, tests/bench/tls_client.c, and
run as many threads.
"""
import contextlib
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

SUITE = 'TLS_AES_128_GCM_SHA256'


def benches(kit):
    class Tls:
        name = 'tls'
        help = 'CPU per handshake and per MiB over TLS, memory of idle ones, beside nginx and Go'
        handshakes = [('cpu_us', 'CPU us/handshake', 1), ('per_core', 'a second of CPU', 0),
                      ('rate', 'handshakes/s', 0), ('resumed', 'resumed %', 1)]
        bulk = [('cpu_us', 'CPU us/MiB', 1), ('user_us', 'user', 1), ('system_us', 'system', 1),
                ('rate', 'MiB/s', 0)]
        idle = [('bytes', 'bytes each', 0), ('after', 'KiB after close', 0)]
        names = ['corvid', 'parked', 'nginx', 'go']

        def add_options(self, parser):
            parser.add_argument('--seconds', type=kit.positive, default=2,
                                help='of each measurement (2)')
            # More would have sessions to resume only by luck: the client keeps four for a host.
            parser.add_argument('--connections', type=kit.positive, default=4, help='at once (4)')
            parser.add_argument('--threads', type=kit.positive, default=1,
                                help='of each server (1)')
            parser.add_argument('--ways', type=lambda text: text.split(','), metavar='WAY,WAY',
                                default=['full', 'resumed', 'bulk', 'idle'],
                                help='(full,resumed,bulk,idle)')
            parser.add_argument('--idle', type=kit.positive, default=2000, metavar='N',
                                help='connections that are idle (2000)')

        def make_certificate(self, folder):
            self.chain, self.key = f'{folder}/chain.pem', f'{folder}/key.pem'
            subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                            'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj',
                            '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost',
                            '-keyout', self.key, '-out', self.chain],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def prepare(self, options):
            kit.os.environ['PATH'] += ':/usr/sbin'
            self.chosen = kit.chosen(options, self.names)
            kit.require('openssl', *[p for p in ('nginx', 'go') if p in self.chosen])
            self.client = kit.build_ours('tests/bench/tls_client')
            self.programs = {'corvid': kit.build_ours('tests/bench/tls_server')}
            if 'go' in self.chosen:
                self.programs['go'] = kit.build_go('tls')

        def command(self, name, port, options, folder):
            threads = str(options.threads)
            if name in ('corvid', 'parked'):
                return [self.programs['corvid'], str(port), threads, self.chain, self.key,
                        'when' if name == 'corvid' and self.way == 'idle' else 'parked'], {}
            if name == 'go':
                return [self.programs[name], str(port), self.chain, self.key], {
                    'GOMAXPROCS': threads}
            files = pathlib.Path(folder) / 'files'
            files.mkdir()
            files.chmod(0o755)
            pathlib.Path(folder).chmod(0o755)
            for size in (1, 1 << 20):
                (files / str(size)).write_bytes(bytes(size))
            text = (kit.SOURCES / 'peers' / 'nginx_tls.conf').read_text()
            for key, value in (('PORT', port), ('THREADS', threads), ('FOLDER', folder),
                               ('CHAIN', self.chain), ('KEY', self.key)):
                text = text.replace(f'@{key}@', str(value))
            conf = pathlib.Path(folder) / 'nginx.conf'
            conf.write_text(text)
            return ['nginx', '-p', folder, '-e', f'{folder}/error.log', '-c', str(conf)], {}

        @contextlib.contextmanager
        def server(self, name, options):
            """A server that runs. Yields its process and its port."""
            with tempfile.TemporaryDirectory(prefix='corvid-bench-') as folder, \
                    open(f'{folder}/log', 'w+', encoding='utf-8') as log:
                port = kit.free_port()
                argv, environment = self.command(name, port, options, folder)
                process = subprocess.Popen(argv, env={**kit.os.environ, **environment},
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                try:
                    self.await_port(name, process, port, log)
                    yield process, port
                finally:
                    process.send_signal(signal.SIGTERM)
                    try:
                        process.wait(10)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()

        def await_port(self, name, process, port, log):
            end = time.monotonic() + 10
            while time.monotonic() < end:
                if process.poll() is not None:
                    log.seek(0)
                    raise kit.BenchError(f'{name} ended at its start: {log.read().strip()}')
                try:
                    socket.create_connection(('127.0.0.1', port), timeout=5).close()
                    return
                except ConnectionRefusedError:
                    time.sleep(0.02)
            raise kit.BenchError(f'{name} does not listen after 10 seconds')

        def drive(self, name, port, way, seconds, options):
            size = 1 << 20 if way == 'bulk' else 1
            done = subprocess.run([self.client, str(port), way, str(options.connections),
                                   str(seconds), str(size)], capture_output=True, text=True,
                                  timeout=120, check=False)
            said = dict(line.split() for line in done.stdout.splitlines())
            if done.returncode != 0 or 'done' not in said:
                raise kit.BenchError(f'the client of {name}, {way}: {done.stderr.strip()}')
            if int(said['failures']) > 0 or int(said['done']) == 0:
                raise kit.BenchError(f'{name}, {way}: {said}')
            if said['cipher'] != SUITE or said['version'] != '304':
                raise kit.BenchError(f'{name} does not speak {SUITE}: {said}')
            return {key: float(said[key]) for key in ('done', 'resumed', 'seconds')}

        def measure(self, name, options):
            way = self.way
            with self.server(name, options) as (process, port):
                self.drive(name, port, way, 1, options)  # warm
                user, system = kit.cpu_times(process.pid)
                said = self.drive(name, port, way, options.seconds, options)
                user_after, system_after = kit.cpu_times(process.pid)
            user, system = user_after - user, system_after - system
            result = {'cpu_us': (user + system) / said['done'] * 1e6,
                      'user_us': user / said['done'] * 1e6,
                      'system_us': system / said['done'] * 1e6,
                      'per_core': said['done'] / (user + system),
                      'rate': said['done'] / said['seconds'],
                      'resumed': 100 * said['resumed'] / said['done']}
            if way == 'full' and said['resumed'] > 0:
                raise kit.BenchError(f'{name}: a handshake that was to be full was not')
            if way == 'resumed' and result['resumed'] < 90:
                raise kit.BenchError(f'{name}: only {result["resumed"]:.0f} % were resumed')
            return result

        def measure_idle(self, name, options):
            def client(connections):
                return [self.client, str(port), 'idle', str(connections), '0', '1']

            with self.server(name, options) as (process, port):
                # What is needed once is there.
                subprocess.run(client(16), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               timeout=60, check=True)
                return kit.idle_memory(process.pid, options.idle, client(options.idle))

        def report(self, way, options):
            if way == 'idle':
                report = kit.Report(f'{options.idle} idle connections, TLS 1.3, server process; '
                                    'corvid: waits with co_stream_go_when; parked: in its stream',
                                    self.idle, [('bytes', 'corvid', 'nginx', None),
                                                ('bytes', 'corvid', 'go', None),
                                                ('bytes', 'parked', 'go', None)])
                return report, self.chosen
            title = {'full': 'full handshakes, ECDSA on P-256, with one small exchange each',
                     'resumed': 'resumed handshakes, with one small exchange each',
                     'bulk': 'pieces of 1 MiB'}[way]
            names = [name for name in self.chosen if name != 'parked']  # it is what corvid is here
            report = kit.Report(f'{title}, {SUITE}, {options.threads} thread(s)',
                                self.bulk if way == 'bulk' else self.handshakes,
                                [('cpu_us', 'corvid', 'nginx', None),
                                 ('cpu_us', 'corvid', 'go', None)])
            return report, names

        def run(self, options):
            self.prepare(options)
            with tempfile.TemporaryDirectory(prefix='corvid-bench-') as folder:
                pathlib.Path(folder).chmod(0o755)
                self.make_certificate(folder)
                pathlib.Path(self.key).chmod(0o644)
                for self.way in options.ways:
                    report, names = self.report(self.way, options)
                    measure = self.measure_idle if self.way == 'idle' else self.measure
                    kit.alternate(report, options.rounds, names,
                                  lambda name, measure=measure: measure(name, options))
                    yield report

    return [Tls()]
