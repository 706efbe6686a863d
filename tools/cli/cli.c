/*
 * cli.c - see cli.h: the table, dispatch and help.
 *
 * Runs in: cli.
 */
#include "tools/cli/cli_priv.h"

#include "tools/cli/term.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#define COMMANDS_MAX 64
#define DATA_MAX     67108864 /* bytes that are sent as a body */

struct commands {
	const struct cli_command *list;
	size_t n;
};

int (*cli_check_hook)(const char *path);
int (*cli_sandbox_version_hook)(void);

static const char intro[] =
    "Perilune runs functions: save a Lua file, call it, see what it cost.\n";

static const char environment[] =
    "  PERILUNE_STATE  the state folder of the server, where --state is not "
    "given\n"
    "  NO_COLOR        when set, no colours\n";

const struct cli_command *
cli_client_commands(size_t *n_out)
{
	static struct cli_command table[13];
	static const struct cli_command *const all[] = {&cmd_new, &cmd_deploy,
	    &cmd_ls, &cmd_describe, &cmd_ps, &cmd_invoke, &cmd_logs,
	    &cmd_invocations, &cmd_usage, &cmd_coldstart, &cmd_uploads,
	    &cmd_info, &cmd_version};

	_Static_assert(sizeof(table) / sizeof(table[0]) ==
		sizeof(all) / sizeof(all[0]),
	    "every command has its place");
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		table[i] = *all[i];
	*n_out = sizeof(all) / sizeof(all[0]);
	return table;
}

static const struct cli_command *
find(const struct commands *commands, const char *name)
{
	for (size_t i = 0; i < commands->n; i++)
		if (strcmp(commands->list[i].name, name) == 0)
			return &commands->list[i];
	return NULL;
}

static void
print_exits(FILE *f, const char *fmt)
{
#define X(name, code, text) (void)fprintf(f, fmt, code, text);
	CLI_EXITS(X)
#undef X
}

static void
print_help(const struct commands *commands, FILE *f)
{
	struct table *table = term_table_new("||");

	(void)fprintf(f, "%s\nUsage: perilune COMMAND [options]\n\n", intro);
	term_put(f, TERM_BOLD, TERM_LINES, SLICE("Commands\n"));
	for (size_t i = 0; i < commands->n; i++) {
		term_table_add(table, TERM_PLAIN, "%s", "");
		term_table_add(table, TERM_PLAIN, "%s", commands->list[i].name);
		term_table_add(table, TERM_PLAIN, "%s",
		    commands->list[i].summary);
	}
	term_table_print(table, f);
	term_table_free(table);
	(void)fprintf(f,
	    "\nperilune COMMAND --help says more, with examples.\n\n");
	term_put(f, TERM_BOLD, TERM_LINES, SLICE("Exit codes\n"));
	print_exits(f, "  %d  %s\n");
	(void)fputc('\n', f);
	term_put(f, TERM_BOLD, TERM_LINES, SLICE("Environment\n"));
	(void)fputs(environment, f);
}

/* "list the functions" as a sentence. */
static void
print_summary(const struct cli_command *command)
{
	(void)printf("%c%s.\n", toupper((unsigned char)command->summary[0]),
	    command->summary + 1);
}

static void
print_command_help(const struct cli_command *command)
{
	(void)printf("Usage: perilune %s\n\n", command->usage);
	print_summary(command);
	(void)printf("\n%s", command->help);
}

/* docs/commands.md is this, and a test compares them. */
static void
print_markdown(const struct commands *commands)
{
	(void)printf("# Commands\n\n%s\n"
		     "This page is the output of `perilune help --markdown`; "
		     "`perilune COMMAND --help`\nprints the same.\n\n"
		     "| exit code | meaning |\n|---|---|\n",
	    intro);
	print_exits(stdout, "| %d | %s |\n");
	(void)printf("\n```\n%s```\n", environment);
	for (size_t i = 0; i < commands->n; i++) {
		const struct cli_command *command = &commands->list[i];

		(void)printf("\n## %s\n\n", command->name);
		print_summary(command);
		(void)printf("\n```\nperilune %s\n\n%s```\n", command->usage,
		    command->help);
	}
}

static int
no_such_command(const struct commands *commands, const char *name)
{
	const char *names[COMMANDS_MAX];
	const char *near;
	size_t n = commands->n < COMMANDS_MAX ? commands->n : COMMANDS_MAX;

	for (size_t i = 0; i < n; i++)
		names[i] = commands->list[i].name;
	near = opts_nearest(name, names, n);
	if (name[0] == '-')
		term_error("unknown option %s before the command; options "
			   "stand after it: perilune ls %s ...",
		    name, name);
	else
		term_error("there is no command \"%s\"", name);
	if (near != NULL)
		term_printf(stderr, TERM_PLAIN, "  did you mean %s?\n", near);
	term_printf(stderr, TERM_PLAIN, "  see: perilune help\n");
	return CLI_USAGE;
}

static int
run_help(const struct commands *commands, int argc, char **argv)
{
	const struct cli_command *command;
	bool markdown = false, names = false;
	const struct opt opts[] = {
	    {"markdown", 0, OPT_FLAG, &markdown, 0, 0},
	    {"names", 0, OPT_FLAG, &names, 0, 0},
	};
	int rc = opts_parse(OPTS(opts), &argc, argv, 0, 1, "COMMAND");

	if (rc != 0)
		return rc;
	if (markdown) {
		print_markdown(commands);
	} else if (names) {
		for (size_t i = 0; i < commands->n; i++)
			(void)puts(commands->list[i].name);
	} else if (argc == 1 || strcmp(argv[1], "help") == 0) {
		print_help(commands, stdout);
	} else {
		command = find(commands, argv[1]);
		if (command == NULL)
			return no_such_command(commands, argv[1]);
		print_command_help(command);
	}
	return CLI_OK;
}

