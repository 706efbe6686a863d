/*
 * sha256.h - SHA-256 (FIPS 180-4) and HMAC with it (RFC 2104).
 *
 * Runs in: worker, tests.
 * Owns:    nothing.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES	   32
#define SHA256_BLOCK_BYTES 64

struct sha256 {
	uint32_t h[8];
	uint64_t bytes; /* taken in so far */
	uint8_t block[SHA256_BLOCK_BYTES];
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t n);
void sha256_end(struct sha256 *s, uint8_t digest_out[SHA256_BYTES]);

void sha256_hmac(const void *key, size_t key_bytes, const void *p, size_t n,
    uint8_t mac_out[SHA256_BYTES]);
