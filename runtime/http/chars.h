/*
 * chars.h - which bytes may stand where.
 *
 * Runs in: gateway.
 *
 * A set is a bit map of the 128 ASCII characters; everything above is in none.
 */
#pragma once

#include "sandbox/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct chars {
	uint64_t bits[2];
};

/* tchar, RFC 9110, section 5.6.2: letters, digits, !#$%&'*+-.^_`|~ */
#define CHARS_TOKEN ((struct chars){{0x03ff6cfa00000000u, 0x57ffffffc7fffffeu}})
/* Field values: tab, space and what can be seen; no obs-text. */
#define CHARS_VALUE ((struct chars){{0xffffffff00000200u, 0x7fffffffffffffffu}})
/* Paths: pchar and '/' (RFC 3986, section 3.3), and "[]|", which browsers
 * send as they are; '%' is looked at by itself. */
#define CHARS_PATH  ((struct chars){{0x2fffffd200000000u, 0x57fffffeafffffffu}})
/* Queries: all that can be seen but '"', '#', '<', '>' (WHATWG) and '%'. */
#define CHARS_QUERY ((struct chars){{0xafffffd200000000u, 0x7fffffffffffffffu}})
/* Host names and IPv4 addresses: letters, digits, '-', '.', '_', '~'. */
#define CHARS_HOST  ((struct chars){{0x03ff600000000000u, 0x47fffffe87fffffeu}})

static inline bool
chars_has(struct chars set, char c)
{
	unsigned char u = (unsigned char)c;

	return u < 128 && ((set.bits[u >> 6] >> (u & 63u)) & 1u) != 0;
}

static inline bool
chars_all(struct chars set, struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!chars_has(set, s.p[i]))
			return false;
	return true;
}

/* The value of a hexadecimal digit, or -1. */
static inline int
chars_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
