/*
 * routes.h - from a path to whoever answers for it.
 *
 * Runs in: gateway.
 * Owns:    its nodes; owners are the caller's.
 *
 * A tree of segments with a hash table of literals in each node: a path of one
 * literal segment costs one look-up.  Nothing is allocated by looking.
 */
#pragma once

#include "sandbox/base/bytes.h"

struct routes;

struct routes *routes_new(void);

/* Who has this route, whatever its parameters are called; NULL: nobody. */
void *routes_owner(const struct routes *routes, const char *route);

/* The route is owner's from now on, NULL: nobody's.  It must be valid. */
void routes_set(struct routes *routes, const char *route, void *owner);

/* The owner of the most specific route that answers for path, or NULL. */
void *routes_match(const struct routes *routes, struct slice path);

void routes_free(struct routes *routes);
