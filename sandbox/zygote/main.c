/*
 * main.c - the sandbox program: jail, test the jail, serve.
 *
 * Runs in: zygote; workers are its forks.
 *
 * Started only by Perilune itself, with an empty environment, the control
 * socket as descriptor 3, and in a pid namespace of its own where the host
 * allows one:
 *
 *	perilune-sandbox UID GID USERNS(0|1) PADDING
 *
 * PADDING is room for the longest process title.
 */
#include "sandbox/base/bytes.h"
#include "sandbox/base/err.h"
#include "sandbox/jail/jail.h"
#include "sandbox/lua/fnlua.h"
#include "sandbox/wire/layers.h"
#include "sandbox/wire/wire.h"
#include "sandbox/worker/worker.h"
#include "sandbox/zygote/zygote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 64
#define EXIT_JAIL  77 /* the wall cannot be had: EX_NOPERM */

/* argv[0] to the end of the padding is one run of bytes; that is what `ps`
 * shows.  The numbers in it have been read by now. */
static void
set_title(char **argv, int argc, const char *text)
{
	char *end = argv[argc - 1] + strlen(argv[argc - 1]);
	size_t bytes = (size_t)(end - argv[0]);

	memset(argv[0], 0, bytes);
	(void)snprintf(argv[0], bytes, "%s", text);
	worker_set_title_memory(argv[0], bytes);
}

/* What the gateway hears first: is there a wall, and did it hold? */
static void
add_hello(struct buf *hello, const struct jail_report *report)
{
	struct buf tests = {0};
	int failed = jail_self_test(&tests);

	jail_report_put(report, hello);
	wire_add_u32(hello, (uint32_t)(failed < 0 ? 1 : failed));
	wire_add_str(hello, buf_slice(&tests));
	wire_add_str(hello, slice_of(fnlua_release()));
	buf_fini(&tests);
}

int
main(int argc, char **argv)
{
	struct jail_zygote_config config = {0};
	struct jail_report report = {0};
	struct buf hello = {0};
	struct err err = {0};

	if (argc != 5) {
		(void)fprintf(stderr,
		    "perilune-sandbox is started by `perilune`, not by hand\n");
		return EXIT_USAGE;
	}
	config.uid = (uid_t)strtoul(argv[1], NULL, 10);
	config.gid = (gid_t)strtoul(argv[2], NULL, 10);
	config.user_namespace = argv[3][0] == '1';
	config.address_space_bytes = (size_t)3 << 30;
	set_title(argv, argc, "perilune: zygote");
	if (worker_prepare() < 0) {
		perror("perilune-sandbox: cannot reserve its memory");
		return EXIT_JAIL;
	}
	if (jail_zygote(&config, ZYGOTE_CONTROL + 1, &report, &err) < 0) {
		(void)fprintf(stderr, "perilune-sandbox: %s\n", err.msg);
		return EXIT_JAIL;
	}
	add_hello(&hello, &report);
	/* No exit handlers: the filter has no room for what they might do. */
	_exit(zygote_serve(buf_slice(&hello)));
}
