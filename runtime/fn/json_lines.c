/*
 * json_lines.c - see json_lines.h.
 *
 * Runs in: gateway, cli.
 */
#include "runtime/fn/json_lines.h"

#include "runtime/fn/names.h"
#include "sandbox/base/err.h"

#include <stdarg.h>
#include <stdio.h>

#define WORD_MAX 64 /* longer words are not compared */

/* Where the walk stands; the text is valid JSON, yet every step checks end. */
struct scan {
	const char *p;
	const char *end;
	unsigned int line;
	unsigned int found; /* line of the last place that was found */
};

/* Skip white space; the byte there, 0 at the end. */
static char
peek(struct scan *s)
{
	for (; s->p < s->end; s->p++) {
		if (*s->p == '\n')
			s->line++;
		else if (*s->p != ' ' && *s->p != '\t' && *s->p != '\r')
			return *s->p;
	}
	return '\0';
}

/* At a quote: return the string with its quotes and step over it. */
static struct slice
take_string(struct scan *s)
{
	const char *from = s->p++;

	while (s->p < s->end && *s->p != '"')
		s->p += *s->p == '\\' && s->end - s->p > 1 ? 2 : 1;
	if (s->p < s->end)
		s->p++;
	return slice_from(from, (size_t)(s->p - from));
}

static void
skip_scalar(struct scan *s)
{
	while (s->p < s->end && strchr(",:]} \t\r\n", *s->p) == NULL)
		s->p++;
}

static void
skip_value(struct scan *s)
{
	size_t depth = 0;

	do {
		char c = peek(s);

		if (c == '\0')
			return;
		if (c == '"') {
			(void)take_string(s);
		} else if (c == '{' || c == '[') {
			depth++;
			s->p++;
		} else if (c == '}' || c == ']') {
			depth--;
			s->p++;
		} else if (c == ',' || c == ':') {
			s->p++;
		} else {
			skip_scalar(s);
		}
	} while (depth > 0);
}

static bool
is_key(struct slice quoted, const char *key)
{
	json_t *decoded;
	bool same;

	if (memchr(quoted.p, '\\', quoted.n) == NULL)
		return quoted.n >= 2 &&
		    slice_is(slice_from(quoted.p + 1, quoted.n - 2), key);
	decoded = json_loadb(quoted.p, quoted.n, JSON_DECODE_ANY, NULL);
	same = decoded != NULL && strcmp(json_string_value(decoded), key) == 0;
	json_decref(decoded);
	return same;
}

/* Inside an object: stop at the value of key. */
static bool
find_key(struct scan *s, const char *key)
{
	while (peek(s) == '"') {
		unsigned int line = s->line;
		bool same = is_key(take_string(s), key);

		if (peek(s) == ':')
			s->p++;
		if (same) {
			s->found = line;
			return true;
		}
		skip_value(s);
		if (peek(s) == ',')
			s->p++;
	}
	return false;
}

/* Inside an array: stop at element number index. */
static bool
find_index(struct scan *s, size_t index)
{
	for (size_t i = 0; peek(s) != ']' && s->p < s->end; i++) {
		if (i == index) {
			s->found = s->line;
			return true;
		}
		skip_value(s);
		if (peek(s) == ',')
			s->p++;
	}
	return false;
}

static bool
find(struct scan *s, const struct json_at *at)
{
	if (at->up != NULL && !find(s, at->up))
		return false;
	if (peek(s) != (at->key != NULL ? '{' : '['))
		return false;
	s->p++;
	return at->key != NULL ? find_key(s, at->key)
			       : find_index(s, at->index);
}

unsigned int
json_line(struct slice text, const struct json_at *at)
{
	struct scan s = {.p = text.p,
	    .end = text.p + text.n,
	    .line = 1,
	    .found = 1};

	(void)find(&s, at);
	return s.found;
}

/* jansson quotes the text around an error: keep that on one line. */
static void
make_plain(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
}

json_t *
json_read(struct slice text, struct err *err)
{
	json_error_t problem;
	json_t *root =
	    json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &problem);

	if (root == NULL) {
		make_plain(problem.text);
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

/* "triggers[0].dir" */
static void
put_name(struct buf *out, const struct json_at *at)
{
	char shown[FN_SHOWN_MAX];

	if (at->up != NULL)
		put_name(out, at->up);
	if (at->key == NULL) {
		buf_addf(out, "[%zu]", at->index);
		return;
	}
	if (at->up != NULL)
		buf_putc(out, '.');
	buf_puts(out, fn_shown(slice_of(at->key), shown));
}

int
json_fail(struct slice text, const struct json_at *at, struct err *err,
    const char *fmt, ...)
{
	struct buf name = {0};
	char why[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	put_name(&name, at);
	buf_putc(&name, '\0');
	(void)err_set(err, ERR_BAD_INPUT, "line %u: %s: %s",
	    json_line(text, at), name.p, why);
	buf_fini(&name);
	return -1;
}

static size_t
min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* How many letters must be changed, added or left out (Levenshtein). */
static size_t
distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1];
	size_t n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 0; a[i] != '\0'; i++) {
		size_t corner = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < n; j++) {
			size_t above = row[j + 1];

			row[j + 1] = min3(above + 1, row[j] + 1,
			    corner + (a[i] != b[j]));
			corner = above;
		}
	}
	return row[n];
}

static const char *
nearest(const char *word, const char *const *words, size_t nwords)
{
	size_t least = strlen(word) / 3 + 1;
	const char *best = NULL;

	if (strlen(word) > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < nwords; i++) {
		size_t d = distance(word, words[i]);

		if (d > least || (d == least && best != NULL))
			continue;
		least = d;
		best = words[i];
	}
	return best;
}

int
json_unknown(struct slice text, const struct json_at *at, struct err *err,
    const char *const *words, size_t nwords)
{
	const char *near = nearest(at->key, words, nwords);

	if (near != NULL)
		return json_fail(text, at, err,
		    "unknown field, did you mean %s?", near);
	return json_fail(text, at, err, "unknown field");
}

const char *
json_shown(const json_t *value, char out[JSON_SHOWN_MAX])
{
	char shown[FN_SHOWN_MAX];

	switch (json_typeof(value)) {
	case JSON_INTEGER:
		(void)snprintf(out, JSON_SHOWN_MAX, "%lld",
		    (long long)json_integer_value(value));
		return out;
	case JSON_REAL:
		(void)snprintf(out, JSON_SHOWN_MAX, "%.6g",
		    json_real_value(value));
		return out;
	case JSON_STRING:
		(void)snprintf(out, JSON_SHOWN_MAX, "\"%s\"",
		    fn_shown(slice_from(json_string_value(value),
				 json_string_length(value)),
			shown));
		return out;
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_TRUE:
		return "true";
	case JSON_FALSE:
		return "false";
	case JSON_NULL:
		return "null";
	}
	return "?";
}
