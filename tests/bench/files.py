# SPDX-License-Identifier: MIT
"""tools/bench files: small files, and programs, beside Go and the bare system calls.

tools/bench hands itself in as `kit`; see there for what a benchmark is.
"""
import pathlib
import tempfile


def benches(kit):
    class Files:
        name = 'files'
        help = 'time of calls on small files, and of starting a program, beside Go and bare calls'
        metrics = [('us', 'us each', 2), ('cpu_us', 'CPU us each', 2)]
        titles = {'read': 'open, read and close a file of 1 KiB in the page cache',
                  'stat': 'stat of a file', 'run': 'start /bin/true and wait for its end'}
        counts = {'read': 20000, 'stat': 40000, 'run': 500}

        def add_options(self, parser):
            parser.add_argument('--lines', type=lambda text: text.split(','), metavar='LINE,LINE',
                                default=list(self.titles), help='(read,stat,run)')
            parser.add_argument('--at-once', type=kit.numbers, default=[1, 16], metavar='N,N',
                                help='coroutines; bare: one thread in any case (1,16)')
            parser.add_argument('--threads', type=kit.positive, default=2, help='(2)')

        def prepare(self, options):
            names = kit.chosen(options, ['corvid', 'go', 'bare'])
            self.programs = {'corvid': kit.build_ours('tests/bench/files')}
            if 'go' in names:
                kit.require('go')
                self.programs['go'] = kit.build_go('files')
            if 'bare' in names:
                kit.require('gcc')
                self.programs['bare'] = kit.build_c('bare_files')
            return names

        def measure(self, name, line, at_once, options, folder):
            threads = [str(options.threads)] if name == 'corvid' else []
            parallel = [str(at_once)] if name != 'bare' else []
            return kit.run_figures([self.programs[name], line, *threads, *parallel,
                                    str(self.counts[line]), folder],
                                   GOMAXPROCS=str(options.threads))

        def run(self, options):
            names = self.prepare(options)
            if set(options.lines) - set(self.titles):
                raise kit.BenchError('no such line; there are ' + ', '.join(self.titles))
            with tempfile.TemporaryDirectory(prefix='corvid-bench-') as folder:
                for index in range(max(options.at_once)):
                    (pathlib.Path(folder) / str(index)).write_bytes(bytes(1024))
                for line in options.lines:
                    for at_once in options.at_once:
                        report = kit.Report(f'{self.titles[line]}, {at_once} at once, '
                                            f'{options.threads} threads', self.metrics,
                                            [(metric, 'corvid', other, None)
                                             for metric in ('us', 'cpu_us')
                                             for other in ('go', 'bare')])
                        kit.alternate(report, options.rounds, names,
                                      lambda name, line=line, at_once=at_once: self.measure(
                                          name, line, at_once, options, folder))
                        yield report

    return [Files()]
