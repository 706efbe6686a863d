/*
 * table.c - see table.h.
 *
 * Runs in: gateway.
 *
 * Open addressing with linear probing; removal moves the followers up, so
 * that there are no tombstones (Knuth, volume 3, section 6.4, algorithm R).
 */
#include "runtime/fn/table.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_CAP 4

/* FNV-1a. */
static size_t
hash(struct slice key)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < key.n; i++) {
		h ^= (unsigned char)key.p[i];
		h *= 0x100000001b3u;
	}
	return (size_t)(h ^ (h >> 32));
}

/* The slot that holds key, or the empty one where it would go. */
static size_t
seek(const struct table *table, struct slice key)
{
	size_t i = hash(key) & (table->cap - 1);

	while (table->slots[i] != NULL &&
	    !slice_eq(table->key(table->slots[i]), key))
		i = (i + 1) & (table->cap - 1);
	return i;
}

void *
table_find(const struct table *table, struct slice key)
{
	return table->cap == 0 ? NULL : table->slots[seek(table, key)];
}

static void
grow(struct table *table)
{
	struct table old = *table;

	table->cap = old.cap == 0 ? FIRST_CAP : old.cap * 2;
	table->slots = calloc(table->cap, sizeof(*table->slots));
	if (table->slots == NULL)
		abort();
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i] != NULL)
			table->slots[seek(table, table->key(old.slots[i]))] =
			    old.slots[i];
	free(old.slots);
}

void
table_add(struct table *table, void *item)
{
	size_t i;

	if ((table->n + 1) * 4 > table->cap * 3)
		grow(table);
	i = seek(table, table->key(item));
	assert(table->slots[i] == NULL);
	table->slots[i] = item;
	table->n++;
}

/* The slot at i is empty now: may what stands at j stay there? */
static bool
may_stay(const struct table *table, size_t i, size_t j)
{
	size_t home = hash(table->key(table->slots[j])) & (table->cap - 1);

	return i <= j ? (i < home && home <= j) : (i < home || home <= j);
}

void *
table_remove(struct table *table, struct slice key)
{
	size_t i = table->cap == 0 ? 0 : seek(table, key);
	size_t j = i;
	void *item;

	if (table->cap == 0 || table->slots[i] == NULL)
		return NULL;
	item = table->slots[i];
	table->n--;
	for (;;) {
		table->slots[i] = NULL;
		do {
			j = (j + 1) & (table->cap - 1);
			if (table->slots[j] == NULL)
				return item;
		} while (may_stay(table, i, j));
		table->slots[i] = table->slots[j];
		i = j;
	}
}

void
table_fini(struct table *table)
{
	free(table->slots);
	table->slots = NULL;
	table->cap = 0;
	table->n = 0;
}

void *
table_next(const struct table *table, size_t *i)
{
	while (*i < table->cap) {
		void *item = table->slots[(*i)++];

		if (item != NULL)
			return item;
	}
	return NULL;
}
