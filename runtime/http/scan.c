/*
 * scan.c - find the end of a request head; name the faults.
 *
 * Runs in: gateway.
 *
 * The limits are on what has come so far, so a head that will be too long is
 * refused at the byte that makes it so, and the answer is the same as if all
 * of it had come at once.
 */
#include "runtime/http/parse.h"

#include <assert.h>

#define METHOD_MAX 32 /* bytes */

static const struct http_problem problems[] = {
    {0},
#define FAULT(name, code, who, why, text) \
	{.status = (code),                \
	    .failed_by = (who),           \
	    .reason = (why),              \
	    .detail = (text)},
#include "runtime/http/faults.def"
#undef FAULT
};

void
http_fault_problem(enum http_fault fault, struct http_problem *out)
{
	assert(fault > HTTP_FAULT_NONE &&
	    fault < sizeof(problems) / sizeof(problems[0]));
	*out = problems[fault];
}

/* RFC 9112, section 3: a method longer than any we know is 501, and a line
 * longer than we like is 414. */
static enum http_fault
long_line(const char *line, size_t n)
{
	size_t look = n < METHOD_MAX + 1 ? n : METHOD_MAX + 1;

	return memchr(line, ' ', look) == NULL ? HTTP_FAULT_METHOD_LONG
					       : HTTP_FAULT_LINE_LONG;
}

/* The line that began at scan->line has bytes up to `upto`, at the least. */
static enum http_fault
check_size(const struct http_scan *scan, const struct http_limits *limits,
    const char *p, size_t upto)
{
	size_t max = limits->line_bytes < limits->head_bytes
	    ? limits->line_bytes
	    : limits->head_bytes;

	if (scan->line == scan->begin && upto - scan->line > max)
		return long_line(p + scan->line, max);
	if (upto > limits->head_bytes)
		return HTTP_FAULT_HEAD_LONG;
	return HTTP_FAULT_NONE;
}

/* A line ended; `end` is behind its LF. */
static enum http_fault
end_line(struct http_scan *scan, const struct http_limits *limits,
    const char *p, size_t end)
{
	enum http_fault fault = check_size(scan, limits, p, end);
	size_t bytes = end - scan->line;

	if (fault != HTTP_FAULT_NONE)
		return fault;
	if (bytes < 2 || p[end - 2] != '\r')
		return HTTP_FAULT_BARE_LF;
	if (bytes == 2 && scan->line == 0) {
		/* One empty line before a request is forgiven: RFC 9112,
		 * section 2.2. */
		scan->begin = 2;
	} else if (bytes == 2 && scan->line == scan->begin) {
		return HTTP_FAULT_REQUEST_LINE;
	} else if (bytes == 2) {
		scan->done = true;
		scan->head_bytes = end;
	}
	scan->line = end;
	scan->seen = end;
	return HTTP_FAULT_NONE;
}

enum http_fault
http_scan(struct http_scan *scan, const struct http_limits *limits,
    const char *p, size_t n)
{
	enum http_fault fault = HTTP_FAULT_NONE;

	while (!scan->done && fault == HTTP_FAULT_NONE) {
		const char *lf = scan->seen < n
		    ? memchr(p + scan->seen, '\n', n - scan->seen)
		    : NULL;

		if (lf == NULL) {
			scan->seen = n;
			return check_size(scan, limits, p, n + 1);
		}
		fault = end_line(scan, limits, p, (size_t)(lf - p) + 1);
	}
	return fault;
}
