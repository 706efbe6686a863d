/*
 * chacha.c - see chacha.h; RFC 8439, section 2.
 *
 * Runs in: worker, tests.
 */
#include "sandbox/lua/chacha.h"

#include <string.h>

static uint32_t
load32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	    (uint32_t)p[3] << 24;
}

static void
store32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

static uint32_t
rotl(uint32_t v, int bits)
{
	return v << bits | v >> (32 - bits);
}

static void
quarter_round(uint32_t *x, int a, int b, int c, int d)
{
	x[a] += x[b];
	x[d] = rotl(x[d] ^ x[a], 16);
	x[c] += x[d];
	x[b] = rotl(x[b] ^ x[c], 12);
	x[a] += x[b];
	x[d] = rotl(x[d] ^ x[a], 8);
	x[c] += x[d];
	x[b] = rotl(x[b] ^ x[c], 7);
}

static void
next_block(struct chacha *c)
{
	uint32_t x[16];

	memcpy(x, c->state, sizeof(x));
	for (int round = 0; round < 20; round += 2) {
		quarter_round(x, 0, 4, 8, 12);
		quarter_round(x, 1, 5, 9, 13);
		quarter_round(x, 2, 6, 10, 14);
		quarter_round(x, 3, 7, 11, 15);
		quarter_round(x, 0, 5, 10, 15);
		quarter_round(x, 1, 6, 11, 12);
		quarter_round(x, 2, 7, 8, 13);
		quarter_round(x, 3, 4, 9, 14);
	}
	for (size_t i = 0; i < 16; i++)
		store32(c->block + 4 * i, x[i] + c->state[i]);
	c->state[12]++;
	c->used = 0;
}

void
chacha_init(struct chacha *c, const uint8_t key[CHACHA_KEY_BYTES],
    const uint8_t nonce[CHACHA_NONCE_BYTES], uint32_t counter)
{
	static const uint8_t constant[] = "expand 32-byte k";

	for (size_t i = 0; i < 4; i++)
		c->state[i] = load32(constant + 4 * i);
	for (size_t i = 0; i < 8; i++)
		c->state[4 + i] = load32(key + 4 * i);
	c->state[12] = counter;
	for (size_t i = 0; i < 3; i++)
		c->state[13 + i] = load32(nonce + 4 * i);
	c->used = CHACHA_BLOCK_BYTES;
}

void
chacha_bytes(struct chacha *c, void *out, size_t n)
{
	uint8_t *p = out;

	while (n > 0) {
		size_t left = CHACHA_BLOCK_BYTES - c->used;
		size_t take = n < left ? n : left;

		memcpy(p, c->block + c->used, take);
		c->used += take;
		p += take;
		n -= take;
		if (n > 0)
			next_block(c);
	}
}
