/*
 * json_lines.h - JSON written by people: say on which line which field is
 * wrong.
 *
 * Runs in: gateway, cli.
 * Owns:    nothing.
 *
 * jansson knows lines for syntax errors only.  For a field that parses but is
 * wrong, the line is found by walking the text again; only errors pay for it.
 */
#pragma once

#include "sandbox/base/bytes.h"

#include <jansson.h>

struct err;

/* A place in a document: a member or an element of what `up` names. */
struct json_at {
	const struct json_at *up; /* NULL: of the outermost value */
	const char *key;	  /* NULL: element number `index` */
	size_t index;
};

#define JSON_SHOWN_MAX 48 /* bytes of a value in a message, with the NUL */

/* The object in text; the caller's (json_decref).  Anything else, duplicate
 * keys and syntax errors are ERR_BAD_INPUT with the line. */
json_t *json_read(struct slice text, struct err *err);

/* The line (from 1) of a place in a text that json_read accepted. */
unsigned int json_line(struct slice text, const struct json_at *at);

/* "line 3: triggers[0].dir: " and the message: ERR_BAD_INPUT; returns -1. */
int json_fail(struct slice text, const struct json_at *at, struct err *err,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* As json_fail for a key that is none of words: with the word that was
 * probably meant, if one is near. */
int json_unknown(struct slice text, const struct json_at *at, struct err *err,
    const char *const *words, size_t nwords);

/* A value as a message shows it: 0, "abc", an array. */
const char *json_shown(const json_t *value, char out[JSON_SHOWN_MAX]);
