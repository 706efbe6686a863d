/*
 * requires.c - which shared modules a source may require.
 *
 * Runs in: gateway, cli.
 *
 * Not a parser of Lua: it only knows where comments and strings begin and
 * end.  Every string that looks like "_lib.x" counts, so that
 * pcall(require, "_lib.x") and local aliases of require are seen too; one too
 * many costs a few bytes.  A name that is put together at run time is not
 * seen, and README.md says so.
 */
#include "runtime/fn/fn_priv.h"
#include "runtime/fn/names.h"

/* At "[": how many "=" stand in an opening long bracket; -1: it is none. */
static int
bracket_level(const char *p, const char *end)
{
	int level = 0;

	for (p++; p < end && *p == '='; p++)
		level++;
	return p < end && *p == '[' ? level : -1;
}

/* Step over a long bracket's text and return it. */
static struct slice
take_bracket(const char **pp, const char *end, int level)
{
	const char *from = *pp + level + 2;

	for (const char *p = from; p < end; p++) {
		int seen = 0;

		if (*p != ']')
			continue;
		while (p + 1 + seen < end && p[1 + seen] == '=')
			seen++;
		if (seen == level && p + 1 + seen < end && p[1 + seen] == ']') {
			*pp = p + level + 2;
			return slice_from(from, (size_t)(p - from));
		}
		p += seen;
	}
	*pp = end;
	return slice_from(from, (size_t)(end - from));
}

static struct slice
take_quoted(const char **pp, const char *end)
{
	char quote = **pp;
	const char *from = *pp + 1;
	const char *p = from;

	while (p < end && *p != quote && *p != '\n')
		p += *p == '\\' && end - p > 1 ? 2 : 1;
	*pp = p < end ? p + 1 : end;
	return slice_from(from, (size_t)(p - from));
}

static void
skip_comment(const char **pp, const char *end)
{
	const char *newline;
	int level = -1;

	*pp += 2;
	if (*pp < end && **pp == '[')
		level = bracket_level(*pp, end);
	if (level >= 0) {
		(void)take_bracket(pp, end, level);
		return;
	}
	newline = memchr(*pp, '\n', (size_t)(end - *pp));
	*pp = newline == NULL ? end : newline + 1;
}

/* The next string literal at or after *pp; false at the end. */
static bool
next_string(const char **pp, const char *end, struct slice *string_out)
{
	while (*pp < end) {
		int level = **pp == '[' ? bracket_level(*pp, end) : -1;

		if (level >= 0) {
			*string_out = take_bracket(pp, end, level);
			return true;
		}
		if (**pp == '"' || **pp == '\'') {
			*string_out = take_quoted(pp, end);
			return true;
		}
		if (**pp == '-' && end - *pp > 1 && (*pp)[1] == '-')
			skip_comment(pp, end);
		else
			(*pp)++;
	}
	return false;
}

void
fn_requires(struct slice source, void (*found)(struct slice module, void *arg),
    void *arg)
{
	const struct slice prefix = SLICE("_lib.");
	const char *p = source.p;
	const char *end = source.p + source.n;
	struct slice s;

	while (next_string(&p, end, &s))
		if (s.n > prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0 &&
		    fn_module_name_valid(s))
			found(s, arg);
}
