/*
 * base64.h - decode base64 (RFC 4648, section 4).
 *
 * Runs in: cli.
 */
#pragma once

#include "sandbox/base/bytes.h"

#include <stdbool.h>

/* Add the bytes to out; false (and out as it was) when text is not base64. */
bool base64_decode(struct buf *out, struct slice text);
