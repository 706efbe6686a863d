/*
 * test_wire.c - frame headers and fields, honest and not.
 *
 * Runs in: tests.
 */
#include "sandbox/base/err.h"
#include "sandbox/wire/wire.h"
#include "tests/unit/unit.h"

START_TEST(what_is_built_is_parsed)
{
	const struct wire_header sent = {.body_bytes = 16,
	    .type = WIRE_FILE_READ,
	    .call_id = 0x0102030405060708};
	struct wire_header got = {0};
	struct err err = {0};
	uint8_t buf[WIRE_HEADER_BYTES];

	wire_build(buf, &sent);
	ck_assert_int_eq(wire_parse(&got, buf, sizeof(buf), WIRE_WORKER,
			     WIRE_RUNNING, &err),
	    0);
	ck_assert_uint_eq(got.body_bytes, sent.body_bytes);
	ck_assert_uint_eq(got.call_id, sent.call_id);
	ck_assert_int_eq(got.type, sent.type);
}
END_TEST

START_TEST(half_a_header_asks_for_more)
{
	struct wire_header got = {.body_bytes = 77};
	struct err err = {0};
	uint8_t buf[WIRE_HEADER_BYTES] = {0};

	ck_assert_int_eq(wire_parse(&got, buf, WIRE_HEADER_BYTES - 1,
			     WIRE_WORKER, WIRE_RUNNING, &err),
	    1);
	ck_assert_uint_eq(got.body_bytes, 77);
}
END_TEST

static const struct lie {
	struct wire_header header;
	unsigned int states;
	const char *said;
} lies[] = {
    {{.type = (enum wire_type)99}, WIRE_RUNNING, "no message 99"},
    {{.type = (enum wire_type)999}, WIRE_RUNNING, "no message 999"},
    {{.type = WIRE_INVOKE}, WIRE_RUNNING, "INVOKE from the wrong side"},
    {{.type = WIRE_RESULT}, WIRE_IDLE, "RESULT out of turn"},
    {{.type = WIRE_FILE_READ, .body_bytes = 17}, WIRE_RUNNING,
	"FILE_READ of 17 bytes, at most 16"},
};

START_TEST(a_worker_that_lies_is_an_error)
{
	struct wire_header got = {.body_bytes = 77};
	struct err err = {0};
	uint8_t buf[WIRE_HEADER_BYTES];

	wire_build(buf, &lies[_i].header);
	ck_assert_int_eq(wire_parse(&got, buf, sizeof(buf), WIRE_WORKER,
			     lies[_i].states, &err),
	    -1);
	ck_assert_int_eq(err.code, ERR_PEER);
	ck_assert_str_eq(err.msg, lies[_i].said);
	ck_assert_uint_eq(got.body_bytes, 77); /* untouched on failure */
}
END_TEST

START_TEST(fields_come_back_in_order)
{
	struct buf b = {0};
	size_t begin = wire_add_begin(&b, WIRE_RESULT, 9);
	struct wire_reader r;

	wire_add_u16(&b, 404);
	wire_add_u64(&b, UINT64_MAX);
	wire_add_str(&b, SLICE("body"));
	wire_add_end(&b, begin);
	r = (struct wire_reader){(const uint8_t *)b.p + WIRE_HEADER_BYTES,
	    b.n - WIRE_HEADER_BYTES, false};
	ck_assert_uint_eq((uint8_t)b.p[0], 18);
	ck_assert_uint_eq(wire_get_u16(&r), 404);
	ck_assert_uint_eq(wire_get_u64(&r), UINT64_MAX);
	ck_assert(slice_is(wire_get_str(&r), "body"));
	ck_assert(wire_got_all(&r));
	buf_fini(&b);
}
END_TEST

START_TEST(a_string_longer_than_its_frame_is_bad)
{
	const uint8_t lying[] = {0xff, 0xff, 0xff, 0xff, 'x'};
	struct wire_reader r = {lying, sizeof(lying), false};

	ck_assert_uint_eq(wire_get_str(&r).n, 0);
	ck_assert(r.bad);
	ck_assert_uint_eq(wire_get_u8(&r), 0); /* and stays bad */
	ck_assert(!wire_got_all(&r));
}
END_TEST

START_TEST(a_full_writer_puts_nothing_more)
{
	uint8_t memory[6];
	struct wire_writer w = {memory, 0, sizeof(memory), false};

	wire_put_u32(&w, 1);
	wire_put_u32(&w, 2);
	wire_put_u8(&w, 3);
	ck_assert(w.full);
	ck_assert_uint_eq(w.n, 4);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sandbox/wire/wire");
	TCase *tcase = tcase_create("header");

	tcase_add_test(tcase, what_is_built_is_parsed);
	tcase_add_test(tcase, half_a_header_asks_for_more);
	tcase_add_loop_test(tcase, a_worker_that_lies_is_an_error, 0,
	    sizeof(lies) / sizeof(lies[0]));
	tcase_add_test(tcase, fields_come_back_in_order);
	tcase_add_test(tcase, a_string_longer_than_its_frame_is_bad);
	tcase_add_test(tcase, a_full_writer_puts_nothing_more);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
