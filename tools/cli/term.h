/*
 * term.h - text for people: colour, safe strings, tables.
 *
 * Runs in: cli.
 * Owns:    a table owns its cells until term_table_free().
 *
 * What a server sends may come from a hostile function.  Everything printed
 * in a human format goes through term_clean(): no control bytes, no escape
 * sequences, no characters that turn the direction of writing, no invalid
 * UTF-8; they appear as "\x1b" or "\u202e".  Cells are cleaned when added,
 * messages when printed.
 */
#pragma once

#include "sandbox/base/bytes.h"

#include <stdbool.h>
#include <stdio.h>

enum term_colour {
	TERM_PLAIN,
	TERM_BOLD,
	TERM_DIM,
	TERM_RED,
	TERM_GREEN,
	TERM_YELLOW,
};

/* Read the locale from the environment; once, before anything else. */
void term_init(void);

/* Does the locale say UTF-8? */
bool term_utf8(void);

/* Is there someone to see colours?  A terminal, and no NO_COLOR. */
bool term_colours(FILE *f);

enum term_lines {
	TERM_ONE_LINE, /* newline and tab become "\n" and "\t" */
	TERM_LINES,    /* newline and tab stay */
};

/* Add s to out, cleaned. */
void term_clean(struct buf *out, struct slice s, enum term_lines lines);

/* Columns that a cleaned string takes. */
size_t term_width(struct slice s);

/* Print text, cleaned, in this colour if f shows colours. */
void term_put(FILE *f, enum term_colour colour, enum term_lines lines,
    struct slice s);
void term_printf(FILE *f, enum term_colour colour, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* "perilune: ..." and a newline on stderr; inner newlines stay. */
void term_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

struct table;

/* heads: "NAME|>VERSION|ROUTE"; '>' aligns right.  All empty: no head line. */
struct table *term_table_new(const char *heads);

/* The next cell, row by row. */
void term_table_add(struct table *table, enum term_colour colour,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A line of its own below the row that was completed last. */
void term_table_note(struct table *table, enum term_colour colour,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

void term_table_print(const struct table *table, FILE *f);
void term_table_free(struct table *table); /* NULL is fine */
