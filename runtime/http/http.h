/*
 * http.h - the HTTP/1.1 server: bytes in, requests out, and back.
 *
 * Runs in: gateway.
 * Owns:    its connections; the listening descriptors stay the caller's.
 *
 * Strict RFC 9112.  Whatever is ambiguous is 400 and the connection closes.
 * A connection serves one exchange at a time; pipelined requests wait in its
 * buffer and are answered in order.
 *
 * Life of an exchange (every callback on the loop's thread):
 *
 *	on_head     the head is there, no body yet.  Say http_reply() to refuse
 *		    now (the body is skipped or the connection closed), or
 *		    http_limit_body() to allow more or less than the default.
 *	on_request  the whole request is there; reply now or later, once.
 *	on_gone     the client went away, the server is closing, or it refused
 *		    the body, before the reply was given: forget the exchange.
 *		    Only for an exchange that on_head or on_request told of;
 *		    not after http_reply(), http_stream_end() or _abort().
 *
 * What the server refuses by itself (400, 408, 413, 414, 431, 501, 505) never
 * reaches on_request; it is answered with a problem document (RFC 9457).
 * README.md has the rules, the table of errors, and when a client counts as
 * gone.
 */
#pragma once

#include "sandbox/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct loop;
struct http_server;
struct http_exchange;

struct http_header {
	struct slice name; /* in a request: lower case */
	struct slice value;
};

struct http_limits {
	uint32_t line_bytes;	   /* request line with its CRLF */
	uint32_t head_bytes;	   /* request line and all header fields */
	uint32_t headers;	   /* how many header fields */
	uint64_t body_bytes;	   /* default; see http_limit_body() */
	uint32_t head_timeout_ms;  /* first byte of a head to its end */
	uint32_t body_timeout_ms;  /* end of head to end of body */
	uint32_t idle_timeout_ms;  /* between requests */
	uint32_t write_timeout_ms; /* in which a client takes 1 KiB/s */
	uint32_t connections;	   /* at once; then accepting pauses */
	uint64_t buffered_bytes;   /* bodies being read, over all connections */
};

struct http_request {
	struct slice method;
	struct slice target; /* as sent */
	struct slice path;   /* percent-decoded once; starts with '/' */
	struct slice query;  /* raw, without '?' */
	struct slice host;
	const struct http_header *headers;
	size_t nheaders;
	struct slice body; /* empty in on_head */
	const char *peer;  /* "127.0.0.1:5678", "unix" */
	int64_t wall_ms;   /* when the head was complete */
	uint64_t mono_us;
};

struct http_response {
	unsigned int status;		   /* 200..599 */
	const struct http_header *headers; /* valid ones; Date is skipped */
	size_t nheaders;
	struct slice body; /* copied; left out for HEAD, 204 and 304 */
	bool close;	   /* close the connection afterwards */
};

/* Who failed and why; see README, "Errors". */
struct http_problem {
	unsigned int status;
	const char *failed_by; /* Perilune-Failed-By */
	const char *reason;    /* Perilune-Reason: a short stable word */
	const char *detail;    /* for people; NULL: none */
	const struct http_header *headers; /* at most 13: Allow, ... */
	size_t nheaders;
	bool close;
};

struct http_callbacks {
	void (*on_head)(struct http_exchange *x, void *arg); /* may be NULL */
	void (*on_request)(struct http_exchange *x, void *arg);
	void (*on_gone)(struct http_exchange *x, void *arg);
	/* Called for each response the server made by itself; may be NULL.
	 * Of the request only what was understood is there. */
	void (*on_refused)(struct http_exchange *x,
	    const struct http_problem *problem, void *arg);
	/* A stream's bytes have all been taken: write more.  May be NULL. */
	void (*on_writable)(struct http_exchange *x, void *arg);
};

struct http_stats {
	uint64_t connections_open;
	uint64_t connections_total;
	uint64_t requests_total;
	uint64_t refused_total; /* answered by the server itself */
	uint64_t buffered_bytes;
};

struct http_server *http_server_new(struct loop *loop,
    const struct http_limits *limits, const struct http_callbacks *callbacks,
    void *arg);

/* Accept on fd (listening, non-blocking), TCP or Unix. */
void http_server_listen(struct http_server *server, int fd);

/* New limits, from the next request on. */
void http_server_set_limits(struct http_server *server,
    const struct http_limits *limits);

/*
 * Stop accepting; idle connections close, busy ones after their reply.
 * on_drained is called when none is left, perhaps before this returns.
 */
void http_server_drain(struct http_server *server,
    void (*on_drained)(void *arg), void *arg);

void http_server_stats(const struct http_server *server,
    struct http_stats *stats_out);

/* Closes everything, on_gone for what was unanswered.  NULL is fine.  Not from
 * within a callback of this server. */
void http_server_free(struct http_server *server);

/* Borrowed; valid until the reply. */
const struct http_request *http_request_of(const struct http_exchange *x);

/* Unique per exchange, sortable by time, [0-9a-z]{26}. */
const char *http_request_id(const struct http_exchange *x);

/* The value of a request header (name in lower case); {NULL, 0} if absent. */
struct slice http_request_header(const struct http_exchange *x,
    const char *name);

/* The caller's own pointer, kept with the exchange. */
void http_set_context(struct http_exchange *x, void *context);
void *http_context(const struct http_exchange *x);

/* In on_head only: this request may have a body of so many bytes. */
void http_limit_body(struct http_exchange *x, uint64_t bytes);

/*
 * Answer, once.  The server adds Date, Content-Length, Connection, and
 * Perilune-Request-Id.  Header names and values must already be valid (see
 * http_header_valid): the server asserts it.
 */
void http_reply(struct http_exchange *x, const struct http_response *response);

/* Answer with application/problem+json. */
void http_reply_problem(struct http_exchange *x,
    const struct http_problem *problem);

/*
 * Answer in pieces, chunked for HTTP/1.1, until-close for 1.0; not in on_head.
 * on_gone is still called when the client leaves in between.
 * http_stream_write returns the bytes now waiting to be sent, for
 * back-pressure: over 1 MiB wait for on_writable; over 16 MiB the client is
 * cut off.
 */
void http_stream_begin(struct http_exchange *x,
    const struct http_response *response);
size_t http_stream_write(struct http_exchange *x, struct slice bytes);
void http_stream_end(struct http_exchange *x);

/* Cut the stream short, so that the client sees that it is not whole. */
void http_stream_abort(struct http_exchange *x);

/* May this header be sent?  No control bytes, token name, and none of the
 * fields that belong to the connection or frame the message. */
bool http_header_valid(struct slice name, struct slice value);

/* Is this a name that only the platform gives: perilune-*, server-timing,
 * date?  What a handler sends under it must be dropped. */
bool http_header_reserved(struct slice name);

/* "Not Found" for 404; "" for what is not registered. */
const char *http_status_text(unsigned int status);
