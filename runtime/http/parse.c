/*
 * parse.c - what a whole request head says (RFC 9112, sections 2 to 6).
 *
 * Runs in: gateway.
 *
 * Nothing is repaired: what two parsers might read in two ways is refused.
 */
#include "runtime/http/parse.h"

#include "runtime/http/chars.h"

#include <stdlib.h>

#define METHOD_MAX 32 /* bytes */
#define LENGTH_MAX 19 /* digits of a Content-Length */

/* What has been seen of the fields that decide how a request is read. */
struct framing {
	unsigned int hosts;
	unsigned int lengths;
	unsigned int codings;
	bool close;
	bool keep_alive;
};

/* The bytes up to the next CR LF, which is skipped; *rest moves on.  A CR
 * anywhere else is found by whoever looks at the line's characters. */
static struct slice
next_line(struct slice *rest)
{
	const char *lf = memchr(rest->p, '\n', rest->n);
	size_t n = lf == NULL ? rest->n : (size_t)(lf - rest->p) + 1;
	struct slice line = {rest->p, n < 2 ? 0 : n - 2};

	rest->p += n;
	rest->n -= n;
	return line;
}

/* Cut s at the first c; false when there is none. */
static bool
cut(struct slice s, char c, struct slice *before, struct slice *after)
{
	const char *at = s.n == 0 ? NULL : memchr(s.p, c, s.n);

	if (at == NULL)
		return false;
	*before = (struct slice){s.p, (size_t)(at - s.p)};
	*after = (struct slice){at + 1, s.n - before->n - 1};
	return true;
}

static bool
digit(char c)
{
	return c >= '0' && c <= '9';
}

static enum http_fault
parse_version(struct http_head *head, struct slice version)
{
	if (version.n != 8 || memcmp(version.p, "HTTP/", 5) != 0 ||
	    !digit(version.p[5]) || version.p[6] != '.' || !digit(version.p[7]))
		return HTTP_FAULT_REQUEST_LINE;
	if (version.p[5] != '1')
		return HTTP_FAULT_VERSION;
	head->http10 = version.p[7] == '0';
	return HTTP_FAULT_NONE;
}

static enum http_fault
parse_request_line(struct http_head *head, struct slice line)
{
	struct slice method, rest, target, version;
	enum http_fault fault;

	if (!cut(line, ' ', &method, &rest) ||
	    !cut(rest, ' ', &target, &version))
		return HTTP_FAULT_REQUEST_LINE;
	if (method.n == 0 || !chars_all(CHARS_TOKEN, method))
		return HTTP_FAULT_METHOD;
	if (method.n > METHOD_MAX)
		return HTTP_FAULT_METHOD_LONG;
	head->request.method = method;
	fault = parse_version(head, version);
	if (fault != HTTP_FAULT_NONE)
		return fault;
	if (slice_is(method, "CONNECT") || slice_is(method, "TRACE"))
		return HTTP_FAULT_METHOD_REFUSED;
	return http_parse_target(head, target);
}

