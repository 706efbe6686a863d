/*
 * http_priv.h - what server.c, conn.c, serve.c, send.c and reply.c share.
 *
 * Runs in: gateway.
 * Owns:    a server its connections, spare workspaces and timers; a connection
 *          its descriptor and, unless it is idle, a workspace.
 *
 * An idle connection is this struct and two events: the buffers are in a
 * workspace, which is taken from the server's spares when bytes come and given
 * back when nothing is left to do.  So ten thousand idle connections are
 * cheap, and few busy ones always use the same, cached memory.
 */
#pragma once

#include "runtime/http/http.h"
#include "runtime/http/parse.h"
#include "runtime/stat/reqid.h"

#include <sys/queue.h>

#define US_PER_MS UINT64_C(1000)

#define HTTP_READ_BYTES	    16384 /* of one read into the input buffer */
#define HTTP_AHEAD_BYTES    65536 /* input kept while a request is served */
#define HTTP_SMALL_BYTES    65536 /* a body up to here is copied to be sent */
#define HTTP_SKIP_BYTES	    65536 /* a refused body up to here is read */
#define HTTP_STREAM_BYTES   16777216 /* of a stream, not taken by the client */
#define HTTP_SPARES	    64	     /* workspaces kept */
#define HTTP_LINGER_MS	    2000     /* what a refused client sends is read */
#define HTTP_HALF_CLOSE_MS  20	     /* end of input so soon: not gone */
#define HTTP_ACCEPT_MAX	    64	     /* connections per turn */
#define HTTP_ACCEPT_WAIT_MS 100	     /* without descriptors or memory */
#define HTTP_TICK_MS	    20	     /* deadlines are seen so much late */
#define HTTP_MIN_RATE	    1024     /* bytes/s that a client must take */

struct http_work {
	SLIST_ENTRY(http_work) next;
	struct buf in; /* from the client, from in_at on not yet used */
	size_t in_at;
	struct buf text; /* the head being served, which parsed points into */
	struct buf body;
	struct buf out; /* to the client, from out_at on not yet sent */
	size_t out_at;
	struct http_scan scan;
	struct http_head parsed;
	struct http_chunked chunked;
};

/*
 *	           +------------------- answered --------------------+
 *	           v                                                 |
 *	accept -> IDLE -> HEAD -> BODY -> BUSY (the callee has it) --+-> STREAM
 *	           |        \______________/                              |
 *	           +-- close --> LINGER     (a phase is skipped when      v
 *	                                     its bytes are there)       IDLE
 *
 * Sending is beside this: bytes may wait to be sent in every phase.
 */
enum http_phase {
	HTTP_IDLE,
	HTTP_HEAD,
	HTTP_BODY,
	HTTP_BUSY,
	HTTP_STREAM,
	HTTP_LINGER, /* answered and shut; reading what is still sent */
};
#define HTTP_PHASES (HTTP_LINGER + 1)

struct http_exchange {
	struct http_request request;
	void *context;
	uint64_t body_limit;
	char id[REQID_CHARS + 1];
	bool in_head; /* inside on_head */
	bool known;   /* the callee was told of it */
	bool answered;
};

struct http_conn {
	struct http_exchange x; /* the one there is; first, see conn_of() */
	struct http_server *server;
	struct loop_watch *watch;
	struct http_work *work; /* NULL while idle */
	int fd;
	enum http_phase phase;
	bool running;	  /* on this server's stack: settled on the way out */
	bool eof;	  /* the client sends no more */
	bool broken;	  /* nothing can be sent or read any more */
	bool closing;	  /* close when all is sent */
	bool late;	  /* in server->writing */
	bool kicked;	  /* in server->kicked */
	bool unread;	  /* input may be left: linger */
	bool stream_raw;  /* HTTP/1.0: no chunks */
	bool stream_mute; /* HEAD, 204, 304: no body */
	uint64_t deadline_us;
	uint64_t write_deadline_us;
	uint64_t input_us;  /* when bytes last came */
	uint64_t sent;	    /* bytes given to the kernel, ever */
	uint64_t sent_mark; /* of these taken by the client at the last look */
	TAILQ_ENTRY(http_conn) by_phase;
	TAILQ_ENTRY(http_conn) by_write;
	TAILQ_ENTRY(http_conn) by_kick;
	char peer[56];
};

TAILQ_HEAD(http_conns, http_conn);

struct http_listener {
	SLIST_ENTRY(http_listener) next;
	struct http_server *server;
	struct loop_watch *watch;
	int fd;
};

struct http_server {
	struct loop *loop;
	struct http_limits limits;
	struct http_callbacks callbacks;
	void *arg;
	SLIST_HEAD(, http_listener) listeners;
	SLIST_HEAD(, http_work) spares;
	unsigned int nspares;
	struct http_conns
	    phases[HTTP_PHASES];   /* every connection, oldest first */
	struct http_conns writing; /* with bytes to send, oldest first */
	struct http_conns kicked;  /* to be run soon */
	struct loop_timer *tick;
	struct loop_timer *kick;
	struct loop_timer *accept_again;
	uint64_t tick_us; /* when the tick comes; 0: not started */
	uint64_t now_us;
	struct reqid_source ids;
	struct http_stats stats;
	bool paused; /* accepting */
	bool draining;
	void (*on_drained)(void *arg);
	void *drained_arg;
	int64_t date_s; /* what date says */
	char date[40];	/* "Date: ...\r\n" */
};

static inline struct http_conn *
conn_of(const struct http_exchange *x)
{
	return (struct http_conn *)(uintptr_t)x;
}

static inline size_t
http_conn_unread(const struct http_conn *conn)
{
	return conn->work == NULL ? 0 : conn->work->in.n - conn->work->in_at;
}

static inline size_t
http_conn_unsent(const struct http_conn *conn)
{
	return conn->work == NULL ? 0 : conn->work->out.n - conn->work->out_at;
}

/* server.c */
void http_server_deadline(struct http_server *server, uint64_t deadline_us);
void http_server_kick(struct http_conn *conn);
void http_server_left(struct http_server *server);
struct http_work *http_work_take(struct http_server *server);
void http_work_give(struct http_server *server, struct http_work *work);

/* conn.c: these may free the connection, unless it is running. */
void http_conn_new(struct http_server *server, int fd, const char *peer);
void http_conn_run(struct http_conn *conn);
void http_conn_expire(struct http_conn *conn);
void http_conn_drain(struct http_conn *conn);
void http_conn_free(struct http_conn *conn);

/* conn.c: these never do. */
void http_conn_phase(struct http_conn *conn, enum http_phase phase);
void http_conn_wait(struct http_conn *conn);

/* serve.c: http_conn_step takes from the input what it can; true: again.
 * http_body_count is called when bytes were added to the body. */
bool http_conn_step(struct http_conn *conn);
void http_conn_answered(struct http_conn *conn);
void http_exchange_begin(struct http_conn *conn);
enum http_fault http_body_count(struct http_conn *conn, size_t before);
void http_body_forget(struct http_conn *conn);

/* send.c: what waits, then body; http_conn_expire_write may free. */
void http_conn_send(struct http_conn *conn, struct slice body);
void http_conn_expire_write(struct http_conn *conn);

/* reply.c */
void http_refuse(struct http_conn *conn, enum http_fault fault);
void http_reply_options(struct http_conn *conn);
