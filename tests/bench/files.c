/* SPDX-License-Identifier: MIT */
/*
 * files - what calls on files, and programs, cost; one line of `tools/bench files` at a time.
 *
 *   read  opens a file of 1 KiB, reads it, closes it
 *   stat  asks for its size
 *   run   starts /bin/true and waits for its end
 *
 * So many coroutines at once do COUNT of them together, with files of their own in FOLDER that the
 * runner has made: 0, 1, 2 and so on. A tenth of it goes before, to warm up. Prints elapsed time
 * and CPU time per operation, that of the programs included. peers/files.go and bare_files.c do the
 * same.
 *
 * usage: files LINE THREADS AT_ONCE COUNT FOLDER
 */
#include <co/co.h>
#include <co/file.h>
#include <co/group.h>
#include <co/process.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { FILE_SIZE = 1024 };

static struct {
    int (*line)(const char *path);
    int at_once;
    int count;
    const char *folder;
} job;

static int read_one(const char *path)
{
    CO_FILE(fd, co_file_open(path, O_RDONLY, 0));
    char buf[4096];
    ssize_t n = fd < 0 ? fd : co_file_read(fd, buf, sizeof buf, 0);

    return n == FILE_SIZE || n < 0 ? (int)n : -EIO;
}

static int stat_one(const char *path)
{
    struct co_file_info info;
    int r = co_file_stat(path, &info);

    return r < 0 || info.size == FILE_SIZE ? r : -EIO;
}

static int run_one(const char *path)
{
    static const char *const argv[] = {"/bin/true", NULL};
    CO_PROCESS(program);
    int r = co_process_start(&program, NULL, argv);

    (void)path;
    return r < 0 ? r : co_process_wait(&program);
}

/* Returns: 0, or a negative errno. */
static int work(void *arg)
{
    int index = (int)(intptr_t)arg;
    char path[512];
    int r = 0;

    (void)snprintf(path, sizeof path, "%s/%d", job.folder, index);
    for (int i = index; i < job.count && r >= 0; i += job.at_once)
        r = job.line(path);
    return r < 0 ? r : 0;
}

static int work_together(void)
{
    CO_GROUP(group);

    for (int i = 0; i < job.at_once; i++) {
        int r = co_group_go(&group, work, (void *)(intptr_t)i);

        if (r < 0)
            return r;
    }
    return co_group_wait(&group);
}

static double cpu_seconds(void)
{
    double sum = 0;

    for (int who = RUSAGE_CHILDREN; who <= RUSAGE_SELF; who++) {
        struct rusage usage;

        (void)getrusage(who, &usage);
        sum += (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    }
    return sum;
}

static int measure(void *arg)
{
    int count = job.count;
    int64_t begun;
    double cpu;
    int r;

    (void)arg;
    job.count = count / 10;
    r = work_together();
    job.count = count;
    begun = co_now();
    cpu = cpu_seconds();
    if (r == 0)
        r = work_together();
    if (r == 0)
        printf("us %.3f\ncpu_us %.3f\n", (double)(co_now() - begun) / 1e3 / count,
               (cpu_seconds() - cpu) * 1e6 / count);
    return r;
}

int main(int argc, char **argv)
{
    struct co_conf conf;
    int r;

    if (argc != 6) {
        fprintf(stderr, "usage: files read|stat|run THREADS AT_ONCE COUNT FOLDER\n");
        return 2;
    }
    job.line = strcmp(argv[1], "read") == 0 ? read_one
                                            : (strcmp(argv[1], "stat") == 0 ? stat_one : run_one);
    job.at_once = atoi(argv[3]);
    job.count = atoi(argv[4]);
    job.folder = argv[5];
    co_conf_init(&conf);
    conf.threads = atoi(argv[2]);
    r = co_run_with(&conf, measure, NULL);
    if (r < 0)
        fprintf(stderr, "files: %s\n", co_strerror(r));
    return r < 0;
}
