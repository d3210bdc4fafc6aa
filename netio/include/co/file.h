/* SPDX-License-Identifier: MIT */
/*
 * co/file.h - files, read and written off the workers.
 *
 * A file is never "not ready", so no epoll knows it, and reading it may wait for a disk. So each
 * call here runs on a thread of the offload pool (co/offload.h), and its coroutine waits; only up
 * to 64 KiB that the system has in memory are read without. While a call has not begun there,
 * deadline and cancel take it back, and nothing has happened; once begun it is waited for, since
 * the kernel is using the caller's memory. Long reads and writes are made in pieces of 1 MiB, and
 * can be ended between two of them.
 *
 * The descriptor of a file is a plain `int`, close-on-exec. It is not one of co/net.h: co_recv,
 * co_close and the like return -EBADF for it, and CO_FILE is its guard, not CO_FD. Any number of
 * coroutines may use it at once.
 *
 * Every function also returns -ETIMEDOUT, -ECANCELED, -ENOMEM and -EPERM (outside a coroutine);
 * below, these are not named again. Paths are strings of bytes; NULL gives -EINVAL, one that is too
 * long -ENAMETOOLONG, and the other errors of the system calls come as they are.
 */
#ifndef CO_FILE_H
#define CO_FILE_H

#include <co/base.h>
#include <fcntl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a name stands for. */
enum co_file_type {
    CO_FILE_UNKNOWN, /* in lists only: the file system does not say, ask co_file_lstat */
    CO_FILE_REGULAR,
    CO_FILE_DIR,
    CO_FILE_LINK,
    CO_FILE_FIFO,
    CO_FILE_SOCKET,
    CO_FILE_CHAR,
    CO_FILE_BLOCK
};

/* What the system knows of a file; times are nanoseconds since 1970. */
struct co_file_info {
    int64_t size;
    int64_t accessed, modified; /* its bytes */
    int64_t changed;            /* its bytes or what is told here */
    int64_t born;               /* 0 if the file system does not know */
    uint64_t device, inode, links;
    uint32_t user, group;
    uint32_t mode; /* permissions, up to 07777 */
    uint32_t type; /* enum co_file_type */
};

/*
 * Opens a file: flags are those of open(2) (O_RDONLY, O_CREAT, ...), mode the permissions of a file
 * that is made, less the umask. O_CLOEXEC, O_NOCTTY and O_NONBLOCK are added, so that opening waits
 * for nobody. Pipes are refused; a terminal can be opened, but not read at an offset (-ESPIPE); a
 * device that has nothing to say gives -EAGAIN. All of these can be opened by open(2) with
 * O_NONBLOCK and adopted (co/foreign.h).
 * Returns: a descriptor; -ENOENT, -EACCES and others of open(2); -ESPIPE for a pipe (-ENXIO, if it
 *   is opened for writing and nobody reads; also for a socket); -EAGAIN for one that another
 *   process holds a lease on. Suspends: yes. Threads: coroutines. Owns: the caller gets the
 *   descriptor.
 */
CO_API CO_NODISCARD int co_file_open(const char *path, int flags, unsigned mode);

/*
 * Closes a file; neither cancel nor a deadline keeps it from that. Outside a coroutine, and when
 * the pool has no thread, the caller's own thread closes it.
 * Returns: 0; -EBADF, also for a descriptor of co/net.h, and nothing was done; -EIO, -ENOSPC,
 *   -EDQUOT: bytes that were written before are lost, the descriptor is closed all the same.
 *   Suspends: yes. Threads: any. Owns: fd is gone.
 */
CO_API int co_file_close(int fd);

/* The clean-up of CO_FILE: closes *fd unless negative. Suspends: yes. Threads: any. */
CO_API void co_file_guard(const int *fd);

/*
 * Declares `int name = expr`, a file that is closed at the end of the block unless negative or
 * taken with co_fd_take (co/net.h).
 */
#define CO_FILE(name, expr) int name __attribute__((cleanup(co_file_guard), unused)) = (expr)

