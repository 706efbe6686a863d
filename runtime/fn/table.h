/*
 * table.h - a hash table of things that hold their own key.
 *
 * Runs in: gateway.
 * Owns:    its slots, never the items.
 *
 * Keys come from the functions directory, not from clients; a client's path
 * is only looked up.
 */
#pragma once

#include "sandbox/base/bytes.h"

struct table {
	void **slots; /* NULL: empty */
	size_t cap;   /* slots, a power of two or 0 */
	size_t n;
	struct slice (*key)(const void *item);
};

void *table_find(const struct table *table, struct slice key);

/* The key must not be there yet; the item must not change it. */
void table_add(struct table *table, void *item);

/* What was there under key, or NULL. */
void *table_remove(struct table *table, struct slice key);

/* Frees the slots. */
void table_fini(struct table *table);

/* for (size_t i = 0; (item = table_next(table, &i)) != NULL;) */
void *table_next(const struct table *table, size_t *i);
