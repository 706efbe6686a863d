/*
 * upload_funcs.c - functions, their triggers, and what these match.
 *
 * Runs in: gateway.
 * Owns:    a copy of every function's triggers.
 *
 * A function that had triggers once stays in the table, without any: its
 * events wait for it.
 */
#include "runtime/trigger/upload_priv.h"

#include <fnmatch.h>
#include <stdlib.h>

/* --- matching ----------------------------------------------------------- */

/* Hidden files and those that other programs have not finished. */
bool
upload_name_ignored(const char *name)
{
	static const char *const ends[] = {"~", ".part", ".tmp", ".crdownload"};
	size_t n = strlen(name);

	if (name[0] == '.' || name[0] == '\0')
		return true;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		size_t end = strlen(ends[i]);

		if (n >= end && strcmp(name + n - end, ends[i]) == 0)
			return true;
	}
	return false;
}

static bool
trigger_matches(const struct upload_trigger *trigger, const char *path)
{
	size_t n = strlen(trigger->dir);

	return strncmp(path, trigger->dir, n) == 0 && path[n] == '/' &&
	    fnmatch(trigger->pattern, strrchr(path, '/') + 1, 0) == 0;
}

struct upload_trigger *
upload_match(const struct upload_func *func, const char *path)
{
	for (size_t i = 0; i < func->ntriggers; i++)
		if (trigger_matches(&func->triggers[i], path))
			return &func->triggers[i];
	return NULL;
}

uint64_t
upload_matched(const struct uploads *uploads, const char *path)
{
	const struct upload_func *func;
	uint64_t sum = 0;

	for (size_t i = 0; (func = table_next(&uploads->funcs, &i)) != NULL;)
		if (upload_match(func, path) != NULL)
			sum += func->id;
	return sum;
}

/* --- functions ---------------------------------------------------------- */

void
upload_func_drop(struct upload_func *func)
{
	for (size_t i = 0; i < func->ntriggers; i++) {
		free(func->triggers[i].dir);
		free(func->triggers[i].pattern);
		free(func->triggers[i].output);
	}
	free(func->triggers);
	func->triggers = NULL;
	func->ntriggers = 0;
}

static void
copy_triggers(struct upload_func *func, const struct fn_manifest *manifest)
{
	upload_func_drop(func);
	func->ntriggers = manifest->nuploads;
	func->triggers =
	    upload_alloc((manifest->nuploads + 1) * sizeof(*func->triggers));
	for (size_t i = 0; i < manifest->nuploads; i++) {
		const struct fn_upload *from = &manifest->uploads[i];
		struct upload_trigger *to = &func->triggers[i];

		to->dir = slice_dup(slice_of(from->dir));
		to->pattern = slice_dup(
		    slice_of(from->pattern == NULL ? "*" : from->pattern));
		to->output = from->output == NULL
		    ? NULL
		    : slice_dup(slice_of(from->output));
	}
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_triggers(const struct upload_func *func,
    const struct fn_manifest *manifest)
{
	if (func->ntriggers != manifest->nuploads)
		return false;
	for (size_t i = 0; i < func->ntriggers; i++) {
		const struct fn_upload *upload = &manifest->uploads[i];
		const struct upload_trigger *trigger = &func->triggers[i];

		if (!same_text(trigger->dir, upload->dir) ||
		    !same_text(trigger->pattern,
			upload->pattern == NULL ? "*" : upload->pattern) ||
		    !same_text(trigger->output, upload->output))
			return false;
	}
	return true;
}

struct slice
upload_func_key(const void *item)
{
	return slice_of(((const struct upload_func *)item)->name);
}

static struct upload_func *
make_func(struct uploads *uploads, const char *name)
{
	struct upload_func *func = upload_alloc(sizeof(*func));

	(void)slice_copy(func->name, sizeof(func->name), slice_of(name));
	func->id = upload_random() | 1;
	func->more = true; /* whatever the store has */
	TAILQ_INIT(&func->waiting);
	table_add(&uploads->funcs, func);
	return func;
}

void
uploads_set(struct uploads *uploads, const char *function,
    const struct fn_version *version)
{
	struct upload_func *func =
	    table_find(&uploads->funcs, slice_of(function));

	if (version == NULL || version->manifest.nuploads == 0) {
		if (func != NULL)
			upload_func_drop(func);
		return;
	}
	if (func == NULL)
		func = make_func(uploads, function);
	if (same_triggers(func, &version->manifest))
		return;
	copy_triggers(func, &version->manifest);
	if (!uploads->swept)
		return;
	upload_scan_triggers(uploads, func);
	upload_queue_load(func, uploads);
	upload_queue_pump(uploads);
	uploads_work(uploads);
}
