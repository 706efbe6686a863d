/*
 * test_chunked.c - chunked bodies, whole and cut at every byte.
 *
 * Runs in: tests.
 */
#include "runtime/http/parse.h"
#include "tests/unit/unit.h"

#include <stdio.h>

#define MAX_BODY 100000

struct outcome {
	enum http_fault fault;
	bool done;
	size_t used;
	struct buf body;
};

/* Feed bytes in pieces of `step`, the first one of `first`. */
static struct outcome
decode(struct slice bytes, size_t first, size_t step)
{
	struct outcome o = {0};
	struct http_chunked c = {0};
	size_t piece = first;

	while (o.used < bytes.n && o.fault == HTTP_FAULT_NONE && !o.done) {
		size_t left = bytes.n - o.used;
		size_t used;

		o.fault = http_chunked_take(&c,
		    (struct slice){bytes.p + o.used,
			piece < left ? piece : left},
		    MAX_BODY, &o.body, &used);
		o.used += used;
		o.done = c.state == HTTP_CHUNK_DONE;
		piece = step;
	}
	return o;
}

static const struct {
	const char *bytes;
	const char *body; /* NULL: a fault, or not the end */
	enum http_fault fault;
} cases[] = {
    {"5\r\nhello\r\n0\r\n\r\n", "hello", 0},
    {"0\r\n\r\n", "", 0},
    {"000\r\n\r\n", "", 0},
    {"A\r\n0123456789\r\n00000000000000b\r\n0123456789a\r\n0\r\n\r\n",
	"01234567890123456789a", 0},
    {"1;a=b;c=\"d\"\r\nx\r\n0;e\r\n\r\n", "x", 0},
    {"1\r\nx\r\n0\r\nA: b\r\nc:\r\n\r\n", "x", 0},
    {"1\r\nx\r\n0\r\nlonger-than-the-buffer-for-names: b\r\n\r\n", "x", 0},
    {"5\r\nhel", NULL, 0},
    {"1\r\nx\r\n0\r\n", NULL, 0},
    {"0x1\r\nx\r\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {"+1\r\nx\r\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {"-1\r\nx\r\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {"1_0\r\nx\r\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {" 1\r\nx\r\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {"1 \r\nx\r\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {"00000000000000001\r\nx\r\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {"\r\nx\r\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {";a\r\nx\r\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {"1\nx\r\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {"1\r\nx\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {"1\r\nxy\r\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {"1\r\nx0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {"1;a\r\r\nx\r\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {"1;a\nx\r\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {"1;\x01\r\nx\r\n0\r\n\r\n", NULL, HTTP_FAULT_CHUNK},
    {"ffffffffffffffff\r\nx", NULL, HTTP_FAULT_BODY_LONG},
    {"186a1\r\nx", NULL, HTTP_FAULT_BODY_LONG},
    {"1\r\nx\r\n186a0\r\nx", NULL, HTTP_FAULT_BODY_LONG},
    {"0\r\n b: c\r\n\r\n", NULL, HTTP_FAULT_TRAILER},
    {"0\r\n: c\r\n\r\n", NULL, HTTP_FAULT_TRAILER},
    {"0\r\nb : c\r\n\r\n", NULL, HTTP_FAULT_TRAILER},
    {"0\r\nb\r\n\r\n", NULL, HTTP_FAULT_TRAILER},
    {"0\r\nb: \x80\r\n\r\n", NULL, HTTP_FAULT_TRAILER},
    {"0\r\nContent-Length: 5\r\n\r\n", NULL, HTTP_FAULT_TRAILER},
    {"0\r\ntransfer-encoding: chunked\r\n\r\n", NULL, HTTP_FAULT_TRAILER},
    {"0\r\nb: c\n\r\n", NULL, HTTP_FAULT_TRAILER},
    {"0\r\n\rx", NULL, HTTP_FAULT_CHUNK},
};

static void
check_outcome(size_t i, struct outcome o)
{
	ck_assert_msg(o.fault == cases[i].fault, "case %zu: fault %d", i,
	    (int)o.fault);
	ck_assert_msg(o.done == (cases[i].body != NULL), "case %zu: end", i);
	if (cases[i].body != NULL)
		ck_assert_msg(slice_is(buf_slice(&o.body), cases[i].body),
		    "case %zu: body", i);
	buf_fini(&o.body);
}

START_TEST(every_case_comes_out_the_same_however_it_is_cut)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice bytes = slice_of(cases[i].bytes);

		check_outcome(i, decode(bytes, bytes.n, 1));
		check_outcome(i, decode(bytes, 1, 1));
		for (size_t cut = 1; cut < bytes.n; cut++)
			check_outcome(i, decode(bytes, cut, bytes.n));
	}
}
END_TEST

START_TEST(what_follows_the_body_is_left_alone)
{
	struct outcome o =
	    decode(SLICE("1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1"), 100, 1);

	ck_assert(o.done);
	ck_assert_uint_eq(o.used, 11);
	buf_fini(&o.body);
}
END_TEST

static void
repeat(struct buf *b, const char *s, size_t times)
{
	for (size_t i = 0; i < times; i++)
		buf_puts(b, s);
}

START_TEST(a_million_chunks_of_one_byte_are_refused_early)
{
	struct buf in = {0};
	struct outcome o;

	repeat(&in, "1\r\nx\r\n", 1000000);
	o = decode(buf_slice(&in), 16384, 16384);
	ck_assert_int_eq((int)o.fault, (int)HTTP_FAULT_CHUNK_OVERHEAD);
	ck_assert_uint_lt(o.used, 40000);
	buf_fini(&o.body);
	buf_fini(&in);
}
END_TEST

START_TEST(chunks_of_ten_bytes_are_fine_for_ever)
{
	struct buf in = {0};
	struct outcome o;

	repeat(&in, "a\r\n0123456789\r\n", 10000);
	buf_puts(&in, "0\r\n\r\n");
	o = decode(buf_slice(&in), 16384, 16384);
	ck_assert(o.done);
	ck_assert_uint_eq(o.body.n, 100000);
	buf_fini(&o.body);
	buf_fini(&in);
}
END_TEST

START_TEST(long_extensions_and_trailers_are_refused)
{
	struct buf in = {0};
	struct outcome o;

	buf_puts(&in, "1;");
	repeat(&in, "a", 1048576);
	o = decode(buf_slice(&in), 16384, 16384);
	ck_assert_int_eq((int)o.fault, (int)HTTP_FAULT_CHUNK);
	ck_assert_uint_lt(o.used, 1000);
	buf_fini(&in);
	buf_puts(&in, "0\r\n");
	repeat(&in, "a: b\r\n", 10000);
	o = decode(buf_slice(&in), 16384, 16384);
	ck_assert_int_eq((int)o.fault, (int)HTTP_FAULT_TRAILERS_LONG);
	ck_assert_uint_lt(o.used, 10000);
	buf_fini(&in);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/http/chunked");
	TCase *tcase = tcase_create("chunked");

	tcase_add_test(tcase, every_case_comes_out_the_same_however_it_is_cut);
	tcase_add_test(tcase, what_follows_the_body_is_left_alone);
	tcase_add_test(tcase, a_million_chunks_of_one_byte_are_refused_early);
	tcase_add_test(tcase, chunks_of_ten_bytes_are_fine_for_ever);
	tcase_add_test(tcase, long_extensions_and_trailers_are_refused);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
