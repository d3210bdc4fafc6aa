/* SPDX-License-Identifier: MIT */
/*
 * filewhole.c - whole files: read into memory, and replaced at once.
 *
 * Both are done in steps, each a trip to the offload pool that moves at most a piece, so that a
 * small file costs one trip and a large one can be given up in between. Who gives up closes and
 * removes what the steps have left.
 */
#include "filecall.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { FIRST = 4096, MORE = 1 /* a step that was not the last */ };

/* ---- reading ---- */

struct load {
    const char *path;
    size_t max;
    char *data;
    size_t len;
    size_t cap; /* room at data, less one for the NUL */
    int fd;     /* -1: not yet open */
};

/* Opens the file, and makes room for as much as it says it has. */
static int load_open(struct load *load)
{
    struct co_file_info info;
    struct co__filecall call = {.path = load->path, .flags = O_RDONLY, .ret_info = &info};
    int r = co__filecall_open(&call);

    if (r < 0)
        return r;
    load->fd = call.fd = r;
    call.path = NULL;
    r = co__filecall_stat(&call);
    if (r < 0)
        return r;
    load->cap = FIRST;
    if (info.type == CO_FILE_REGULAR && info.size > 0) {
        if ((uint64_t)info.size > load->max)
            return -EFBIG;
        load->cap = (size_t)info.size + 1; /* one more shows the end */
    }
    load->data = malloc(load->cap + 1);
    return load->data ? 0 : -ENOMEM;
}

/* Returns: 0; -ENOMEM. Never more than twice what is needed. */
static int load_grow(struct load *load)
{
    char *data = realloc(load->data, 2 * load->cap + 1);

    if (!data)
        return -ENOMEM;
    load->data = data;
    load->cap *= 2;
    return 0;
}

/* Returns: MORE; 0 at the end of the file; a negative errno. */
static int load_piece(struct load *load)
{
    struct co__filecall call = {.fd = load->fd, .offset = (int64_t)load->len};
    int n = load->len == load->cap ? load_grow(load) : 0;

    if (n < 0)
        return n;
    call.buf = load->data + load->len;
    call.len = load->cap - load->len;
    if (call.len > CO__FILECALL_PIECE)
        call.len = CO__FILECALL_PIECE;
    n = co__filecall_read(&call);
    if (n < 0)
        return n;
    load->len += (size_t)n;
    if (load->len > load->max)
        return -EFBIG;
    return (size_t)n == call.len ? MORE : 0;
}

static int load_step(void *arg)
{
    struct load *load = arg;
    struct co__filecall call = {.fd = -1};
    int r = load->fd < 0 ? load_open(load) : 0;

    if (r == 0)
        r = load_piece(load);
    if (r != 0)
        return r;
    call.fd = load->fd;
    load->fd = -1;
    return co__filecall_close(&call);
}

ssize_t co_file_load(const char *path, size_t max, char **ret_data)
{
    struct load load = {.path = path, .max = max < SSIZE_MAX / 4 ? max : SSIZE_MAX / 4, .fd = -1};
    int r = -EINVAL;

    if (!path)
        return r;
    do
        r = co__filecall_offload(load_step, &load);
    while (r == MORE);
    if (load.fd >= 0)
        (void)co_file_close(load.fd);
    if (r < 0) {
        free(load.data);
        return r;
    }
    load.data[load.len] = '\0';
    *ret_data = load.data;
    return (ssize_t)load.len;
}

/* ---- replacing ---- */

struct store {
    const char *path;
    const char *data;
    size_t len;
    size_t done;
    unsigned mode;
    bool keep_mode; /* of the file that is replaced */
    bool sync;
    int fd;     /* -1: not open */
    char *temp; /* its name; NULL: there is none */
};

