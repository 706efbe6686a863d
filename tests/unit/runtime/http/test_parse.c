/*
 * test_parse.c - request heads: a table of bytes and what they mean.
 *
 * Runs in: tests.
 */
#include "runtime/http/parse.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static const struct http_limits limits = {.line_bytes = 1024,
    .head_bytes = 4096,
    .headers = 10};

#define H "Host: a\r\n"
#define G "GET / HTTP/1.1\r\n" H

struct outcome {
	enum http_fault fault;
	bool done;
	struct http_head head;
	char *text;
};

/* `first` bytes, then all, as a connection would. */
static struct outcome
parse_cut(struct slice bytes, size_t first)
{
	struct outcome o = {0};
	struct http_scan scan = {0};

	o.fault = http_scan(&scan, &limits, bytes.p, first);
	if (o.fault == HTTP_FAULT_NONE && !scan.done)
		o.fault = http_scan(&scan, &limits, bytes.p, bytes.n);
	o.done = scan.done;
	if (o.fault != HTTP_FAULT_NONE || !scan.done)
		return o;
	o.text = slice_dup(
	    (struct slice){bytes.p + scan.begin, scan.head_bytes - scan.begin});
	o.fault =
	    http_parse(&o.head, &limits, o.text, scan.head_bytes - scan.begin);
	return o;
}

static void
outcome_fini(struct outcome *o)
{
	http_head_fini(&o->head);
	free(o->text);
}

