/*
 * below.h - open and make what is below a directory, and nothing else.
 *
 * Runs in: gateway.
 *
 * Paths are relative to a directory that is open; no part of one may be a
 * symbolic link, "..", or lead outside, also when somebody swaps a folder for
 * a link meanwhile (openat2(2), RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS).
 * These calls block.
 */
#pragma once

#include "sandbox/base/bytes.h"

#include <sys/types.h>

/* Open; O_CLOEXEC is added.  -1: errno.  "" is the directory itself. */
int below_open(int dirfd, const char *path, int flags, mode_t mode);

/* Open a folder, making those that are missing (0755).  -1: errno. */
int below_mkdirs(int dirfd, const char *path);

/* UTF-8 without control characters: fit for JSON, listings, terminals. */
bool below_printable(struct slice s);
