/*
 * target.c - request targets and hosts (RFC 9112, section 3.2).
 *
 * Runs in: gateway.
 *
 * A path is decoded once.  What a second decoder, a file system or a proxy
 * might read in another way is refused: "%2f", "%5c", dot segments, empty segments,
 * control bytes, bytes that are not UTF-8.
 */
#include "runtime/http/parse.h"

#include "runtime/http/chars.h"

#define HOST_MAX 261 /* bytes: a name of 255 and ":65535" */

/* The byte that p[0..3) stands for, or -1. */
static int
percent(const char *p, size_t n)
{
	int high = n < 3 ? -1 : chars_hex(p[1]);
	int low = n < 3 ? -1 : chars_hex(p[2]);

	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool
decode(struct buf *out, struct slice path)
{
	for (size_t i = 0; i < path.n; i++) {
		int c = (unsigned char)path.p[i];

		if (c == '%') {
			c = percent(path.p + i, path.n - i);
			if (c < 0x20 || c == 0x7f || c == '/' || c == '\\')
				return false;
			i += 2;
		} else if (!chars_has(CHARS_PATH, (char)c)) {
			return false;
		}
		buf_putc(out, (char)c);
	}
	return true;
}

/* RFC 3629, section 4: no overlong forms, surrogates or cut sequences. */
static bool
utf8_valid(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		unsigned int first = p[i++];
		unsigned int more = first < 0x80 ? 0
		    : first < 0xc2		 ? 9
		    : first < 0xe0		 ? 1
		    : first < 0xf0		 ? 2
		    : first < 0xf5		 ? 3
						 : 9;

		if (more > n - i)
			return false;
		if ((first == 0xe0 && p[i] < 0xa0) ||
		    (first == 0xed && p[i] > 0x9f) ||
		    (first == 0xf0 && p[i] < 0x90) ||
		    (first == 0xf4 && p[i] > 0x8f))
			return false;
		for (; more > 0; more--)
			if ((p[i++] & 0xc0) != 0x80)
				return false;
	}
	return true;
}

/* No "//", "/./" or "/../", wherever the path ends; starts with '/'. */
static bool
segments_valid(struct slice path)
{
	size_t begin = 1;

	for (size_t i = 1; i <= path.n; i++) {
		size_t n = i - begin;

		if (i < path.n && path.p[i] != '/')
			continue;
		if ((n == 0 && i < path.n) ||
		    (n == 1 && path.p[begin] == '.') ||
		    (n == 2 && memcmp(path.p + begin, "..", 2) == 0))
			return false;
		begin = i + 1;
	}
	return true;
}

static enum http_fault
parse_path(struct http_head *head, struct slice path)
{
	struct slice plain = path;

	if (memchr(path.p, '%', path.n) != NULL) {
		if (!decode(&head->path, path))
			return HTTP_FAULT_PATH;
		plain = buf_slice(&head->path);
		if (!utf8_valid((const unsigned char *)plain.p, plain.n))
			return HTTP_FAULT_PATH;
	} else if (!chars_all(CHARS_PATH, path)) {
		return HTTP_FAULT_PATH;
	}
	if (!segments_valid(plain))
		return HTTP_FAULT_PATH;
	head->request.path = plain;
	return HTTP_FAULT_NONE;
}

static bool
query_valid(struct slice query)
{
	for (size_t i = 0; i < query.n; i++) {
		if (query.p[i] == '%') {
			if (percent(query.p + i, query.n - i) < 0)
				return false;
			i += 2;
		} else if (!chars_has(CHARS_QUERY, query.p[i])) {
			return false;
		}
	}
	return true;
}

/* "/path?query" */
static enum http_fault
parse_origin(struct http_head *head, struct slice target)
{
	const char *mark = memchr(target.p, '?', target.n);
	struct slice path = target;

	if (mark != NULL) {
		path.n = (size_t)(mark - target.p);
		head->request.query =
		    (struct slice){mark + 1, target.n - path.n - 1};
	}
	if (!query_valid(head->request.query))
		return HTTP_FAULT_TARGET;
	return parse_path(head, path);
}

/* "http://authority/path?query"; the path must be there, if only as "/". */
static enum http_fault
parse_absolute(struct http_head *head, struct slice rest)
{
	const char *slash = memchr(rest.p, '/', rest.n);

	if (slash == NULL)
		return HTTP_FAULT_TARGET;
	head->authority = (struct slice){rest.p, (size_t)(slash - rest.p)};
	if (!http_host_valid(head->authority))
		return HTTP_FAULT_HOST;
	return parse_origin(head,
	    (struct slice){slash, rest.n - head->authority.n});
}

enum http_fault
http_parse_target(struct http_head *head, struct slice target)
{
	static const char scheme[] = "http://";
	const size_t n = sizeof(scheme) - 1;

	head->request.target = target;
	if (target.n > 0 && target.p[0] == '/')
		return parse_origin(head, target);
	if (target.n > n &&
	    slice_ieq((struct slice){target.p, n}, SLICE("http://")))
		return parse_absolute(head,
		    (struct slice){target.p + n, target.n - n});
	head->asterisk =
	    slice_is(target, "*") && slice_is(head->request.method, "OPTIONS");
	return head->asterisk ? HTTP_FAULT_NONE : HTTP_FAULT_TARGET;
}

/* "[::1]", up to the closing bracket: how many bytes; 0 when it is not one. */
static size_t
literal_bytes(struct slice host)
{
	const char *end = memchr(host.p, ']', host.n);
	size_t n = end == NULL ? 0 : (size_t)(end - host.p) + 1;

	for (size_t i = 1; i + 1 < n; i++)
		if (chars_hex(host.p[i]) < 0 && host.p[i] != ':' &&
		    host.p[i] != '.')
			return 0;
	return n < 4 ? 0 : n;
}

bool
http_host_valid(struct slice host)
{
	uint64_t port;
	size_t n = 0;

	if (host.n == 0 || host.n > HOST_MAX)
		return false;
	if (host.p[0] == '[')
		n = literal_bytes(host);
	else
		while (n < host.n && chars_has(CHARS_HOST, host.p[n]))
			n++;
	if (n == 0 || n == host.n)
		return n == host.n;
	return host.p[n] == ':' &&
	    slice_u64((struct slice){host.p + n + 1, host.n - n - 1}, 65535,
		&port);
}