static const struct {
	const char *bytes;
	enum http_fault fault;
} cases[] = {
    {G "\r\n", 0},
    {"\r\n" G "\r\n", 0},
    {"\r\n\r\n" G "\r\n", HTTP_FAULT_REQUEST_LINE},
    /* H1: both lengths, in any order and case */
    {G "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	HTTP_FAULT_AMBIGUOUS},
    {G "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
	HTTP_FAULT_AMBIGUOUS},
    {G "TRANSFER-ENCODING: CHUNKED\r\nCONTENT-LENGTH: 0\r\n\r\n",
	HTTP_FAULT_AMBIGUOUS},
    /* H2: Content-Length */
    {G "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", HTTP_FAULT_LENGTH},
    {G "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", HTTP_FAULT_LENGTH},
    {G "Content-Length: 5, 5\r\n\r\n", HTTP_FAULT_LENGTH},
    {G "Content-Length: +5\r\n\r\n", HTTP_FAULT_LENGTH},
    {G "Content-Length: -1\r\n\r\n", HTTP_FAULT_LENGTH},
    {G "Content-Length: 0x5\r\n\r\n", HTTP_FAULT_LENGTH},
    {G "Content-Length: 5abc\r\n\r\n", HTTP_FAULT_LENGTH},
    {G "Content-Length: 5 5\r\n\r\n", HTTP_FAULT_LENGTH},
    {G "Content-Length:\r\n\r\n", HTTP_FAULT_LENGTH},
    {G "Content-Length: 18446744073709551616\r\n\r\n", HTTP_FAULT_LENGTH},
    {G "Content-Length: 00000000000000000005\r\n\r\n", HTTP_FAULT_LENGTH},
    {G "Content-Length: 05\r\n\r\n", 0},
    /* H3: Transfer-Encoding */
    {G "Transfer-Encoding: chunked\r\n\r\n", 0},
    {G "Transfer-Encoding: xchunked\r\n\r\n", HTTP_FAULT_CODING_UNKNOWN},
    {G "Transfer-Encoding: chunked, identity\r\n\r\n",
	HTTP_FAULT_CODING_UNKNOWN},
    {G "Transfer-Encoding: identity\r\n\r\n", HTTP_FAULT_CODING_UNKNOWN},
    {G "Transfer-Encoding: ,chunked\r\n\r\n", HTTP_FAULT_CODING_UNKNOWN},
    {G "Transfer-Encoding: \r\n\r\n", HTTP_FAULT_CODING_UNKNOWN},
    {G "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	HTTP_FAULT_CODING},
    {G "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n",
	HTTP_FAULT_CODING_UNKNOWN},
    {G "Transfer-Encoding: chunked\t\r\n\r\n", HTTP_FAULT_CODING},
    {G "Transfer-Encoding:\tchunked\r\n\r\n", HTTP_FAULT_CODING},
    {G "Transfer-Encoding: chunked\v\r\n\r\n", HTTP_FAULT_HEADER},
    {G "Transfer-Encoding: chunked\xa0\r\n\r\n", HTTP_FAULT_HEADER},
    {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_FAULT_CODING},
    {G "Transfer-Encoding : chunked\r\n\r\n", HTTP_FAULT_HEADER},
    {G "Transfer-Encoding:\r\n chunked\r\n\r\n", HTTP_FAULT_CODING_UNKNOWN},
    {G "X: a\r\n b\r\n\r\n", HTTP_FAULT_FOLD},
    {G "X: a\r\n\tb\r\n\r\n", HTTP_FAULT_FOLD},
    /* H6: bytes that have no place in a head */
    {G "X: a\rb\r\n\r\n", HTTP_FAULT_HEADER},
    {G "X: a\r\r\n\r\n", HTTP_FAULT_HEADER},
    {G "X\r: a\r\n\r\n", HTTP_FAULT_HEADER},
    {G "X: a\n\r\n", HTTP_FAULT_BARE_LF},
    {G "\n", HTTP_FAULT_BARE_LF},
    {"GET / HTTP/1.1\n" H "\r\n", HTTP_FAULT_BARE_LF},
    {"\n" G "\r\n", HTTP_FAULT_BARE_LF},
    {G "X: \x01\r\n\r\n", HTTP_FAULT_HEADER},
    {G "X: \x7f\r\n\r\n", HTTP_FAULT_HEADER},
    {G "X: \x80\r\n\r\n", HTTP_FAULT_HEADER},
    {G "X\xff: a\r\n\r\n", HTTP_FAULT_HEADER},
    {G ": a\r\n\r\n", HTTP_FAULT_HEADER},
    {G "X\r\n\r\n", HTTP_FAULT_HEADER},
    {G "X Y: a\r\n\r\n", HTTP_FAULT_HEADER},
    {G "X:\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", HTTP_FAULT_FOLD},
    {" GET / HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_METHOD},
    {"GET /\x01 HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /\x80 HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /?\xff HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"GET /\rx HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    /* H7: Host */
    {"GET / HTTP/1.1\r\n\r\n", HTTP_FAULT_HOST},
    {"GET / HTTP/1.0\r\n\r\n", 0},
    {G H "\r\n", HTTP_FAULT_HOST},
    {"GET / HTTP/1.0\r\n" H H "\r\n", HTTP_FAULT_HOST},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", HTTP_FAULT_HOST},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", HTTP_FAULT_HOST},
    {"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", HTTP_FAULT_HOST},
    {"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", HTTP_FAULT_HOST},
    {"GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", HTTP_FAULT_HOST},
    {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", HTTP_FAULT_HOST},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HTTP_FAULT_HOST},
    {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", HTTP_FAULT_HOST},
    {"GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n", HTTP_FAULT_HOST},
    {"GET / HTTP/1.1\r\nHost: [::1]80\r\n\r\n", HTTP_FAULT_HOST},
    {"GET / HTTP/1.1\r\nHost: 127.0.0.1:65535\r\n\r\n", 0},
    {"GET http://a/ HTTP/1.1\r\nHost: A\r\n\r\n", 0},
    {"GET http://b/ HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_HOST_DIFFERS},
    {"GET http://a:80/ HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_HOST_DIFFERS},
    {"GET http://u@a/ HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_HOST},
    {"GET http:///x HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_HOST},
    {"GET http://a:99999/ HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_HOST},
    {"GET http://a HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"GET https://a/ HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"GET a HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    /* H8: version, spaces, method */
    {"GET / HTTP/1.32\r\n" H "\r\n", HTTP_FAULT_REQUEST_LINE},
    {"GET / HTTP/2.0\r\n" H "\r\n", HTTP_FAULT_VERSION},
    {"GET / HTTP/0.9\r\n" H "\r\n", HTTP_FAULT_VERSION},
    {"GET / http/1.1\r\n" H "\r\n", HTTP_FAULT_REQUEST_LINE},
    {"GET / HTTP/1.1 \r\n" H "\r\n", HTTP_FAULT_REQUEST_LINE},
    {"GET  / HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_REQUEST_LINE},
    {"GET /  HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_REQUEST_LINE},
    {"GET\t/ HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_REQUEST_LINE},
    {"GET /\r\n" H "\r\n", HTTP_FAULT_REQUEST_LINE},
    {"GET\r\n" H "\r\n", HTTP_FAULT_REQUEST_LINE},
    {"G(T / HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_METHOD},
    {"BREW / HTTP/1.1\r\n" H "\r\n", 0},
    {"ABCDEFGHIJABCDEFGHIJABCDEFGHIJAB / HTTP/1.1\r\n" H "\r\n", 0},
    {"ABCDEFGHIJABCDEFGHIJABCDEFGHIJABC / HTTP/1.1\r\n" H "\r\n",
	HTTP_FAULT_METHOD_LONG},
    /* H9 */
    {"CONNECT a:80 HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_METHOD_REFUSED},
    {"TRACE / HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_METHOD_REFUSED},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", 0},
    {"GET * HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"PRI * HTTP/2.0\r\n\r\n", HTTP_FAULT_VERSION},
    /* H10: the eleventh field */
    {G "a:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\n\r\n", 0},
    {G "a:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\nj:\r\n\r\n",
	HTTP_FAULT_HEADERS_MANY},
    /* H15 */
    {G "Expect: 100-Continue\r\n\r\n", 0},
    {G "Expect: 100-continue\r\nExpect: x\r\n\r\n", HTTP_FAULT_EXPECT},
    {G "Expect: tea\r\n\r\n", HTTP_FAULT_EXPECT},
    {"GET / HTTP/1.0\r\nExpect: tea\r\n\r\n", 0},
    /* H17: paths */
    {"GET /a/..%2fb HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /a%2Fb HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /a%5cb HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /a\\b HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /%2e%2e/b HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /a/%2e HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /a/../b HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /a/./b HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /.. HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET //a HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /a// HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /a/ HTTP/1.1\r\n" H "\r\n", 0},
    {"GET /... HTTP/1.1\r\n" H "\r\n", 0},
    {"GET /a;x HTTP/1.1\r\n" H "\r\n", 0},
    {"GET /%00 HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /%1f HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /%7F HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /%zz HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /% HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /%4 HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /?%4 HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"GET /%c0%af HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /%ed%a0%80 HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /%f5%80%80%80 HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /%e2%82 HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /%e2%82%ac HTTP/1.1\r\n" H "\r\n", 0},
    {"GET /%f0%9f%8c%99 HTTP/1.1\r\n" H "\r\n", 0},
    {"GET /a#b HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_PATH},
    {"GET /?a#b HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"GET /?a={b}|[c] HTTP/1.1\r\n" H "\r\n", 0},
};

START_TEST(every_case_comes_out_the_same_however_it_is_cut)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice bytes = slice_of(cases[i].bytes);

		for (size_t cut = 0; cut <= bytes.n; cut++) {
			struct outcome o = parse_cut(bytes, cut);

			ck_assert_msg(o.fault == cases[i].fault,
			    "%s at %zu: fault %d", cases[i].bytes, cut,
			    (int)o.fault);
			ck_assert_msg(o.done || o.fault != HTTP_FAULT_NONE,
			    "%s at %zu: not done", cases[i].bytes, cut);
			outcome_fini(&o);
		}
	}
}
END_TEST

START_TEST(a_nul_is_refused_wherever_it_stands)
{
	static const struct slice heads[] = {
	    SLICE("G\0T / HTTP/1.1\r\nHost: a\r\n\r\n"),
	    SLICE("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
	    SLICE("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n"),
	    SLICE("GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n"),
	    SLICE("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"),
	};

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct outcome o = parse_cut(heads[i], heads[i].n);

		ck_assert_msg(o.done && o.fault != HTTP_FAULT_NONE, "head %zu",
		    i);
		outcome_fini(&o);
	}
}
END_TEST

START_TEST(a_request_says_what_was_sent)
{
	struct outcome o =
	    parse_cut(SLICE(
			  "POST /a%20b/c?d=%20&e HTTP/1.1\r\nHOST: x.y:80\r\n"
			  "X-Long:  two  words \t\r\nPerilune-Tenant: evil\r\n"
			  "Content-Length: 007\r\n\r\nbody"),
		20);
	const struct http_request *r = &o.head.request;

	ck_assert_int_eq((int)o.fault, 0);
	ck_assert(slice_is(r->method, "POST"));
	ck_assert(slice_is(r->target, "/a%20b/c?d=%20&e"));
	ck_assert(slice_is(r->path, "/a b/c"));
	ck_assert(slice_is(r->query, "d=%20&e"));
	ck_assert(slice_is(r->host, "x.y:80"));
	ck_assert_uint_eq(r->nheaders, 3);
	ck_assert(slice_is(r->headers[0].name, "host"));
	ck_assert(slice_is(r->headers[1].name, "x-long"));
	ck_assert(slice_is(r->headers[1].value, "two  words"));
	ck_assert(slice_is(r->headers[2].name, "content-length"));
	ck_assert_uint_eq(o.head.content_length, 7);
	ck_assert(o.head.keep_alive);
	outcome_fini(&o);
}
END_TEST

static bool
keeps(const char *version, const char *field)
{
	char text[256];
	struct outcome o;
	bool keep;

	(void)snprintf(text, sizeof(text), "GET / %s\r\nHost: a\r\n%s\r\n",
	    version, field);
	o = parse_cut(slice_of(text), strlen(text));
	ck_assert_int_eq((int)o.fault, 0);
	keep = o.head.keep_alive;
	outcome_fini(&o);
	return keep;
}

START_TEST(version_and_connection_decide_whether_it_is_kept)
{
	ck_assert(keeps("HTTP/1.1", ""));
	ck_assert(keeps("HTTP/1.9", ""));
	ck_assert(!keeps("HTTP/1.0", ""));
	ck_assert(keeps("HTTP/1.0", "Connection: Keep-Alive\r\n"));
	ck_assert(!keeps("HTTP/1.1", "Connection: close\r\n"));
	ck_assert(!keeps("HTTP/1.1", "Connection: x, ,CLOSE\r\n"));
	ck_assert(!keeps("HTTP/1.1",
	    "Connection: close\r\nConnection: keep-alive\r\n"));
	ck_assert(keeps("HTTP/1.1", "Connection: closed\r\n"));
}
END_TEST

START_TEST(an_absolute_target_names_path_and_host)
{
	struct outcome o = parse_cut(SLICE("GET HTTP://A.b:1/c?d "
					   "HTTP/1.1\r\nHost: a.B:1\r\n\r\n"),
	    0);

	ck_assert_int_eq((int)o.fault, 0);
	ck_assert(slice_is(o.head.request.path, "/c"));
	ck_assert(slice_is(o.head.request.query, "d"));
	ck_assert(slice_is(o.head.request.host, "A.b:1"));
	outcome_fini(&o);
}
END_TEST

/* A head that only ever grows: the fault comes at the limit, in any case. */
static enum http_fault
endless(const char *begin, char more, size_t step)
{
	struct buf b = {0};
	struct http_scan scan = {0};
	enum http_fault fault = HTTP_FAULT_NONE;

	buf_puts(&b, begin);
	while (fault == HTTP_FAULT_NONE && b.n < 1u << 20) {
		for (size_t i = 0; i < step; i++)
			buf_putc(&b, more);
		fault = http_scan(&scan, &limits, b.p, b.n);
	}
	buf_fini(&b);
	return fault;
}

START_TEST(heads_that_never_end_are_refused_at_the_limit)
{
	for (size_t step = 1; step < 10000; step += 313) {
		ck_assert_int_eq((int)endless("GET /", 'a', step),
		    (int)HTTP_FAULT_LINE_LONG);
		ck_assert_int_eq((int)endless("G", 'a', step),
		    (int)HTTP_FAULT_METHOD_LONG);
		ck_assert_int_eq((int)endless(G "X: ", 'a', step),
		    (int)HTTP_FAULT_HEAD_LONG);
	}
}
END_TEST

START_TEST(limits_are_exact)
{
	for (size_t n = 1000; n < 1010; n++) {
		struct buf b = {0};
		struct outcome o;

		buf_puts(&b, "GET /");
		for (size_t i = 0; i < n; i++)
			buf_putc(&b, 'a');
		buf_puts(&b, " HTTP/1.1\r\n" H "\r\n");
		o = parse_cut(buf_slice(&b), b.n);
		/* 5 + n + 11 bytes are allowed to be 1024 */
		ck_assert_int_eq((int)o.fault,
		    n <= 1008 ? 0 : (int)HTTP_FAULT_LINE_LONG);
		outcome_fini(&o);
		for (size_t cut = 0; cut < b.n; cut++) {
			struct outcome p = parse_cut(buf_slice(&b), cut);

			ck_assert_int_eq((int)p.fault, (int)o.fault);
			outcome_fini(&p);
		}
		buf_fini(&b);
	}
}
END_TEST

/* A file of the sources, found from the place of this one. */
static FILE *
open_source(const char *path)
{
	static const char here[] = "tests/unit/runtime/http/test_parse.c";
	char name[4096];

	(void)snprintf(name, sizeof(name), "%.*s%s",
	    (int)(sizeof(__FILE__) - sizeof(here)), __FILE__, path);
	return fopen(name, "r");
}

/* The README shows faults.def as a table. */
START_TEST(the_readme_lists_every_fault)
{
	FILE *file = open_source("runtime/http/README.md");
	static char text[65536];
	char row[256];

	ck_assert_ptr_nonnull(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	(void)fclose(file);
#define FAULT(name, status, failed_by, reason, detail)                     \
	(void)snprintf(row, sizeof(row), "| %d | `%s` | `%s` |", (status), \
	    (failed_by), (reason));                                        \
	ck_assert_msg(strstr(text, row) != NULL, "README lacks %s", row);
#include "runtime/http/faults.def"
#undef FAULT
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/http/parse");
	TCase *tcase = tcase_create("parse");

	tcase_add_test(tcase, every_case_comes_out_the_same_however_it_is_cut);
	tcase_add_test(tcase, a_nul_is_refused_wherever_it_stands);
	tcase_add_test(tcase, a_request_says_what_was_sent);
	tcase_add_test(tcase, version_and_connection_decide_whether_it_is_kept);
	tcase_add_test(tcase, an_absolute_target_names_path_and_host);
	tcase_add_test(tcase, heads_that_never_end_are_refused_at_the_limit);
	tcase_add_test(tcase, limits_are_exact);
	tcase_add_test(tcase, the_readme_lists_every_fault);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
