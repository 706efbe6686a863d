/*
 * test_worker.c - the turn of a real worker, jailed, spoken to as the gateway
 * speaks to it.
 *
 * Runs in: tests.
 * Owns:    a zygote of its own per test, the sockets of its workers.
 *
 * Sanitized builds of the sandbox program can't live in the jail: there the
 * tests are not run.
 */
#include "runtime/pool/zygote.h"
#include "sandbox/base/bytes.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"
#include "sandbox/wire/control.h"
#include "sandbox/wire/wire.h"
#include "sandbox/worker/worker.h"
#include "tests/unit/unit.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 30000
#define MEMORY	(UINT64_C(64) << 20)
#define SOURCE                                       \
	"local n = 0\n"                              \
	"return function(event)\n"                   \
	"  n = n + 1\n"                              \
	"  if event.log then log.info('here') end\n" \
	"  if event.ask then time.sync() end\n"      \
	"  for i = 1, event.spin or 0 do end\n"      \
	"  return n .. ' ' .. (event.say or '')\n"   \
	"end\n"
#define SLOW "{\"spin\": 300000000, \"say\": \"slow\"}" /* a second or so */

#ifdef PERILUNE_SANITIZED
static const bool jailed = false;
#else
static const bool jailed = true;
#endif

static pid_t zygote;
static int control;

struct peer {
	int fd;
	int pidfd;
	struct buf in;
	struct buf frame; /* the last one taken */
	struct wire_header header;
};

static void
wait_for(int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	ck_assert_int_eq(poll(&ready, 1, WAIT_MS), 1);
}

/* --- the zygote ----------------------------------------------------------- */

static void
start(void)
{
	char program[PATH_MAX];
	char self[PATH_MAX];
	char hello[CONTROL_MAX_BYTES];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct zygote_config config = {.program = program,
	    .uid = geteuid() == 0 ? 65534 : geteuid(),
	    .gid = geteuid() == 0 ? 65534 : getegid()};
	struct err err;

	ck_assert_int_gt(n, 0);
	self[n] = '\0';
	*strrchr(self, '/') = '\0'; /* tests/ of the build */
	(void)snprintf(program, sizeof(program), "%s/../perilune-sandbox",
	    self);
	ck_assert_int_eq(zygote_start(&config, &zygote, &control, &err), 0);
	wait_for(control);
	n = recv(control, hello, sizeof(hello), 0);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(hello[0], CONTROL_HELLO);
}

static void
stop(void)
{
	(void)close(control);
	(void)kill(zygote, SIGKILL);
	(void)waitpid(zygote, NULL, 0);
}

static int
take_pidfd(void)
{
	char body[64];
	struct iovec iov = {.iov_base = body, .iov_len = sizeof(body)};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} memory;
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = memory.bytes,
	    .msg_controllen = sizeof(memory.bytes)};
	int fd = -1;

	do { /* others may have died meanwhile */
		wait_for(control);
		msg.msg_controllen = sizeof(memory.bytes);
		ck_assert_int_gt(recvmsg(control, &msg, MSG_CMSG_CLOEXEC), 0);
	} while (body[0] == CONTROL_DIED);
	ck_assert_int_eq(body[0], CONTROL_SPAWNED);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void
spawn(struct peer *p)
{
	struct buf body = {0};
	struct iovec iov;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} memory = {.header = {.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof(int))}};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = memory.bytes,
	    .msg_controllen = sizeof(memory.bytes)};
	int pair[2];

	*p = (struct peer){0};
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
			     pair),
	    0);
	wire_add_u8(&body, CONTROL_SPAWN);
	wire_add_u64(&body, 1);
	wire_add_u64(&body, MEMORY);
	iov = (struct iovec){body.p, body.n};
	memcpy(CMSG_DATA(&memory.header), &pair[1], sizeof(int));
	ck_assert_int_gt(sendmsg(control, &msg, 0), 0);
	buf_fini(&body);
	(void)close(pair[1]);
	p->fd = pair[0];
	p->pidfd = take_pidfd();
}

/* --- frames ---------------------------------------------------------------- */

static void
read_more(struct peer *p)
{
	ssize_t n;

	wait_for(p->fd);
	n = read(p->fd, buf_room(&p->in, 1 << 20), 1 << 20);
	ck_assert_int_gt(n, 0);
	p->in.n += (size_t)n;
}

static bool
whole(struct peer *p)
{
	struct err err;
	unsigned int any =
	    WIRE_STARTING | WIRE_IDLE | WIRE_BUILDING | WIRE_RUNNING;

	return wire_parse(&p->header, p->in.p, p->in.n, WIRE_WORKER, any,
		   &err) == 0 &&
	    p->in.n >= WIRE_HEADER_BYTES + p->header.body_bytes;
}

