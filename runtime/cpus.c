/* SPDX-License-Identifier: MIT */
/*
 * cpus.c - the CPUs this process may use.
 *
 * /proc/self/cgroup has one line per hierarchy: "0::/path" for version 2, "4:cpu,cpuacct:/path" for
 * a controller of version 1. A quota holds for all below it, so the smallest on the way from our
 * group to the root counts. In a container the path may be that of the host, which is not there:
 * its files are passed over, and the root of what is mounted, the container's own group, is asked
 * last.
 */
#include "cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Room for 16384 CPUs; a kernel with more refuses the call, and then CO__CPUS_MAX is right anyway.
 */
#define AFFINITY_SETS 16

/* Reads the first line of DIR/NAME without its line feed. Returns whether there was one. */
static bool read_line(const char *dir, const char *name, char *buf, int cap)
{
    char path[PATH_MAX];
    FILE *file;
    bool ok;

    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return false;
    file = fopen(path, "re");
    if (!file)
        return false;
    ok = fgets(buf, cap, file) != NULL;
    (void)fclose(file);
    if (ok)
        buf[strcspn(buf, "\n")] = '\0';
    return ok;
}

/* The CPUs that a quota per period is worth, rounded up; INT_MAX for none. */
static int worth(int64_t quota, int64_t period)
{
    int64_t cpus;

    if (quota <= 0 || period <= 0)
        return INT_MAX;
    cpus = quota / period + (quota % period != 0);
    return cpus < INT_MAX ? (int)cpus : INT_MAX;
}

/* Reads a number. Returns what follows it, or NULL. */
static char *number(char *text, int64_t *ret_value)
{
    char *end;
    int64_t value = strtoll(text, &end, 10);

    if (end == text)
        return NULL;
    *ret_value = value;
    return end;
}

/* The quota of one group of version 2: "max 100000" or "150000 100000". */
static int quota_v2(const char *dir)
{
    char text[128];
    char *rest;
    int64_t quota;
    int64_t period;

    if (!read_line(dir, "cpu.max", text, sizeof text))
        return INT_MAX;
    rest = number(text, &quota);
    return rest && number(rest, &period) ? worth(quota, period) : INT_MAX;
}

/* The quota of one group of version 1; -1 says that there is none. */
static int quota_v1(const char *dir)
{
    char text[64];
    int64_t quota;
    int64_t period;

    if (!read_line(dir, "cpu.cfs_quota_us", text, sizeof text) || !number(text, &quota))
        return INT_MAX;
    if (!read_line(dir, "cpu.cfs_period_us", text, sizeof text) || !number(text, &period))
        return INT_MAX;
    return worth(quota, period);
}

/* The smallest quota from the group at mount + path up to the mount itself. */
static int smallest(const char *mount, const char *path, int (*quota_of)(const char *dir))
{
    char dir[PATH_MAX];
    size_t root = strlen(mount);
    int least;

    /* A path that leads out of what is mounted ("/../x") says nothing about what is in it. */
    if (strstr(path, "/..") || snprintf(dir, sizeof dir, "%s%s", mount, path) >= (int)sizeof dir)
        return quota_of(mount);
    least = quota_of(dir);
    while (strlen(dir) > root) {
        int quota;
        *strrchr(dir, '/') = '\0';
        quota = strlen(dir) >= root ? quota_of(dir) : INT_MAX;
        least = quota < least ? quota : least;
    }
    return least;
}

/* Whether a list "cpu,cpuacct" names the controller of quotas. */
static bool has_cpu(const char *controllers)
{
    while (*controllers) {
        size_t len = strcspn(controllers, ",");
        if (len == 3 && memcmp(controllers, "cpu", 3) == 0)
            return true;
        controllers += len + (controllers[len] == ',');
    }
    return false;
}

/* The quota that one line of /proc/self/cgroup leads to. The line is taken apart. */
static int quota_of_line(const char *root, char *line)
{
    char mount[PATH_MAX];
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;

    if (!path)
        return INT_MAX;
    *controllers++ = '\0';
    *path++ = '\0';
    path[strcspn(path, "\n")] = '\0';
    if (*controllers == '\0')
        return smallest(root, path, quota_v2);
    if (!has_cpu(controllers) ||
        snprintf(mount, sizeof mount, "%s/%s", root, controllers) >= (int)sizeof mount)
        return INT_MAX;
    return smallest(mount, path, quota_v1);
}

int co__cpus_quota(const char *root, const char *own, int affinity)
{
    char line[PATH_MAX + 64];
    FILE *file = fopen(own, "re");
    int cpus = affinity;

    while (file && fgets(line, sizeof line, file)) {
        int quota = quota_of_line(root, line);
        cpus = quota < cpus ? quota : cpus;
    }
    if (file)
        (void)fclose(file);
    return cpus < 1 ? 1 : cpus;
}

int co__cpus(void)
{
    cpu_set_t sets[AFFINITY_SETS];
    int cpus = CO__CPUS_MAX;

    if (sched_getaffinity(0, sizeof sets, sets) == 0)
        cpus = CPU_COUNT_S(sizeof sets, sets);
    cpus = co__cpus_quota("/sys/fs/cgroup", "/proc/self/cgroup", cpus);
    return cpus < CO__CPUS_MAX ? cpus : CO__CPUS_MAX;
}

static cpu_set_t noted[AFFINITY_SETS];
static bool is_noted;

void co__cpus_note(void)
{
    is_noted = sched_getaffinity(0, sizeof noted, noted) == 0;
}

void co__cpus_use(void)
{
    if (is_noted)
        (void)sched_setaffinity(0, sizeof noted, noted);
}
