/*
 * routes.c - see routes.h.
 *
 * Runs in: gateway.
 *
 * Matching goes down literal first, then parameter, then is content with the
 * node itself; so of two routes the one with a literal where the other has a
 * parameter wins, then the longer one.  It visits each node of the tree at
 * most once, because a node stands at one depth and that is one segment.
 */
#include "runtime/fn/routes.h"

#include "runtime/fn/paths.h"
#include "runtime/fn/table.h"

#include <stdlib.h>

struct node {
	void *owner;
	struct table literals; /* of struct node, by segment */
	struct node *param;
	size_t n;
	char segment[];
};

struct routes {
	struct node *root;
};

static struct slice
key_of(const void *item)
{
	const struct node *node = item;

	return slice_from(node->segment, node->n);
}

static struct node *
node_new(struct slice segment)
{
	struct node *node = calloc(1, sizeof(*node) + segment.n);

	if (node == NULL)
		abort();
	node->literals.key = key_of;
	node->n = segment.n;
	if (segment.n > 0)
		memcpy(node->segment, segment.p, segment.n);
	return node;
}

struct routes *
routes_new(void)
{
	struct routes *routes = calloc(1, sizeof(*routes));

	if (routes == NULL)
		abort();
	routes->root = node_new(SLICE(""));
	return routes;
}

static struct node *
child(const struct node *node, struct slice segment)
{
	if (fn_segment_is_param(segment))
		return node->param;
	return table_find(&node->literals, segment);
}

static struct node *
child_made(struct node *node, struct slice segment)
{
	struct node *found = child(node, segment);

	if (found != NULL)
		return found;
	found = node_new(segment);
	if (fn_segment_is_param(segment))
		node->param = found;
	else
		table_add(&node->literals, found);
	return found;
}

/* "/" has no segments. */
static struct slice
segments_of(const char *route)
{
	struct slice rest = slice_of(route);

	return rest.n == 1 ? (struct slice){0} : rest;
}

void *
routes_owner(const struct routes *routes, const char *route)
{
	const struct node *node = routes->root;
	struct slice rest = segments_of(route);
	struct slice segment;

	while (node != NULL && fn_segment_next(&rest, &segment))
		node = child(node, segment);
	return node == NULL ? NULL : node->owner;
}

static void
node_free(struct node *node)
{
	table_fini(&node->literals);
	free(node);
}

/* Set the owner below node; true when node is of no use any more. */
static bool
set_below(struct node *node, struct slice rest, void *owner)
{
	struct slice segment;

	if (!fn_segment_next(&rest, &segment)) {
		node->owner = owner;
	} else {
		struct node *next = child_made(node, segment);

		if (set_below(next, rest, owner)) {
			if (next == node->param)
				node->param = NULL;
			else
				(void)table_remove(&node->literals, segment);
			node_free(next);
		}
	}
	return node->owner == NULL && node->param == NULL &&
	    node->literals.n == 0;
}

void
routes_set(struct routes *routes, const char *route, void *owner)
{
	(void)set_below(routes->root, segments_of(route), owner);
}

static void *
match(const struct node *node, struct slice rest)
{
	struct slice segment;
	const struct node *next;
	void *owner;

	if (!fn_segment_next(&rest, &segment) || segment.n == 0)
		return node->owner;
	next = table_find(&node->literals, segment);
	owner = next == NULL ? NULL : match(next, rest);
	if (owner == NULL && node->param != NULL)
		owner = match(node->param, rest);
	return owner == NULL ? node->owner : owner;
}

void *
routes_match(const struct routes *routes, struct slice path)
{
	if (path.n == 0 || path.p[0] != '/')
		return NULL;
	return match(routes->root, path);
}

static void
tree_free(struct node *node)
{
	struct node *next;

	if (node == NULL)
		return;
	for (size_t i = 0; (next = table_next(&node->literals, &i)) != NULL;)
		tree_free(next);
	tree_free(node->param);
	node_free(node);
}

void
routes_free(struct routes *routes)
{
	if (routes == NULL)
		return;
	tree_free(routes->root);
	free(routes);
}
