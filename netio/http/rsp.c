/* SPDX-License-Identifier: MIT */
/* Answers: built in the output buffer behind those that wait there already, the body with them
 * if it is small. */
#include "engine.h"
#include "octets.h"
#include <co/task.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *text;
} texts[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *co__status_text(int status)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i].status == status)
            return texts[i].text;
    }
    return ""; /* a reason may be empty */
}

static const char text_type[] = "text/plain; charset=utf-8";
static const char json_type[] = "application/json";

static char *put(char *p, const char *text, size_t len)
{
    memcpy(p, text, len);
    return p + len;
}

#define PUT(p, literal) put(p, literal, sizeof(literal) - 1)

static char *put_number(char *p, size_t n)
{
    char digits[20];
    size_t i = sizeof digits;

    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    return put(p, digits + i, sizeof digits - i);
}

/* The most that a head takes besides its type and fields. */
#define HEAD_MAX 256

static char *put_head(char *p, const struct co__answer *a, const struct co__turn *t)
{
    if (a->status == 200) {
        p = PUT(p, "HTTP/1.1 200 OK\r\nDate: ");
    } else {
        const char *text = co__status_text(a->status);

        p = put_number(PUT(p, "HTTP/1.1 "), (size_t)a->status);
        p = put(PUT(p, " "), text, strlen(text));
        p = PUT(p, "\r\nDate: ");
    }
    co__date(p);
    p = PUT(p + CO__DATE_LEN, "\r\n");
    if (a->type != NULL) {
        p = put(PUT(p, "Content-Type: "), a->type, a->type_len);
        p = PUT(p, "\r\n");
    }
    /* With 304 the length is that of a 200's body, which who gives none does not tell. */
    if (a->status != 204 && (a->status != 304 || a->len > 0))
        p = PUT(put_number(PUT(p, "Content-Length: "), a->len), "\r\n");
    if (t->close)
        p = PUT(p, "Connection: close\r\n");
    else if (t->active && t->req.head.minor == 0)
        p = PUT(p, "Connection: keep-alive\r\n");
    if (a->fields_len > 0)
        p = put(p, a->fields, a->fields_len);
    return PUT(p, "\r\n");
}

/* Whether this answer is the connection's last one. */
static bool is_last(const struct co__turn *t)
{
    const struct co__head *h = &t->req.head;

    if (t->close || !t->active || (h->flags & CO__HEAD_CLOSE))
        return true;
    if (h->minor == 0 && !(h->flags & CO__HEAD_KEEP))
        return true;
    /* relaxed: a hint; an answer that misses it is followed by one that does not. */
    if (!co_stopping() && !atomic_load_explicit(&t->server->closing, memory_order_relaxed))
        return false;
    /* Of the next request a part has been read: it is to be answered too. */
    return t->in_pos == t->in_end;
}

int co__answer_write(struct co__turn *t, const struct co__answer *a)
{
    bool empty = a->status == 204 || a->status == 304 ||
                 (t->active && t->req.head.method == t->server->routes.head);
    size_t head = HEAD_MAX + a->type_len + a->fields_len;
    size_t copied = empty || a->len > CO__COPY_MAX ? 0 : a->len;
    char *p;

    t->close = is_last(t);
    p = co__turn_reserve(t, head + copied);
    if (p == NULL)
        return t->dead < 0 ? t->dead : -ENOMEM;
    t->counts[CO__STATUS_2XX + a->status / 100 - 2]++;
    p = put_head(p, a, t);
    if (copied > 0)
        p = put(p, a->data, copied);
    t->out_len = (size_t)(p - t->out);
    if (!empty && copied < a->len)
        return co__turn_send(t, a->data, a->len);
    return t->out_len >= CO__OUT_FLUSH ? co__turn_flush(t) : 0;
}

void co__answer_status(struct co__turn *t, int status, const char *fields)
{
    const char *text = co__status_text(status);
    char body[64];
    size_t len = (size_t)(PUT(put(body, text, strlen(text)), "\n") - body);
    struct co__answer a = {.status = status,
                           .type = status == 204 ? NULL : text_type,
                           .type_len = status == 204 ? 0 : sizeof text_type - 1,
                           .data = body,
                           .len = len,
                           .fields = fields,
                           .fields_len = fields == NULL ? 0 : strlen(fields)};

    t->rsp.sent = true;
    if (status == 408)
        t->counts[CO__TIMEOUTS]++;
    if (co__answer_write(t, &a) < 0)
        t->close = true; /* and if it is the socket's failure, it is in t->dead too */
}

