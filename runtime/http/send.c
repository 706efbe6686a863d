/*
 * send.c - bytes to the client, and clients that do not take them.
 *
 * Runs in: gateway.
 */
#include "runtime/http/http_priv.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* How many bytes of what was sent the client has taken. */
static uint64_t
taken(const struct http_conn *conn)
{
	int queued = 0;

	if (ioctl(conn->fd, SIOCOUTQ, &queued) < 0 || queued < 0)
		return conn->sent;
	/* On a Unix socket overhead is counted too. */
	return (uint64_t)queued > conn->sent ? 0
					     : conn->sent - (uint64_t)queued;
}

/* Begin or end the watch over a client that does not take its bytes. */
static void
watch_writing(struct http_conn *conn)
{
	struct http_server *server = conn->server;
	bool late = http_conn_unsent(conn) > 0 && !conn->broken;

	if (late == conn->late)
		return;
	conn->late = late;
	if (!late) {
		TAILQ_REMOVE(&server->writing, conn, by_write);
		return;
	}
	conn->sent_mark = taken(conn);
	conn->write_deadline_us =
	    server->now_us + server->limits.write_timeout_ms * US_PER_MS;
	TAILQ_INSERT_TAIL(&server->writing, conn, by_write);
	http_server_deadline(server, conn->write_deadline_us);
}

/* What could not be sent of out and body stays in out. */
static void
keep_unsent(struct http_work *work, struct slice body, size_t sent)
{
	size_t head = work->out.n - work->out_at;

	if (sent < head) {
		work->out_at += sent;
		sent = 0;
	} else {
		sent -= head;
		buf_reset(&work->out, 2 * HTTP_SMALL_BYTES);
		work->out_at = 0;
	}
	if (body.n > sent)
		buf_add(&work->out, body.p + sent, body.n - sent);
}

/* Send what waits, and then body. */
void
http_conn_send(struct http_conn *conn, struct slice body)
{
	struct http_work *work = conn->work;
	struct iovec iov[2];
	struct msghdr msg = {.msg_iov = iov};
	size_t parts = 0;
	ssize_t n;

	if (conn->broken || work == NULL ||
	    http_conn_unsent(conn) + body.n == 0)
		return;
	if (work->out.n > 0)
		iov[parts++] = (struct iovec){work->out.p + work->out_at,
		    http_conn_unsent(conn)};
	if (body.n > 0)
		iov[parts++] =
		    (struct iovec){(void *)(uintptr_t)body.p, body.n};
	msg.msg_iovlen = parts;
	n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		conn->broken = true;
	if (n > 0)
		conn->sent += (uint64_t)n;
	keep_unsent(work, conn->broken ? (struct slice){0} : body,
	    n < 0 ? 0 : (size_t)n);
	watch_writing(conn);
}

/*
 * Bytes wait for a client.  It may be slow, with much in the kernel's buffer
 * and no room yet for more: what counts is what it took.
 */
void
http_conn_expire_write(struct http_conn *conn)
{
	struct http_server *server = conn->server;
	uint64_t timeout_ms = server->limits.write_timeout_ms;
	uint64_t now_taken = taken(conn);
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (now_taken > conn->sent_mark + HTTP_MIN_RATE * timeout_ms / 1000) {
		TAILQ_REMOVE(&server->writing, conn, by_write);
		conn->sent_mark = now_taken;
		conn->write_deadline_us =
		    server->now_us + timeout_ms * US_PER_MS;
		TAILQ_INSERT_TAIL(&server->writing, conn, by_write);
		return;
	}
	(void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset,
	    sizeof(reset));
	http_conn_free(conn);
}
