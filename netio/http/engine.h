/* SPDX-License-Identifier: MIT */
/*
 * What the files of the engine share: server, connection, turn, request, answer.
 *
 * A connection is idle (16 to 32 bytes, no stack, no buffer; co_go_when watches it) or has a turn:
 * a coroutine that reads, answers everything that is complete, sends once, and ends. A turn's
 * buffers lie on its stack and move to the heap only for what is larger than they are.
 */
#ifndef CO__ENGINE_H
#define CO__ENGINE_H

#include "chunk.h"
#include "head.h"
#include "route.h"
#include <co/http.h>
#include <stdatomic.h>

#define CO__IN_STACK   4096  /* reading starts in a buffer of this size */
#define CO__OUT_STACK  4096  /* and so does writing */
#define CO__OUT_HEAP   32768 /* what it becomes when answers pile up */
#define CO__OUT_FLUSH  16384 /* so much is sent though more could follow */
#define CO__COPY_MAX   2048  /* longer bodies are sent from where they are */
#define CO__SEND_MAX   65536 /* has to go out within write_timeout */
#define CO__DRAIN_MAX  262144
#define CO__ARENA_BASE 512

/* Counts of a turn, added to the registry at its end. */
enum co__count {
    CO__REQUESTS,
    CO__CONNECTIONS,
    CO__BAD_REQUESTS,
    CO__TIMEOUTS,
    CO__STATUS_2XX,
    CO__STATUS_3XX,
    CO__STATUS_4XX,
    CO__STATUS_5XX,
    CO__COUNTS,
};

struct co__http_server {
    struct co_http_conf conf;
    struct co__head_limits limits;
    struct co__routes routes;
    void *ctx;
    int stats[CO__COUNTS];
    /* The connections, and one for co_http_serve_on; who takes the last one away wakes that. */
    atomic_size_t users;
    uint64_t waiter;       /* its ticket, written before it gives up its own count */
    size_t limit;          /* of connections */
    _Atomic uint64_t full; /* the ticket of who waits to accept another; or 0 */
    int hand;              /* where co__end_idle goes on */
    int64_t relieved;      /* when it was called last */
    atomic_bool closing;   /* accepting has ended: answers close their connections */
};

/* A connection. Belongs to its turn, or to co_go_when while it is idle. */
struct co__http_conn {
    struct co__http_server *server;
    int fd;
    int blanks; /* empty lines since the last request: they must not keep it alive for ever */
};

/* Memory of a request: pieces that are freed together. */
struct co__arena {
    struct co__piece *pieces;
    size_t used; /* of the base */
    char base[CO__ARENA_BASE] __attribute__((aligned(16)));
};

enum co__body_kind { CO__BODY_NONE, CO__BODY_LENGTH, CO__BODY_CHUNKED };

struct co__body {
    uint8_t kind;
    bool done;      /* nothing of it is left in the stream */
    bool promised;  /* the client waits for 100 Continue */
    bool streamed;  /* co_http_read was used */
    bool whole;     /* data and len are it */
    int error;      /* what went wrong for good */
    int64_t left;   /* of a body with a length */
    int64_t total;  /* octets of content so far */
    int64_t limit;  /* of that */
    int64_t waited; /* ns spent waiting for it */
    struct co__chunk chunk;
    char *heap; /* what it was collected in */
    const char *data;
    size_t len;
};

struct co__turn;
struct co_scope;

struct co_http_rsp {
    struct co__turn *turn;
    bool sent;
    char *fields; /* those of co_http_set, in the arena */
    size_t fields_len, fields_cap;
};

struct co_http_req {
    struct co__turn *turn;
    struct co__route *route;
    char *old_in; /* an input buffer that has been replaced while the head lies in it */
    struct co__head head;
    struct co__body body;
    struct co__arena arena;
};

struct co__turn {
    struct co__http_conn *conn;
    struct co__http_server *server;
    int fd;
    int dead;    /* the negative errno that ended the socket's use */
    bool active; /* a request is being answered: its head must not move */
    bool close;  /* the last answer said so */
    bool linger; /* the client may still be sending */
    bool eof;    /* it has ended its direction */
    uint32_t counts[CO__COUNTS];

