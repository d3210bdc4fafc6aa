/* SPDX-License-Identifier: MIT */
/*
 * What a handler asks a request. Texts are made in place: behind each part of a head that is handed
 * out stands an octet of syntax that nobody needs any more, which becomes the NUL.
 */
#include "engine.h"
#include "octets.h"
#include <stdlib.h>
#include <string.h>

struct co__piece {
    struct co__piece *next;
    char data[] __attribute__((aligned(16)));
};

void *co__arena_alloc(struct co__arena *arena, size_t size)
{
    size_t n = (size + 15) & ~(size_t)15;
    struct co__piece *piece;

    if (n < size)
        return NULL;
    if (n <= sizeof arena->base - arena->used) {
        arena->used += n;
        return arena->base + arena->used - n;
    }
    if (n > SIZE_MAX - sizeof *piece)
        return NULL;
    piece = malloc(sizeof *piece + n);
    if (piece == NULL)
        return NULL;
    piece->next = arena->pieces;
    arena->pieces = piece;
    return piece->data;
}

void co__arena_done(struct co__arena *arena)
{
    while (arena->pieces != NULL) {
        struct co__piece *piece = arena->pieces;

        arena->pieces = piece->next;
        free(piece);
    }
    arena->used = 0;
}

void *co_http_alloc(struct co_http_req *req, size_t size)
{
    return co__arena_alloc(&req->arena, size);
}

static const char *text_of(const struct co__head *h, struct co__slice s)
{
    h->base[s.off + s.len] = '\0';
    return h->base + s.off;
}

const char *co_http_method(const struct co_http_req *req)
{
    return text_of(&req->head, (struct co__slice){0, req->head.method_len});
}

const char *co_http_path(const struct co_http_req *req)
{
    return text_of(&req->head, req->head.path);
}

const char *co_http_query(const struct co_http_req *req)
{
    return text_of(&req->head, req->head.query);
}

const char *co_http_param(struct co_http_req *req, const char *name)
{
    const struct co__head *h = &req->head;
    const struct co__route *route = req->route;
    size_t len = strlen(name);

    for (int i = 0; route != NULL && i < route->param_count; i++) {
        const struct co__param *param = &route->params[i];
        struct co__slice s;
        char *text;

        if (param->len != len || memcmp(param->name, name, len) != 0)
            continue;
        s = h->segments[param->segment];
        if (param->rest)
            s.len = (uint16_t)(h->path.off + h->path.len - s.off);
        text = co__arena_alloc(&req->arena, (size_t)s.len + 1);
        if (text == NULL)
            return NULL;
        memcpy(text, h->base + s.off, s.len);
        text[s.len] = '\0';
        return text;
    }
    return NULL;
}

const char *co_http_header(const struct co_http_req *req, const char *name)
{
    const struct co__head *h = &req->head;
    size_t len = strlen(name);

    for (int i = 0; i < h->field_count; i++) {
        const struct co__field *field = &h->fields[i];

        if (co__same(h->base + field->name.off, field->name.len, name, len))
            return text_of(h, field->value);
    }
    return NULL;
}

int co_http_minor(const struct co_http_req *req)
{
    return req->head.minor;
}
