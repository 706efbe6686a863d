/*
 * settings.c - see settings.h.
 *
 * Runs in: supervisor, gateway, cli.
 * Owns:    see settings.h.
 *
 * The file is one flat object.  jansson knows lines for syntax errors only;
 * the line of a setting is found by walking the text again, which only errors
 * pay for.
 */
#include "runtime/policy/settings.h"

#include "sandbox/base/bytes.h"
#include "sandbox/base/cleanup.h"
#include "sandbox/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#define FILE_BYTES 65536 /* a settings file may have so many */
#define TEXT_BYTES 4096	 /* and a text in it */
#define NAME_BYTES 64	 /* names longer than this are not compared */

enum kind { KIND_NUMBER, KIND_TEXT };

static const struct setting {
	const char *name;
	enum kind kind;
	size_t offset; /* in struct settings */
	uint64_t def;
	uint64_t min;
	uint64_t max;
	const char *unit;
	const char *text; /* default of a text */
	const char *what;
} table[] = {
#define NUMBER(name, def, min, max, unit, what)                              \
	{#name, KIND_NUMBER, offsetof(struct settings, name), def, min, max, \
	    unit, NULL, what},
#define TEXT(name, def, what)                                                 \
	{#name, KIND_TEXT, offsetof(struct settings, name), 0, 0, 0, "", def, \
	    what},
#include "runtime/policy/settings.def"
#undef NUMBER
#undef TEXT
};

#define NSETTINGS (sizeof(table) / sizeof(table[0]))

static uint64_t *
number_of(struct settings *settings, const struct setting *s)
{
	return (uint64_t *)(void *)((char *)settings + s->offset);
}

static char **
text_of(struct settings *settings, const struct setting *s)
{
	return (char **)(void *)((char *)settings + s->offset);
}

void
settings_init(struct settings *settings)
{
	for (size_t i = 0; i < NSETTINGS; i++) {
		const struct setting *s = &table[i];

		if (s->kind == KIND_NUMBER)
			*number_of(settings, s) = s->def;
		else
			*text_of(settings, s) = slice_dup(slice_of(s->text));
	}
}

void
settings_fini(struct settings *settings)
{
	for (size_t i = 0; i < NSETTINGS; i++)
		if (table[i].kind == KIND_TEXT)
			free(*text_of(settings, &table[i]));
	*settings = (struct settings){0};
}

/* --- messages ---------------------------------------------------------- */

/* The line of the name in a flat object that parsed; a name that was written
 * with escapes is not found: the first line. */
static unsigned int
line_of(struct slice text, const char *name)
{
	const char *end = text.p + text.n;
	unsigned int line = 1;
	int depth = 0;

	for (const char *p = text.p; p < end; p++) {
		const char *from = p + 1;

		line += *p == '\n';
		depth += *p == '{' || *p == '[';
		depth -= *p == '}' || *p == ']';
		if (*p != '"')
			continue;
		for (p++; p < end && *p != '"'; p++)
			p += *p == '\\';
		if (depth != 1 || p >= end ||
		    !slice_is(slice_from(from, (size_t)(p - from)), name))
			continue;
		for (from = p + 1; from < end && strchr(" \t\r\n", *from);)
			from++;
		if (from < end && *from == ':')
			return line;
	}
	return 1;
}

/* Printable, short: for a name or text of somebody else's. */
static const char *
shown(char out[48], const char *text)
{
	size_t n = 0;

	for (; n < 40 && text[n] != '\0'; n++)
		out[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
	(void)snprintf(out + n, 48 - n, "%s", text[n] == '\0' ? "" : "...");
	return out;
}

static int fail(struct slice text, const char *name, struct err *err,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static int
fail(struct slice text, const char *name, struct err *err, const char *fmt, ...)
{
	char why[ERR_MSG_MAX];
	char clean[48];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return err_set(err, ERR_BAD_INPUT, "line %u: %s: %s",
	    line_of(text, name), shown(clean, name), why);
}

/* How many letters must be changed, added or left out (Levenshtein). */
static size_t
distance(const char *a, const char *b)
{
	size_t row[NAME_BYTES + 1];
	size_t n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 0; a[i] != '\0'; i++) {
		size_t corner = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < n; j++) {
			size_t change = corner + (a[i] != b[j]);
			size_t less = row[j] < row[j + 1] ? row[j] : row[j + 1];

			corner = row[j + 1];
			row[j + 1] = change < less + 1 ? change : less + 1;
		}
	}
	return row[n];
}

static int
unknown(struct slice text, const char *name, struct err *err)
{
	size_t least = strlen(name) / 3 + 1;
	const char *best = NULL;

	for (size_t i = 0; i < NSETTINGS && strlen(name) <= NAME_BYTES; i++) {
		size_t d = distance(name, table[i].name);

		if (d < least || (d == least && best == NULL)) {
			least = d;
			best = table[i].name;
		}
	}
	if (best != NULL)
		return fail(text, name, err,
		    "unknown setting, did you mean %s?", best);
	return fail(text, name, err, "unknown setting");
}

static const char *
type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "a number";
	case JSON_REAL:
		return "a fraction";
	case JSON_TRUE:
		return "true";
	case JSON_FALSE:
		return "false";
	case JSON_NULL:
		return "null";
	}
	return "something else";
}

/* --- reading ----------------------------------------------------------- */

