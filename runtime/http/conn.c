/*
 * conn.c - one connection: read, serve what was read, send, wait.
 *
 * Runs in: gateway.
 * Owns:    see http_priv.h.
 *
 * One turn is: one read; step through what is in the buffer until a request
 * waits for its reply or bytes are missing; one write; decide what to wait
 * for.  Replies that come during the turn are sent together at its end; a
 * reply that comes later is sent at once, and what then has to happen to the
 * connection (the next request, the end) happens in a turn of its own.
 */
#include "runtime/http/http_priv.h"

#include "runtime/loop/loop.h"
#include "sandbox/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_READ 262144 /* bytes of one read into a body */

static uint64_t
phase_timeout_ms(const struct http_conn *conn)
{
	const struct http_limits *limits = &conn->server->limits;

	switch (conn->phase) {
	case HTTP_IDLE:
		return limits->idle_timeout_ms;
	case HTTP_HEAD:
		return limits->head_timeout_ms;
	case HTTP_BODY:
		return limits->body_timeout_ms;
	case HTTP_LINGER:
		return HTTP_LINGER_MS;
	case HTTP_BUSY:
	case HTTP_STREAM:
		break;
	}
	return 0; /* the callee's own deadline */
}

static bool
phase_allowed(enum http_phase from, enum http_phase to)
{
#define TO(phase) (1u << HTTP_##phase)
	static const unsigned int allowed[HTTP_PHASES] = {
	    [HTTP_IDLE] =
		TO(IDLE) | TO(HEAD) | TO(BODY) | TO(BUSY) | TO(LINGER),
	    [HTTP_HEAD] = TO(IDLE) | TO(BODY) | TO(BUSY),
	    [HTTP_BODY] = TO(IDLE) | TO(BUSY),
	    [HTTP_BUSY] = TO(IDLE) | TO(STREAM),
	    [HTTP_STREAM] = TO(IDLE),
	};
#undef TO
	return (allowed[from] & (1u << to)) != 0;
}

void
http_conn_phase(struct http_conn *conn, enum http_phase phase)
{
	struct http_server *server = conn->server;
	uint64_t timeout_ms;

	assert(phase_allowed(conn->phase, phase));
	TAILQ_REMOVE(&server->phases[conn->phase], conn, by_phase);
	conn->phase = phase;
	TAILQ_INSERT_TAIL(&server->phases[phase], conn, by_phase);
	timeout_ms = phase_timeout_ms(conn);
	if (timeout_ms == 0)
		return;
	conn->deadline_us = server->now_us + timeout_ms * US_PER_MS;
	http_server_deadline(server, conn->deadline_us);
}

static void
release_work(struct http_conn *conn)
{
	http_work_give(conn->server, conn->work);
	conn->work = NULL;
}

void
http_conn_free(struct http_conn *conn)
{
	struct http_server *server = conn->server;
	bool gone = conn->x.known && !conn->x.answered;

	TAILQ_REMOVE(&server->phases[conn->phase], conn, by_phase);
	if (conn->late)
		TAILQ_REMOVE(&server->writing, conn, by_write);
	if (conn->kicked)
		TAILQ_REMOVE(&server->kicked, conn, by_kick);
	conn->x.answered = true;
	if (gone)
		server->callbacks.on_gone(&conn->x, server->arg);
	if (conn->work != NULL) {
		http_body_forget(conn);
		release_work(conn);
	}
	loop_watch_free(conn->watch);
	(void)close(conn->fd);
	free(conn);
	http_server_left(server);
}

/* Wait for what can happen next; an idle connection keeps no memory. */
void
http_conn_wait(struct http_conn *conn)
{
	bool served = conn->phase == HTTP_BUSY || conn->phase == HTTP_STREAM;
	bool full = served ? http_conn_unread(conn) >= HTTP_AHEAD_BYTES
			   : http_conn_unsent(conn) > HTTP_SMALL_BYTES;
	unsigned int want = 0;

	if (http_conn_unsent(conn) > 0)
		want |= LOOP_WRITE;
	else if (conn->work != NULL && conn->phase == HTTP_IDLE &&
	    http_conn_unread(conn) == 0)
		release_work(conn);
	if (conn->phase == HTTP_LINGER ||
	    (!conn->eof && !full && (!conn->closing || served)))
		want |= LOOP_READ;
	loop_watch_want(conn->watch, want);
}

/*
 * All is sent and the connection ends.  Bytes that were not read would make
 * close(2) send a reset, which may overtake the reply (RFC 9112, section 9.6):
 * then shut our side and read on for a moment.
 */
static void
conn_finish(struct http_conn *conn)
{
	if (conn->eof || (!conn->unread && http_conn_unread(conn) == 0) ||
	    shutdown(conn->fd, SHUT_WR) < 0) {
		http_conn_free(conn);
		return;
	}
	release_work(conn);
	http_conn_phase(conn, HTTP_LINGER);
	http_conn_wait(conn);
}

/* The client sends no more: what is not whole now never will be. */
static bool
cut_short(const struct http_conn *conn)
{
	return conn->eof && conn->phase <= HTTP_BODY &&
	    http_conn_unsent(conn) <= HTTP_SMALL_BYTES;
}

/* The end of a turn. */
static void
conn_settle(struct http_conn *conn)
{
	http_conn_send(conn, (struct slice){0});
	if (cut_short(conn)) {
		conn->closing = true;
		if (conn->phase != HTTP_IDLE && http_conn_unsent(conn) == 0)
			conn->broken = true;
	}
	if (conn->broken ||
	    (conn->closing && conn->work == NULL && conn->phase == HTTP_IDLE)) {
		http_conn_free(conn);
	} else if (conn->closing && conn->phase == HTTP_IDLE &&
	    http_conn_unsent(conn) == 0) {
		conn_finish(conn);
	} else {
		http_conn_wait(conn);
	}
}

