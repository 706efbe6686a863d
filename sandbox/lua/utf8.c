/*
 * utf8.c - what is UTF-8 and where it may be cut (RFC 3629, section 4).
 *
 * Runs in: worker, tests.
 */
#include "sandbox/lua/lua_priv.h"

size_t
fnlua_utf8_bytes(const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	size_t want = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	unsigned char low = 0x80, high = 0xbf;

	if (want == 0 || want > n || p[0] > 0xf4)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < want; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return want;
}

size_t
fnlua_cut(const char *p, size_t n)
{
	for (size_t back = 1; back <= 4 && back <= n; back++) {
		unsigned char c = (unsigned char)p[n - back];

		if (c < 0x80)
			return n;
		if (c >= 0xc0) {
			size_t want = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

			return back < want ? n - back : n;
		}
	}
	return n;
}
