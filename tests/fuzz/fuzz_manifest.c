/*
 * fuzz_manifest.c - whatever a manifest or a source says: an error with a
 * reason, or a manifest within its limits.
 *
 * Runs in: tests.
 */
#include "runtime/fn/fn_priv.h"
#include "runtime/fn/names.h"
#include "runtime/fn/paths.h"
#include "sandbox/base/err.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void
check_uploads(const struct fn_manifest *m)
{
	assert(m->nuploads <= FN_TRIGGERS_MAX);
	for (size_t i = 0; i < m->nuploads; i++) {
		assert(m->uploads[i].dir[0] != '\0');
		assert(m->uploads[i].dir[0] != '/');
		assert(strstr(m->uploads[i].dir, "..") == NULL ||
		    strstr(m->uploads[i].dir, "/../") == NULL);
		assert(m->uploads[i].pattern[0] != '\0');
	}
}

static void
check_manifest(const struct fn_manifest *m)
{
	struct err err;

	assert(m->timeout_ms >= 1 && m->timeout_ms <= 900000);
	assert(m->memory_mb >= 4 && m->memory_mb <= 1024);
	assert(m->min_workers <= m->max_workers);
	assert(m->nenv <= FN_ENV_MAX);
	assert(fn_route_check(slice_of(m->route), &err) == 0);
	check_uploads(m);
}

static void
found(struct slice module, void *arg)
{
	assert(fn_module_name_valid(module));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fn_manifest manifest;
	struct err err = {.code = ERR_NONE};

	fn_manifest_init(&manifest, "fuzz");
	if (fn_manifest_parse(&manifest, "fuzz", (const char *)data, bytes,
		&err) < 0) {
		assert(err.code == ERR_BAD_INPUT || err.code == ERR_LIMIT);
		assert(err.msg[0] != '\0');
		assert(strcmp(manifest.route, "/fuzz") == 0);
	}
	check_manifest(&manifest);
	fn_manifest_fini(&manifest);
	fn_requires(slice_from(data, bytes), found, NULL);
	return 0;
}
