/*
 * cmd_new.c - new: write a function to begin with.
 *
 * Runs in: cli.
 *
 * The templates are functions that run as they are; %NAME% becomes the name.
 * Nothing is ever overwritten.
 */
#include "tools/cli/cli_priv.h"

#include "sandbox/base/cleanup.h"
#include "tools/cli/install.h"
#include "tools/cli/term.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

struct template
{
	const char *name;
	const char *lua;
	const char *manifest; /* NULL: none */
	const char *next;     /* what to try, after it is saved */
};

static const char http_lua[] =
    "-- %NAME%: answers HTTP requests at /%NAME%.\n"
    "--\n"
    "-- What stands outside the handler runs once per version; its result is "
    "kept as an\n"
    "-- image, from which every request starts.\n"
    "local greeting = \"Hello\"\n"
    "\n"
    "-- event: method, path, params, query, headers (lower case), body, "
    "remote_addr\n"
    "-- ctx:   request_id, version, env, cold, start, remaining_ms()\n"
    "return function(event, ctx)\n"
    "  local who = event.query.name or \"you\"\n"
    "  log.info(\"greeting\", { who = who })\n"
    "  return {\n"
    "    status = 200,\n"
    "    headers = { [\"content-type\"] = \"text/plain; charset=utf-8\" },\n"
    "    body = greeting .. \", \" .. who .. \"!\\n\",\n"
    "  }\n"
    "end\n";

static const char json_lua[] =
    "-- %NAME%: a small JSON interface at /%NAME%.\n"
    "--\n"
    "-- A table without `status` is answered as JSON with status 200; nothing "
    "at all is 204.\n"
    "local function problem(status, title)\n"
    "  return {\n"
    "    status = status,\n"
    "    headers = { [\"content-type\"] = \"application/problem+json\" },\n"
    "    body = json.encode({ title = title, status = status }),\n"
    "  }\n"
    "end\n"
    "\n"
    "return function(event, ctx)\n"
    "  if event.method == \"GET\" then\n"
    "    return { function_name = ctx.function_name, version = ctx.version }\n"
    "  end\n"
    "  if event.method ~= \"POST\" then\n"
    "    return problem(405, \"GET or POST\")\n"
    "  end\n"
    "  local ok, input = pcall(json.decode, event.body)\n"
    "  if not ok or type(input) ~= \"table\" then\n"
    "    return problem(400, \"the body must be a JSON object\")\n"
    "  end\n"
    "  return { received = input, at = time.now() }\n"
    "end\n";

static const char upload_lua[] =
    "-- %NAME%: runs for each file that arrives in uploads/%NAME%/in (see "
    "%NAME%.json).\n"
    "--\n"
    "-- event: path, name, size, mtime, sha256, dir\n"
    "-- files: the uploaded file, and results below uploads/%NAME%/out\n"
    "return function(event, ctx)\n"
    "  local lines = 0\n"
    "  for _ in files.lines() do\n"
    "    lines = lines + 1\n"
    "  end\n"
    "  local report = { file = event.name, bytes = event.size, lines = lines "
    "}\n"
    "  files.write(event.name .. \".json\", json.encode(report))\n"
    "  log.info(\"counted\", report)\n"
    "end\n";

static const char upload_json[] = "{\n"
				  "  \"triggers\": [\n"
				  "    {\n"
				  "      \"type\": \"upload\",\n"
				  "      \"dir\": \"uploads/%NAME%/in\",\n"
				  "      \"pattern\": \"*\",\n"
				  "      \"output\": \"uploads/%NAME%/out\"\n"
				  "    }\n"
				  "  ]\n"
				  "}\n";

static const struct template templates[] = {
    {"http", http_lua, NULL,
	"  curl 'http://127.0.0.1:8080/%NAME%?name=Ada'\n"
	"  perilune logs %NAME% -f\n"},
    {"json", json_lua, NULL,
	"  curl -d '{\"a\": 1}' http://127.0.0.1:8080/%NAME%\n"
	"  perilune invoke %NAME% -d '{\"a\": 1}' -i\n"},
    {"upload", upload_lua, upload_json,
	"  cp FILE uploads/%NAME%/in/\n"
	"  perilune uploads --function %NAME%\n"},
};

#define NTEMPLATES (sizeof(templates) / sizeof(templates[0]))

/* text with every %NAME% replaced. */
static void
fill(struct buf *out, const char *text, const char *name)
{
	static const char mark[] = "%NAME%";
	const char *at;

	while ((at = strstr(text, mark)) != NULL) {
		buf_add(out, text, (size_t)(at - text));
		buf_puts(out, name);
		text = at + sizeof(mark) - 1;
	}
	buf_puts(out, text);
}

