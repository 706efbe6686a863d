/*
 * numbers.c - see numbers.h.
 *
 * Runs in: gateway.
 *
 * Half of the hash is kept: 128 bits are as good as unique, and contents are
 * compared only with others of the same function.
 */
#include "runtime/fn/numbers.h"

#include <stdlib.h>

#define KEPT 16 /* bytes of the hash */

struct content {
	uint8_t hash[KEPT];
	uint32_t number;
};

struct counted {
	struct content *contents;
	uint32_t n;
	uint32_t cap;
	uint32_t highest;
	char name[];
};

static struct slice
key_of(const void *item)
{
	return slice_of(((const struct counted *)item)->name);
}

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

void
numbers_init(struct numbers *numbers)
{
	*numbers = (struct numbers){.names = {.key = key_of}};
}

static int
nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
unhex(uint8_t out[KEPT], const char *hash)
{
	for (size_t i = 0; i < KEPT; i++) {
		int high = nibble(hash[2 * i]);
		int low = high < 0 ? -1 : nibble(hash[2 * i + 1]);

		if (low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static struct counted *
counted_of(struct numbers *numbers, const char *name)
{
	struct counted *counted = table_find(&numbers->names, slice_of(name));
	size_t n = strlen(name) + 1;

	if (counted != NULL)
		return counted;
	counted = must(calloc(1, sizeof(*counted) + n));
	memcpy(counted->name, name, n);
	table_add(&numbers->names, counted);
	return counted;
}

static void
add(struct counted *counted, const uint8_t hash[KEPT], uint32_t number)
{
	struct content *content;

	if (counted->n == counted->cap) {
		counted->cap = counted->cap == 0 ? 1 : counted->cap * 2;
		counted->contents = must(realloc(counted->contents,
		    counted->cap * sizeof(*counted->contents)));
	}
	content = &counted->contents[counted->n++];
	memcpy(content->hash, hash, KEPT);
	content->number = number;
	if (number > counted->highest)
		counted->highest = number;
}

void
numbers_know(struct numbers *numbers, const char *name, const char *hash,
    uint32_t number)
{
	uint8_t bytes[KEPT];

	if (unhex(bytes, hash))
		add(counted_of(numbers, name), bytes, number);
}

uint32_t
numbers_of(struct numbers *numbers, const char *name, const char *hash,
    bool *new_out)
{
	struct counted *counted = counted_of(numbers, name);
	uint8_t bytes[KEPT];

	*new_out = false;
	if (!unhex(bytes, hash))
		return 0;
	for (uint32_t i = counted->n; i-- > 0;)
		if (memcmp(counted->contents[i].hash, bytes, KEPT) == 0)
			return counted->contents[i].number;
	*new_out = true;
	add(counted, bytes, counted->highest + 1);
	return counted->highest;
}

void
numbers_fini(struct numbers *numbers)
{
	struct counted *counted;

	for (size_t i = 0;
	     (counted = table_next(&numbers->names, &i)) != NULL;) {
		free(counted->contents);
		free(counted);
	}
	table_fini(&numbers->names);
}
