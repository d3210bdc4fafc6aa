/* SPDX-License-Identifier: MIT */
/* co/base.h - time, error texts, version, and the attributes of the other headers. */
#ifndef CO_BASE_H
#define CO_BASE_H

#include <co/errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Exported from the shared library; everything else is hidden. */
#define CO_API __attribute__((visibility("default")))
/* The result says whether it worked: do not drop it. */
#define CO_NODISCARD __attribute__((warn_unused_result))

#define CO_CAT_(a, b) a##b
#define CO_CAT(a, b)  CO_CAT_(a, b)

#define CO_VERSION_MAJOR 0
#define CO_VERSION_MINOR 1
#define CO_VERSION_PATCH 0
#define CO_VERSION       "0.1.0"

/* Time is int64_t nanoseconds of the monotonic clock: 2 * CO_SEC, 250 * CO_MS. */
#define CO_US  ((int64_t)1000)
#define CO_MS  (1000 * CO_US)
#define CO_SEC (1000 * CO_MS)
/* The deadline that never comes. */
#define CO_NEVER INT64_MAX

/*
 * The monotonic clock, read now.
 * Returns: nanoseconds since an unspecified start. Suspends: never. Threads: any.
 */
CO_API int64_t co_now(void);

/*
 * A text for a code that a co_ function returned: 0 or positive gives "success", negative errno
 * values give the system's text, and the five codes with a house meaning give ours.
 * Returns: a constant string, never NULL. Suspends: never. Threads: any.
 */
CO_API const char *co_strerror(int err);

/*
 * The version of the library that is linked, to be compared with CO_VERSION of the header.
 * Returns: a constant string. Suspends: never. Threads: any.
 */
CO_API const char *co_version(void);

#ifdef __cplusplus
}
#endif
#endif
