/*
 * names.h - which names are names, and how to show those that are not.
 *
 * Runs in: gateway, cli.
 * Owns:    nothing.
 */
#pragma once

#include "runtime/fn/fn.h"

#define FN_SHOWN_MAX 41 /* bytes of a name in a message, with the NUL */

/* What an entry of the functions directory is, by its name alone. */
enum fn_entry_kind {
	FN_ENTRY_IGNORED,  /* hidden, an editor's, or nothing of ours */
	FN_ENTRY_FUNCTION, /* NAME.lua, NAME.json or a folder NAME */
	FN_ENTRY_LIB,	   /* the folder _lib */
	FN_ENTRY_ODD,	   /* would be a function if its name were one */
};

/* Fills name_out for FN_ENTRY_FUNCTION. */
enum fn_entry_kind fn_entry_kind(const char *file, bool is_folder,
    char name_out[FN_NAME_MAX + 1]);

/* Hidden, temporary or a backup: names that editors and copies leave. */
bool fn_name_temporary(const char *file);

/* Letters, digits, "_" and "-", at least one. */
bool fn_word_valid(struct slice word);

/* "a.b" for require(): words with dots between, at most 8, not too long. */
#define FN_MODULE_NAME_MAX 200
#define FN_DEPTH_MAX	   8
bool fn_module_name_valid(struct slice name);

/* Bytes that a terminal may not like as \xNN, cut to fit with "...". */
const char *fn_shown(struct slice text, char out[FN_SHOWN_MAX]);