void
http_conn_run(struct http_conn *conn)
{
	conn->running = true;
	while (http_conn_step(conn))
		;
	conn->running = false;
	conn_settle(conn);
}

/*
 * The client closed its side.  It may only have said that it has no more
 * requests, or it may be gone: TCP shows us the same.  Right after its last
 * byte it is the former (`printf ... | nc -N`); later, while it waits for a
 * reply, it is gone and its request is cancelled.
 */
static void
on_end_of_input(struct http_conn *conn)
{
	uint64_t quiet_us = conn->server->now_us - conn->input_us;

	conn->eof = true;
	if ((conn->phase == HTTP_BUSY || conn->phase == HTTP_STREAM) &&
	    quiet_us > HTTP_HALF_CLOSE_MS * US_PER_MS)
		conn->broken = true;
}

/* Where the next bytes go.  The rest of a long body goes where it stays. */
static struct buf *
read_target(struct http_conn *conn, size_t *max_out)
{
	struct http_work *work = conn->work;
	uint64_t left;

	*max_out = HTTP_READ_BYTES;
	if (conn->phase != HTTP_BODY || work->parsed.chunked ||
	    http_conn_unread(conn) > 0)
		return &work->in;
	left = work->parsed.content_length - work->body.n;
	*max_out =
	    work->body.n + HTTP_READ_BYTES; /* who sends much gets more */
	if (*max_out > BODY_READ)
		*max_out = BODY_READ;
	if (*max_out > left)
		*max_out = (size_t)left;
	return &work->body;
}

static void
after_read(struct http_conn *conn, struct buf *into, ssize_t n)
{
	if (n == 0) {
		on_end_of_input(conn);
	} else if (n < 0) {
		conn->broken = errno != EAGAIN && errno != EINTR;
	} else {
		into->n += (size_t)n;
		conn->input_us = conn->server->now_us;
	}
}

static void
conn_read(struct http_conn *conn)
{
	struct http_work *work;
	struct buf *into;
	size_t max, before;
	ssize_t n;

	if (conn->work == NULL)
		conn->work = http_work_take(conn->server);
	work = conn->work;
	if (work->in_at > 0) {
		buf_drop(&work->in, work->in_at);
		work->in_at = 0;
	}
	into = read_target(conn, &max);
	before = into->n;
	n = recv(conn->fd, buf_room(into, max), max, 0);
	after_read(conn, into, n);
	if (into == &work->body &&
	    http_body_count(conn, before) != HTTP_FAULT_NONE)
		http_refuse(conn, HTTP_FAULT_BUFFERED);
}

/* Read what a refused client still sends; free at its end. */
static void
conn_linger(struct http_conn *conn)
{
	char waste[HTTP_READ_BYTES];
	ssize_t n = recv(conn->fd, waste, sizeof(waste), 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		http_conn_free(conn);
}

static void
on_conn(unsigned int ready, void *arg)
{
	struct http_conn *conn = arg;
	struct http_server *server = conn->server;
	bool waited = http_conn_unsent(conn) > 0;

	server->now_us = clock_mono_us();
	if (conn->phase == HTTP_LINGER) {
		conn_linger(conn);
		return;
	}
	conn->running = true;
	if ((ready & LOOP_WRITE) != 0)
		http_conn_send(conn, (struct slice){0});
	if ((ready & LOOP_READ) != 0)
		conn_read(conn);
	if (waited && http_conn_unsent(conn) == 0 && !conn->broken &&
	    conn->phase == HTTP_STREAM && server->callbacks.on_writable != NULL)
		server->callbacks.on_writable(&conn->x, server->arg);
	http_conn_run(conn);
}

void
http_conn_new(struct http_server *server, int fd, const char *peer)
{
	struct http_conn *conn = calloc(1, sizeof(*conn));

	if (conn == NULL)
		abort();
	conn->server = server;
	conn->fd = fd;
	(void)slice_copy(conn->peer, sizeof(conn->peer), slice_of(peer));
	conn->deadline_us =
	    server->now_us + server->limits.idle_timeout_ms * US_PER_MS;
	http_server_deadline(server, conn->deadline_us);
	TAILQ_INSERT_TAIL(&server->phases[HTTP_IDLE], conn, by_phase);
	server->stats.connections_open++;
	server->stats.connections_total++;
	conn->watch = loop_watch_new(server->loop, fd, on_conn, conn);
	loop_watch_want(conn->watch, LOOP_READ);
}

/* The deadline of its phase has passed. */
void
http_conn_expire(struct http_conn *conn)
{
	enum http_fault fault = conn->phase == HTTP_HEAD ? HTTP_FAULT_HEAD_SLOW
							 : HTTP_FAULT_BODY_SLOW;

	if (conn->phase == HTTP_IDLE || conn->phase == HTTP_LINGER ||
	    conn->closing) {
		http_conn_free(conn);
		return;
	}
	conn->running = true;
	if (conn->phase == HTTP_HEAD)
		http_exchange_begin(conn);
	http_refuse(conn, fault);
	http_conn_run(conn);
}

/* An idle connection when the server drains: a request that is there already
 * is served, as its client could not know. */
void
http_conn_drain(struct http_conn *conn)
{
	char byte;

	if (conn->running)
		return;
	conn->closing |=
	    http_conn_unread(conn) == 0 && http_conn_unsent(conn) > 0;
	if (conn->closing || conn->work != NULL ||
	    recv(conn->fd, &byte, 1, MSG_PEEK) > 0)
		return;
	http_conn_free(conn);
}
