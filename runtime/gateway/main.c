/*
 * main.c - the `perilune` program: one table of commands.
 *
 * Runs in: supervisor, gateway, cli.
 */
#include "runtime/gateway/commands.h"
#include "runtime/supervisor/supervisor.h"
#include "tools/cli/cli.h"

#include <stdlib.h>
#include <string.h>

static const struct cli_command own_commands[] = {
    {"serve",
	"serve [--functions DIR] [--listen ADDR:PORT] [--state DIR] "
	"[--config FILE] [--dev]",
	"serve the functions of a directory over HTTP",
	"Options:\n"
	"  --functions DIR   the functions (default: functions)\n"
	"  --listen A:P      where to listen, several with commas (default:\n"
	"                    127.0.0.1:8080; port 0: any free one)\n"
	"  --state DIR       where Perilune keeps its own (default: "
	".perilune)\n"
	"  --uploads DIR     where uploads arrive (default: uploads beside "
	"the\n"
	"                    functions)\n"
	"  --config FILE     settings, a JSON object; see docs/settings.md\n"
	"  --dev             tell callers the traceback of a failed handler\n"
	"  --allow-weaker-sandbox NAME[,NAME]\n"
	"                    serve although this layer of the sandbox cannot "
	"be\n"
	"                    had on this host; see `perilune doctor`\n"
	"\n"
	"SIGTERM drains and ends, a second one ends at once; SIGHUP rereads\n"
	"the configuration.\n"
	"\n"
	"Examples:\n"
	"  perilune serve\n"
	"  perilune serve --functions /srv/functions --listen 0.0.0.0:80 \\\n"
	"      --state /var/lib/perilune --config /etc/perilune.json\n",
	command_serve},
    {"check", "check PATH", "compile a function and run its init in the jail",
	"PATH is NAME.lua or a folder with init.lua.  No server is needed.\n"
	"Exit code 1 and the reason when it would not deploy.\n"
	"\n"
	"Examples:\n"
	"  perilune check functions/hello.lua\n"
	"  perilune check functions/orders\n",
	command_check},
    {"run", "run FILE [-e EVENT.json] [--file PATH] [--output DIR] [--json]",
	"run a handler once in the same sandbox, without a server",
	"Options:\n"
	"  -e, --event FILE  the event, a JSON document; - reads stdin "
	"(default:\n"
	"                    an HTTP GET of the function's route)\n"
	"  --file PATH       what files.read() of the handler reads\n"
	"  --output DIR      where files.write() of the handler writes\n"
	"  --json            print one JSON object with result and record\n"
	"\n"
	"The body goes to stdout, log lines and the receipt to stderr.\n"
	"\n"
	"Examples:\n"
	"  perilune run functions/hello.lua\n"
	"  echo '{\"type\":\"http\",\"query\":{\"name\":\"Ada\"}}' |\n"
	"      perilune run functions/hello.lua -e -\n",
	command_run},
    {"doctor", "doctor [--json]", "say whether the sandbox is whole here",
	"Starts the sandbox, prints each layer, whether it is active and how\n"
	"that was verified, and the self-tests.  Exit code 0: whole; 3: some\n"
	"layer is missing; 1: Perilune would refuse to serve.\n"
	"\n"
	"Examples:\n"
	"  perilune doctor\n"
	"  perilune doctor --json\n",
	command_doctor},
};

int
main(int argc, char **argv)
{
	size_t own = sizeof(own_commands) / sizeof(own_commands[0]);
	size_t theirs;
	const struct cli_command *client = cli_client_commands(&theirs);
	struct cli_command *all = calloc(own + theirs, sizeof(*all));
	int status;

	if (all == NULL)
		abort();
	supervisor_prepare_title(argc, argv);
	memcpy(all, own_commands, sizeof(own_commands));
	memcpy(all + own, client, theirs * sizeof(*client));
	cli_check_hook = commands_check_path;
	cli_sandbox_version_hook = commands_sandbox_version;
	status = cli_dispatch(all, own + theirs, argc, argv);
	free(all);
	return status;
}
