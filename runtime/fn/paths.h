/*
 * paths.h - the rules for routes and for folders below uploads/.
 *
 * Runs in: gateway, cli.
 * Owns:    nothing.
 */
#pragma once

#include "sandbox/base/bytes.h"

struct err;

#define FN_ROUTE_BYTES	256
#define FN_SEGMENTS_MAX 32
#define FN_PARAMS_MAX	8
#define FN_FOLDER_BYTES 1024

/* The next segment of a path ("/a/b": "a", then "b"); false at the end. */
bool fn_segment_next(struct slice *path, struct slice *segment_out);

static inline bool
fn_segment_is_param(struct slice segment)
{
	return segment.n > 0 && segment.p[0] == ':';
}

/* ERR_BAD_INPUT says what a route may look like. */
int fn_route_check(struct slice route, struct err *err);

/* "uploads/in/new": what stands below uploads/, or ERR_BAD_INPUT. */
int fn_folder_check(struct slice path, struct slice *below_out,
    struct err *err);

/* Is path the same folder as, or below, other? */
bool fn_folder_within(const char *path, const char *other);