/* The length of the folder's part of a path, with the slash; 0: the working folder. */
static size_t folder_len(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* What stands at the path already: permissions that are kept, or a reason not to replace it. */
static int store_look(struct store *store)
{
    struct co_file_info info;
    struct co__filecall call = {.path = store->path, .flags = O_NOFOLLOW, .ret_info = &info};
    int r = co__filecall_stat(&call);

    if (r < 0)
        return r == -ENOENT && store->path[0] ? 0 : r;
    if (info.type == CO_FILE_DIR)
        return -EISDIR;
    if (info.type == CO_FILE_LINK)
        return -ELOOP;
    if (info.type != CO_FILE_REGULAR)
        return -EINVAL;
    store->keep_mode = store->mode == 0;
    if (store->keep_mode)
        store->mode = info.mode & 0777; /* who runs it must not become another user by that */
    return 0;
}

/* .NAME.NUMBER.tmp beside NAME, of which a long one is cut. Returns: 0; -ENOMEM. */
static int store_name(struct store *store)
{
    enum { NAME = 200, REST = 32 };
    size_t folder = folder_len(store->path);
    size_t size = folder + NAME + REST;
    uint64_t number;
    int r = uv_random(NULL, NULL, &number, sizeof number, 0, NULL);

    if (r < 0)
        return r;
    if (!store->temp)
        store->temp = malloc(size);
    if (!store->temp)
        return -ENOMEM;
    (void)snprintf(store->temp, size, "%.*s.%.*s.%016llx.tmp", (int)folder, store->path, NAME,
                   store->path + folder, (unsigned long long)number);
    return 0;
}

static int store_open(struct store *store)
{
    struct co__filecall call = {.flags = O_WRONLY | O_CREAT | O_EXCL};
    uv_fs_t req;
    int r = store_look(store);

    if (r < 0)
        return r;
    call.mode = store->mode || store->keep_mode ? store->mode : 0666;
    do {
        r = store_name(store);
        if (r < 0)
            break;
        call.path = store->temp;
        r = co__filecall_open(&call);
    } while (r == -EEXIST);
    if (r < 0) {
        free(store->temp);
        store->temp = NULL;
        return r;
    }
    store->fd = r;
    if (!store->keep_mode)
        return 0;
    r = uv_fs_fchmod(NULL, &req, store->fd, (int)store->mode, NULL); /* the umask took some away */
    uv_fs_req_cleanup(&req);
    return r;
}

static int store_close(struct store *store)
{
    struct co__filecall call = {.fd = store->fd};

    store->fd = -1;
    return co__filecall_close(&call);
}

/* The folder's own bytes: that the name leads to the new file. */
static int store_sync_name(const struct store *store)
{
    size_t len = folder_len(store->path);
    char *folder = len > 0 ? strndup(store->path, len) : strdup(".");
    struct co__filecall call = {.path = folder, .flags = O_RDONLY | O_DIRECTORY};
    int r = folder ? co__filecall_open(&call) : -ENOMEM;

    free(folder);
    if (r < 0)
        return r;
    call.fd = r;
    r = co__filecall_sync(&call);
    (void)co__filecall_close(&call);
    return r;
}

/* All bytes are written: make the file be what it is meant for. */
static int store_finish(struct store *store)
{
    struct co__filecall call = {.fd = store->fd, .path = store->temp, .to = store->path};
    int r = store->sync ? co__filecall_sync(&call) : 0;

    if (r < 0)
        return r;
    r = store_close(store);
    if (r == 0)
        r = co__filecall_rename(&call);
    if (r < 0)
        return r;
    free(store->temp);
    store->temp = NULL;
    return store->sync ? store_sync_name(store) : 0;
}

static int store_step(void *arg)
{
    struct store *store = arg;
    size_t left = store->len - store->done;
    struct co__filecall call = {.len = left};
    int r = store->fd < 0 ? store_open(store) : 0;

    if (r < 0)
        return r;
    if (left > CO__FILECALL_PIECE)
        call.len = CO__FILECALL_PIECE;
    call.fd = store->fd;
    call.buf = (char *)(uintptr_t)store->data + store->done; /* which is only read */
    call.offset = (int64_t)store->done;
    r = co__filecall_write(&call);
    if (r < 0)
        return r;
    store->done += call.len;
    return store->done < store->len ? MORE : store_finish(store);
}

static int store_give_up(void *arg)
{
    struct store *store = arg;
    struct co__filecall call = {.path = store->temp};

    if (store->fd >= 0)
        (void)store_close(store);
    return co__filecall_remove(&call);
}

int co_file_store(const struct co_file_store_opts *opts, const char *path, const void *data,
                  size_t len)
{
    struct store store = {.path = path, .data = data, .len = len, .fd = -1};
    int r = -EINVAL;

    if (!path)
        return r;
    store.mode = opts ? opts->mode : 0;
    store.sync = opts && opts->sync;
    do
        r = co__filecall_offload(store_step, &store);
    while (r == MORE);
    if (store.temp) {
        (void)co__filecall_anyway(store_give_up, &store);
        free(store.temp);
    }
    return r;
}
