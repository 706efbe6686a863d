/*
 * io.c - see io.h.
 *
 * Runs in: zygote, worker.
 * Owns:    the inbox, outbox and askbox regions.
 *
 * read and write are retried only after a signal; any other failure means
 * that the gateway is gone.
 */
#include "sandbox/worker/io.h"

#include "sandbox/base/err.h"
#include "sandbox/jail/jail.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BOX_BYTES   ((size_t)37 << 20)	/* the largest frame and some more */
#define ASK_BYTES   ((size_t)2 << 20)	/* the largest question and some more */
#define ROOM_BYTES  ((size_t)64 * 1024) /* wanted for a read */
#define KEEP_BYTES  ((size_t)32 * 1024) /* of results, waiting for others */
#define FIRST_BYTES ((size_t)4096)	/* of a read, before there is a heap */
#define EXIT_GONE   0
#define EXIT_BROKEN 70

static struct {
	char *p;
	size_t head; /* first byte not consumed */
	size_t tail; /* end of what was read */
	bool greedy; /* reads take all there is */
} inbox;

/* From `from` to `to`: whole RESULT frames that wait to be sent. */
static struct {
	char *p;
	size_t from;
	size_t to;
} outbox;

static char *askbox;
static bool spoke; /* something left since the last result */

static char *
map_box(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int
io_prepare(void)
{
	inbox.p = map_box(BOX_BYTES);
	outbox.p = map_box(BOX_BYTES);
	askbox = map_box(ASK_BYTES);
	return inbox.p == NULL || outbox.p == NULL || askbox == NULL ? -1 : 0;
}

static void
write_all(const char *p, size_t n)
{
	while (n > 0) {
		ssize_t wrote = write(JAIL_SOCKET, p, n);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			_exit(EXIT_GONE);
		p += wrote;
		n -= (size_t)wrote;
	}
}

/* A RESULT that is being put stands behind `to` and stays there. */
static void
flush(void)
{
	if (outbox.to == outbox.from)
		return;
	write_all(outbox.p + outbox.from, outbox.to - outbox.from);
	outbox.from = outbox.to;
}

static size_t
read_some(char *p, size_t n)
{
	ssize_t got;

	do
		got = read(JAIL_SOCKET, p, n);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		_exit(EXIT_GONE);
	return (size_t)got;
}

static void
fill(size_t want)
{
	size_t room = BOX_BYTES - inbox.tail;

	if (!inbox.greedy)
		room = want > FIRST_BYTES ? want : FIRST_BYTES;
	inbox.tail += read_some(inbox.p + inbox.tail, room);
}

/* Have `want` bytes from head on; move them to the front when the box ends
 * before that. */
static void
need(size_t want)
{
	if (inbox.head == inbox.tail)
		inbox.head = inbox.tail = 0;
	if (inbox.head + want + ROOM_BYTES > BOX_BYTES) {
		memmove(inbox.p, inbox.p + inbox.head, inbox.tail - inbox.head);
		inbox.tail -= inbox.head;
		inbox.head = 0;
	}
	while (inbox.tail - inbox.head < want) {
		flush();
		fill(want - (inbox.tail - inbox.head));
	}
}

static struct wire_reader
take(struct wire_header *header_out, unsigned int states)
{
	struct wire_reader r = {0};
	struct err err;

	need(WIRE_HEADER_BYTES);
	if (wire_parse(header_out, inbox.p + inbox.head,
		inbox.tail - inbox.head, WIRE_GATEWAY, states, &err) < 0)
		_exit(EXIT_BROKEN);
	need(WIRE_HEADER_BYTES + (size_t)header_out->body_bytes);
	r.p = (const uint8_t *)inbox.p + inbox.head + WIRE_HEADER_BYTES;
	r.n = header_out->body_bytes;
	inbox.head += WIRE_HEADER_BYTES + header_out->body_bytes;
	return r;
}

size_t
io_next_into(enum wire_type type, char *p, size_t max)
{
	struct wire_header header;
	struct err err;
	size_t n;

	need(WIRE_HEADER_BYTES);
	if (wire_parse(&header, inbox.p + inbox.head, inbox.tail - inbox.head,
		WIRE_GATEWAY, WIRE_IDLE, &err) < 0 ||
	    header.type != type || header.body_bytes > max)
		_exit(EXIT_BROKEN);
	inbox.head += WIRE_HEADER_BYTES;
	n = inbox.tail - inbox.head;
	if (n > header.body_bytes)
		n = header.body_bytes;
	memcpy(p, inbox.p + inbox.head, n);
	inbox.head += n;
	while (n < header.body_bytes)
		n += read_some(p + n, header.body_bytes - n);
	return n;
}

void
io_be_greedy(void)
{
	inbox.greedy = true;
}

void
io_touch(void)
{
	volatile char *in = inbox.p;
	volatile char *out = outbox.p;

	for (size_t at = 0; at < 2 * FIRST_BYTES; at += 4096)
		in[at] = out[at] = 0;
}

struct wire_reader
io_next(struct wire_header *header_out)
{
	return take(header_out, WIRE_IDLE);
}

struct wire_reader
io_await(enum wire_type type, uint64_t call_id, void (*on_recall)(void))
{
	for (;;) {
		struct wire_header header;
		struct wire_reader r =
		    take(&header, WIRE_RUNNING | WIRE_BUILDING);

		if (header.type == WIRE_RECALL)
			on_recall();
		else if (header.type == type && header.call_id == call_id)
			return r;
		else if (header.type != WIRE_INVOKE)
			_exit(EXIT_BROKEN);
	}
}

/* Is the next frame here as a whole? */
static bool
frame_here(void)
{
	size_t n = inbox.tail - inbox.head;
	struct wire_reader r = {(const uint8_t *)inbox.p + inbox.head, n,
	    false};
	uint32_t body_bytes = wire_get_u32(&r);

	return !r.bad && n >= WIRE_HEADER_BYTES + (size_t)body_bytes;
}

void
io_settle(void)
{
	if (spoke || outbox.to - outbox.from >= KEEP_BYTES || !frame_here())
		flush();
	spoke = false;
	if (outbox.to == outbox.from)
		outbox.from = outbox.to = 0;
}

struct wire_writer
io_begin(enum wire_type type, uint64_t call_id)
{
	struct wire_header header = {.type = type, .call_id = call_id};
	bool result = type == WIRE_RESULT;
	char *box = result ? outbox.p + outbox.to : askbox;
	size_t bytes = result ? BOX_BYTES - outbox.to : ASK_BYTES;

	wire_build(box, &header);
	return (struct wire_writer){(uint8_t *)box, WIRE_HEADER_BYTES, bytes,
	    false};
}

static void
patch(uint8_t *p, uint64_t value, size_t bytes)
{
	struct wire_writer w = {p, 0, bytes, false};

	if (bytes == 8)
		wire_put_u64(&w, value);
	else
		wire_put_u32(&w, (uint32_t)value);
}

void
io_patch_u64(struct wire_writer *w, size_t at, uint64_t value)
{
	patch(w->p + at, value, 8);
}

void
io_send(struct wire_writer *w)
{
	patch(w->p, w->n - WIRE_HEADER_BYTES, 4);
	if ((char *)w->p == outbox.p + outbox.to) {
		outbox.to += w->n;
		return;
	}
	flush();
	spoke = true;
	write_all((const char *)w->p, w->n);
}

void
io_send_raw(enum wire_type type, uint64_t call_id, const void *body, size_t n)
{
	struct wire_header header = {.type = type,
	    .call_id = call_id,
	    .body_bytes = (uint32_t)n};
	char head[WIRE_HEADER_BYTES];

	wire_build(head, &header);
	flush();
	spoke = true;
	write_all(head, sizeof(head));
	write_all(body, n);
}
