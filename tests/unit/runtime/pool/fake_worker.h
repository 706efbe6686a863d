/*
 * fake_worker.h - workers that do what a test tells them: what they say and
 * what they hear.
 *
 * Runs in: tests.
 * Owns:    the workers' ends of their sockets, their processes.
 *
 * A worker reads one frame at a time and only when it is free, as a process
 * would that runs a handler.  What it does with a request is the request's
 * document (an event of kind JSON):
 *
 *	ok    "hello", at once     hold  nothing; the test answers later
 *	slow  after SLOW_US        crash dies by SIGSEGV
 *
 * and otherwise on_invoke's.
 */
#pragma once

#include "runtime/loop/loop.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"
#include "sandbox/wire/control.h"
#include "sandbox/wire/layers.h"
#include "sandbox/wire/wire.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAKE_TICK_US 1000
#define FAKE_WAIT_US \
	((uint64_t)60000000) /* for what must happen; machines are busy */
#define FAKE_PENDING  64
#define FAKE_SLOW_US  30000
#define FAKE_HEAP     "a heap after init"
#define FAKE_LINE     "slow.lua:4: in function <slow.lua:1>"
#define FAKE_CHILD_FD 3

struct fake;

struct fake_invoke {
	uint64_t id;
	uint64_t deadline_us;
	uint64_t max_result_bytes;
	bool announce;
	bool cold;
	char start[16];
	char request_id[64];
	char document[128];
};

struct fake_worker {
	struct fake *fake;
	struct fake_worker *next;
	unsigned int number; /* 1, 2, ... of this zygote */
	uint64_t slot;
	uint64_t memory_bytes;
	int fd; /* -1: it is over */
	struct loop_watch *watch;
	struct buf in;
	struct buf out;
	bool slowly; /* writes a byte at a time */
	bool deaf;   /* does not read */
	bool busy;
	bool asking;	      /* waits for an answer while busy */
	bool dropping;	      /* every INVOKE up to RECALL */
	unsigned int dropped; /* of them */
	uint64_t free_us;
	struct fake_invoke now; /* what it runs, or ran last */
	struct fake_invoke pending[FAKE_PENDING];
	size_t npending;
	pid_t pid;	 /* 0: it is no process */
	int interrupted; /* a pipe from it */
	bool killed;	 /* the other side ended it */
	bool told;	 /* DIED was sent */
	int status;	 /* of the process, after killed */
	unsigned int invokes, builds, images, interrupts;
	uint64_t image_bytes; /* announced by the last IMAGE */
	uint64_t image_got;
	struct buf answer; /* body of the last TIME_IS, FILE_DATA, FILE_DONE */
	unsigned int answers;
	char function[80];
};

struct fake {
	struct loop *loop;
	int fd;
	struct loop_watch *watch;
	struct loop_timer *tick;
	struct fake_worker *workers; /* newest first */
	unsigned int spawns;	     /* asked for */
	unsigned int refuse;	     /* so many are NO_FORK */
	unsigned int refused;
	bool hold_spawns; /* asked for, and no answer */
	bool hold_ready;  /* they do not say READY by themselves */
	bool hold_died;	  /* their end is told by nobody */
	bool processes;
	bool slowly;
	bool deaf;
	bool no_started; /* though it is asked for */
	void (*on_invoke)(struct fake_worker *w);
	void (*on_build)(struct fake_worker *w); /* NULL: builds FAKE_HEAP */
	void (*on_interrupt)(struct fake_worker *w); /* NULL: FAILED */
};

/* --- what a zygote says ---------------------------------------------------- */

static inline void
fake_say(struct fake *f, const struct buf *body, int fd)
{
	struct iovec iov = {.iov_base = body->p, .iov_len = body->n};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	(void)sendmsg(f->fd, &msg, MSG_NOSIGNAL);
}

