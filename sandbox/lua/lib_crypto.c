/*
 * lib_crypto.c - hashes, random bytes from the request's seed, comparing.
 *
 * Runs in: worker, tests.
 *
 * crypto.random is the ChaCha20 stream under a key that the gateway draws
 * anew for each request and sends to nobody else.
 */
#include "sandbox/lua/lua_priv.h"
#include "sandbox/lua/sha256.h"

#define RANDOM_MAX 65536 /* bytes of one crypto.random */

static size_t
put_hex(char *out, const uint8_t *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = hex[p[i] >> 4];
		out[2 * i + 1] = hex[p[i] & 15];
	}
	return 2 * n;
}

/* Return a digest as argument `form` wants it: "hex" or "raw". */
static int
push_digest(lua_State *L, const uint8_t digest[SHA256_BYTES], int form)
{
	static const char *const forms[] = {"hex", "raw", NULL};
	char text[2 * SHA256_BYTES];

	if (luaL_checkoption(L, form, "hex", forms) == 1)
		lua_pushlstring(L, (const char *)digest, SHA256_BYTES);
	else
		lua_pushlstring(L, text, put_hex(text, digest, SHA256_BYTES));
	return 1;
}

static int
crypto_sha256(lua_State *L)
{
	uint8_t digest[SHA256_BYTES];
	struct sha256 s;
	size_t n;
	const char *p = luaL_checklstring(L, 1, &n);

	sha256_init(&s);
	sha256_add(&s, p, n);
	sha256_end(&s, digest);
	return push_digest(L, digest, 2);
}

static int
crypto_hmac_sha256(lua_State *L)
{
	uint8_t mac[SHA256_BYTES];
	size_t key_n, n;
	const char *key = luaL_checklstring(L, 1, &key_n);
	const char *p = luaL_checklstring(L, 2, &n);

	sha256_hmac(key, key_n, p, n, mac);
	return push_digest(L, mac, 3);
}

static void
random_bytes(void *p, size_t n)
{
	struct fnlua_call *call = &fnlua_call;

	if (!call->crypto_ready) {
		fnlua_generator(&call->crypto, "crypto.rand");
		call->crypto_ready = true;
	}
	chacha_bytes(&call->crypto, p, n);
}

static int
crypto_random(lua_State *L)
{
	lua_Integer n = luaL_checkinteger(L, 1);
	luaL_Buffer b;

	luaL_argcheck(L, n >= 0 && n <= RANDOM_MAX, 1,
	    "must be 0 to 65536 bytes");
	random_bytes(luaL_buffinitsize(L, &b, (size_t)n), (size_t)n);
	luaL_pushresultsize(&b, (size_t)n);
	return 1;
}

/* Version 4: RFC 9562, section 5.4. */
static int
crypto_uuid(lua_State *L)
{
	static const size_t groups[] = {4, 2, 2, 2, 6};
	uint8_t bytes[16], *from = bytes;
	char text[36];
	size_t n = 0;

	random_bytes(bytes, sizeof(bytes));
	bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
	bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (i > 0)
			text[n++] = '-';
		n += put_hex(text + n, from, groups[i]);
		from += groups[i];
	}
	lua_pushlstring(L, text, n);
	return 1;
}

/* Takes as long for equal strings as for different ones of one length. */
static int
crypto_equal(lua_State *L)
{
	size_t a_n, b_n;
	const char *a = luaL_checklstring(L, 1, &a_n);
	const char *b = luaL_checklstring(L, 2, &b_n);
	volatile unsigned char different = a_n != b_n;

	for (size_t i = 0; i < a_n && i < b_n; i++)
		different = (unsigned char)(different |
		    ((unsigned char)a[i] ^ (unsigned char)b[i]));
	lua_pushboolean(L, different == 0);
	return 1;
}

void
fnlua_open_crypto(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"sha256", crypto_sha256},
	    {"hmac_sha256", crypto_hmac_sha256},
	    {"random", crypto_random},
	    {"uuid", crypto_uuid},
	    {"equal", crypto_equal},
	    {NULL, NULL},
	};

	fnlua_library(L, "crypto", functions);
}
