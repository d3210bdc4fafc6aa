/* SPDX-License-Identifier: MIT */
/* tests/netio/test_dir.c - folders are listed whole, and made, and removed. */
#include <co/dir.h>

#include "netio/folder.h"
#include <co/group.h>
#include <sys/socket.h>
#include <sys/un.h>

TestSuite(dir, .timeout = 30, .init = make_folder, .fini = remove_folder);

/* So many empty files, whose names are numbers. */
static void make_files(int files)
{
    char name[16];

    for (int i = 0; i < files; i++) {
        (void)snprintf(name, sizeof name, "%d", i);
        put_file(name, "", 0);
    }
}

/* Lists the folder, in which the numbers up to `files` must be, each once, and nothing else. */
static void list_all(int files)
{
    struct co_dir_entry entry;
    bool *seen = calloc((size_t)files + 1, sizeof *seen);
    int found = 0, r;
    CO_DIR(dir, folder);

    if (!seen)
        abort();
    while ((r = co_dir_next(&dir, &entry)) > 0) {
        int number = atoi(entry.name);

        CHECK(r == 1 && number >= 0 && number < files && !seen[number]);
        CHECK(entry.type == CO_FILE_REGULAR || entry.type == CO_FILE_UNKNOWN);
        seen[number] = true;
        found++;
    }
    CHECK(r == 0 && found == files);
    CHECK(co_dir_next(&dir, &entry) == 0); /* and so it stays */
    free(seen);
}

static int list(void *arg)
{
    static const int sizes[] = {0, 1, 63, 64, 65, 128, 300};
    int before = descriptors();

    (void)arg;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        make_files(sizes[i]);
        list_all(sizes[i]);
    }
    CHECK(descriptors() == before);
    return 0;
}

Test(dir, is_listed_whole_whatever_its_size)
{
    run_on(1, list, NULL);
}

static int type_in_list(const char *name)
{
    struct co_dir_entry entry;
    CO_DIR(dir, folder);

    while (co_dir_next(&dir, &entry) > 0) {
        if (strcmp(entry.name, name) == 0)
            return entry.type;
    }
    return -1;
}

static int tell_types(void *arg)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)arg;
    put_file("file", "", 0);
    CHECK(mkdir(in_folder("sub"), 0700) == 0 && symlink("sub", in_folder("link")) == 0);
    CHECK(mkfifo(in_folder("fifo"), 0600) == 0);
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s", in_folder("sock"));
    CHECK(bind(sock, (struct sockaddr *)(void *)&addr, sizeof addr) == 0 && close(sock) == 0);
    if (type_in_list("file") == CO_FILE_UNKNOWN)
        return 0; /* a file system that does not say */
    CHECK(type_in_list("file") == CO_FILE_REGULAR && type_in_list("sub") == CO_FILE_DIR);
    CHECK(type_in_list("link") == CO_FILE_LINK && type_in_list("fifo") == CO_FILE_FIFO);
    CHECK(type_in_list("sock") == CO_FILE_SOCKET && type_in_list("nothing") == -1);
    return 0;
}

Test(dir, a_list_tells_types)
{
    run_on(1, tell_types, NULL);
}

static int list_long_names(void *arg)
{
    struct co_dir_entry entry;
    char name[256];
    int found = 0;

    (void)arg;
    (void)memset(name, 'n', 255);
    name[255] = '\0';
    for (int i = 0; i < 70; i++) {
        name[0] = (char)('0' + i);
        put_file(name, "", 0);
    }
    CO_DIR(dir, folder);
    while (co_dir_next(&dir, &entry) > 0) {
        CHECK(strlen(entry.name) == 255 && strcmp(entry.name + 1, name + 1) == 0);
        found++;
    }
    CHECK(found == 70);
    return 0;
}

Test(dir, names_may_be_as_long_as_the_system_allows)
{
    run_on(1, list_long_names, NULL);
}

static int list_in_vain(void *arg)
{
    static const struct {
        const char *path;
        int error;
    } cases[] = {{"/nothing", -ENOENT}, {"/proc/self/exe", -ENOTDIR}, {NULL, -EINVAL}};
    int before = descriptors();
    struct co_dir_entry entry;
    struct co_dir dir;

    (void)arg;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(co_dir_open(&dir, cases[i].path) == cases[i].error);
        CHECK(co_dir_next(&dir, &entry) == cases[i].error);
        co_dir_close(&dir);
        co_dir_close(&dir);
        CHECK(co_dir_next(&dir, &entry) == -EINVAL);
    }
    co_dir_close(NULL);
    CHECK(descriptors() == before);
    return 0;
}

