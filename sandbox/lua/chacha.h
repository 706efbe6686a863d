/*
 * chacha.h - the ChaCha20 stream (RFC 8439), as a random generator.
 *
 * Runs in: worker, tests.
 * Owns:    nothing.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CHACHA_KEY_BYTES   32
#define CHACHA_NONCE_BYTES 12
#define CHACHA_BLOCK_BYTES 64

struct chacha {
	uint32_t state[16];
	uint8_t block[CHACHA_BLOCK_BYTES];
	size_t used; /* bytes of block given out */
};

void chacha_init(struct chacha *c, const uint8_t key[CHACHA_KEY_BYTES],
    const uint8_t nonce[CHACHA_NONCE_BYTES], uint32_t counter);

/* The next n bytes of the stream. */
void chacha_bytes(struct chacha *c, void *out, size_t n);