/* Write dirfd/file, which must not be there yet. */
static int
write_new(int dirfd, const char *file, const char *text, const char *name)
{
	struct buf content = {0};
	auto_close int fd =
	    openat(dirfd, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ssize_t n;

	if (fd < 0) {
		term_error("cannot write %s: %s", file, strerror(errno));
		return CLI_FAILED;
	}
	fill(&content, text, name);
	n = write(fd, content.p, content.n);
	if (n != (ssize_t)content.n) {
		term_error("cannot write %s: %s", file,
		    n < 0 ? strerror(errno) : "no space");
		(void)unlinkat(dirfd, file, 0);
	}
	n -= (ssize_t)content.n;
	buf_fini(&content);
	return n == 0 ? CLI_OK : CLI_FAILED;
}

/* Nothing of this name may be there, in no form. */
static int
check_free(int dirfd, const char *dir, const char *name)
{
	static const char *const suffixes[] = {".lua", ".json", ""};

	for (size_t i = 0; i < 3; i++) {
		char file[INSTALL_NAME_MAX + 8];
		struct stat st;

		(void)snprintf(file, sizeof(file), "%s%s", name, suffixes[i]);
		if (fstatat(dirfd, file, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			term_error("%s/%s is there already; nothing was "
				   "written",
			    dir, file);
			return CLI_FAILED;
		}
	}
	return CLI_OK;
}

/* The manifest first, so that the server never sees the function without. */
static int
write_function(int dirfd, const char *name, const struct template *template)
{
	char lua[INSTALL_NAME_MAX + 8], json[INSTALL_NAME_MAX + 8];
	int rc = CLI_OK;

	(void)snprintf(lua, sizeof(lua), "%s.lua", name);
	(void)snprintf(json, sizeof(json), "%s.json", name);
	if (template->manifest != NULL)
		rc = write_new(dirfd, json, template->manifest, name);
	if (rc == CLI_OK)
		rc = write_new(dirfd, lua, template->lua, name);
	if (rc != CLI_OK && template->manifest != NULL)
		(void)unlinkat(dirfd, json, 0);
	return rc;
}

static int
open_dir(const char *dir, bool make)
{
	int fd;

	if (make && mkdir(dir, 0755) == 0)
		term_printf(stdout, TERM_PLAIN, "made the folder %s\n", dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		term_error("cannot open the folder %s: %s", dir,
		    strerror(errno));
	return fd;
}

static void
say_next(const char *dir, const char *name, const struct template *template)
{
	struct buf next = {0};

	fill(&next, template->next, name);
	term_printf(stdout, TERM_GREEN, "wrote %s/%s.lua", dir, name);
	if (template->manifest != NULL)
		term_printf(stdout, TERM_GREEN, " and %s/%s.json", dir, name);
	term_printf(stdout, TERM_PLAIN,
	    "\n\nA server on this folder serves it now.  If none runs:\n"
	    "  perilune serve --functions %s\n"
	    "Then try:\n",
	    dir);
	term_put(stdout, TERM_PLAIN, TERM_LINES, buf_slice(&next));
	buf_fini(&next);
}

static const struct template *
find_template(const char *name)
{
	for (size_t i = 0; i < NTEMPLATES; i++)
		if (strcmp(templates[i].name, name) == 0)
			return &templates[i];
	term_error("new: there is no template \"%s\": http, json or upload",
	    name);
	return NULL;
}

static int
run_new(int argc, char **argv)
{
	const char *dir = NULL, *wanted = "http";
	const struct opt opts[] = {
	    {"template", 't', OPT_TEXT, &wanted, 0, 0},
	    {"dir", 0, OPT_TEXT, &dir, 0, 0},
	};
	const struct template *template;
	auto_close int dirfd = -1;
	int rc = opts_parse(OPTS(opts), &argc, argv, 1, 1, "NAME");

	if (rc != 0)
		return rc;
	template = find_template(wanted);
	if (template == NULL)
		return CLI_USAGE;
	if (!install_name_valid(argv[1])) {
		term_error("new: \"%s\" cannot be a function's name: 1 to %d "
			   "of A-Z a-z 0-9 _ -",
		    argv[1], INSTALL_NAME_MAX);
		return CLI_USAGE;
	}
	dirfd = open_dir(dir == NULL ? "functions" : dir, dir == NULL);
	dir = dir == NULL ? "functions" : dir;
	rc = dirfd < 0 ? CLI_FAILED : check_free(dirfd, dir, argv[1]);
	if (rc == CLI_OK)
		rc = write_function(dirfd, argv[1], template);
	if (rc == CLI_OK)
		say_next(dir, argv[1], template);
	return rc;
}

const struct cli_command cmd_new = {"new",
    "new NAME [--template http|json|upload] [--dir DIR]",
    "write a new function to begin with",
    "Writes DIR/NAME.lua, with the upload template NAME.json too, and says "
    "what "
    "to try\nnext.  Never overwrites anything.\n"
    "\nOptions:\n"
    "  -t, --template T  http (default): answers a request with text\n"
    "                    json: reads and answers JSON\n"
    "                    upload: runs for each file that arrives\n"
    "  --dir DIR         the functions folder (default: functions; made when "
    "missing)\n"
    "\nExamples:\n"
    "  perilune new hello\n"
    "  perilune new orders --template json\n"
    "  perilune new report --template upload --dir src\n",
    run_new};