Test(dir, one_that_cannot_be_listed_says_why)
{
    run_on(1, list_in_vain, NULL);
}

static int leave_early(void *arg)
{
    int before = descriptors();
    struct co_dir_entry entry;

    (void)arg;
    make_files(200);
    {
        CO_DIR(dir, folder);

        CHECK(co_dir_next(&dir, &entry) == 1 && descriptors() == before + 1);
    }
    CHECK(descriptors() == before);
    return 0;
}

Test(dir, a_list_may_be_left_early)
{
    run_on(1, leave_early, NULL);
}

static int be_cancelled(void *arg)
{
    struct co_dir_entry entry;
    CO_DIR(dir, folder);

    CHECK(co_dir_next(&dir, &entry) == 1);
    co_group_cancel(arg);
    CHECK(co_dir_next(&dir, &entry) == -ECANCELED);
    CO_DIR(late, folder);
    CHECK(co_dir_next(&late, &entry) == -ECANCELED);
    CHECK(co_dir_make("/nothing/x", 0700) == -ECANCELED && co_dir_remove("/x") == -ECANCELED);
    return 0;
}

static int end_early(void *arg)
{
    int before = descriptors(), found = 0;
    struct co_dir_entry entry;
    CO_GROUP(group);

    (void)arg;
    make_files(200);
    CHECK(co_group_go(&group, be_cancelled, &group) == 0 && co_group_wait(&group) == 0);
    CHECK(descriptors() == before);
    CO_DIR(dir, folder);
    for (; found < 64; found++) /* what the first trip has brought */
        CHECK(co_dir_next(&dir, &entry) == 1);
    hold_it();
    until(&holds_begun, 1);
    {
        CO_DEADLINE(10 * CO_MS);
        CHECK(co_dir_next(&dir, &entry) == -ETIMEDOUT);
    }
    release_it();
    for (; co_dir_next(&dir, &entry) == 1; found++)
        continue;
    CHECK(found == 200); /* and none is missing after the time-out */
    return 0;
}

Test(dir, cancel_and_deadline_end_a_list_or_a_step_of_it)
{
    struct co_conf conf = one_pool_thread(1);

    cr_assert_eq(run_conf(&conf, end_early, NULL), 0);
}

static int make_and_remove(void *arg)
{
    const char *sub = in_folder("sub");
    struct stat stat_ = {.st_mode = 0};

    (void)arg;
    (void)umask(022);
    CHECK(co_dir_make(sub, 0777) == 0 && stat(sub, &stat_) == 0);
    CHECK(S_ISDIR(stat_.st_mode) && (stat_.st_mode & 07777) == 0755);
    CHECK(co_dir_make(sub, 0777) == -EEXIST);
    CHECK(co_dir_make(in_folder("a/b"), 0777) == -ENOENT);
    put_file("sub/file", "", 0);
    CHECK(co_dir_remove(sub) == -ENOTEMPTY && co_dir_remove(in_folder("sub/file")) == -ENOTDIR);
    CHECK(remove(in_folder("sub/file")) == 0 && co_dir_remove(sub) == 0);
    CHECK(co_dir_remove(sub) == -ENOENT);
    CHECK(co_dir_make(NULL, 0) == -EINVAL && co_dir_remove(NULL) == -EINVAL);
    return 0;
}

Test(dir, is_made_and_removed)
{
    run_on(1, make_and_remove, NULL);
    cr_assert_eq(co_dir_make("/nothing/x", 0700), -EPERM);
}

static int lack_memory(void *arg)
{
    int before = descriptors(), refused = 0;

    (void)arg;
    make_files(100);
    for (int i = 0; i < 300; i++) {
        struct co_dir_entry entry;
        int found = 0, r;
        CO_DIR(dir, folder);

        while ((r = co_dir_next(&dir, &entry)) > 0)
            found++;
        CHECK(r == 0 ? found == 100 : r == -ENOMEM);
        refused += r != 0;
    }
    CHECK(descriptors() == before);
#ifdef CO_CHAOS_BUILD
    CHECK(refused > 0);
#endif
    return 0;
}

Test(dir, without_memory_a_list_fails_and_leaves_nothing_open)
{
    run_scarce(2, lack_memory);
}
