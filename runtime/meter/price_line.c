/*
 * price_line.c - where in a JSON text a field stands.
 *
 * Runs in: gateway, cli.
 *
 * jansson says the line of what is no JSON, but not that of a field that it
 * parsed.  This walks the text again; it is called on errors only, and for
 * texts that jansson took.
 */
#include "runtime/meter/price.h"

struct walk {
	const char *p;
	const char *end;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void
skip_blank(struct walk *walk)
{
	while (walk->p < walk->end && is_blank(*walk->p))
		walk->p++;
}

/* The next character but blanks, if it is c. */
static bool
take(struct walk *walk, char c)
{
	skip_blank(walk);
	if (walk->p >= walk->end || *walk->p != c)
		return false;
	walk->p++;
	return true;
}

/* From behind the opening quote to behind the closing one. */
static struct slice
take_string(struct walk *walk)
{
	const char *start = walk->p;

	while (walk->p < walk->end && *walk->p != '"')
		walk->p += *walk->p == '\\' ? 2 : 1;
	if (walk->p >= walk->end) {
		walk->p = walk->end;
		return (struct slice){0};
	}
	return slice_from(start, (size_t)(walk->p++ - start));
}

/* A value of any kind, with all that is in it. */
static void
skip_value(struct walk *walk)
{
	int depth = 0;

	skip_blank(walk);
	while (walk->p < walk->end) {
		char c = *walk->p;

		if (depth == 0 && (c == ',' || c == ']' || c == '}'))
			return;
		walk->p++;
		if (c == '"')
			(void)take_string(walk);
		else if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
			depth--;
	}
}

/* In an object, to the value of this field.  *at_out: its name. */
static bool
enter_field(struct walk *walk, const char *field, const char **at_out)
{
	if (!take(walk, '{'))
		return false;
	while (take(walk, '"')) {
		*at_out = walk->p;
		if (slice_is(take_string(walk), field))
			return take(walk, ':');
		if (!take(walk, ':'))
			return false;
		skip_value(walk);
		if (!take(walk, ','))
			return false;
	}
	return false;
}

static bool
enter_element(struct walk *walk, int index, const char **at_out)
{
	if (!take(walk, '['))
		return false;
	while (index-- > 0) {
		skip_value(walk);
		if (!take(walk, ','))
			return false;
	}
	skip_blank(walk);
	*at_out = walk->p;
	return true;
}

size_t
price_line(struct slice text, int index, const char *field)
{
	struct walk walk = {text.p, text.p + text.n};
	const char *at = text.p;
	const char *found;
	size_t line = 1;

	if (index < 0) {
		if (enter_field(&walk, field, &found))
			at = found;
	} else if (enter_field(&walk, "cards", &found) &&
	    enter_element(&walk, index, &found)) {
		at = found;
		if (field != NULL && enter_field(&walk, field, &found))
			at = found;
	}
	for (const char *p = text.p; p < at && p < walk.end; p++)
		line += *p == '\n';
	return line;
}
