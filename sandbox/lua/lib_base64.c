/*
 * lib_base64.c - base64.encode and base64.decode (RFC 4648).
 *
 * Runs in: worker, tests.
 *
 * "std" is padded; "url" uses - and _ and no padding (decoding accepts it).
 * Decoding is strict: no other bytes, no bits left over.
 */
#include "sandbox/lua/lua_priv.h"

static const char *const variants[] = {"std", "url", NULL};

static const char alphabets[2][65] = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

/* Encode the last 1 or 2 bytes; returns the characters put. */
static size_t
encode_tail(char *q, const unsigned char *p, size_t n, const char *alphabet,
    bool padded)
{
	uint32_t v = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);

	q[0] = alphabet[v >> 18];
	q[1] = alphabet[v >> 12 & 63];
	q[2] = '=';
	if (n == 2)
		q[2] = alphabet[v >> 6 & 63];
	q[3] = '=';
	return padded ? 4 : n + 1;
}

static int
base64_encode(lua_State *L)
{
	size_t n, done = 0;
	const unsigned char *p =
	    (const unsigned char *)luaL_checklstring(L, 1, &n);
	int url = luaL_checkoption(L, 2, "std", variants);
	const char *alphabet = alphabets[url];
	luaL_Buffer b;
	char *q;

	if (n / 3 > STRING_MAX / 4)
		return luaL_error(L, "result larger than %d bytes", STRING_MAX);
	q = luaL_buffinitsize(L, &b, (n + 2) / 3 * 4);
	for (; n >= 3; n -= 3, p += 3, done += 4) {
		uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];

		q[done] = alphabet[v >> 18];
		q[done + 1] = alphabet[v >> 12 & 63];
		q[done + 2] = alphabet[v >> 6 & 63];
		q[done + 3] = alphabet[v & 63];
	}
	if (n > 0)
		done += encode_tail(q + done, p, n, alphabet, !url);
	luaL_pushresultsize(&b, done);
	return 1;
}

static int
digit_of(unsigned char c, int url)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (url ? '-' : '+'))
		return 62;
	if (c == (url ? '_' : '/'))
		return 63;
	return -1;
}

/* Bytes of s without its padding; SIZE_MAX when that is wrong. */
static size_t
unpadded(const unsigned char *s, size_t n, int url)
{
	size_t kept = n;

	while (kept > 0 && n - kept < 2 && s[kept - 1] == '=')
		kept--;
	if (kept % 4 == 1 || (kept < n && n % 4 != 0) || (!url && n % 4 != 0))
		return SIZE_MAX;
	return kept;
}

static int
refuse(lua_State *L, const char *what, size_t at)
{
	lua_pushnil(L);
	lua_pushfstring(L, "base64: %s at byte %I", what, (LUAI_UACINT)at);
	return 2;
}

static int
base64_decode(lua_State *L)
{
	size_t n, kept, done = 0;
	const unsigned char *s =
	    (const unsigned char *)luaL_checklstring(L, 1, &n);
	int url = luaL_checkoption(L, 2, "std", variants);
	uint32_t v = 0;
	luaL_Buffer b;
	char *q;

	kept = unpadded(s, n, url);
	if (kept == SIZE_MAX)
		return refuse(L, "wrong length or padding", n);
	q = luaL_buffinitsize(L, &b, n / 4 * 3 + 3);
	for (size_t i = 0; i < kept; i++) {
		int digit = digit_of(s[i], url);

		if (digit < 0)
			return refuse(L, "invalid character", i + 1);
		v = v << 6 | (uint32_t)digit;
		if (i % 4 != 0)
			q[done++] = (char)(v >> (6 - i % 4 * 2));
	}
	if ((kept % 4 == 2 && (v & 15) != 0) || (kept % 4 == 3 && (v & 3) != 0))
		return refuse(L, "bits left over", kept);
	luaL_pushresultsize(&b, done);
	return 1;
}

void
fnlua_open_base64(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"encode", base64_encode},
	    {"decode", base64_decode},
	    {NULL, NULL},
	};

	fnlua_library(L, "base64", functions);
}
