/*
 * fn.h - functions: their manifests, sources and versions.
 *
 * Runs in: gateway, cli.
 * Owns:    a version owns its strings; it is immutable and counted.
 *
 * A version is what one content hash names: the sources that `require` can
 * reach and the manifest.  It never changes after it is made; requests hold a
 * reference to the one they began with.
 */
#pragma once

#include "sandbox/base/bytes.h"
#include "sandbox/wire/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define FN_NAME_MAX	64	/* [A-Za-z0-9_-]{1,64} */
#define FN_HASH_HEX	64	/* SHA-256 of manifest and sources */
#define FN_SOURCE_MAX	1048576 /* bytes of one source file */
#define FN_BUNDLE_MAX	8388608 /* bytes of all sources of a function */
#define FN_MODULES_MAX	256
#define FN_MANIFEST_MAX 65536
#define FN_ENV_MAX	64 /* variables */
#define FN_TRIGGERS_MAX 16

struct fn_pair {
	char *name;
	char *value;
};

struct fn_module {
	char
	    *name; /* as in require(): "util", "a.b", "_lib.x"; [0] is "init" */
	char *source;
	size_t source_bytes;
};

/* {"type":"upload"}: paths are relative to the uploads directory. */
struct fn_upload {
	char *dir;     /* where files arrive, "in" for "uploads/in" */
	char *pattern; /* fnmatch(3) on the file's name; default "*" */
	char *output;  /* where the function may write; NULL: nowhere */
};

struct fn_manifest {
	uint32_t timeout_ms;
	uint32_t memory_mb;
	uint32_t max_workers;
	uint32_t min_workers;
	uint32_t idle_timeout_s;
	enum wire_heap heap;
	uint64_t max_request_bytes;
	uint64_t max_response_bytes;
	char *route;	/* "/NAME" when not given; ":x" segments are params */
	char **methods; /* upper case; empty: all */
	size_t nmethods;
	struct fn_pair *env;
	size_t nenv;
	struct fn_upload *uploads;
	size_t nuploads;
};

struct fn_version {
	unsigned int refs;
	uint32_t number; /* 1, 2, ... per function name; 0: not counted yet */
	char name[FN_NAME_MAX + 1];
	char hash[FN_HASH_HEX + 1];
	struct fn_manifest manifest;
	struct fn_module *modules;
	size_t nmodules;
	/* The pool's own: the image and the counters of this version.  Freed
	 * by free_pool_data when the last reference goes. */
	void *pool_data;
	void (*free_pool_data)(void *pool_data);
};

struct fn_version *fn_version_ref(struct fn_version *version);
void fn_version_unref(struct fn_version *version); /* NULL is fine */

bool fn_name_valid(struct slice name);

/* Defaults for function NAME; fini frees. */
void fn_manifest_init(struct fn_manifest *manifest, const char *name);
void fn_manifest_fini(struct fn_manifest *manifest);

/*
 * Parse a manifest.  Unknown and mistyped fields, values out of range, bad
 * routes and paths are ERR_BAD_INPUT: "line 3: timeout_ms: must be 1 to
 * 900000, not 0".  *manifest is as fn_manifest_init left it on failure.
 */
int fn_manifest_parse(struct fn_manifest *manifest, const char *name,
    const char *json, size_t n, struct err *err);

/* The field table as Markdown, for docs/manifest.md. */
void fn_manifest_describe(struct buf *out);

/*
 * Read one function from the directory dirfd: NAME.lua or NAME/init.lua, its
 * manifest, its modules and those of _lib/ that it may require.  Blocks.
 * Refuses links that lead outside, special files, absurd sizes and names,
 * bytecode; ERR_NOT_FOUND when there is no such function.
 */
struct fn_version *fn_load(int dirfd, const char *name, struct err *err);

/* As fn_load for a path given by a person: NAME.lua or a folder with
 * init.lua; `_lib` beside it is found too. */
struct fn_version *fn_load_path(const char *path, struct err *err);