static bool
asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 ||
		    strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

static int
dispatch(const struct commands *commands, int argc, char **argv)
{
	const char *name = argc < 2 ? NULL : argv[1];
	const struct cli_command *command;

	if (name == NULL) {
		print_help(commands, stderr);
		return CLI_USAGE;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		print_help(commands, stdout);
		return CLI_OK;
	}
	if (strcmp(name, "help") == 0)
		return run_help(commands, argc - 1, argv + 1);
	if (strcmp(name, "--version") == 0)
		name = "version";
	command = find(commands, name);
	if (command == NULL)
		return no_such_command(commands, name);
	if (asks_for_help(argc - 1, argv + 1)) {
		print_command_help(command);
		return CLI_OK;
	}
	return command->run(argc - 1, argv + 1);
}

/* A full disk below stdout must not look like success. */
int
cli_dispatch(const struct cli_command *commands, size_t n, int argc,
    char **argv)
{
	const struct commands table = {commands, n};
	int rc;

	term_init();
	rc = dispatch(&table, argc, argv);
	if (fflush(stdout) != 0 || ferror(stdout) != 0) {
		term_error("cannot write the output: %s", strerror(errno));
		return rc == CLI_OK ? CLI_FAILED : rc;
	}
	return rc;
}

int
cli_main(int argc, char **argv)
{
	size_t n;
	const struct cli_command *commands = cli_client_commands(&n);

	return cli_dispatch(commands, n, argc, argv);
}

int
cli_show(const char *state, bool json, struct buf *path,
    void (*show)(const json_t *answer))
{
	struct admin *admin = admin_open(state);
	json_t *answer = NULL;
	int rc = CLI_UNREACHABLE;

	buf_putc(path, '\0');
	if (admin != NULL && json)
		rc = admin_print(admin, path->p);
	else if (admin != NULL)
		rc = admin_get(admin, path->p, &answer);
	if (answer != NULL)
		show(answer);
	json_decref(answer);
	admin_close(admin);
	buf_fini(path);
	return rc;
}

/* The known function whose name is nearest, borrowed from answer. */
static const char *
nearest_function(const json_t *answer, const char *name)
{
	const json_t *functions = json_object_get(answer, "functions");
	size_t n = json_array_size(functions);
	const char **names = calloc(n + 1, sizeof(*names));
	const char *near;

	if (names == NULL)
		abort();
	for (size_t i = 0; i < n; i++)
		names[i] = js_text(json_array_get(functions, i), "name");
	near = opts_nearest(name, names, n);
	free(names);
	return near;
}

void
cli_hint_function(struct admin *admin, const char *name)
{
	struct admin_request request = {.path = "/v1/functions",
	    .timeout_s = 30};
	struct admin_reply reply;
	json_t *answer = NULL;
	const char *near;

	if (admin_call(admin, &request, &reply) == 0 && reply.status == 200)
		answer = json_loadb(reply.body.p, reply.body.n, JSON_ALLOW_NUL,
		    NULL);
	near = nearest_function(answer, name);
	if (near != NULL)
		term_printf(stderr, TERM_PLAIN, "  did you mean %s?\n", near);
	else
		term_printf(stderr, TERM_PLAIN,
		    "  `perilune ls` lists all functions\n");
	json_decref(answer);
	admin_reply_fini(&reply);
}

/* json_out NULL: print the answer instead. */
static int
fetch_function(struct admin *admin, const char *name, json_t **json_out)
{
	struct admin_request request = {.timeout_s = 30};
	struct admin_reply reply;
	struct buf path = {0};
	int rc;

	buf_puts(&path, "/v1/functions/");
	admin_segment(&path, name);
	buf_putc(&path, '\0');
	request.path = path.p;
	rc = admin_fetch(admin, &request, &reply, json_out);
	if (rc == 0 && json_out == NULL)
		admin_print_reply(&reply);
	if (reply.status == 404)
		cli_hint_function(admin, name);
	admin_reply_fini(&reply);
	buf_fini(&path);
	return rc;
}

int
cli_function(struct admin *admin, const char *name, json_t **json_out)
{
	return fetch_function(admin, name, json_out);
}

int
cli_print_function(struct admin *admin, const char *name)
{
	return fetch_function(admin, name, NULL);
}

int
cli_read_file(const char *path, struct buf *out)
{
	bool from_stdin = strcmp(path, "-") == 0;
	FILE *f = from_stdin ? stdin : fopen(path, "re");
	size_t n = 1;
	int rc = CLI_OK;

	while (f != NULL && n > 0 && out->n <= DATA_MAX) {
		n = fread(buf_room(out, 65536), 1, 65536, f);
		out->n += n;
	}
	if (f == NULL || ferror(f) != 0) {
		term_error("cannot read %s: %s", path, strerror(errno));
		rc = CLI_FAILED;
	} else if (out->n > DATA_MAX) {
		term_error("%s is longer than %d MiB", path,
		    DATA_MAX / 1048576);
		rc = CLI_FAILED;
	}
	if (f != NULL && !from_stdin)
		(void)fclose(f);
	return rc;
}

int
cli_data(const char *given, struct buf *out)
{
	if (given == NULL)
		return CLI_OK;
	if (given[0] == '@')
		return cli_read_file(given + 1, out);
	buf_puts(out, given);
	return CLI_OK;
}