static int
read_number(struct settings *settings, const struct setting *s,
    const json_t *value, struct slice text, struct err *err)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value))
		return fail(text, s->name, err,
		    "must be a whole number, not %s", type_name(value));
	if (n < 0 || (uint64_t)n < s->min || (uint64_t)n > s->max)
		return fail(text, s->name, err,
		    "must be %llu to %llu (%s), not %lld",
		    (unsigned long long)s->min, (unsigned long long)s->max,
		    s->unit, (long long)n);
	*number_of(settings, s) = (uint64_t)n;
	return 0;
}

static int
read_text(struct settings *settings, const struct setting *s,
    const json_t *value, struct slice text, struct err *err)
{
	if (!json_is_string(value))
		return fail(text, s->name, err, "must be a string, not %s",
		    type_name(value));
	if (json_string_length(value) > TEXT_BYTES)
		return fail(text, s->name, err,
		    "must be at most %d bytes, not %zu", TEXT_BYTES,
		    json_string_length(value));
	free(*text_of(settings, s));
	*text_of(settings, s) = slice_dup(slice_of(json_string_value(value)));
	return 0;
}

static int
read_setting(struct settings *settings, const char *name, const json_t *value,
    struct slice text, struct err *err)
{
	for (size_t i = 0; i < NSETTINGS; i++) {
		const struct setting *s = &table[i];

		if (strcmp(s->name, name) != 0)
			continue;
		return s->kind == KIND_NUMBER
		    ? read_number(settings, s, value, text, err)
		    : read_text(settings, s, value, text, err);
	}
	return unknown(text, name, err);
}

static json_t *
read_object(struct slice text, struct err *err)
{
	json_error_t problem;
	json_t *root =
	    json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &problem);

	if (root == NULL) {
		for (char *p = problem.text; *p != '\0'; p++)
			if ((unsigned char)*p < 0x20 || *p == 0x7f)
				*p = ' ';
		(void)err_set(err, ERR_BAD_INPUT, "line %d: %s",
		    problem.line < 1 ? 1 : problem.line, problem.text);
	} else if (!json_is_object(root)) {
		json_decref(root);
		root = NULL;
		(void)err_set(err, ERR_BAD_INPUT,
		    "line 1: must be an object: { ... }");
	}
	return root;
}

/* Everything of from but its texts, which are copied. */
static struct settings
copy_of(const struct settings *from)
{
	struct settings copy = *from;

	for (size_t i = 0; i < NSETTINGS; i++)
		if (table[i].kind == KIND_TEXT)
			*text_of(&copy, &table[i]) =
			    slice_dup(slice_of(*text_of(&copy, &table[i])));
	return copy;
}

int
settings_parse(struct settings *settings, const char *text, size_t n,
    struct err *err)
{
	struct settings fresh;
	const char *name;
	json_t *value;
	json_t *root;
	int result = 0;

	if (n > FILE_BYTES)
		return err_set(err, ERR_LIMIT,
		    "the settings have %zu bytes, at most %d", n, FILE_BYTES);
	root = read_object(slice_from(text, n), err);
	if (root == NULL)
		return -1;
	fresh = copy_of(settings);
	json_object_foreach(root, name, value) if (result == 0) result =
	    read_setting(&fresh, name, value, slice_from(text, n), err);
	json_decref(root);
	if (result < 0) {
		settings_fini(&fresh);
		return -1;
	}
	settings_fini(settings);
	*settings = fresh;
	return 0;
}

/* --- the file ---------------------------------------------------------- */

static int
read_all(int fd, struct buf *out, struct err *err)
{
	while (out->n <= FILE_BYTES) {
		ssize_t n = read(fd, buf_room(out, 4096), 4096);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "reading");
		if (n == 0)
			return 0;
		out->n += (size_t)n;
	}
	return err_set(err, ERR_LIMIT, "more than %d bytes", FILE_BYTES);
}

static int
read_file(const char *path, struct buf *out, struct err *err)
{
	auto_close int fd =
	    open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "opening");
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_BAD_INPUT, "is not a regular file");
	return read_all(fd, out, err);
}

int
settings_load(struct settings *settings, const char *path, struct err *err)
{
	struct buf text = {0};
	int result = read_file(path, &text, err);

	if (result == 0)
		result = settings_parse(settings, text.p == NULL ? "" : text.p,
		    text.n, err);
	buf_fini(&text);
	return result < 0 ? err_wrap(err, "%s", path) : 0;
}

/* --- the page ---------------------------------------------------------- */

static const char intro[] =
    "# Settings\n"
    "\n"
    "`perilune serve --config FILE` reads a JSON object with any of these; "
    "what is not\n"
    "in it has its default. SIGHUP reads it again; a file with a mistake "
    "changes nothing.\n"
    "`metrics_port`, `uploads` and `user` are of the start only. Paths are "
    "from the folder\n"
    "in which the server was started.\n"
    "\n"
    "| setting | default | limits | what it is |\n"
    "|---|---|---|---|\n";

void
settings_describe(struct buf *out)
{
	buf_puts(out, intro);
	for (size_t i = 0; i < NSETTINGS; i++) {
		const struct setting *s = &table[i];

		if (s->kind == KIND_NUMBER)
			buf_addf(out,
			    "| `%s` | %llu | %llu to %llu %s | %s |\n", s->name,
			    (unsigned long long)s->def,
			    (unsigned long long)s->min,
			    (unsigned long long)s->max, s->unit, s->what);
		else
			buf_addf(out, "| `%s` | `\"%s\"` | text | %s |\n",
			    s->name, s->text, s->what);
	}
}
