/* SPDX-License-Identifier: MIT */
/*
 * test_cpus.c - what `threads = auto` makes of affinity and of control groups, with made-up ones.
 */
#include "cpus.h"
#include "support/test.h"

#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char root[64];

static void begin(void)
{
    (void)snprintf(root, sizeof root, "/tmp/test_cpus_XXXXXX");
    cr_assert(mkdtemp(root) != NULL);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static void end(void)
{
    (void)nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file below the root, with the folders on the way to it. */
static void put(const char *name, const char *text)
{
    char path[PATH_MAX];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        (void)mkdir(path, 0700);
    }
    file = fopen(path, "we");
    cr_assert(file != NULL);
    cr_assert(fputs(text, file) >= 0);
    cr_assert_eq(fclose(file), 0);
}

/* What eight CPUs are cut to for a process in the groups of `own`. */
static int of_eight(const char *own)
{
    char path[PATH_MAX];

    put("own", own);
    (void)snprintf(path, sizeof path, "%s/own", root);
    return co__cpus_quota(root, path, 8);
}

Test(cpus, without_control_groups_the_affinity_counts, .init = begin, .fini = end)
{
    cr_assert_eq(co__cpus_quota(root, "/nonexistent/cgroup", 8), 8);
    cr_assert_eq(co__cpus_quota("/nonexistent", "/nonexistent/cgroup", 0), 1);
    cr_assert_eq(of_eight(""), 8);
    cr_assert_eq(of_eight("0::/\n"), 8);
    cr_assert_eq(of_eight("nonsense\n:\n::\n1:cpu\n"), 8);
}

Test(cpus, a_quota_of_version_2_is_rounded_up, .init = begin, .fini = end)
{
    static const struct {
        const char *quota;
        int cpus;
    } cases[] = {
        {"150000 100000\n", 2},  {"200000 100000\n", 2},
        {"1000 100000\n", 1},    {"max 100000\n", 8},
        {"9000000 100000\n", 8}, {"9223372036854775807 1\n", 8},
        {"nonsense\n", 8},       {"", 8},
        {"100000 0\n", 8},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put("a/cpu.max", cases[i].quota);
        cr_expect_eq(of_eight("0::/a\n"), cases[i].cpus, "%s", cases[i].quota);
    }
}

Test(cpus, the_smallest_quota_on_the_way_to_the_root_counts, .init = begin, .fini = end)
{
    put("a/b/c/cpu.max", "600000 100000\n");
    put("a/b/cpu.max", "max 100000\n");
    put("a/cpu.max", "300000 100000\n");
    cr_assert_eq(of_eight("0::/a/b/c\n"), 3);
    put("a/b/c/cpu.max", "100000 100000\n");
    cr_assert_eq(of_eight("0::/a/b/c\n"), 1);
    cr_assert_eq(of_eight("0::/a/b\n"), 3);
}

Test(cpus, in_a_container_the_root_of_the_mount_counts, .init = begin, .fini = end)
{
    put("cpu.max", "400000 100000\n");
    cr_assert_eq(of_eight("0::/\n"), 4);
    cr_assert_eq(of_eight("0::/docker/0123456789abcdef\n"), 4); /* the host's path */
    cr_assert_eq(of_eight("0::/../other\n"), 4);
}

Test(cpus, a_path_that_leads_out_of_the_mount_is_not_followed, .init = begin, .fini = end)
{
    char mount[PATH_MAX];
    char own[PATH_MAX];

    put("own", "0::/../other\n");
    put("other/cpu.max", "100000 100000\n");
    put("mount/cpu.max", "400000 100000\n");
    (void)snprintf(mount, sizeof mount, "%s/mount", root);
    (void)snprintf(own, sizeof own, "%s/own", root);
    cr_assert_eq(co__cpus_quota(mount, own, 8), 4);
}

Test(cpus, a_quota_of_version_1_counts_too, .init = begin, .fini = end)
{
    put("cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n");
    put("cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    put("cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put("cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(of_eight("12:memory:/a\n4:cpu,cpuacct:/a\n1:name=systemd:/a\n0::/a\n"), 3);
    cr_assert_eq(of_eight("4:cpu,cpuacct:/\n"), 8);
    cr_assert_eq(of_eight("4:cpuset,cpuacct:/a\n"), 8);
    put("cpuset,cpuacct/cpu.cfs_quota_us", "100000\n");
    put("cpuset,cpuacct/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(of_eight("4:cpuset,cpuacct:/\n"), 8);
    put("cpu/cpu.cfs_quota_us", "500000\n");
    put("cpu/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(of_eight("4:cpu:/nowhere\n"), 5);
}

Test(cpus, of_this_process_they_follow_its_affinity)
{
    cpu_set_t all;
    cpu_set_t one;
    size_t first = 0;
    int before = co__cpus();

    cr_assert(before >= 1 && before <= CO__CPUS_MAX);
    cr_assert_eq(sched_getaffinity(0, sizeof all, &all), 0);
    cr_assert(before <= CPU_COUNT(&all));
    while (!CPU_ISSET(first, &all))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    cr_assert_eq(co__cpus(), 1);
    cr_assert_eq(sched_setaffinity(0, sizeof all, &all), 0);
    cr_assert_eq(co__cpus(), before);
}
