/*
 * logline.c - one log line as text: JSON for machines, plain for people.
 *
 * Runs in: gateway.
 *
 * Message and fields are written by function authors, who may want to forge
 * lines or to talk to the reader's terminal: neither gets a raw control byte.
 */
#include "runtime/stat/logbook_priv.h"

#include <jansson.h>
#include <stdio.h>
#include <time.h>

#define X(name, text) text,
static const char *const level_names[] = {LOG_LEVELS(X)};
#undef X

const char *
log_level_name(unsigned int level)
{
	return level < sizeof(level_names) / sizeof(level_names[0])
	    ? level_names[level]
	    : "?";
}

/* "2026-11-23T10:00:00.123Z" */
static void
put_time(struct buf *out, int64_t wall_ms)
{
	int64_t ms = wall_ms < 0 ? 0 : wall_ms;
	time_t seconds = (time_t)(ms / 1000);
	char text[32] = "?";
	struct tm tm;

	if (gmtime_r(&seconds, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	buf_addf(out, "%s.%03dZ", text, (int)(ms % 1000));
}

/* Where to cut so that no UTF-8 sequence is halved (RFC 3629). */
static struct slice
cut(struct slice s, size_t max, bool *cut_out)
{
	if (s.n <= max)
		return s;
	*cut_out = true;
	while (max > 0 && ((unsigned char)s.p[max] & 0xc0) == 0x80)
		max--;
	return slice_from(s.p, max);
}

static bool
is_object(struct slice fields)
{
	json_t *json = json_loadb(fields.p, fields.n, 0, NULL);
	bool yes = json_is_object(json);

	json_decref(json);
	return yes;
}

/* Valid JSON without the blanks between its tokens: a newline there would end
 * the line.  Inside strings there is none (RFC 8259, section 7). */
static void
put_compact(struct buf *out, struct slice json)
{
	bool in_string = false;

	for (size_t i = 0; i < json.n; i++) {
		char c = json.p[i];

		if (in_string && c == '\\')
			buf_putc(out, json.p[i++]);
		else if (c == '"')
			in_string = !in_string;
		if (in_string ||
		    (c != ' ' && c != '\t' && c != '\n' && c != '\r'))
			buf_putc(out, json.p[i]);
	}
}

static void
put_fields(struct buf *out, struct slice fields, bool *cut_out)
{
	if (fields.n == 0)
		buf_puts(out, "{}");
	else if (fields.n <= LOGBOOK_FIELDS_BYTES && is_object(fields))
		put_compact(out, fields);
	else
		buf_json_string(out,
		    cut(fields, LOGBOOK_FIELDS_BYTES, cut_out));
}

static void
put_string_or_null(struct buf *out, const char *s)
{
	if (s == NULL)
		buf_puts(out, "null");
	else
		buf_json_string(out, slice_of(s));
}

bool
logline_json(struct buf *out, const struct logline *line)
{
	bool was_cut = false;

	buf_puts(out, "{\"time\":\"");
	put_time(out, line->wall_ms);
	buf_addf(out,
	    "\",\"level\":\"%s\",\"function\":", log_level_name(line->level));
	put_string_or_null(out, line->function);
	if (line->function == NULL || line->version == 0)
		buf_puts(out, ",\"version\":null");
	else
		buf_addf(out, ",\"version\":%u", line->version);
	buf_puts(out, ",\"request_id\":");
	put_string_or_null(out, line->request_id);
	buf_puts(out, ",\"message\":");
	buf_json_string(out,
	    cut(line->message, LOGBOOK_MESSAGE_BYTES, &was_cut));
	buf_puts(out, ",\"fields\":");
	put_fields(out, line->fields, &was_cut);
	buf_putc(out, '}');
	return was_cut;
}

/* Control bytes, and those of C1 that hide in UTF-8 (U+0080 to U+009F), as
 * question marks; newlines and tabs as blanks. */
static void
put_harmless(struct buf *out, struct slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		unsigned char next =
		    i + 1 < text.n ? (unsigned char)text.p[i + 1] : 0;

		if (c == '\n' || c == '\t')
			buf_putc(out, ' ');
		else if (c < 0x20 || c == 0x7f ||
		    (c == 0xc2 && next >= 0x80 && next < 0xa0))
			buf_putc(out, '?');
		else if (c >= 0x80 && c < 0xa0 && i > 0 &&
		    (unsigned char)text.p[i - 1] == 0xc2)
			continue;
		else
			buf_putc(out, (char)c);
	}
}

void
logline_human(struct buf *out, const struct logline *line, bool colour,
    size_t max)
{
	static const char *const colours[] = {"\033[2m", "", "\033[33m",
	    "\033[31m"};
	const char *on = colour ? colours[line->level] : "";
	size_t start = out->n;
	bool was_cut = false;
	size_t end_bytes = sizeof("...\033[0m\n");

	buf_puts(out, on);
	put_time(out, line->wall_ms);
	buf_addf(out, " %-5s ", log_level_name(line->level));
	if (line->function != NULL) {
		buf_puts(out, line->function);
		if (line->version != 0)
			buf_addf(out, "@%u", line->version);
		buf_puts(out, ": ");
	}
	put_harmless(out, cut(line->message, max, &was_cut));
	if (line->fields.n > 0) {
		buf_putc(out, ' ');
		put_harmless(out, cut(line->fields, max, &was_cut));
	}
	if (out->n - start > max - end_bytes) {
		out->n = start + max - end_bytes;
		buf_puts(out, "...");
	}
	buf_puts(out, *on != '\0' ? "\033[0m\n" : "\n");
}
