/* SPDX-License-Identifier: MIT */
/*
 * dir.c - listing folders, a batch of names per trip to the offload pool.
 *
 * The first trip opens the folder and reads a batch; the one that comes to the end closes it again,
 * so a small folder costs one trip in all. libuv's names are copied at once, so that between two
 * trips nothing of libuv's is held but the open folder.
 */
#include <co/dir.h>

#include "filecall.h"
#include <co/park.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { BATCH = 64, TEXT = BATCH * 256 /* names of Linux have at most 255 bytes */ };

struct co__dir {
    uv_dir_t *uv; /* NULL: not yet open, or at the end */
    const char *path;
    int count; /* of the batch */
    int next;
    struct {
        uint16_t at; /* in text */
        uint8_t type;
    } names[BATCH];
    char text[TEXT];
};

/* ---- on the pool ---- */

static int close_it(void *arg)
{
    struct co__dir *dir = arg;
    uv_fs_t req;
    int r = uv_fs_closedir(NULL, &req, dir->uv, NULL);

    uv_fs_req_cleanup(&req);
    dir->uv = NULL;
    return r;
}

static enum co_file_type type_of(uv_dirent_type_t type)
{
    switch (type) {
    case UV_DIRENT_FILE:
        return CO_FILE_REGULAR;
    case UV_DIRENT_DIR:
        return CO_FILE_DIR;
    case UV_DIRENT_LINK:
        return CO_FILE_LINK;
    case UV_DIRENT_FIFO:
        return CO_FILE_FIFO;
    case UV_DIRENT_SOCKET:
        return CO_FILE_SOCKET;
    case UV_DIRENT_CHAR:
        return CO_FILE_CHAR;
    case UV_DIRENT_BLOCK:
        return CO_FILE_BLOCK;
    default:
        return CO_FILE_UNKNOWN;
    }
}

/* Returns: count; -ENAMETOOLONG. */
static int copy(struct co__dir *dir, const uv_dirent_t *entries, int count)
{
    size_t used = 0;

    for (int i = 0; i < count; i++) {
        size_t len = strlen(entries[i].name) + 1;

        if (len > TEXT - used)
            return -ENAMETOOLONG;
        memcpy(dir->text + used, entries[i].name, len);
        dir->names[i].at = (uint16_t)used;
        dir->names[i].type = (uint8_t)type_of(entries[i].type);
        used += len;
    }
    return count;
}

static int read_batch(void *arg)
{
    struct co__dir *dir = arg;
    uv_dirent_t entries[BATCH];
    uv_fs_t req;
    int n;

    dir->count = dir->next = 0;
    dir->uv->dirents = entries;
    dir->uv->nentries = BATCH;
    n = uv_fs_readdir(NULL, &req, dir->uv, NULL);
    if (n >= 0)
        n = copy(dir, entries, n);
    uv_fs_req_cleanup(&req);
    if (n >= 0)
        dir->count = n;
    if (n >= 0 && n < BATCH)
        (void)close_it(dir);
    return n;
}

static int open_it(void *arg)
{
    struct co__dir *dir = arg;
    uv_fs_t req;
    int r = uv_fs_opendir(NULL, &req, dir->path, NULL);

    if (r == 0)
        dir->uv = req.ptr;
    uv_fs_req_cleanup(&req);
    return r < 0 ? r : read_batch(dir);
}

static int make_it(void *arg)
{
    const struct co__filecall *call = arg;
    uv_fs_t req;
    int r = uv_fs_mkdir(NULL, &req, call->path, (int)call->mode, NULL);

    uv_fs_req_cleanup(&req);
    return r;
}

static int remove_it(void *arg)
{
    const struct co__filecall *call = arg;
    uv_fs_t req;
    int r = uv_fs_rmdir(NULL, &req, call->path, NULL);

    uv_fs_req_cleanup(&req);
    return r;
}

/* ---- in coroutines ---- */

int co_dir_open(struct co_dir *dir, const char *path)
{
    struct co__dir *open;
    int r;

    *dir = (struct co_dir){NULL, -EINVAL};
    if (!path)
        return dir->error;
    open = malloc(sizeof *open);
    dir->error = -ENOMEM;
    if (!open)
        return dir->error;
    open->uv = NULL;
    open->path = path;
    open->count = open->next = 0;
    r = co__filecall_offload(open_it, open);
    dir->open = open;
    dir->error = r < 0 ? r : 0;
    return dir->error;
}

int co_dir_next(struct co_dir *dir, struct co_dir_entry *ret_entry)
{
    struct co__dir *open = dir->open;
    int r = dir->error < 0 ? dir->error : co_check();

    if (r < 0)
        return r;
    if (open->next == open->count && open->uv) {
        r = co__filecall_offload(read_batch, open);
        if (r < 0)
            return r;
    }
    if (open->next == open->count)
        return 0;
    *ret_entry = (struct co_dir_entry){open->text + open->names[open->next].at,
                                       open->names[open->next].type};
    open->next++;
    return 1;
}

void co_dir_close(struct co_dir *dir)
{
    if (!dir || !dir->open)
        return;
    if (dir->open->uv)
        (void)co__filecall_anyway(close_it, dir->open);
    free(dir->open);
    *dir = (struct co_dir){NULL, -EINVAL};
}

int co_dir_make(const char *path, unsigned mode)
{
    struct co__filecall call = {.path = path, .mode = mode};

    return path ? co__filecall_offload(make_it, &call) : -EINVAL;
}

int co_dir_remove(const char *path)
{
    struct co__filecall call = {.path = path};

    return path ? co__filecall_offload(remove_it, &call) : -EINVAL;
}
