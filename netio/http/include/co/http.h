/* SPDX-License-Identifier: MIT */
/*
 * co/http.h - an HTTP/1.1 server whose handlers read as if they blocked.
 *
 *     static int hello(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
 *     {
 *         return co_http_printf(rsp, 200, "Hello, %s!\n", co_http_param(req, "name"));
 *     }
 *
 *     static const struct co_http_route routes[] = {
 *         {.method = "GET", .path = "/hello/{name}", .fn = hello},
 *         {0},
 *     };
 *     ... in a coroutine: r = co_http_serve(NULL, routes, NULL);
 *
 * Each request runs in a coroutine of its own until it is answered; an idle connection holds
 * neither a stack nor a buffer. What a request hands out (texts, body, memory) lives until its
 * handler returns.
 */
#ifndef CO_HTTP_H
#define CO_HTTP_H

#include <co/base.h>
#include <co/conf.h>

#ifdef __cplusplus
extern "C" {
#endif

struct co_http_req;
struct co_http_rsp;

/*
 * Answers one request by one of the answering functions below, whose result it may return. A
 * negative result without an answer becomes one: -ETIMEDOUT 504, -EAGAIN and -ECANCELED 503, others
 * 500; where reading the request's body failed, the status that says so. A negative result behind
 * an answer closes the connection.
 */
typedef int co_http_fn(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx);

/* One route; a table of them ends with a zero entry. */
struct co_http_route {
    const char *method; /* "GET" (which answers HEAD too), "POST", ... */
    const char *path;   /* "/a/{name}/b": one segment; "/a/{rest...}": all that is left */
    co_http_fn *fn;
    int64_t max_body; /* bytes of body accepted; 0: as configured */
};

/* The settings of a server; [http] in a file. Start with co_http_conf_init. */
struct co_http_conf {
    size_t size;           /* sizeof(struct co_http_conf) here; co_http_conf_init sets it */
    char listen[128];      /* as for co_listen */
    int64_t max_head;      /* bytes of request line and fields; more is answered 431 */
    int64_t max_target;    /* bytes of request target; more is answered 414 */
    int max_fields;        /* field lines; more is answered 431 */
    int64_t max_body;      /* bytes of body, where the route says nothing; more is answered 413 */
    int64_t head_timeout;  /* ns for a whole head, from its first byte; later is answered 408 */
    int64_t body_timeout;  /* ns between two reads of a body */
    int64_t write_timeout; /* ns for 64 KiB of an answer */
    int64_t idle_timeout;  /* ns a connection may wait for its next request */
    int max_connections;   /* at a time; 0: RLIMIT_NOFILE less an eighth of it, at least 32 */
};

/*
 * Fills conf with the defaults and sets its size. Suspends: never. Threads: any.
 */
CO_API void co_http_conf_init(struct co_http_conf *conf);

/*
 * co_http_conf_init, and a table that binds [http] to conf.
 * Returns: the table. Suspends: never. Threads: any. Owns: conf must outlive the table.
 */
CO_API struct co_conf_table co_http_conf_table(struct co_http_conf *conf);

/*
 * Listens on conf->listen and serves until the runtime is told to stop and every connection has
 * ended: those that have begun a request get its answer. At max_connections others wait to be
 * accepted, and idle ones make room. NULL for conf means the defaults. ctx is for the handlers.
 * Returns: 0; what co_listen returned; -EINVAL for settings out of range or a route that cannot be
 *   read; -EEXIST if two routes have the same method and path; -ENOMEM. Suspends: yes. Threads:
 *   coroutines. Owns: all arguments stay the caller's and must live until it returns.
 */
CO_API CO_NODISCARD int co_http_serve(const struct co_http_conf *conf,
                                      const struct co_http_route *routes, void *ctx);

/*
 * co_http_serve on a socket that listens already (so its port is known: co_local_port), until that
 * is hung up, too, or its coroutine is cancelled. Returns, Suspends, Threads: as co_http_serve;
 *   -ETIMEDOUT. Owns: as there; lfd stays the caller's, but listens no more when it returns.
 */
CO_API CO_NODISCARD int co_http_serve_on(int lfd, const struct co_http_conf *conf,
                                         const struct co_http_route *routes, void *ctx);

/*
 * The method as sent: "GET".
 * Returns: never NULL. Suspends: never. Threads: the handler's coroutine.
 */
CO_API const char *co_http_method(const struct co_http_req *req);

/*
 * The path of the target, percent-decoded; it holds no NUL and no "." or ".." segment.
 * Returns: never NULL, begins with '/' (or is "*" for OPTIONS). Suspends: never. Threads: the
 *   handler's coroutine.
 */
CO_API const char *co_http_path(const struct co_http_req *req);

/*
 * What follows the '?' of the target, as sent.
 * Returns: "" if there is none, never NULL. Suspends: never. Threads: the handler's coroutine.
 */
CO_API const char *co_http_query(const struct co_http_req *req);

/*
 * The part of the path that stands for {name} or {name...} in the route, percent-decoded.
 * Returns: NULL if the route has no such name, or out of memory. Suspends: never. Threads: the
 *   handler's coroutine.
 */
CO_API const char *co_http_param(struct co_http_req *req, const char *name);

/*
 * The value of the first field of this name, in any case of letters, without blanks around it.
 * Returns: NULL if there is none. Suspends: never. Threads: the handler's coroutine.
 */
CO_API const char *co_http_header(const struct co_http_req *req, const char *name);

/*
 * The minor version of the protocol.
 * Returns: 1 for HTTP/1.1, 0 for HTTP/1.0. Suspends: never. Threads: the handler's coroutine.
 */
CO_API int co_http_minor(const struct co_http_req *req);

/*
 * Reads the whole body, up to the limit of the route; again, it returns the same. A client that
 * waits for "100 Continue" gets it here. A body without bytes gives an empty text.
 * Returns: 0, with the bytes (followed by a NUL that is not counted) and their number; -EMSGSIZE
 *   over the limit; -EBADMSG for wrong framing; -ETIMEDOUT; -ECONNRESET if the stream ended before;
 *   -EINVAL after co_http_read; -ENOMEM; -ECANCELED. Suspends: yes. Threads: the handler's
 *   coroutine.
 */
CO_API CO_NODISCARD int co_http_body(struct co_http_req *req, const char **ret_data,
                                     size_t *ret_len);

/*
 * Reads the next piece of the body, for bodies too large to keep, up to the limit of the route.
 * Returns: bytes read, at least 1; 0 at the end of the body (or if cap is 0); errors as
 *   co_http_body, -EINVAL after that. Suspends: yes. Threads: the handler's coroutine.
 */
CO_API CO_NODISCARD ssize_t co_http_read(struct co_http_req *req, void *buf, size_t cap);

/*
 * Memory, 16-aligned, not cleared, that is freed when the handler has returned.
 * Returns: NULL if out of memory. Suspends: never. Threads: the handler's coroutine.
 */
CO_API CO_NODISCARD void *co_http_alloc(struct co_http_req *req, size_t size);

/*
 * Adds a field to the answer; call it before the answering function. The texts are copied.
 * Returns: 0; -EINVAL for a name that is no token, for a value with CR, LF, NUL or other control
 *   characters, and for what the engine writes itself (Connection, Content-Length, Date,
 *   Content-Type, Transfer-Encoding); -EALREADY behind an answer; -ENOMEM. Suspends: never.
 *   Threads: the handler's coroutine.
 */
CO_API CO_NODISCARD int co_http_set(struct co_http_rsp *rsp, const char *name, const char *value);

/*
 * Answers with a body of `len` bytes and its media type (NULL: no Content-Type). Small bodies are
 * copied, large ones are sent before it returns: data is the caller's again. Statuses 204, 205 and
 * 304 carry no body; with 304 a len other than 0 is told as the length that the 200 would have.
 * What is left of the request's body is read first and dropped, if it is not too much.
 * Returns: 0; -EINVAL for a status outside 200 to 599 or a type with control characters; -EALREADY
 *   if there is an answer; -ENOMEM; if the request's body turned out bad (then the client is told
 *   that instead) as co_http_body; if it could not be sent, as co_send. Suspends: yes. Threads: the
 *   handler's coroutine.
 */
CO_API int co_http_send(struct co_http_rsp *rsp, int status, const char *type, const void *data,
                        size_t len);

/*
 * co_http_send with a text of type text/plain in UTF-8.
 * Returns, Suspends, Threads: as co_http_send.
 */
CO_API int co_http_text(struct co_http_rsp *rsp, int status, const char *text);

/*
 * co_http_send with a text of type application/json.
 * Returns, Suspends, Threads: as co_http_send.
 */
CO_API int co_http_json(struct co_http_rsp *rsp, int status, const char *json);

/*
 * co_http_text with a text made as by printf.
 * Returns, Suspends, Threads: as co_http_send; -EINVAL for a format that fails.
 */
CO_API int co_http_printf(struct co_http_rsp *rsp, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#ifdef __cplusplus
}
#endif
#endif