int co_http_set(struct co_http_rsp *rsp, const char *name, const char *value)
{
    static const char *const ours[] = {"Connection", "Content-Length", "Content-Type", "Date",
                                       "Transfer-Encoding"};
    size_t name_len = strlen(name), value_len = strlen(value), n = name_len + value_len + 4;
    char *p;

    if (rsp->sent)
        return -EALREADY;
    if (name_len == 0 || !co__all(name, name_len, CO__TCHAR) ||
        !co__all(value, value_len, CO__VALUE))
        return -EINVAL;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (co__same(name, name_len, ours[i], strlen(ours[i])))
            return -EINVAL;
    }
    if (n > rsp->fields_cap - rsp->fields_len) {
        size_t cap = 2 * rsp->fields_cap + n;

        p = co__arena_alloc(&rsp->turn->req.arena, cap);
        if (p == NULL)
            return -ENOMEM;
        if (rsp->fields_len > 0)
            memcpy(p, rsp->fields, rsp->fields_len);
        rsp->fields = p;
        rsp->fields_cap = cap;
    }
    p = put(rsp->fields + rsp->fields_len, name, name_len);
    p = put(PUT(p, ": "), value, value_len);
    (void)PUT(p, "\r\n");
    rsp->fields_len += n;
    return 0;
}

/* co_http_send with a type that has been checked. */
static int send_checked(struct co_http_rsp *rsp, struct co__answer *a)
{
    struct co__turn *t = rsp->turn;
    int r;

    if (rsp->sent)
        return -EALREADY;
    if (a->status < 200 || a->status > 599)
        return -EINVAL;
    if (a->status == 205)
        a->len = 0; /* and it says so */
    if (!t->req.body.done || t->req.body.error < 0) {
        r = co__body_settle(&t->req);
        if (r < 0) {
            co__answer_status(t, co__body_status(r), NULL);
            return r;
        }
    }
    r = co__answer_write(t, a);
    rsp->sent = r != -ENOMEM;
    return r;
}

static struct co__answer answer_of(const struct co_http_rsp *rsp, int status, const void *data,
                                   size_t len)
{
    return (struct co__answer){.status = status,
                               .data = data,
                               .len = len,
                               .fields = rsp->fields,
                               .fields_len = rsp->fields_len};
}

int co_http_send(struct co_http_rsp *rsp, int status, const char *type, const void *data,
                 size_t len)
{
    struct co__answer a = answer_of(rsp, status, data, len);

    if (type != NULL) {
        a.type = type;
        a.type_len = strlen(type);
        if (!co__all(type, a.type_len, CO__VALUE))
            return -EINVAL;
    }
    return send_checked(rsp, &a);
}

static int send_text(struct co_http_rsp *rsp, int status, const char *text, size_t len)
{
    struct co__answer a = answer_of(rsp, status, text, len);

    a.type = text_type;
    a.type_len = sizeof text_type - 1;
    return send_checked(rsp, &a);
}

int co_http_text(struct co_http_rsp *rsp, int status, const char *text)
{
    return send_text(rsp, status, text, strlen(text));
}

int co_http_json(struct co_http_rsp *rsp, int status, const char *json)
{
    struct co__answer a = answer_of(rsp, status, json, strlen(json));

    a.type = json_type;
    a.type_len = sizeof json_type - 1;
    return send_checked(rsp, &a);
}

int co_http_printf(struct co_http_rsp *rsp, int status, const char *format, ...)
{
    char small[256], *text = small;
    va_list args, again;
    int n;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (n >= (int)sizeof small) {
        text = co__arena_alloc(&rsp->turn->req.arena, (size_t)n + 1);
        if (text != NULL)
            n = vsnprintf(text, (size_t)n + 1, format, again);
    }
    va_end(again);
    if (text == NULL)
        return -ENOMEM;
    return n < 0 ? -EINVAL : send_text(rsp, status, text, (size_t)n);
}