static inline void
fake_hello(struct fake *f, unsigned int failed)
{
	struct jail_report report = {0};
	struct buf b = {0};

	for (int i = 0; i < JAIL_LAYERS; i++)
		report.active[i] = true;
	wire_add_u8(&b, CONTROL_HELLO);
	jail_report_put(&report, &b);
	wire_add_u32(&b, failed);
	wire_add_str(&b,
	    failed > 0 ? SLICE("open\tSIGSYS\texit 0\n") : (struct slice){0});
	wire_add_str(&b, SLICE("Lua 5.4.4"));
	fake_say(f, &b, -1);
	buf_fini(&b);
}

static inline void
fake_say_no_fork(struct fake *f, uint64_t slot)
{
	struct buf b = {0};

	f->refused++;
	wire_add_u8(&b, CONTROL_NO_FORK);
	wire_add_u64(&b, slot);
	wire_add_u32(&b, EAGAIN);
	fake_say(f, &b, -1);
	buf_fini(&b);
}

static inline void
fake_say_spawned(struct fake *f, uint64_t slot, int pidfd)
{
	struct buf b = {0};

	wire_add_u8(&b, CONTROL_SPAWNED);
	wire_add_u64(&b, slot);
	fake_say(f, &b, pidfd);
	buf_fini(&b);
}

static inline void
fake_say_died(struct fake_worker *w, int status)
{
	struct buf b = {0};

	w->told = true;
	w->status = status;
	if (w->fake->hold_died || w->fake->fd < 0)
		return;
	wire_add_u8(&b, CONTROL_DIED);
	wire_add_u64(&b, w->slot);
	wire_add_u32(&b, (uint32_t)status);
	wire_add_u64(&b, 1000);
	wire_add_u64(&b, 4096);
	fake_say(w->fake, &b, -1);
	buf_fini(&b);
}

/* --- what a worker says ------------------------------------------------------ */

static inline void
fake_flush(struct fake_worker *w)
{
	while (w->fd >= 0 && w->out.n > 0) {
		ssize_t n = send(w->fd, w->out.p, w->slowly ? 1 : w->out.n,
		    MSG_NOSIGNAL);

		if (n <= 0)
			break;
		buf_drop(&w->out, (size_t)n);
		if (w->slowly)
			break;
	}
	if (w->fd >= 0)
		loop_watch_want(w->watch,
		    (w->deaf || (w->busy && !w->asking) ? 0 : LOOP_READ) |
			(w->out.n > 0 ? LOOP_WRITE : 0));
}

static inline void
fake_bytes(struct fake_worker *w, struct slice bytes)
{
	buf_add_slice(&w->out, bytes);
	fake_flush(w);
}

static inline void
fake_frame(struct fake_worker *w, enum wire_type type, uint64_t id,
    struct slice body)
{
	size_t begin = wire_add_begin(&w->out, type, id);

	buf_add_slice(&w->out, body);
	wire_add_end(&w->out, begin);
	fake_flush(w);
}

/* Add a RESULT without headers to b. */
static inline void
fake_add_result(struct buf *b, uint64_t id, unsigned int status,
    struct slice body)
{
	size_t begin = wire_add_begin(b, WIRE_RESULT, id);

	wire_add_u64(b, 44 * 1024);
	wire_add_u16(b, (uint16_t)status);
	wire_add_u32(b, 0);
	wire_add_str(b, body);
	wire_add_end(b, begin);
}

static inline void
fake_add_failed(struct buf *b, uint64_t id, unsigned int why,
    const char *message, const char *traceback)
{
	size_t begin = wire_add_begin(b, WIRE_FAILED, id);

	wire_add_u8(b, (uint8_t)why);
	wire_add_u64(b, 44 * 1024);
	wire_add_str(b, slice_of(message));
	wire_add_str(b, slice_of(traceback));
	wire_add_end(b, begin);
}

static inline void fake_next(struct fake_worker *w);

/* Answer what it runs, and go on to the next. */
static inline void
fake_answer(struct fake_worker *w)
{
	ck_assert(w->busy);
	fake_add_result(&w->out, w->now.id, 200, SLICE("hello"));
	fake_flush(w);
	fake_next(w);
}