    /* Input: what has been read and not used is [in_pos, in_end). One octet behind in_end is
     * ours. */
    char *in, *in_heap;
    size_t in_pos, in_end, in_cap;
    size_t in_floor; /* where reading may restart when all is used */

    /* Output: answers that have not been sent. */
    char *out, *out_heap;
    size_t out_len, out_cap;
    int64_t last_at; /* when what a cancel leaves must be out; 0: not begun */

    struct co_http_req req;
    struct co_http_rsp rsp;
    char in_stack[CO__IN_STACK + 1];
    char out_stack[CO__OUT_STACK];
};

/* An answer that is to be written. */
struct co__answer {
    int status;
    const char *type; /* or NULL */
    size_t type_len;
    const void *data;
    size_t len;
    const char *fields; /* lines that end with CR LF */
    size_t fields_len;
};

/* conn.c */

/* Runs a connection's turn; the co_when_fn of a connection. */
void co__http_turn(void *arg, int why);

/* server.c */

/* How long a connection may be idle, as things are. */
int64_t co__idle_ns(const struct co__http_server *server);
/* Closes a connection for good. */
void co__conn_end(struct co__http_conn *conn);

/* stream.c: the turn's socket and buffers */

/* A deadline as of co_deadline_open; one of seconds saves the look at the clock. */
struct co_scope co__turn_scope(int64_t ns);
/*
 * Reads into buf within ns, after sending what is pending.
 * Returns: as co_recv; t->eof is set at the end.
 */
ssize_t co__turn_recv(struct co__turn *t, void *buf, size_t cap, int64_t ns);
/* Reads more behind in_end, making room first. Returns: as co__turn_recv; -ENOMEM. */
ssize_t co__turn_fill(struct co__turn *t, int64_t ns);
/* Sends what is pending. Returns: 0; a negative errno, which t->dead keeps. */
int co__turn_flush(struct co__turn *t);
/* Makes room for n octets of output, sending if it must. Returns: where they go; NULL out of
 * memory or dead. */
char *co__turn_reserve(struct co__turn *t, size_t n);
/* Sends what is pending, and data behind it. Returns: as co__turn_flush. */
int co__turn_send(struct co__turn *t, const char *data, size_t len);
/* Half-closes, and reads for a while what the client still sends, so that it can read the last
 * answer. */
void co__turn_linger(struct co__turn *t);

/* body.c */

/* Begins the body that the request's head announces. */
void co__body_begin(struct co_http_req *req, int64_t limit);
/* The next piece. Returns: as co_http_read. */
ssize_t co__body_read(struct co_http_req *req, char *buf, size_t cap);
/*
 * Before an answer: reads and drops what is left of the body, or decides that the connection has to
 * close.
 * Returns: 0; the negative errno that makes the request a bad one.
 */
int co__body_settle(struct co_http_req *req);
/* The status for a negative errno of a body. */
int co__body_status(int err);

/* rsp.c */

/* Writes an answer. Returns: 0; a negative errno. */
int co__answer_write(struct co__turn *t, const struct co__answer *a);
/* Answers with a status and its text, `fields` besides. */
void co__answer_status(struct co__turn *t, int status, const char *fields);
/* The text of a status: "Not Found". */
const char *co__status_text(int status);

/* req.c */

void *co__arena_alloc(struct co__arena *arena, size_t size);
void co__arena_done(struct co__arena *arena);

/* date.c */

#define CO__DATE_LEN 29
/* Writes the present time as in "Sun, 06 Nov 1994 08:49:37 GMT" to dst. */
void co__date(char *dst);
/* The same of a given time. */
void co__date_format(int64_t seconds, char *dst);

/* keys.c */

/* Checks settings, and takes them over. Returns: 0; -EINVAL. */
int co__http_conf_take(struct co_http_conf *dst, const struct co_http_conf *src);

#endif
