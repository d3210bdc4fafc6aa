/* SPDX-License-Identifier: MIT */
/*
 * co/dir.h - folders: what is in them, making and removing them.
 *
 *     CO_DIR(dir, "/var/spool");
 *     struct co_dir_entry entry;
 *
 *     while ((r = co_dir_next(&dir, &entry)) > 0)
 *         puts(entry.name);
 *
 * As in co/file.h everything runs on the offload pool, and its rules for deadline, cancel, errors
 * and paths hold.
 */
#ifndef CO_DIR_H
#define CO_DIR_H

#include <co/file.h>

#ifdef __cplusplus
extern "C" {
#endif

struct co__dir;

/* A folder that is being listed; the fields are the library's. */
struct co_dir {
    struct co__dir *open;
    int32_t error; /* why it is not */
};

/* One of its names. */
struct co_dir_entry {
    const char *name; /* good until the next call on the folder */
    int type;         /* enum co_file_type, of a link itself; often CO_FILE_UNKNOWN over networks */
};

/*
 * Opens a folder to list what is in it. Afterwards co_dir_close is due, whatever this returned.
 * Returns: 0; -ENOENT, -ENOTDIR, -EACCES, -EMFILE. Suspends: yes. Threads: coroutines.
 */
CO_API int co_dir_open(struct co_dir *dir, const char *path);

/*
 * The next name, in no order, without "." and "..". What is added or removed meanwhile may be among
 * them or not.
 * Returns: 1; 0 when there are no more; for a folder that could not be opened, what co_dir_open
 *   returned; -EIO and others of getdents(2). After -ETIMEDOUT it may be called again. Suspends:
 *   once in a while. Threads: coroutines, one at a time.
 */
CO_API CO_NODISCARD int co_dir_next(struct co_dir *dir, struct co_dir_entry *ret_entry);

/*
 * Ends the listing, as co_file_close does; NULL and a folder that is not open are nothing to do.
 * Suspends: yes. Threads: any.
 */
CO_API void co_dir_close(struct co_dir *dir);

/* A folder's listing to the end of the block. If it could not be opened, co_dir_next says why. */
#define CO_DIR(name, path)                                     \
    struct co_dir name __attribute__((cleanup(co_dir_close))); \
    const int CO_CAT(co_dir_, __LINE__) __attribute__((unused)) = co_dir_open(&name, path)

/*
 * Makes a folder with these permissions, less the umask.
 * Returns: 0; -EEXIST; -ENOENT if the folder that it should be in is not there; others of mkdir(2).
 *   Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_dir_make(const char *path, unsigned mode);

/*
 * Removes an empty folder.
 * Returns: 0; -ENOTEMPTY; -ENOTDIR; others of rmdir(2). Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_dir_remove(const char *path);

#ifdef __cplusplus
}
#endif
#endif