/* The next frame, which must be this one. */
static struct wire_reader
expect(struct peer *p, enum wire_type type, uint64_t id)
{
	while (!whole(p))
		read_more(p);
	ck_assert_str_eq(wire_name(p->header.type), wire_name(type));
	ck_assert_uint_eq(p->header.call_id, id);
	buf_reset(&p->frame, SIZE_MAX);
	buf_add(&p->frame, p->in.p + WIRE_HEADER_BYTES, p->header.body_bytes);
	buf_drop(&p->in, WIRE_HEADER_BYTES + p->header.body_bytes);
	return (
	    struct wire_reader){(const uint8_t *)p->frame.p, p->frame.n, false};
}

static void
expect_result(struct peer *p, uint64_t id, const char *body)
{
	struct wire_reader r = expect(p, WIRE_RESULT, id);

	(void)wire_get_u64(&r);
	ck_assert_uint_eq(wire_get_u16(&r), 200);
	for (uint32_t n = wire_get_u32(&r); n > 0; n--) {
		(void)wire_get_str(&r);
		(void)wire_get_str(&r);
	}
	ck_assert(slice_is(wire_get_str(&r), body));
}

static void
add_frame(struct buf *out, enum wire_type type)
{
	wire_add_end(out, wire_add_begin(out, type, 0));
}

static void
add_invoke(struct buf *out, uint64_t id, bool announce, const char *document)
{
	static const char seed[WIRE_SEED_BYTES];
	size_t begin = wire_add_begin(out, WIRE_INVOKE, id);

	buf_add(out, seed, sizeof(seed));
	wire_add_u64(out, 1);
	wire_add_u64(out, 1);
	wire_add_u64(out, 60000000);
	wire_add_u64(out, 1 << 20);
	wire_add_u8(out, announce);
	wire_add_u8(out, announce);
	wire_add_str(out, SLICE("warm"));
	wire_add_str(out, SLICE("id"));
	wire_add_u8(out, WIRE_EVENT_JSON);
	wire_add_str(out, slice_of(document));
	wire_add_end(out, begin);
}

static void
send_all(const struct peer *p, struct buf *out)
{
	ck_assert_int_eq(write(p->fd, out->p, out->n), (ssize_t)out->n);
	buf_reset(out, SIZE_MAX);
}

/* A worker with the function; its heap, if wanted. */
static void
build(struct peer *p, struct buf *heap)
{
	static const char seed[WIRE_SEED_BYTES];
	struct buf out = {0};
	size_t begin = wire_add_begin(&out, WIRE_BUILD, 0);
	struct wire_reader r;
	uint64_t left;

	spawn(p);
	(void)expect(p, WIRE_READY, 0);
	wire_add_str(&out, SLICE("f"));
	wire_add_u32(&out, 1);
	wire_add_u64(&out, MEMORY);
	wire_add_u8(&out, WIRE_HEAP_FRESH);
	buf_add(&out, seed, sizeof(seed));
	wire_add_u64(&out, 1);
	wire_add_u64(&out, 1);
	wire_add_u32(&out, 0);
	wire_add_u32(&out, 1);
	wire_add_str(&out, SLICE("init"));
	wire_add_str(&out, SLICE(SOURCE));
	wire_add_end(&out, begin);
	send_all(p, &out);
	buf_fini(&out);
	r = expect(p, WIRE_BUILT, 0);
	left = wire_get_u64(&r);
	while (left > 0) {
		(void)expect(p, WIRE_HEAP_DATA, 0);
		left -= p->frame.n;
		if (heap != NULL)
			buf_add_slice(heap, buf_slice(&p->frame));
	}
}

static void
end(struct peer *p)
{
	(void)close(p->fd);
	(void)close(p->pidfd);
	buf_fini(&p->in);
	buf_fini(&p->frame);
}

/* --- tests ------------------------------------------------------------------ */

START_TEST(calls_that_come_together_are_answered_together)
{
	struct peer p;
	struct buf out = {0};

	build(&p, NULL);
	for (uint64_t id = 1; id <= 3; id++)
		add_invoke(&out, id, false, "{\"say\": \"hi\"}");
	send_all(&p, &out);
	read_more(&p);
	/* each on a fresh heap, and all in the first read */
	expect_result(&p, 1, "1 hi");
	ck_assert(whole(&p));
	expect_result(&p, 2, "1 hi");
	ck_assert(whole(&p));
	expect_result(&p, 3, "1 hi");
	buf_fini(&out);
	end(&p);
}
END_TEST

START_TEST(the_answer_of_a_call_that_spoke_does_not_wait)
{
	struct peer p;
	struct buf out = {0};

	build(&p, NULL);
	add_invoke(&out, 1, false, "{\"log\": true}");
	add_invoke(&out, 2, false, SLOW);
	send_all(&p, &out);
	(void)expect(&p, WIRE_LOG, 1);
	expect_result(&p, 1, "1 ");
	ck_assert(!whole(&p)); /* the slow one is still at it */
	expect_result(&p, 2, "1 slow");
	buf_fini(&out);
	end(&p);
}
END_TEST