static struct slice
trim(struct slice s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static enum http_fault
parse_length(struct http_head *head, struct slice value)
{
	if (head->has_length || value.n > LENGTH_MAX ||
	    !slice_u64(value, UINT64_MAX, &head->content_length))
		return HTTP_FAULT_LENGTH;
	head->has_length = true;
	return HTTP_FAULT_NONE;
}

/* `raw` still has its white space: a tab around the coding is more likely an
 * attack than a client. */
static enum http_fault
parse_coding(struct http_head *head, struct slice raw, struct slice value)
{
	if (head->chunked || head->http10 || memchr(raw.p, '\t', raw.n) != NULL)
		return HTTP_FAULT_CODING;
	if (!slice_ieq(value, SLICE("chunked")))
		return HTTP_FAULT_CODING_UNKNOWN;
	head->chunked = true;
	return HTTP_FAULT_NONE;
}

static void
parse_connection(struct framing *framing, struct slice list)
{
	struct slice item, rest;

	do {
		rest = (struct slice){0};
		if (!cut(list, ',', &item, &rest))
			item = list;
		item = trim(item);
		if (slice_ieq(item, SLICE("close")))
			framing->close = true;
		else if (slice_ieq(item, SLICE("keep-alive")))
			framing->keep_alive = true;
		list = rest;
	} while (rest.n > 0);
}

/* The fields that this server itself has to understand. */
static enum http_fault
parse_special(struct http_head *head, struct framing *framing,
    struct http_header field, struct slice raw)
{
	if (slice_is(field.name, "host")) {
		head->request.host = field.value;
		framing->hosts++;
	} else if (slice_is(field.name, "content-length")) {
		framing->lengths++;
		return parse_length(head, field.value);
	} else if (slice_is(field.name, "transfer-encoding")) {
		framing->codings++;
		return parse_coding(head, raw, field.value);
	} else if (slice_is(field.name, "connection")) {
		parse_connection(framing, field.value);
	} else if (slice_is(field.name, "expect")) {
		head->expect_continue =
		    slice_ieq(field.value, SLICE("100-continue"));
		head->expect_unknown |= !head->expect_continue;
	}
	return HTTP_FAULT_NONE;
}

static void
add_header(struct http_head *head, struct http_header field)
{
	size_t n = head->request.nheaders;

	if (n == head->headers_cap) {
		head->headers_cap = n == 0 ? 16 : n * 2;
		head->headers = realloc(head->headers,
		    head->headers_cap * sizeof(*head->headers));
		if (head->headers == NULL)
			abort();
	}
	head->headers[n] = field;
	head->request.nheaders = n + 1;
}

/* Lower case and token in one pass; base is the writable head. */
static bool
lower_name(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!chars_has(CHARS_TOKEN, p[i]))
			return false;
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] | 0x20);
	}
	return n > 0;
}

static enum http_fault
parse_field(struct http_head *head, struct framing *framing, char *p, size_t n)
{
	struct slice raw;
	struct http_header field;

	if (p[0] == ' ' || p[0] == '\t')
		return HTTP_FAULT_FOLD;
	if (!cut((struct slice){p, n}, ':', &field.name, &raw) ||
	    !lower_name(p, field.name.n) || !chars_all(CHARS_VALUE, raw))
		return HTTP_FAULT_HEADER;
	field.value = trim(raw);
	if (field.name.n > 9 && memcmp(field.name.p, "perilune-", 9) == 0)
		return HTTP_FAULT_NONE;
	add_header(head, field);
	return parse_special(head, framing, field, raw);
}

/* What no single field decides: RFC 9112, sections 3.2 and 6.3. */
static enum http_fault
check_together(struct http_head *head, const struct framing *framing)
{
	struct http_request *request = &head->request;

	if (framing->codings > 0 && framing->lengths > 0)
		return HTTP_FAULT_AMBIGUOUS;
	if (framing->hosts > 1 || (framing->hosts == 0 && !head->http10) ||
	    (framing->hosts == 1 && !http_host_valid(request->host)))
		return HTTP_FAULT_HOST;
	if (head->authority.n > 0 && framing->hosts == 1 &&
	    !slice_ieq(head->authority, request->host))
		return HTTP_FAULT_HOST_DIFFERS;
	if (head->authority.n > 0)
		request->host = head->authority;
	if (head->http10)
		head->expect_continue = head->expect_unknown = false;
	if (head->expect_unknown)
		return HTTP_FAULT_EXPECT;
	head->keep_alive =
	    !framing->close && (!head->http10 || framing->keep_alive);
	return HTTP_FAULT_NONE;
}

enum http_fault
http_parse(struct http_head *head, const struct http_limits *limits, char *p,
    size_t n)
{
	struct slice rest = {p, n};
	struct framing framing = {0};
	enum http_fault fault = parse_request_line(head, next_line(&rest));
	size_t fields = 0;

	while (fault == HTTP_FAULT_NONE && rest.n > 0) {
		struct slice line = next_line(&rest);

		if (line.n == 0)
			break;
		if (++fields > limits->headers)
			return HTTP_FAULT_HEADERS_MANY;
		fault = parse_field(head, &framing, p + (line.p - p), line.n);
	}
	if (fault == HTTP_FAULT_NONE)
		fault = check_together(head, &framing);
	head->request.headers = head->headers;
	return fault;
}

void
http_head_reset(struct http_head *head)
{
	struct http_header *headers = head->headers;
	size_t cap = head->headers_cap;
	struct buf path = head->path;

	buf_reset(&path, 4096);
	*head = (struct http_head){.headers = headers,
	    .headers_cap = cap,
	    .path = path};
}

void
http_head_fini(struct http_head *head)
{
	free(head->headers);
	buf_fini(&head->path);
	*head = (struct http_head){0};
}
