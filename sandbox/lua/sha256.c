/*
 * sha256.c - see sha256.h; FIPS 180-4, section 6.2.
 *
 * Runs in: worker, tests.
 */
#include "sandbox/lua/sha256.h"

#include <string.h>

static const uint32_t k[64] = {
    0x428a2f98,
    0x71374491,
    0xb5c0fbcf,
    0xe9b5dba5,
    0x3956c25b,
    0x59f111f1,
    0x923f82a4,
    0xab1c5ed5,
    0xd807aa98,
    0x12835b01,
    0x243185be,
    0x550c7dc3,
    0x72be5d74,
    0x80deb1fe,
    0x9bdc06a7,
    0xc19bf174,
    0xe49b69c1,
    0xefbe4786,
    0x0fc19dc6,
    0x240ca1cc,
    0x2de92c6f,
    0x4a7484aa,
    0x5cb0a9dc,
    0x76f988da,
    0x983e5152,
    0xa831c66d,
    0xb00327c8,
    0xbf597fc7,
    0xc6e00bf3,
    0xd5a79147,
    0x06ca6351,
    0x14292967,
    0x27b70a85,
    0x2e1b2138,
    0x4d2c6dfc,
    0x53380d13,
    0x650a7354,
    0x766a0abb,
    0x81c2c92e,
    0x92722c85,
    0xa2bfe8a1,
    0xa81a664b,
    0xc24b8b70,
    0xc76c51a3,
    0xd192e819,
    0xd6990624,
    0xf40e3585,
    0x106aa070,
    0x19a4c116,
    0x1e376c08,
    0x2748774c,
    0x34b0bcb5,
    0x391c0cb3,
    0x4ed8aa4a,
    0x5b9cca4f,
    0x682e6ff3,
    0x748f82ee,
    0x78a5636f,
    0x84c87814,
    0x8cc70208,
    0x90befffa,
    0xa4506ceb,
    0xbef9a3f7,
    0xc67178f2,
};

static uint32_t
rotr(uint32_t v, int bits)
{
	return v >> bits | v << (32 - bits);
}

static uint32_t
load_be(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static void
store_be(uint8_t *p, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * (bytes - 1 - i)));
}

static void
expand(uint32_t w[64], const uint8_t *block)
{
	for (size_t i = 0; i < 16; i++)
		w[i] = load_be(block + 4 * i);
	for (int i = 16; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];
		uint32_t s0 = rotr(a, 7) ^ rotr(a, 18) ^ a >> 3;
		uint32_t s1 = rotr(b, 17) ^ rotr(b, 19) ^ b >> 10;

		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
}

static void
take_block(uint32_t h[8], const uint8_t *block)
{
	uint32_t w[64], v[8];

	expand(w, block);
	memcpy(v, h, sizeof(v));
	for (int i = 0; i < 64; i++) {
		uint32_t a = v[0], e = v[4];
		uint32_t s1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
		uint32_t ch = (e & v[5]) ^ (~e & v[6]);
		uint32_t t1 = v[7] + s1 + ch + k[i] + w[i];
		uint32_t s0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
		uint32_t maj = (a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]);

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + s0 + maj;
	}
	for (int i = 0; i < 8; i++)
		h[i] += v[i];
}

void
sha256_init(struct sha256 *s)
{
	static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
	    0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

	memcpy(s->h, start, sizeof(start));
	s->bytes = 0;
}

void
sha256_add(struct sha256 *s, const void *data, size_t n)
{
	size_t used = s->bytes % SHA256_BLOCK_BYTES;
	const uint8_t *p = data;

	s->bytes += n;
	if (used > 0) {
		size_t left = SHA256_BLOCK_BYTES - used;
		size_t take = n < left ? n : left;

		memcpy(s->block + used, p, take);
		p += take;
		n -= take;
		if (used + take < SHA256_BLOCK_BYTES)
			return;
		take_block(s->h, s->block);
	}
	for (; n >= SHA256_BLOCK_BYTES; n -= SHA256_BLOCK_BYTES) {
		take_block(s->h, p);
		p += SHA256_BLOCK_BYTES;
	}
	if (n > 0)
		memcpy(s->block, p, n);
}

void
sha256_end(struct sha256 *s, uint8_t digest_out[SHA256_BYTES])
{
	static const uint8_t padding[SHA256_BLOCK_BYTES] = {0x80};
	uint64_t bits = s->bytes * 8;
	size_t used = s->bytes % SHA256_BLOCK_BYTES;
	uint8_t length[8];

	sha256_add(s, padding, used < 56 ? 56 - used : 120 - used);
	store_be(length, bits, 8);
	sha256_add(s, length, 8);
	for (size_t i = 0; i < 8; i++)
		store_be(digest_out + 4 * i, s->h[i], 4);
}

static void
add_padded_key(struct sha256 *s, const uint8_t *key, uint8_t with)
{
	uint8_t pad[SHA256_BLOCK_BYTES];

	for (int i = 0; i < SHA256_BLOCK_BYTES; i++)
		pad[i] = key[i] ^ with;
	sha256_add(s, pad, sizeof(pad));
}

void
sha256_hmac(const void *key, size_t key_bytes, const void *p, size_t n,
    uint8_t mac_out[SHA256_BYTES])
{
	uint8_t block[SHA256_BLOCK_BYTES] = {0};
	struct sha256 s;

	sha256_init(&s);
	if (key_bytes > SHA256_BLOCK_BYTES) {
		sha256_add(&s, key, key_bytes);
		sha256_end(&s, block);
		sha256_init(&s);
	} else if (key_bytes > 0) {
		memcpy(block, key, key_bytes);
	}
	add_padded_key(&s, block, 0x36);
	sha256_add(&s, p, n);
	sha256_end(&s, mac_out);
	sha256_init(&s);
	add_padded_key(&s, block, 0x5c);
	sha256_add(&s, mac_out, SHA256_BYTES);
	sha256_end(&s, mac_out);
}
