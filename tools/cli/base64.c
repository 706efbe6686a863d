/*
 * base64.c - see base64.h.
 *
 * Runs in: cli.
 */
#include "tools/cli/base64.h"

static int
sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

bool
base64_decode(struct buf *out, struct slice text)
{
	size_t before = out->n;
	uint32_t bits = 0;
	unsigned int have = 0;
	size_t padding = 0;

	while (padding < 2 && text.n > 0 && text.p[text.n - 1] == '=') {
		text.n--;
		padding++;
	}
	if ((text.n + padding) % 4 != 0)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		int six = sextet(text.p[i]);

		if (six < 0) {
			out->n = before;
			return false;
		}
		bits = (bits << 6 | (uint32_t)six) & 0xffffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_putc(out, (char)(bits >> have & 0xff));
		}
	}
	return true;
}
