/*
 * fuzz_http.c - a client's bytes mean the same however they are cut.
 *
 * Runs in: tests.
 *
 * The first byte chooses how the rest is cut into reads; the outcome is
 * compared with that of all bytes at once.
 */
#include "runtime/http/chars.h"
#include "runtime/http/parse.h"

#include <stdlib.h>

#define MAX_BODY 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct http_limits limits = {.line_bytes = 512,
    .head_bytes = 2048,
    .headers = 12};

struct outcome {
	enum http_fault fault;
	bool head;
	bool body;
	size_t at; /* behind what was taken */
	uint64_t hash;
	struct buf data;
};

static void
must(bool good)
{
	if (!good)
		abort();
}

/* FNV-1a, over what the parser gave out. */
static void
mix(struct outcome *o, struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		o->hash = (o->hash ^ (unsigned char)s.p[i]) * 1099511628211u;
	o->hash = (o->hash ^ s.n) * 1099511628211u;
}

static size_t
next_cut(size_t at, size_t n, unsigned int seed)
{
	size_t step = seed == 0 ? n : 1 + (at * 7 + seed) % seed;

	return at + step < n ? at + step : n;
}

static void
check_head(const struct http_head *head)
{
	const struct http_request *r = &head->request;

	must(r->method.n > 0 && r->method.n <= 32);
	must(!head->chunked || !head->has_length);
	must(r->nheaders <= limits.headers);
	must(head->http10 || http_host_valid(r->host));
	must(head->asterisk || (r->path.n > 0 && r->path.p[0] == '/'));
	if (r->path.n > 0) {
		must(memchr(r->path.p, '\0', r->path.n) == NULL);
		must(memmem(r->path.p, r->path.n, "//", 2) == NULL);
		must(memmem(r->path.p, r->path.n, "/../", 4) == NULL);
	}
	for (size_t i = 0; i < r->nheaders; i++) {
		must(r->headers[i].name.n > 0);
		must(chars_all(CHARS_TOKEN, r->headers[i].name));
		must(chars_all(CHARS_VALUE, r->headers[i].value));
	}
}

static void
mix_head(struct outcome *o, const struct http_head *head)
{
	const struct http_request *r = &head->request;

	mix(o, r->method);
	mix(o, r->path);
	mix(o, r->query);
	mix(o, r->host);
	for (size_t i = 0; i < r->nheaders; i++) {
		mix(o, r->headers[i].name);
		mix(o, r->headers[i].value);
	}
}

static void
take_body(struct outcome *o, const char *p, size_t n, size_t upto,
    unsigned int seed)
{
	struct http_chunked chunked = {0};

	while (o->fault == HTTP_FAULT_NONE && !o->body && o->at < n) {
		size_t used;

		o->fault = http_chunked_take(&chunked,
		    (struct slice){p + o->at, upto - o->at}, MAX_BODY, &o->data,
		    &used);
		must(used <= upto - o->at);
		o->at += used;
		o->body = chunked.state == HTTP_CHUNK_DONE;
		must(o->at == upto || o->body || o->fault != HTTP_FAULT_NONE);
		upto = next_cut(upto, n, seed);
	}
	must(o->data.n <= MAX_BODY);
	mix(o, buf_slice(&o->data));
	buf_fini(&o->data);
}

static struct outcome
take_all(const char *p, size_t n, unsigned int seed)
{
	struct outcome o = {.hash = 14695981039346656037u};
	struct http_scan scan = {0};
	struct http_head head = {0};
	size_t upto = 0;
	char *text;

	do {
		upto = next_cut(upto, n, seed);
		o.fault = http_scan(&scan, &limits, p, upto);
	} while (o.fault == HTTP_FAULT_NONE && !scan.done && upto < n);
	o.head = scan.done;
	if (o.fault != HTTP_FAULT_NONE || !scan.done)
		return o;
	must(scan.head_bytes <= upto && scan.head_bytes <= limits.head_bytes);
	o.at = scan.head_bytes;
	text = slice_dup(
	    (struct slice){p + scan.begin, scan.head_bytes - scan.begin});
	o.fault =
	    http_parse(&head, &limits, text, scan.head_bytes - scan.begin);
	if (o.fault == HTTP_FAULT_NONE) {
		check_head(&head);
		mix_head(&o, &head);
		if (head.chunked)
			take_body(&o, p, n, upto, seed);
	}
	http_head_fini(&head);
	free(text);
	return o;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct outcome whole, cut;
	unsigned int seed;
	const char *p;

	if (bytes < 2)
		return 0;
	seed = 1 + data[0] % 64u;
	p = (const char *)data + 1;
	whole = take_all(p, bytes - 1, 0);
	cut = take_all(p, bytes - 1, seed);
	must(whole.fault == cut.fault && whole.head == cut.head);
	must(whole.body == cut.body && whole.hash == cut.hash);
	must(whole.fault != HTTP_FAULT_NONE || whole.at == cut.at);
	return 0;
}
