/*
 * settings.h - the server's settings: defaults, the configuration file.
 *
 * Runs in: supervisor, gateway, cli.
 * Owns:    its strings.
 *
 * One table (settings.def) makes the struct, the parser, the checks and the
 * documentation.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

struct settings {
#define NUMBER(name, def, min, max, unit, what) uint64_t name;
#define TEXT(name, def, what)			char *name; /* never NULL */
#include "runtime/policy/settings.def"
#undef NUMBER
#undef TEXT
};

void settings_init(struct settings *settings); /* all defaults */
void settings_fini(struct settings *settings);

/*
 * Read a JSON object of settings over the defaults.  An unknown name, a wrong
 * type or a value out of range is ERR_BAD_INPUT with line and name; *settings
 * is then as it was.
 */
int settings_load(struct settings *settings, const char *path, struct err *err);
int settings_parse(struct settings *settings, const char *text, size_t n,
    struct err *err);

/* The table as Markdown, for docs and `serve --help`. */
void settings_describe(struct buf *out);
