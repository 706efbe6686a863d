/*
 * bytes.h - borrowed bytes (slice) and owned, growing bytes (buf).
 *
 * Runs in: every process.
 * Owns:    a buf owns its memory (malloc); a slice owns nothing.
 *
 * A slice is valid as long as what it points into; a function that keeps one
 * says so.  A buf starts as {0}, grows by itself, and ends with buf_fini().
 * Running out of memory in a buf ends the process: everything that a peer can
 * make grow has a limit that is checked long before.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const char *p; /* not NUL-terminated; may be NULL when n is 0 */
	size_t n;
};

struct buf {
	char *p;
	size_t n;   /* bytes in use */
	size_t cap; /* bytes there is room for */
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

static inline struct slice
slice_of(const char *s)
{
	return (struct slice){s, s == NULL ? 0 : strlen(s)};
}

static inline struct slice
slice_from(const void *p, size_t n)
{
	return (struct slice){(const char *)p, n};
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool
slice_is(struct slice a, const char *s)
{
	return slice_eq(a, slice_of(s));
}

/* As slice_eq, but ASCII letters match in either case (header names). */
bool slice_ieq(struct slice a, struct slice b);

/* A NUL-terminated copy, malloc'd; bytes after an inner NUL are kept too. */
char *slice_dup(struct slice s);

/*
 * Copy s into dst as a C string, cut to fit.  Returns false when it was cut.
 */
bool slice_copy(char *dst, size_t dst_bytes, struct slice s);

/*
 * A decimal number, digits only, the whole slice.  Returns false on anything
 * else and on a value over max.
 */
bool slice_u64(struct slice s, uint64_t max, uint64_t *value_out);

/* Nothing but whole UTF-8 sequences?  As in RFC 3629; empty: yes. */
bool slice_is_utf8(struct slice s);

static inline struct slice
buf_slice(const struct buf *b)
{
	return (struct slice){b->p, b->n};
}

/* buf_room() when there is none yet. */
char *buf_grow(struct buf *b, size_t n);

/* Make room for n more bytes and return where they go; does not add them. */
static inline char *
buf_room(struct buf *b, size_t n)
{
	return b->p != NULL && b->cap - b->n >= n ? b->p + b->n
						  : buf_grow(b, n);
}

static inline void
buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	memcpy(buf_room(b, n), p, n);
	b->n += n;
}

static inline void
buf_puts(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

static inline void
buf_putc(struct buf *b, char c)
{
	*buf_room(b, 1) = c;
	b->n++;
}

/* In decimal. */
void buf_add_number(struct buf *b, uint64_t value);

/* In decimal, into dst; returns the digits written, U64_DIGITS at most. */
#define U64_DIGITS 20
size_t u64_text(char *dst, uint64_t value);

void buf_addf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Add s as a JSON string with its quotes; bytes that are not UTF-8 become
 * U+FFFD, so that the result is always valid JSON. */
void buf_json_string(struct buf *b, struct slice s);

static inline void
buf_add_slice(struct buf *b, struct slice s)
{
	buf_add(b, s.p, s.n);
}

/* Drop the first n bytes; the rest moves to the front. */
void buf_drop(struct buf *b, size_t n);

/* Forget the content; keep the memory unless it is over keep_bytes. */
void buf_reset(struct buf *b, size_t keep_bytes);

/* The bytes, NUL-terminated, the caller's now (free()); b is empty again. */
char *buf_steal(struct buf *b, size_t *n_out);

void buf_fini(struct buf *b);