static inline void
fake_fail(struct fake_worker *w, unsigned int why, const char *message,
    const char *traceback)
{
	fake_add_failed(&w->out, w->now.id, why, message, traceback);
	fake_flush(w);
	fake_next(w);
}

static inline void
fake_built(struct fake_worker *w, struct slice heap)
{
	struct buf b = {0};

	wire_add_u64(&b, heap.n);
	wire_add_u64(&b, heap.n);
	fake_frame(w, WIRE_BUILT, 0, buf_slice(&b));
	buf_fini(&b);
	fake_frame(w, WIRE_HEAP_DATA, 0, heap);
	fake_next(w);
}

/* --- a worker's end ------------------------------------------------------------ */

static inline void
fake_close(struct fake_worker *w)
{
	loop_watch_free(w->watch);
	w->watch = NULL;
	if (w->fd >= 0)
		(void)close(w->fd);
	w->fd = -1;
}

static inline void
fake_reap(struct fake_worker *w)
{
	if (w->pid == 0)
		return;
	(void)kill(w->pid, SIGKILL);
	(void)waitpid(w->pid, NULL, 0);
	(void)close(w->interrupted);
	w->pid = 0;
}

/* It ends by itself, as wait(2) would say: a signal, or status << 8.  The
 * zygote's word comes first, as it may. */
static inline void
fake_die(struct fake_worker *w, int status)
{
	fake_say_died(w, status);
	fake_close(w);
	fake_reap(w);
}

/* The other side ended it. */
static inline void
fake_on_end(struct fake_worker *w)
{
	w->killed = true;
	fake_close(w);
	if (w->pid == 0)
		fake_say_died(w, SIGKILL);
}

/* --- what a worker hears --------------------------------------------------------- */

static inline void
fake_get_text(struct wire_reader *r, char *out, size_t bytes)
{
	(void)slice_copy(out, bytes, wire_get_str(r));
}

static inline void
fake_begin(struct fake_worker *w, const struct fake_invoke *invoke)
{
	const char *document = w->now.document;

	w->now = *invoke;
	w->busy = true;
	w->invokes++;
	if (invoke->announce && !w->fake->no_started)
		fake_frame(w, WIRE_STARTED, invoke->id, (struct slice){0});
	if (strcmp(document, "ok") == 0)
		fake_answer(w);
	else if (strcmp(document, "slow") == 0)
		w->free_us = clock_mono_us() + FAKE_SLOW_US;
	else if (strcmp(document, "crash") == 0)
		fake_die(w, SIGSEGV);
	else if (strcmp(document, "hold") != 0)
		w->fake->on_invoke(w);
}

/* It is free: the next that it has read already, or another read. */
static inline void
fake_next(struct fake_worker *w)
{
	struct fake_invoke invoke;

	w->busy = w->asking = false;
	w->free_us = 0;
	if (w->npending == 0) {
		fake_flush(w);
		return;
	}
	invoke = w->pending[0];
	w->npending--;
	memmove(w->pending, w->pending + 1, w->npending * sizeof(invoke));
	fake_begin(w, &invoke);
}

static inline void
fake_on_invoke(struct fake_worker *w, uint64_t id, struct wire_reader *r)
{
	struct fake_invoke invoke = {.id = id};

	(void)wire_get_raw(r, WIRE_SEED_BYTES);
	(void)wire_get_u64(r);
	(void)wire_get_u64(r);
	invoke.deadline_us = wire_get_u64(r);
	invoke.max_result_bytes = wire_get_u64(r);
	invoke.announce = wire_get_u8(r) != 0;
	invoke.cold = wire_get_u8(r) != 0;
	fake_get_text(r, invoke.start, sizeof(invoke.start));
	fake_get_text(r, invoke.request_id, sizeof(invoke.request_id));
	ck_assert_uint_eq(wire_get_u8(r), WIRE_EVENT_JSON);
	fake_get_text(r, invoke.document, sizeof(invoke.document));
	ck_assert(wire_got_all(r));
	ck_assert_uint_lt(w->npending, FAKE_PENDING);
	if (w->busy)
		w->pending[w->npending++] = invoke;
	else
		fake_begin(w, &invoke);
}