START_TEST(recalled_it_hands_out_what_it_kept_and_drops_what_waits)
{
	struct peer p;
	struct buf out = {0};

	build(&p, NULL);
	add_invoke(&out, 1, false, "{}");
	add_invoke(&out, 2, false, SLOW);
	add_invoke(&out, 3, false, "{}");
	send_all(&p, &out);
	(void)usleep(100000); /* it is in the slow one, most likely */
	ck_assert_int_eq(syscall(SYS_pidfd_send_signal, p.pidfd,
			     WORKER_RECALL_SIGNAL, NULL, 0),
	    0);
	add_frame(&out, WIRE_RECALL);
	add_invoke(&out, 4, false, "{\"say\": \"new\"}");
	send_all(&p, &out);
	expect_result(&p, 1, "1 ");
	(void)expect(&p, WIRE_RETURNED, 2);
	ck_assert(!whole(&p));
	expect_result(&p, 2, "1 slow");
	expect_result(&p, 4, "1 new");
	buf_fini(&out);
	end(&p);
}
END_TEST

START_TEST(recall_without_its_signal_returns_nothing)
{
	struct peer p;
	struct buf out = {0};

	build(&p, NULL);
	add_invoke(&out, 1, false, "{}");
	add_frame(&out, WIRE_RECALL);
	add_invoke(&out, 2, false, "{}");
	send_all(&p, &out);
	expect_result(&p, 1, "1 ");
	(void)expect(&p, WIRE_RETURNED, 0);
	expect_result(&p, 2, "1 ");
	buf_fini(&out);
	end(&p);
}
END_TEST

START_TEST(a_question_drops_what_stands_before_its_answer)
{
	struct peer p;
	struct buf out = {0};
	size_t begin;

	build(&p, NULL);
	add_invoke(&out, 1, false, "{\"ask\": true}");
	add_invoke(&out, 2, false, "{}");
	send_all(&p, &out);
	(void)expect(&p, WIRE_TIME, 1);
	begin = wire_add_begin(&out, WIRE_TIME_IS, 1);
	wire_add_u64(&out, 5);
	wire_add_u64(&out, 5);
	wire_add_end(&out, begin);
	add_invoke(&out, 3, false, "{}");
	send_all(&p, &out);
	expect_result(&p, 1, "1 ");
	expect_result(&p, 3, "1 ");
	buf_fini(&out);
	end(&p);
}
END_TEST

START_TEST(an_image_in_pieces_starts_another_worker)
{
	struct peer p;
	struct buf heap = {0};
	struct buf out = {0};
	size_t half;
	size_t begin;

	build(&p, &heap);
	end(&p);
	half = heap.n / 2;
	spawn(&p);
	(void)expect(&p, WIRE_READY, 0);
	begin = wire_add_begin(&out, WIRE_IMAGE, 0);
	wire_add_str(&out, SLICE("f"));
	wire_add_u32(&out, 1);
	wire_add_u64(&out, MEMORY);
	wire_add_u8(&out, WIRE_HEAP_FRESH);
	wire_add_u64(&out, heap.n);
	wire_add_end(&out, begin);
	begin = wire_add_begin(&out, WIRE_IMAGE_DATA, 0);
	buf_add(&out, heap.p, half);
	wire_add_end(&out, begin);
	begin = wire_add_begin(&out, WIRE_IMAGE_DATA, 0);
	buf_add(&out, heap.p + half, heap.n - half);
	wire_add_end(&out, begin);
	add_invoke(&out, 7, true, "{\"say\": \"image\"}");
	for (size_t at = 0; at < out.n; at += 5000) { /* as it may come */
		size_t n = out.n - at < 5000 ? out.n - at : 5000;

		ck_assert_int_eq(write(p.fd, out.p + at, n), (ssize_t)n);
		(void)usleep(1000);
	}
	(void)expect(&p, WIRE_STARTED, 7);
	expect_result(&p, 7, "1 image");
	buf_fini(&out);
	buf_fini(&heap);
	end(&p);
}
END_TEST

static void
add_tests(TCase *tcase)
{
	tcase_add_test(tcase, calls_that_come_together_are_answered_together);
	tcase_add_test(tcase, the_answer_of_a_call_that_spoke_does_not_wait);
	tcase_add_test(tcase,
	    recalled_it_hands_out_what_it_kept_and_drops_what_waits);
	tcase_add_test(tcase, recall_without_its_signal_returns_nothing);
	tcase_add_test(tcase, a_question_drops_what_stands_before_its_answer);
	tcase_add_test(tcase, an_image_in_pieces_starts_another_worker);
}

int
main(void)
{
	Suite *suite = suite_create("sandbox/worker/worker");
	TCase *tcase = tcase_create("worker");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, start, stop);
	if (jailed)
		add_tests(tcase);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
