/*
 * chunked.c - a body out of its chunks (RFC 9112, section 7.1).
 *
 * Runs in: gateway.
 *
 *	SIZE -(;)-> EXT -(CR)-> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE
 *	                           | size 0
 *	                           v
 *	TRAILER -> TRAILER_NAME -> TRAILER_VALUE -> TRAILER_LF -> TRAILER
 *	   | CR
 *	   v
 *	END_LF -> DONE
 *
 * Extensions and trailers are checked and dropped.  All that is not data is
 * overhead, and overhead is limited by the data it carries: a million chunks
 * of one byte each are refused after a few thousand.
 */
#include "runtime/http/parse.h"

#include "runtime/http/chars.h"

#define SIZE_DIGITS	16    /* of a chunk */
#define SIZE_LINE_BYTES 512   /* size and extensions of one chunk */
#define OVERHEAD_FREE	16384 /* bytes, and then twice the data */
#define OVERHEAD_PER	2
#define TRAILERS_BYTES	8192

/* Fields that say how a message is read or where it goes have no business
 * after it: RFC 9110, section 6.5.1. */
static bool
trailer_refused(const struct http_chunked *c)
{
	static const char *const names[] = {"content-length",
	    "transfer-encoding", "host", "trailer", "connection", "expect"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_is((struct slice){c->name, c->name_bytes}, names[i]))
			return true;
	return false;
}

static enum http_fault
take_size(struct http_chunked *c, char byte, uint64_t max_bytes)
{
	int value = chars_hex(byte);

	if (value >= 0 && c->digits < SIZE_DIGITS) {
		c->left = c->left << 4 | (unsigned int)value;
		c->digits++;
		return HTTP_FAULT_NONE;
	}
	if (c->digits == 0 || (byte != ';' && byte != '\r'))
		return HTTP_FAULT_CHUNK;
	if (c->left > max_bytes || c->data > max_bytes - c->left)
		return HTTP_FAULT_BODY_LONG;
	c->state = byte == ';' ? HTTP_CHUNK_EXT : HTTP_CHUNK_SIZE_LF;
	return HTTP_FAULT_NONE;
}

static enum http_fault
take_ext(struct http_chunked *c, char byte)
{
	if (byte == '\r')
		c->state = HTTP_CHUNK_SIZE_LF;
	else if (!chars_has(CHARS_VALUE, byte) ||
	    c->overhead - c->begun > SIZE_LINE_BYTES)
		return HTTP_FAULT_CHUNK;
	return HTTP_FAULT_NONE;
}

static enum http_fault
take_trailer_name(struct http_chunked *c, char byte)
{
	if (byte == ':') {
		c->state = HTTP_CHUNK_TRAILER_VALUE;
		return trailer_refused(c) ? HTTP_FAULT_TRAILER
					  : HTTP_FAULT_NONE;
	}
	if (!chars_has(CHARS_TOKEN, byte))
		return HTTP_FAULT_TRAILER;
	if (c->name_bytes < sizeof(c->name))
		c->name[c->name_bytes++] =
		    byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
	return HTTP_FAULT_NONE;
}

static enum http_fault
take_trailer(struct http_chunked *c, char byte)
{
	if (byte == '\r') {
		c->state = HTTP_CHUNK_END_LF;
		return HTTP_FAULT_NONE;
	}
	c->state = HTTP_CHUNK_TRAILER_NAME;
	c->name_bytes = 0;
	return byte == ':' ? HTTP_FAULT_TRAILER : take_trailer_name(c, byte);
}

static enum http_fault
take_trailer_value(struct http_chunked *c, char byte)
{
	if (byte == '\r')
		c->state = HTTP_CHUNK_TRAILER_LF;
	else if (!chars_has(CHARS_VALUE, byte))
		return HTTP_FAULT_TRAILER;
	return HTTP_FAULT_NONE;
}

/* A byte that can only be this one. */
static enum http_fault
take_exactly(struct http_chunked *c, char byte, char want,
    enum http_chunk_state next)
{
	if (byte != want)
		return HTTP_FAULT_CHUNK;
	c->state = next;
	return HTTP_FAULT_NONE;
}

static void
begin_size(struct http_chunked *c)
{
	c->left = 0;
	c->digits = 0;
	c->begun = c->overhead;
}

static enum http_fault
take_size_lf(struct http_chunked *c, char byte)
{
	enum http_chunk_state next =
	    c->left > 0 ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILER;

	if (next == HTTP_CHUNK_TRAILER)
		c->trailers = c->overhead;
	return take_exactly(c, byte, '\n', next);
}

static enum http_fault
take_byte(struct http_chunked *c, char byte, uint64_t max_bytes)
{
	switch (c->state) {
	case HTTP_CHUNK_SIZE:
		return take_size(c, byte, max_bytes);
	case HTTP_CHUNK_EXT:
		return take_ext(c, byte);
	case HTTP_CHUNK_SIZE_LF:
		return take_size_lf(c, byte);
	case HTTP_CHUNK_DATA_CR:
		return take_exactly(c, byte, '\r', HTTP_CHUNK_DATA_LF);
	case HTTP_CHUNK_DATA_LF:
		begin_size(c);
		return take_exactly(c, byte, '\n', HTTP_CHUNK_SIZE);
	case HTTP_CHUNK_TRAILER:
		return take_trailer(c, byte);
	case HTTP_CHUNK_TRAILER_NAME:
		return take_trailer_name(c, byte);
	case HTTP_CHUNK_TRAILER_VALUE:
		return take_trailer_value(c, byte);
	case HTTP_CHUNK_TRAILER_LF:
		return take_exactly(c, byte, '\n', HTTP_CHUNK_TRAILER);
	case HTTP_CHUNK_END_LF:
		return take_exactly(c, byte, '\n', HTTP_CHUNK_DONE);
	case HTTP_CHUNK_DATA:
	case HTTP_CHUNK_DONE:
		break;
	}
	return HTTP_FAULT_CHUNK;
}

static size_t
take_data(struct http_chunked *c, struct slice bytes, struct buf *body)
{
	size_t n = bytes.n < c->left ? bytes.n : (size_t)c->left;

	buf_add(body, bytes.p, n);
	c->data += n;
	c->left -= n;
	if (c->left == 0)
		c->state = HTTP_CHUNK_DATA_CR;
	return n;
}

static enum http_fault
take_overhead(struct http_chunked *c, char byte, uint64_t max_bytes)
{
	c->overhead++;
	if (c->overhead > OVERHEAD_FREE + c->data * OVERHEAD_PER)
		return HTTP_FAULT_CHUNK_OVERHEAD;
	if (c->state >= HTTP_CHUNK_TRAILER &&
	    c->overhead - c->trailers > TRAILERS_BYTES)
		return HTTP_FAULT_TRAILERS_LONG;
	return take_byte(c, byte, max_bytes);
}

enum http_fault
http_chunked_take(struct http_chunked *c, struct slice bytes,
    uint64_t max_bytes, struct buf *body, size_t *used_out)
{
	enum http_fault fault = HTTP_FAULT_NONE;
	size_t at = 0;

	while (at < bytes.n && c->state != HTTP_CHUNK_DONE &&
	    fault == HTTP_FAULT_NONE) {
		if (c->state == HTTP_CHUNK_DATA)
			at += take_data(c,
			    (struct slice){bytes.p + at, bytes.n - at}, body);
		else
			fault = take_overhead(c, bytes.p[at++], max_bytes);
	}
	*used_out = at;
	return fault;
}
