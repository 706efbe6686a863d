/*
 * manifest.c - the manifest: read, checked and described from one table.
 *
 * Runs in: gateway, cli.
 * Owns:    see fn.h.
 *
 * Every field has a read_ function; NUMBER fields share one, which knows where
 * and how wide the field is.  Values are copied out of the JSON into a second
 * manifest, which replaces the first only when everything was right.
 */
#include "runtime/fn/fn.h"
#include "runtime/fn/json_lines.h"
#include "runtime/fn/names.h"
#include "runtime/fn/paths.h"
#include "sandbox/base/err.h"

#include <stdlib.h>

#define METHODS_MAX	16
#define METHOD_BYTES	32
#define ENV_NAME_BYTES	64
#define ENV_VALUE_BYTES 4096
#define PATTERN_BYTES	255

struct field;

/* One parse: where it goes, and what a message needs. */
struct reading {
	struct fn_manifest *manifest;
	struct slice text;
	const struct field *field;
	struct err *err;
};

struct field {
	const char *name;
	int (*read)(const struct reading *r, const struct json_at *at,
	    const json_t *value);
	size_t offset; /* of a number in struct fn_manifest */
	size_t bytes;  /* its width */
	uint64_t def;
	uint64_t min;
	uint64_t max;
	const char *unit;
};

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static int
wrong_type(const struct reading *r, const struct json_at *at,
    const json_t *value, const char *want)
{
	char shown[JSON_SHOWN_MAX];

	return json_fail(r->text, at, r->err, "must be %s, not %s", want,
	    json_shown(value, shown));
}

static void
put_number(struct fn_manifest *manifest, const struct field *field, uint64_t n)
{
	char *to = (char *)manifest + field->offset;
	uint32_t narrow = (uint32_t)n;

	if (field->bytes == sizeof(narrow))
		memcpy(to, &narrow, sizeof(narrow));
	else
		memcpy(to, &n, sizeof(n));
}

static int
read_number(const struct reading *r, const struct json_at *at,
    const json_t *value)
{
	const struct field *f = r->field;
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value))
		return wrong_type(r, at, value, "a whole number");
	if (n < 0 || (uint64_t)n < f->min || (uint64_t)n > f->max)
		return json_fail(r->text, at, r->err,
		    "must be %llu to %llu %s, not %lld",
		    (unsigned long long)f->min, (unsigned long long)f->max,
		    f->unit, (long long)n);
	put_number(r->manifest, f, (uint64_t)n);
	return 0;
}

static int
read_heap(const struct reading *r, const struct json_at *at,
    const json_t *value)
{
	const char *word =
	    json_is_string(value) ? json_string_value(value) : "";

	if (strcmp(word, "fresh") == 0)
		r->manifest->heap = WIRE_HEAP_FRESH;
	else if (strcmp(word, "shared") == 0)
		r->manifest->heap = WIRE_HEAP_SHARED;
	else
		return wrong_type(r, at, value, "\"fresh\" or \"shared\"");
	return 0;
}

static bool
env_name_valid(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > ENV_NAME_BYTES || (name[0] >= '0' && name[0] <= '9'))
		return false;
	return fn_word_valid(slice_of(name)) && strchr(name, '-') == NULL;
}

static int
read_env(const struct reading *r, const struct json_at *at, const json_t *value)
{
	struct fn_manifest *m = r->manifest;
	json_t *object = (json_t *)(uintptr_t)value;
	const char *name;
	json_t *one;

	if (!json_is_object(value))
		return wrong_type(r, at, value, "an object of strings");
	if (json_object_size(value) > FN_ENV_MAX)
		return json_fail(r->text, at, r->err,
		    "must have at most %d variables, not %zu", FN_ENV_MAX,
		    json_object_size(value));
	m->env = must(calloc(json_object_size(value) + 1, sizeof(*m->env)));
	json_object_foreach(object, name, one)
	{
		struct json_at here = {.up = at, .key = name};

		if (!env_name_valid(name))
			return json_fail(r->text, &here, r->err,
			    "names are letters, digits and \"_\", no digit "
			    "first, at most %d",
			    ENV_NAME_BYTES);
		if (!json_is_string(one))
			return wrong_type(r, &here, one, "a string");
		if (json_string_length(one) > ENV_VALUE_BYTES)
			return json_fail(r->text, &here, r->err,
			    "must be at most %d bytes, not %zu",
			    ENV_VALUE_BYTES, json_string_length(one));
		m->env[m->nenv++] = (struct fn_pair){slice_dup(slice_of(name)),
		    slice_dup(slice_of(json_string_value(one)))};
	}
	return 0;
}

static int
read_route(const struct reading *r, const struct json_at *at,
    const json_t *value)
{
	struct err why;

	if (!json_is_string(value))
		return wrong_type(r, at, value,
		    "a string like \"/orders/:id\"");
	if (fn_route_check(slice_of(json_string_value(value)), &why) < 0)
		return json_fail(r->text, at, r->err, "%s", why.msg);
	free(r->manifest->route);
	r->manifest->route = slice_dup(slice_of(json_string_value(value)));
	return 0;
}