static inline void
fake_on_build(struct fake_worker *w, struct wire_reader *r)
{
	w->builds++;
	fake_get_text(r, w->function, sizeof(w->function));
	w->busy = true;
	if (w->fake->on_build != NULL)
		w->fake->on_build(w);
	else
		fake_built(w, SLICE(FAKE_HEAP));
}

static inline void
fake_on_image(struct fake_worker *w, struct wire_reader *r)
{
	w->images++;
	fake_get_text(r, w->function, sizeof(w->function));
	(void)wire_get_u32(r);
	(void)wire_get_u64(r);
	(void)wire_get_u8(r);
	w->image_bytes = wire_get_u64(r);
	ck_assert(wire_got_all(r));
}

/* As if it had noticed the signal: what it has not begun it never will. */
static inline void
fake_give_back(struct fake_worker *w)
{
	w->dropping = true;
	w->dropped += (unsigned int)w->npending;
	w->npending = 0;
	fake_frame(w, WIRE_RETURNED, w->busy ? w->now.id : 0,
	    (struct slice){0});
}

static inline void
fake_on_recall(struct fake_worker *w)
{
	if (!w->dropping)
		fake_give_back(w);
	w->dropping = false;
}

static inline void
fake_on_frame(struct fake_worker *w, const struct wire_header *header,
    struct slice body)
{
	struct wire_reader r = {(const uint8_t *)body.p, body.n, false};

	if (header->type == WIRE_RECALL) {
		fake_on_recall(w);
	} else if (header->type == WIRE_INVOKE && (w->dropping || w->asking)) {
		w->dropped++;
	} else if (header->type == WIRE_INVOKE) {
		fake_on_invoke(w, header->call_id, &r);
	} else if (header->type == WIRE_BUILD) {
		fake_on_build(w, &r);
	} else if (header->type == WIRE_IMAGE) {
		fake_on_image(w, &r);
	} else if (header->type == WIRE_IMAGE_DATA) {
		w->image_got += body.n;
	} else {
		buf_reset(&w->answer, 0);
		buf_add_slice(&w->answer, body);
		w->answers++;
		w->asking = false;
		fake_flush(w);
	}
}

/* Read no more than the frame that has begun.  False: nothing is there. */
static inline bool
fake_read(struct fake_worker *w)
{
	struct wire_header header = {0};
	unsigned int any = WIRE_IDLE | WIRE_RUNNING | WIRE_BUILDING;
	struct err err;
	size_t whole = WIRE_HEADER_BYTES;
	ssize_t n;

	if (wire_parse(&header, w->in.p, w->in.n, WIRE_GATEWAY, any, &err) == 0)
		whole += header.body_bytes;
	if (w->in.n < whole) {
		n = read(w->fd, buf_room(&w->in, whole - w->in.n),
		    whole - w->in.n);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			fake_on_end(w);
		if (n <= 0)
			return false;
		w->in.n += (size_t)n;
		return true;
	}
	if (whole > WIRE_HEADER_BYTES || header.body_bytes == 0) {
		char *frame = buf_steal(&w->in, NULL);

		fake_on_frame(w, &header,
		    slice_from(frame + WIRE_HEADER_BYTES, header.body_bytes));
		free(frame);
	}
	return true;
}

static inline void
fake_on_worker(unsigned int ready, void *arg)
{
	struct fake_worker *w = arg;

	if ((ready & LOOP_WRITE) != 0)
		fake_flush(w);
	while ((ready & LOOP_READ) != 0 && w->fd >= 0 && !w->deaf &&
	    (!w->busy || w->asking) && fake_read(w))
		;
}
