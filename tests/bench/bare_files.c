/* SPDX-License-Identifier: MIT */
/*
 * bare_files - the system calls of files.c alone, one after the other on one thread: the least they
 * can cost. It uses nothing of Corvid.
 *
 * usage: bare_files read|stat|run COUNT FOLDER
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int read_one(const char *path)
{
    char buf[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, buf, sizeof buf, 0);

    return fd < 0 || close(fd) < 0 || n != 1024 ? -1 : 0;
}

static int stat_one(const char *path)
{
    struct stat info;

    return stat(path, &info) < 0 || info.st_size != 1024 ? -1 : 0;
}

static int run_one(const char *path)
{
    static char name[] = "/bin/true";
    char *argv[] = {name, NULL};
    int status;
    pid_t pid;

    (void)path;
    return posix_spawn(&pid, name, NULL, NULL, argv, environ) != 0 ||
                   waitpid(pid, &status, 0) != pid || status != 0
               ? -1
               : 0;
}

static double seconds(int who)
{
    struct rusage usage;

    (void)getrusage(who, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double elapsed(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    int (*line)(const char *path);
    double begun = 0, cpu = 0;
    char path[512];
    int count;

    if (argc != 4) {
        fprintf(stderr, "usage: bare_files read|stat|run COUNT FOLDER\n");
        return 2;
    }
    line = strcmp(argv[1], "read") == 0 ? read_one
                                        : (strcmp(argv[1], "stat") == 0 ? stat_one : run_one);
    count = atoi(argv[2]);
    (void)snprintf(path, sizeof path, "%s/0", argv[3]);
    for (int i = -count / 10; i < count; i++) {
        if (i == 0) {
            begun = elapsed();
            cpu = seconds(RUSAGE_SELF) + seconds(RUSAGE_CHILDREN);
        }
        if (line(path) < 0) {
            perror("bare_files");
            return 1;
        }
    }
    printf("us %.3f\ncpu_us %.3f\n", (elapsed() - begun) * 1e6 / count,
           (seconds(RUSAGE_SELF) + seconds(RUSAGE_CHILDREN) - cpu) * 1e6 / count);
    return 0;
}