/* A token (RFC 9110, section 5.6.2) without lower case: methods are
 * case-sensitive, and nobody means "get". */
static bool
method_valid(const char *method)
{
	size_t n = strlen(method);

	for (size_t i = 0; i < n; i++) {
		char c = method[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			strchr("!#$%&'*+-.^_`|~", c) != NULL))
			return false;
	}
	return n > 0 && n <= METHOD_BYTES;
}

static bool
has_method(const struct fn_manifest *m, const char *method)
{
	for (size_t i = 0; i < m->nmethods; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
		if (strcmp(m->methods[i], method) == 0)
			return true;
	return false;
}

static int
read_method(const struct reading *r, const struct json_at *at,
    const json_t *value)
{
	struct fn_manifest *m = r->manifest;
	const char *method = json_string_value(value);

	if (method == NULL || !method_valid(method))
		return wrong_type(r, at, value,
		    "a method in upper case, like \"GET\"");
	if (has_method(m, method))
		return json_fail(r->text, at, r->err, "%s is there twice",
		    method);
	m->methods[m->nmethods++] = slice_dup(slice_of(method));
	return 0;
}

static int
read_methods(const struct reading *r, const struct json_at *at,
    const json_t *value)
{
	struct fn_manifest *m = r->manifest;
	size_t n = json_array_size(value);

	if (!json_is_array(value))
		return wrong_type(r, at, value,
		    "an array like [\"GET\", \"POST\"]");
	if (n > METHODS_MAX)
		return json_fail(r->text, at, r->err,
		    "must have at most %d methods, not %zu", METHODS_MAX, n);
	m->methods = must(calloc(n + 1, sizeof(*m->methods)));
	for (size_t i = 0; i < n; i++) {
		struct json_at here = {.up = at, .index = i};

		if (read_method(r, &here, json_array_get(value, i)) < 0)
			return -1;
	}
	return 0;
}

/* A folder below uploads/ into *folder_out. */
static int
read_folder(const struct reading *r, const struct json_at *at,
    const json_t *value, char **folder_out)
{
	struct slice below;
	struct err why;

	if (!json_is_string(value))
		return wrong_type(r, at, value, "a folder like \"uploads/in\"");
	if (fn_folder_check(slice_of(json_string_value(value)), &below, &why) <
	    0)
		return json_fail(r->text, at, r->err, "%s", why.msg);
	*folder_out = slice_dup(below);
	return 0;
}

static int
read_pattern(const struct reading *r, const struct json_at *at,
    const json_t *value, char **pattern_out)
{
	const char *pattern = json_string_value(value);

	if (pattern == NULL || pattern[0] == '\0' ||
	    strlen(pattern) > PATTERN_BYTES || strchr(pattern, '/') != NULL)
		return wrong_type(r, at, value,
		    "a pattern for file names like \"*.csv\"");
	*pattern_out = slice_dup(slice_of(pattern));
	return 0;
}

static int
read_type(const struct reading *r, const struct json_at *at,
    const json_t *value)
{
	if (!json_is_string(value) ||
	    strcmp(json_string_value(value), "upload") != 0)
		return wrong_type(r, at, value, "\"upload\"");
	return 0;
}

static int
read_trigger_field(const struct reading *r, const struct json_at *at,
    const json_t *value, struct fn_upload *upload)
{
	static const char *const words[] = {"type", "dir", "pattern", "output"};

	if (strcmp(at->key, "type") == 0)
		return read_type(r, at, value);
	if (strcmp(at->key, "dir") == 0)
		return read_folder(r, at, value, &upload->dir);
	if (strcmp(at->key, "pattern") == 0)
		return read_pattern(r, at, value, &upload->pattern);
	if (strcmp(at->key, "output") == 0)
		return read_folder(r, at, value, &upload->output);
	return json_unknown(r->text, at, r->err, words,
	    sizeof(words) / sizeof(words[0]));
}

/* What a function writes must not start it again. */
static int
check_output(const struct reading *r, const struct json_at *at,
    const struct fn_upload *upload)
{
	struct json_at here = {.up = at, .key = "output"};

	if (upload->output == NULL)
		return 0;
	if (fn_folder_within(upload->output, upload->dir))
		return json_fail(r->text, &here, r->err,
		    "must not be dir or inside it: results would be uploads "
		    "again");
	if (fn_folder_within(upload->dir, upload->output))
		return json_fail(r->text, &here, r->err,
		    "must not have dir inside it: results could be uploads "
		    "again");
	return 0;
}

static int
read_trigger(const struct reading *r, const struct json_at *at,
    const json_t *value)
{
	struct fn_manifest *m = r->manifest;
	struct fn_upload *upload = &m->uploads[m->nuploads];
	json_t *object = (json_t *)(uintptr_t)value;
	const char *key;
	json_t *one;

	if (!json_is_object(value))
		return wrong_type(r, at, value, "an object");
	m->nuploads++; /* fini frees what is there already */
	json_object_foreach(object, key, one)
	{
		struct json_at here = {.up = at, .key = key};

		if (read_trigger_field(r, &here, one, upload) < 0)
			return -1;
	}
	if (json_object_get(value, "type") == NULL)
		return json_fail(r->text, at, r->err,
		    "needs \"type\": \"upload\"");
	if (upload->dir == NULL)
		return json_fail(r->text, at, r->err,
		    "needs \"dir\", like \"uploads/in\"");
	if (upload->pattern == NULL)
		upload->pattern = slice_dup(SLICE("*"));
	return check_output(r, at, upload);
}

static int
read_triggers(const struct reading *r, const struct json_at *at,
    const json_t *value)
{
	struct fn_manifest *m = r->manifest;
	size_t n = json_array_size(value);

	if (!json_is_array(value))
		return wrong_type(r, at, value, "an array of objects");
	if (n > FN_TRIGGERS_MAX)
		return json_fail(r->text, at, r->err,
		    "must have at most %d triggers, not %zu", FN_TRIGGERS_MAX,
		    n);
	m->uploads = must(calloc(n + 1, sizeof(*m->uploads)));
	for (size_t i = 0; i < n; i++) {
		struct json_at here = {.up = at, .index = i};

		if (read_trigger(r, &here, json_array_get(value, i)) < 0)
			return -1;
	}
	return 0;
}

#define WIDTH(name) sizeof(((struct fn_manifest *)NULL)->name)

static const struct field fields[] = {
#define NUMBER(name, def, min, max, unit, what)                               \
	{#name, read_number, offsetof(struct fn_manifest, name), WIDTH(name), \
	    (def), (min), (max), (unit)},
#define OTHER(name, type, def, limits, what) \
	{#name, read_##name, 0, 0, 0, 0, 0, NULL},
#include "runtime/fn/manifest.def"
#undef NUMBER
#undef OTHER
};

#define NFIELDS (sizeof(fields) / sizeof(fields[0]))

void
fn_manifest_init(struct fn_manifest *manifest, const char *name)
{
	struct buf route = {0};

	*manifest = (struct fn_manifest){.heap = WIRE_HEAP_FRESH};
	for (size_t i = 0; i < NFIELDS; i++)
		if (fields[i].bytes > 0)
			put_number(manifest, &fields[i], fields[i].def);
	buf_addf(&route, "/%s", name);
	manifest->route = slice_dup(buf_slice(&route));
	buf_fini(&route);
}

void
fn_manifest_fini(struct fn_manifest *manifest)
{
	for (size_t i = 0; i < manifest->nmethods; i++)
		free(manifest->methods[i]);
	for (size_t i = 0; i < manifest->nenv; i++) {
		free(manifest->env[i].name);
		free(manifest->env[i].value);
	}
	for (size_t i = 0; i < manifest->nuploads; i++) {
		free(manifest->uploads[i].dir);
		free(manifest->uploads[i].pattern);
		free(manifest->uploads[i].output);
	}
	free(manifest->methods);
	free(manifest->env);
	free(manifest->uploads);
	free(manifest->route);
	*manifest = (struct fn_manifest){0};
}

static int
unknown_field(const struct reading *r, const struct json_at *at)
{
	const char *words[NFIELDS];

	for (size_t i = 0; i < NFIELDS; i++)
		words[i] = fields[i].name;
	return json_unknown(r->text, at, r->err, words, NFIELDS);
}

static int
read_field(struct reading *r, const char *key, const json_t *value)
{
	struct json_at at = {.key = key};

	for (size_t i = 0; i < NFIELDS; i++) {
		if (strcmp(fields[i].name, key) != 0)
			continue;
		r->field = &fields[i];
		return fields[i].read(r, &at, value);
	}
	return unknown_field(r, &at);
}

/* What one field alone cannot know. */
static int
check_whole(const struct reading *r)
{
	const struct fn_manifest *m = r->manifest;
	struct json_at at = {.key = "min_workers"};

	if (m->min_workers > m->max_workers)
		return json_fail(r->text, &at, r->err,
		    "must be at most max_workers (%u), not %u", m->max_workers,
		    m->min_workers);
	return 0;
}

static int
read_all(struct reading *r, json_t *root)
{
	const char *key;
	json_t *value;

	json_object_foreach(root, key,
	    value) if (read_field(r, key, value) < 0) return -1;
	return check_whole(r);
}

int
fn_manifest_parse(struct fn_manifest *manifest, const char *name,
    const char *json, size_t n, struct err *err)
{
	struct fn_manifest fresh;
	struct reading r = {.manifest = &fresh, .text = {json, n}, .err = err};
	json_t *root;
	int result;

	if (n > FN_MANIFEST_MAX)
		return err_set(err, ERR_LIMIT,
		    "the manifest is %zu bytes, at most %d", n,
		    FN_MANIFEST_MAX);
	root = json_read(r.text, err);
	if (root == NULL)
		return -1;
	fn_manifest_init(&fresh, name);
	result = read_all(&r, root);
	json_decref(root);
	if (result < 0) {
		fn_manifest_fini(&fresh);
		return -1;
	}
	fn_manifest_fini(manifest);
	*manifest = fresh;
	return 0;
}
