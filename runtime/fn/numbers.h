/*
 * numbers.h - small integers for contents: the same content of a function has
 * the same number, for ever.
 *
 * Runs in: gateway.
 * Owns:    what it remembers: 20 bytes for each content there ever was.
 */
#pragma once

#include "runtime/fn/table.h"

struct numbers {
	struct table names;
};

void numbers_init(struct numbers *numbers);

/* What an earlier life wrote down; hash is hexadecimal.  One that is not
 * SHA-256 in hexadecimal is ignored. */
void numbers_know(struct numbers *numbers, const char *name, const char *hash,
    uint32_t number);

/* The number of this content, a new one if need be (then *new_out). */
uint32_t numbers_of(struct numbers *numbers, const char *name, const char *hash,
    bool *new_out);

void numbers_fini(struct numbers *numbers);
