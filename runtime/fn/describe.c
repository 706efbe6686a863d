/*
 * describe.c - the manifest's fields as a page: docs/manifest.md.
 *
 * Runs in: gateway, cli.
 */
#include "runtime/fn/fn.h"

static const struct row {
	const char *name;
	const char *type;
	const char *def;
	const char *limits;
	const char *what;
} rows[] = {
#define NUMBER(name, def, min, max, unit, what) \
	{#name, "number", #def, #min " to " #max " " unit, what},
#define OTHER(name, type, def, limits, what) {#name, type, def, limits, what},
#include "runtime/fn/manifest.def"
#undef NUMBER
#undef OTHER
};

static const char before[] =
    "# The manifest\n"
    "\n"
    "A function may have a manifest: `NAME.json` beside `NAME.lua`, or\n"
    "`NAME/function.json` in its folder. It is a JSON object; every field "
    "has a\n"
    "default, and a function without a manifest has all of them. A field "
    "that is not\n"
    "listed here, has another type or is out of its limits is an error that "
    "names the\n"
    "line; the version that was there before goes on serving.\n"
    "\n"
    "| field | type | default | limits | what it is |\n"
    "|---|---|---|---|---|\n";

static const char after[] =
    "\n"
    "## Routes\n"
    "\n"
    "A route begins with `/`. Its segments are letters, digits, `.`, `_`, "
    "`~`, `-`, or\n"
    "`:name`, which stands for any one segment and is found in "
    "`event.params.name`.\n"
    "It answers for its own path and everything below it; `\"/\"` for what "
    "no other\n"
    "route answers. Of two routes the one with a literal segment where the "
    "other has a\n"
    "parameter wins, then the longer one. `/healthz` and `/readyz` are the "
    "server's own.\n"
    "Two functions can't have the same route: the later one is refused.\n"
    "\n"
    "## Triggers\n"
    "\n"
    "    {\n"
    "      \"triggers\": [\n"
    "        {\"type\": \"upload\", \"dir\": \"uploads/in\", "
    "\"pattern\": \"*.csv\", \"output\": \"uploads/out\"}\n"
    "      ]\n"
    "    }\n"
    "\n"
    "| field | default | what it is |\n"
    "|---|---|---|\n"
    "| `type` | needed | `\"upload\"` |\n"
    "| `dir` | needed | the folder below `uploads/` in which files arrive, "
    "with its subfolders |\n"
    "| `pattern` | `\"*\"` | which file names count, as in the shell: `*`, "
    "`?`, `[a-z]` |\n"
    "| `output` | nowhere | the folder below `uploads/` in which the "
    "function may write; neither `dir`, nor inside or above it |\n";

void
fn_manifest_describe(struct buf *out)
{
	buf_puts(out, before);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		buf_addf(out, "| `%s` | %s | `%s` | %s | %s |\n", rows[i].name,
		    rows[i].type, rows[i].def, rows[i].limits, rows[i].what);
	buf_puts(out, after);
}
