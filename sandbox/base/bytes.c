/*
 * bytes.c - see bytes.h.
 *
 * Runs in: every process.
 */
#include "sandbox/base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_CAP 256 /* bytes a buf starts with */

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool
slice_ieq(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

char *
slice_dup(struct slice s)
{
	char *copy = must(malloc(s.n + 1));

	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}

bool
slice_copy(char *dst, size_t dst_bytes, struct slice s)
{
	size_t n = s.n < dst_bytes ? s.n : dst_bytes - 1;

	if (n > 0)
		memcpy(dst, s.p, n);
	dst[n] = '\0';
	return n == s.n;
}

bool
slice_u64(struct slice s, uint64_t max, uint64_t *value_out)
{
	uint64_t value = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned int digit = (unsigned int)(s.p[i] - '0');

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (value > max)
		return false;
	*value_out = value;
	return true;
}

char *
buf_grow(struct buf *b, size_t n)
{
	size_t cap = b->cap == 0 ? FIRST_CAP : b->cap;

	if (n > SIZE_MAX / 2 - b->n)
		abort();
	while (cap - b->n < n)
		cap *= 2;
	if (b->p == NULL || cap > b->cap)
		b->p = must(realloc(b->p, cap));
	b->cap = cap;
	return b->p + b->n;
}

size_t
u64_text(char *dst, uint64_t value)
{
	char digits[U64_DIGITS];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	memcpy(dst, digits + at, sizeof(digits) - at);
	return sizeof(digits) - at;
}

void
buf_add_number(struct buf *b, uint64_t value)
{
	b->n += u64_text(buf_room(b, U64_DIGITS), value);
}

void
buf_addf(struct buf *b, const char *fmt, ...)
{
	char small[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n < sizeof(small)) {
		buf_add(b, small, (size_t)n);
		return;
	}
	va_start(ap, fmt);
	(void)vsnprintf(buf_room(b, (size_t)n + 1), (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
}

/*
 * How many bytes the UTF-8 sequence at p takes; 0 when it is not one
 * (overlong, surrogate, above U+10FFFF, cut off).  RFC 3629, section 4.
 */
static size_t
utf8_bytes(const unsigned char *p, size_t n)
{
	size_t want = p[0] < 0x80 ? 1
	    : p[0] < 0xc2	  ? 0
	    : p[0] < 0xe0	  ? 2
	    : p[0] < 0xf0	  ? 3
	    : p[0] < 0xf5	  ? 4
				  : 0;

	if (want == 0 || want > n)
		return 0;
	for (size_t i = 1; i < want; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return want;
}

bool
slice_is_utf8(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.p;

	for (size_t i = 0; i < s.n;) {
		size_t n = utf8_bytes(p + i, s.n - i);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

static void
json_ascii(struct buf *b, unsigned char c)
{
	switch (c) {
	case '"':
		buf_puts(b, "\\\"");
		break;
	case '\\':
		buf_puts(b, "\\\\");
		break;
	case '\n':
		buf_puts(b, "\\n");
		break;
	case '\t':
		buf_puts(b, "\\t");
		break;
	case '\r':
		buf_puts(b, "\\r");
		break;
	default:
		if (c < 0x20 || c == 0x7f)
			buf_addf(b, "\\u%04x", c);
		else
			buf_putc(b, (char)c);
	}
}

void
buf_json_string(struct buf *b, struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.p;

	buf_putc(b, '"');
	for (size_t i = 0; i < s.n;) {
		size_t n = utf8_bytes(p + i, s.n - i);

		if (n == 0)
			buf_puts(b, "\\ufffd");
		else if (n == 1)
			json_ascii(b, p[i]);
		else
			buf_add(b, p + i, n);
		i += n == 0 ? 1 : n;
	}
	buf_putc(b, '"');
}

void
buf_drop(struct buf *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
		return;
	}
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

void
buf_reset(struct buf *b, size_t keep_bytes)
{
	b->n = 0;
	if (b->cap > keep_bytes)
		buf_fini(b);
}

char *
buf_steal(struct buf *b, size_t *n_out)
{
	char *p;

	buf_putc(b, '\0');
	p = b->p;
	if (n_out != NULL)
		*n_out = b->n - 1;
	*b = (struct buf){0};
	return p;
}

void
buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf){0};
}
