/* SPDX-License-Identifier: MIT */
/* apps/httpd/handlers/parse_ms.c - a number of milliseconds from a path. */
#include "handlers.h"

int parse_ms(const char *text, int max, int *ret_ms)
{
    int ms = 0;

    if (text == NULL || text[0] == '\0')
        return -EINVAL;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        ms = ms * 10 + (*text - '0');
        if (ms > max)
            return -EINVAL;
    }
    *ret_ms = ms;
    return 0;
}