/*
 * Reads up to len bytes from offset on.
 * Returns: how many; fewer than len only at the end of the file; -EINVAL for a negative offset;
 *   -EBADF if it is not open for reading; -EISDIR; -EIO. After an error buf holds anything.
 *   Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD ssize_t co_file_read(int fd, void *buf, size_t len, int64_t offset);

/*
 * Writes all of the bytes from offset on; where the file was opened with O_APPEND, at its end.
 * Returns: len; -EINVAL for a negative offset; -EBADF if it is not open for writing; -ENOSPC,
 *   -EFBIG, -EIO and others of write(2). After an error a part may be written. Suspends: yes.
 *   Threads: coroutines.
 */
CO_API CO_NODISCARD ssize_t co_file_write(int fd, const void *buf, size_t len, int64_t offset);

/*
 * Waits until what was written is on the disk: fsync(2).
 * Returns: 0; -EIO, -ENOSPC, -EDQUOT: bytes are lost; -EINVAL for what cannot be synced. Suspends:
 *   yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_file_sync(int fd);

/*
 * Cuts a file, or lengthens it by zeros.
 * Returns: 0; -EINVAL for a negative size, and for what is no regular file open for writing;
 *   -EFBIG. Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_file_truncate(int fd, int64_t size);

/*
 * Tells of the file that a path leads to; of a symbolic link itself; of an open file.
 * Returns: 0; -ENOENT, -EACCES and others of stat(2). Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_file_stat(const char *path, struct co_file_info *ret_info);

/* co_file_stat of a link itself. Returns, Suspends, Threads: as co_file_stat. */
CO_API CO_NODISCARD int co_file_lstat(const char *path, struct co_file_info *ret_info);

/* co_file_stat of an open file. Returns, Suspends, Threads: as co_file_stat. */
CO_API CO_NODISCARD int co_file_fstat(int fd, struct co_file_info *ret_info);

/*
 * Takes a name away, and with the last one the file; not a folder's.
 * Returns: 0; -EISDIR; -ENOENT and others of unlink(2). Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_file_remove(const char *path);

/*
 * Renames a file or folder; what has that name already is replaced.
 * Returns: 0; -EXDEV for another file system; others of rename(2). Suspends: yes. Threads:
 *   coroutines.
 */
CO_API CO_NODISCARD int co_file_rename(const char *from, const char *to);

/*
 * Reads a whole file, of at most max bytes, into memory of malloc(3), and puts a NUL behind them.
 * It need not say how long it is (files of /proc say 0), and may grow meanwhile.
 * Returns: how many bytes; -EFBIG if there are more than max; else as co_file_open and
 *   co_file_read. Suspends: yes. Threads: coroutines. Owns: the caller gets *ret_data, for free(3).
 */
CO_API CO_NODISCARD ssize_t co_file_load(const char *path, size_t max, char **ret_data);

/* How to write a whole file; zero means the default in every field. */
struct co_file_store_opts {
    unsigned mode; /* permissions, less the umask; 0: those of the file that is replaced, or 0666 */
    int sync;      /* 1: comes back when file and name are on the disk */
};

/*
 * Writes a whole file so that whoever opens it sees the old bytes or the new ones, and none of them
 * in part: into a file beside it, .NAME.NUMBER.tmp, which is renamed then, or removed after an
 * error. (If the process dies in between, it stays.) opts may be NULL.
 * Returns: 0; -EISDIR for a folder, -ELOOP for a symbolic link, -EINVAL for anything else that is
 *   no regular file; the errors of co_file_open, co_file_write, co_file_sync and co_file_rename.
 *   With `sync` an error may also mean that the new file is there, but perhaps not on the disk.
 *   Suspends: yes. Threads: coroutines. Owns: the file belongs to the user of this process.
 */
CO_API CO_NODISCARD int co_file_store(const struct co_file_store_opts *opts, const char *path,
                                      const void *data, size_t len);

#ifdef __cplusplus
}
#endif
#endif
