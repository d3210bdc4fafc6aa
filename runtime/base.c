/* SPDX-License-Identifier: MIT */
/* base.c - error texts, version. */
#include <co/base.h>

#include <string.h>

const char *co_strerror(int err)
{
    const char *text;

    switch (err) {
    case -ETIMEDOUT:
        return "the deadline passed";
    case -ECANCELED:
        return "cancelled: the coroutine, its group or its descriptor was told to stop";
    case -EPERM:
        return "not in a coroutine, or not permitted";
    case -EBUSY:
        return "busy: another coroutine is using it in the same direction";
    case -EAGAIN:
        return "a limit is reached and waiting was not allowed";
    case -ETIME:
        return "coroutines still computed at twice the grace time";
    default:
        break;
    }
    if (err >= 0)
        return "success";
    text = strerrordesc_np(-err); /* constant texts, unlike strerror's buffer */
    return text ? text : "unknown error";
}

const char *co_version(void)
{
    return CO_VERSION;
}
